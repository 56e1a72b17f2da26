/** AUTH and proof of work: bound to the connection, the relay, the account and the device. */

import assert from "node:assert/strict";
import {
  type AccountName,
  type AuthBinding,
  checkPow,
  concatBytes,
  createAuth,
  type DeviceId,
  encodeCertificate,
  isAronaError,
  issueCertificate,
  MAX_POW_BITS,
  parseAccountName,
  SignatureAlgorithm,
  solvePow,
  verifyAuth,
} from "../../proto/mod.ts";
import { DAY_MS, provider, START_MS } from "./fixture.ts";

const alice = parseAccountName("alice");
const identity = await provider.signatureKeyPair("ML-DSA-65");
const device = await provider.signatureKeyPair("ML-DSA-44");
const connection: AuthBinding = {
  exporter: new Uint8Array(32).fill(1),
  relayFingerprint: new Uint8Array(32).fill(2),
};

function certificate(
  account: AccountName = alice,
  algorithm: SignatureAlgorithm = SignatureAlgorithm.ML_DSA_44,
) {
  return issueCertificate(provider, {
    identity,
    deviceKey: device.publicKey,
    algorithm,
    account,
    device: "000102030405060708090a0b0c0d0e0f" as DeviceId,
    notBeforeMs: START_MS,
    notAfterMs: START_MS + DAY_MS,
  });
}

async function auth(binding = connection, account = alice): Promise<Uint8Array[]> {
  const { blobs } = await createAuth(provider, {
    connection: binding,
    account,
    certificate: await certificate(),
    devicePublicKey: device.publicKey,
    devicePrivateKey: device.privateKey,
  });
  return blobs;
}

function verify(blobs: readonly Uint8Array[], options: { binding?: AuthBinding; nowMs?: number } = {}) {
  return verifyAuth(provider, {
    connection: options.binding ?? connection,
    account: alice,
    blobs,
    nowMs: options.nowMs ?? START_MS + 1,
  });
}

async function refused(action: Promise<unknown>): Promise<void> {
  await assert.rejects(action, (error) => {
    assert.ok(isAronaError(error, "AUTH_FAILED"));
    assert.equal(error.message, "Cannot log in: the relay does not accept this device"); // the same for every cause
    return true;
  });
}

Deno.test("verifyAuth() accepts what createAuth() made", async () => {
  const blobs = await auth();
  const verified = await verify(blobs);
  assert.equal(verified.certificate.account, "alice");
  assert.deepEqual(verified.deviceKey, device.publicKey);
  assert.deepEqual(verified.certificateBytes, blobs[0]);
});

Deno.test("AUTH from another connection, for another relay or another account is refused", async () => {
  const other = new Uint8Array(32).fill(9);
  await refused(verify(await auth({ ...connection, exporter: other })));
  await refused(verify(await auth({ ...connection, relayFingerprint: other })));
  await refused(verify(await auth(connection, parseAccountName("bob"))));
});

Deno.test("a signature one byte short or long, or changed, is refused", async () => {
  const [cert, key, signature] = await auth();
  await refused(verify([cert, key, signature.subarray(1)]));
  await refused(verify([cert, key, signature.subarray(0, -1)]));
  await refused(verify([cert, key, concatBytes(signature, Uint8Array.of(0))]));
  const flipped = signature.slice();
  flipped[700] ^= 1;
  await refused(verify([cert, key, flipped]));
});

Deno.test("another device's key, another account's certificate, or a wrong layout is refused", async () => {
  const [cert, key, signature] = await auth();
  const stranger = await provider.signatureKeyPair("ML-DSA-44");
  await refused(verify([cert, stranger.publicKey, signature]));
  await refused(verify([cert, key.subarray(1), signature]));
  await refused(verify([cert, key]));
  await refused(verify([cert, key, signature, signature]));
  await refused(verify([]));
  await refused(verify([cert.subarray(1), key, signature]));
  await refused(verify([concatBytes(cert, Uint8Array.of(0)), key, signature]));
  await refused(verify([encodeCertificate(await certificate(parseAccountName("bob"))), key, signature]));
  const other = encodeCertificate(await certificate(alice, SignatureAlgorithm.ML_DSA_65));
  await refused(verify([other, key, signature]));
});

Deno.test("a certificate counts only in its time", async () => {
  const blobs = await auth();
  await refused(verify(blobs, { nowMs: START_MS - 1 }));
  await refused(verify(blobs, { nowMs: START_MS + DAY_MS + 1 }));
});

const challenge = { exporter: connection.exporter, account: alice, identityKey: identity.publicKey, bits: 8 };

Deno.test("checkPow() accepts what solvePow() found, and only for the same challenge", async () => {
  const nonce = await solvePow(provider, { ...challenge, bits: 12 });
  assert.match(nonce, /^[0-9a-f]{16}$/);
  assert.ok(checkPow(provider, { ...challenge, bits: 12 }, nonce));
  const foreign = [
    { ...challenge, bits: 12, exporter: new Uint8Array(32).fill(7) },
    { ...challenge, bits: 12, account: parseAccountName("bob") },
    { ...challenge, bits: 12, identityKey: device.publicKey },
  ];
  // Each has a chance of 1 in 4,096 to fit; all three together do not happen.
  assert.ok(foreign.filter((other) => checkPow(provider, other, nonce)).length < 3);
});

Deno.test("checkPow() refuses anything but 16 hexadecimal digits", () => {
  for (
    const nonce of [
      undefined,
      null,
      5,
      "",
      "00",
      "0".repeat(15),
      "0".repeat(17),
      "G".repeat(16),
      "A".repeat(16),
    ]
  ) {
    assert.equal(checkPow(provider, { ...challenge, bits: 0 }, nonce), false);
  }
  assert.ok(checkPow(provider, { ...challenge, bits: 0 }, "0".repeat(16)));
});

Deno.test("solvePow() does not work for a relay that asks too much, and stops when it is told to", async () => {
  await assert.rejects(
    solvePow(provider, { ...challenge, bits: MAX_POW_BITS + 1 }),
    (error) => isAronaError(error, "TOO_LARGE"),
  );
  const controller = new AbortController();
  const hard = { ...provider, digest: () => new Uint8Array(32).fill(0xff) };
  const solving = solvePow(hard, challenge, { signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(solving, (error) => error === reason);
});
