/** Native and noble agree: what one seals, signs or encapsulates, the other opens, verifies and decapsulates. */

import assert from "node:assert/strict";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";
import { probe, selectProvider } from "../../proto/crypto/select.ts";
import { utf8 } from "../../proto/mod.ts";

const native = createNativeProvider();
const noble = createNobleProvider();
const hasNative = await probe(native);
const directions = [[native, noble], [noble, native]] as const;

Deno.test("selectProvider() chooses native exactly where it works, and always the same one", async () => {
  const selected = await selectProvider();
  assert.equal(selected.name, hasNative ? "native" : "noble");
  assert.equal(await selectProvider(), selected);
});

Deno.test("probe() is false for a provider that lacks a primitive or does it wrongly", async () => {
  const lacking = { ...noble, sign: () => Promise.reject(new Error("no such algorithm")) };
  const wrong = { ...noble, open: () => utf8("other") };
  assert.equal(await probe(lacking), false);
  assert.equal(await probe(wrong), false);
});

for (const [from, to] of directions) {
  Deno.test({
    name: `what ${from.name} makes, ${to.name} understands`,
    ignore: !hasNative,
    async fn() {
      const message = utf8("a message");
      for (const kem of ["ML-KEM-768", "X-Wing"] as const) {
        const pair = await to.kemKeyPair(kem);
        assert.deepEqual((await from.kemKeyPair(kem, pair.privateKey)).publicKey, pair.publicKey);
        const { ciphertext, sharedSecret } = await from.encapsulate(kem, pair.publicKey);
        assert.deepEqual(await to.decapsulate(kem, pair.privateKey, ciphertext), sharedSecret);
        const garbled = ciphertext.slice();
        garbled[100] ^= 1; // implicit rejection gives both the same other secret
        assert.deepEqual(
          await to.decapsulate(kem, pair.privateKey, garbled),
          await from.decapsulate(kem, pair.privateKey, garbled),
        );
      }
      for (const algorithm of ["ML-DSA-44", "ML-DSA-65"] as const) {
        const pair = await from.signatureKeyPair(algorithm);
        assert.deepEqual((await to.signatureKeyPair(algorithm, pair.privateKey)).publicKey, pair.publicKey);
        assert.ok(
          await to.verify(
            algorithm,
            pair.publicKey,
            message,
            await from.sign(algorithm, pair.privateKey, message),
          ),
        );
      }
      const [key, nonce] = [from.randomBytes(32), from.randomBytes(12)];
      for (const aead of ["ChaCha20-Poly1305", "AES-256-GCM"] as const) {
        assert.deepEqual(
          to.open(aead, key, nonce, message, from.seal(aead, key, nonce, message, message)),
          message,
        );
      }
      for (const hash of ["SHA-256", "SHA-384"] as const) {
        const extracted = from.hkdfExtract(hash, message, key);
        assert.deepEqual(to.hkdfExtract(hash, message, key), extracted);
        assert.deepEqual(
          to.hkdfExpand(hash, extracted, message, 150),
          from.hkdfExpand(hash, extracted, message, 150),
        );
        assert.deepEqual(to.digest(hash, message), from.digest(hash, message));
        assert.deepEqual(
          to.hmac(hash, new Uint8Array(), message),
          from.hmac(hash, new Uint8Array(), message),
        );
      }
    },
  });
}
