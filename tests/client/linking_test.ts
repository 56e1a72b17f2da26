/** What two devices seal for each other: it opens for the code, the relay and the request that it was made for, and for nothing else. */

import assert from "node:assert/strict";
import {
  acceptAnswer,
  answerFor,
  cleanLabel,
  createLocalIdentity,
  decodeIdentity,
  encodeIdentity,
  type LinkAnswer,
  type LocalIdentity,
  newDeviceKeys,
  openAnswer,
  openRequest,
  renewCertificates,
  requestFor,
  sealAnswer,
  sealRequest,
} from "../../client/identity/mod.ts";
import { FakeClock } from "../../proto/clock.ts";

import {
  type DeviceId,
  MAX_FRAME_BYTES_BEFORE_AUTH,
  MAX_LINK_BOX_BYTES,
  parseAccountName,
  selectProvider,
} from "../../proto/mod.ts";

const crypto = await selectProvider();
const clock = new FakeClock();
const place = { fingerprint: crypto.randomBytes(32), secret: crypto.randomBytes(16) };

function person(name = "alice"): Promise<LocalIdentity> {
  return createLocalIdentity(crypto, { account: parseAccountName(name), clock });
}

Deno.test("a further device gets an identity without the secret, by way of two boxes", async () => {
  const primary = await person("a".repeat(32));
  const own = await newDeviceKeys(crypto);
  const requestBox = sealRequest(crypto, place, requestFor(own, "phone"));
  const request = openRequest(crypto, place, requestBox);
  assert.deepEqual([request.device, request.label], [own.device, "phone"]);
  const answer = await answerFor(crypto, { identity: primary, request, label: "€".repeat(100), clock });
  const box = sealAnswer(crypto, place, { requestBox, answer });
  assert.ok(box.length <= MAX_LINK_BOX_BYTES, "the largest there is fits");
  assert.ok(MAX_LINK_BOX_BYTES + 200 <= MAX_FRAME_BYTES_BEFORE_AUTH);
  const identity = await acceptAnswer(crypto, {
    own,
    answer: openAnswer(crypto, place, { requestBox, box }),
    clock,
  });
  assert.deepEqual([identity.account, identity.device], [primary.account, own.device]);
  assert.deepEqual([identity.identityKey, identity.identitySeed], [primary.identityKey, null]);
  assert.equal(identity.primary, primary.device);
  assert.deepEqual(decodeIdentity(encodeIdentity(identity)), identity);
  assert.equal(await renewCertificates(crypto, identity, clock), identity, "nothing to renew them with");
  await assert.rejects(answerFor(crypto, { identity, request, label: "phone", clock }), {
    code: "FORBIDDEN",
  });
});

Deno.test("a relay that swaps, mixes or changes boxes gets neither side to take one", async () => {
  const primary = await person();
  const [own, other] = [await newDeviceKeys(crypto), await newDeviceKeys(crypto)];
  const requestBox = sealRequest(crypto, place, requestFor(own, "phone"));
  const otherBox = sealRequest(crypto, place, requestFor(other, "tablet"));
  const answerTo = async (box: Uint8Array) => {
    const request = openRequest(crypto, place, box);
    const answer = await answerFor(crypto, { identity: primary, request, label: "laptop", clock });
    return sealAnswer(crypto, place, { requestBox: box, answer });
  };
  const box = await answerTo(requestBox);
  const refused = { code: "BAD_ENCODING" };
  assert.throws(() => openAnswer(crypto, place, { requestBox: otherBox, box }), refused, "another's answer");
  assert.throws(() => openAnswer(crypto, place, { requestBox, box: requestBox }), refused, "its own request");
  assert.throws(() => openRequest(crypto, place, box), refused, "an answer as a request");
  for (const wrong of [{ secret: new Uint8Array(16) }, { fingerprint: new Uint8Array(32) }]) {
    const elsewhere = { ...place, ...wrong };
    assert.throws(() => openRequest(crypto, elsewhere, requestBox), refused);
    assert.throws(() => openAnswer(crypto, elsewhere, { requestBox, box }), refused);
  }
  for (const at of [0, 31, 32, box.length - 1]) {
    const changed = box.map((byte, i) => i === at ? byte ^ 1 : byte);
    assert.throws(() => openAnswer(crypto, place, { requestBox, box: changed }), refused);
  }
  for (const length of [0, 31, 40]) {
    assert.throws(() => openRequest(crypto, place, requestBox.slice(0, length)), refused);
  }
  assert.notDeepEqual(
    sealRequest(crypto, place, requestFor(own, "phone")),
    requestBox,
    "no key is used twice",
  );
});

Deno.test("acceptAnswer() takes certificates for its own keys only, by one identity, and valid now", async () => {
  const [alice, mallory] = [await person(), await person()];
  const [own, other] = [await newDeviceKeys(crypto), await newDeviceKeys(crypto)];
  const answerOf = (identity: LocalIdentity, keys = own) =>
    answerFor(crypto, { identity, request: requestFor(keys, "phone"), label: "laptop", clock });
  const good = await answerOf(alice);
  const mixed = (a: LinkAnswer, b: LinkAnswer): LinkAnswer => ({
    ...a,
    certificates: { ...a.certificates, 0x0051: b.certificates[0x0051] },
  });
  const swapped: LinkAnswer = {
    ...good,
    certificates: { 0x0052: good.certificates[0x0051], 0x0051: good.certificates[0x0052] },
  };
  const wrong: LinkAnswer[] = [
    await answerOf(alice, other),
    await answerOf(alice, { ...other, device: own.device }),
    mixed(good, await answerOf(mallory)),
    swapped,
    { ...good, primary: own.device },
  ];
  for (const [i, answer] of wrong.entries()) {
    await assert.rejects(
      acceptAnswer(crypto, { own, answer, clock }),
      { code: "BAD_CERTIFICATE" },
      `case ${i}`,
    );
  }
  const later = new FakeClock(clock.now() + 401 * 86_400_000);
  await assert.rejects(acceptAnswer(crypto, { own, answer: good, clock: later }), {
    code: "BAD_CERTIFICATE",
  });
  assert.equal((await acceptAnswer(crypto, { own, answer: good, clock })).account, "alice");
});

Deno.test("labels are one line that fits, whatever a machine is called", () => {
  assert.equal(cleanLabel("  my\u202e pho\nne\u001b[2J "), "my phone[2J");
  for (const nothing of ["", " ", "\u0000\u200b"]) assert.equal(cleanLabel(nothing), "device");
  const long = cleanLabel("€".repeat(50));
  assert.equal(long, "€".repeat(21));
  assert.equal(cleanLabel(long), long);
});

Deno.test("decodeIdentity() reads both kinds of row and no third one", async () => {
  const identity = await person();
  const further = { ...identity, identitySeed: null, primary: "ab".repeat(16) as DeviceId };
  for (const one of [identity, further]) assert.deepEqual(decodeIdentity(encodeIdentity(one)), one);
  const bytes = encodeIdentity(further);
  assert.deepEqual([encodeIdentity(identity)[0], bytes[0]], [1, 2]);
  bytes[0] = 3;
  assert.throws(() => decodeIdentity(bytes), { code: "CORRUPT_STORE" });
  bytes[0] = 1; // a seed is longer than an id
  assert.throws(() => decodeIdentity(bytes), { code: "CORRUPT_STORE" });
});
