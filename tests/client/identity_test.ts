/** The local identity: its keys, its certificates and its row in the store. */

import assert from "node:assert/strict";
import {
  CERTIFICATE_LIFETIME_MS,
  CERTIFICATE_RENEWAL_MS,
  certificatesNeedRenewal,
  createLocalIdentity,
  decodeIdentity,
  encodeIdentity,
  localDevice,
  type LocalIdentity,
  renewCertificates,
} from "../../client/identity/mod.ts";
import { SUITE_IDS, SUITES } from "../../client/groups/mod.ts";
import { FakeClock } from "../../proto/clock.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { parseAccountName, verifyCertificate } from "../../proto/identity.ts";

const crypto = createNativeProvider();
const account = parseAccountName("alice");
const DAY_MS = 86_400_000;

function create(clock: FakeClock): Promise<LocalIdentity> {
  return createLocalIdentity(crypto, { account, clock });
}

Deno.test("createLocalIdentity() makes one device whose keys are all certified, from yesterday for 400 days", async () => {
  const clock = new FakeClock();
  const identity = await create(clock);
  const now = clock.now();
  for (const suite of SUITE_IDS) {
    const { publicKey, privateKey, certificate } = identity.keys[suite];
    const { signature } = SUITES[suite];
    const signed = await crypto.sign(signature, privateKey, Uint8Array.of(1));
    assert.ok(await crypto.verify(signature, publicKey, Uint8Array.of(1), signed));
    assert.equal(certificate.device, identity.device);
    assert.deepEqual(certificate.identityKey, identity.identityKey);
    for (const [nowMs, valid] of [[-2, false], [-1, true], [0, true], [400, true], [401, false]] as const) {
      const options = { deviceKey: publicKey, nowMs: now + nowMs * DAY_MS };
      assert.equal(await verifyCertificate(crypto, certificate, options), valid, `day ${nowMs}`);
    }
  }
});

Deno.test("two identities have nothing in common", async () => {
  const [one, other] = [await create(new FakeClock()), await create(new FakeClock())];
  assert.notEqual(one.device, other.device);
  assert.notDeepEqual(one.identityKey, other.identityKey);
  assert.notDeepEqual(one.keys[0x0052].publicKey, other.keys[0x0052].publicKey);
});

Deno.test("decodeIdentity() gives what encodeIdentity() was given", async () => {
  const identity = await create(new FakeClock());
  const bytes = encodeIdentity(identity);
  assert.deepEqual(decodeIdentity(bytes), identity);
  assert.deepEqual(encodeIdentity(decodeIdentity(bytes)), bytes);
});

Deno.test("decodeIdentity() refuses damaged rows with one code and never anything else", async () => {
  const bytes = encodeIdentity(await create(new FakeClock()));
  for (
    const broken of [
      bytes.subarray(1),
      bytes.subarray(0, -1),
      new Uint8Array(),
      new Uint8Array([...bytes, 0]),
    ]
  ) {
    assert.throws(() => decodeIdentity(broken), { code: "CORRUPT_STORE" });
  }
  for (let at = 0; at < bytes.length; at += 13) {
    const changed = bytes.slice();
    changed[at] ^= 1 << (at % 8);
    try {
      assert.deepEqual(encodeIdentity(decodeIdentity(changed)), changed);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "CORRUPT_STORE");
    }
  }
});

Deno.test("renewCertificates() keeps every key and begins anew", async () => {
  const clock = new FakeClock();
  const identity = await create(clock);
  assert.ok(!certificatesNeedRenewal(identity, clock.now()));
  clock.advance(CERTIFICATE_LIFETIME_MS - CERTIFICATE_RENEWAL_MS + 1);
  assert.ok(certificatesNeedRenewal(identity, clock.now()));
  const renewed = await renewCertificates(crypto, identity, clock);
  assert.ok(!certificatesNeedRenewal(renewed, clock.now()));
  for (const suite of SUITE_IDS) {
    const { publicKey, certificate } = renewed.keys[suite];
    assert.deepEqual(publicKey, identity.keys[suite].publicKey);
    assert.ok(
      await verifyCertificate(crypto, certificate, {
        deviceKey: publicKey,
        nowMs: clock.now() + 399 * DAY_MS,
      }),
    );
  }
  assert.ok(certificatesNeedRenewal(renewed, clock.now() - 2 * DAY_MS), "a clock that went back");
});

Deno.test("localDevice() leaves the identity's secret out", async () => {
  const identity = await create(new FakeClock());
  assert.deepEqual(Object.keys(localDevice(identity)).sort(), ["account", "device", "identityKey", "keys"]);
});
