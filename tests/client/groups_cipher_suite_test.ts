/** MLS's cryptography over both providers: HPKE, derived keys, and the suites' names. */

import assert from "node:assert/strict";
import { Aes256Gcm, CipherSuite, HkdfSha384 } from "@hpke/core";
import { createCipherSuite, createKem, deriveKemSeed } from "../../client/groups/cipher_suite.ts";
import { MANDATORY_SUITE, parseSuiteId, SUITE_IDS, suiteName, SUITES } from "../../client/groups/mod.ts";
import { type CryptoProvider, toHex, utf8 } from "../../proto/mod.ts";
import { native, noble, refused } from "./groups_support.ts";

const providers: CryptoProvider[] = native === noble ? [noble] : [native, noble];

for (const id of SUITE_IDS) {
  for (const sender of providers) {
    for (const receiver of providers) {
      Deno.test(`what ${sender.name} seals by HPKE, ${receiver.name} opens: ${suiteName(id)}`, async () => {
        const [from, to] = [createCipherSuite(sender, id).hpke, createCipherSuite(receiver, id).hpke];
        const pair = await to.generateKeyPair();
        const publicKey = await from.importPublicKey(await to.exportPublicKey(pair.publicKey));
        const [plaintext, info, aad] = [utf8("a path secret"), utf8("context"), utf8("more")];
        const { ct, enc } = await from.seal(publicKey, plaintext, info, aad);
        assert.equal(ct.length, plaintext.length + 16);
        assert.deepEqual(await to.open(pair.privateKey, enc, ct, info, aad), plaintext);
        await refused(() => to.open(pair.privateKey, enc, ct, utf8("another"), aad), "BAD_MLS");
        await refused(() => to.open(pair.privateKey, enc, ct, info), "BAD_MLS");
        const exported = await from.exportSecret(publicKey, utf8("exporter"), 48, info);
        const imported = await to.importSecret(pair.privateKey, utf8("exporter"), exported.enc, 48, info);
        assert.equal(exported.secret.length, 48);
        assert.deepEqual(imported, exported.secret);
      });
    }
  }

  Deno.test(`both providers derive the same keys, hashes and ciphertexts: ${suiteName(id)}`, async () => {
    const results = [];
    for (const provider of providers) {
      const suite = createCipherSuite(provider, id);
      const { publicKey, privateKey } = await suite.hpke.deriveKeyPair(new Uint8Array(48).fill(7));
      const seed = await suite.hpke.exportPrivateKey(privateKey);
      const key = await suite.hpke.exportPublicKey(publicKey);
      assert.deepEqual(
        seed,
        deriveKemSeed(provider, {
          inputKey: new Uint8Array(48).fill(7),
          kemId: SUITES[id].kemId,
          length: seed.length,
        }),
      );
      assert.ok(await suite.hpke.isKeyPair(seed.slice(), key));
      assert.ok(!await suite.hpke.isKeyPair(new Uint8Array(seed.length), key));
      results.push([
        key,
        await suite.hash.digest(utf8("abc")),
        await suite.hash.mac(utf8("key"), utf8("abc")),
        await suite.kdf.expand(await suite.kdf.extract(new Uint8Array(), utf8("abc")), utf8("info"), 100),
        await suite.hpke.encryptAead(new Uint8Array(32), new Uint8Array(12), undefined, utf8("abc")),
      ].map(toHex));
    }
    for (const result of results) assert.deepEqual(result, results[0]);
    assert.ok(results[0][1].startsWith("cb00753f45a35e8b")); // SHA-384("abc"), FIPS 180-4
  });
}

Deno.test("keys of a wrong length are refused", async () => {
  for (const id of SUITE_IDS) {
    const { hpke } = createCipherSuite(native, id);
    await refused(() => hpke.importPublicKey(new Uint8Array(10)), "BAD_MLS");
    await refused(() => hpke.importPrivateKey(new Uint8Array(10)), "BAD_MLS");
  }
});

Deno.test("the seed of a derived key pair is SHAKE256 of the labelled input", () => {
  for (const provider of providers) {
    const derive = (inputKey: Uint8Array, kemId: number) =>
      deriveKemSeed(provider, { inputKey, kemId, length: 32 });
    const seed = derive(new Uint8Array(), 0x647a);
    assert.equal(seed.length, 32);
    assert.notDeepEqual(seed, derive(new Uint8Array(), 0x0041));
    assert.notDeepEqual(seed, derive(Uint8Array.of(0), 0x647a));
    assert.equal(toHex(seed), "a1313c048b30e1aba5ecb9ec783c7fa8e9c6a48f568a685fbe48ba5e2a5ca66c");
  }
});

Deno.test("HPKE with the library's own KDF and AEAD gives the same as with the provider's", async () => {
  for (const provider of providers) {
    const { hpke: ours } = createCipherSuite(provider, 0x0051);
    const kem = createKem(provider, { kem: "ML-KEM-768", kemId: SUITES[0x0051].kemId });
    const theirs = new CipherSuite({ kem, kdf: new HkdfSha384(), aead: new Aes256Gcm() });
    const { publicKey, privateKey } = await ours.generateKeyPair();
    const [plaintext, info, aad] = [utf8("a path secret"), utf8("context"), utf8("more")];
    const sealed = await theirs.seal({ recipientPublicKey: publicKey, info }, plaintext, aad);
    assert.deepEqual(
      await ours.open(privateKey, new Uint8Array(sealed.enc), new Uint8Array(sealed.ct), info, aad),
      plaintext,
    );
    const { enc, ct } = await ours.seal(publicKey, plaintext, info, aad);
    const opened = await theirs.open({ recipientKey: privateKey, enc, info }, ct, aad);
    assert.deepEqual(new Uint8Array(opened), plaintext);
    const context = await theirs.createRecipientContext({ recipientKey: privateKey, enc, info });
    const exported = await ours.importSecret(privateKey, utf8("exporter"), enc, 48, info);
    assert.deepEqual(exported, new Uint8Array(await context.export(utf8("exporter"), 48)));
  }
});

Deno.test("suites are known by their code points", async () => {
  assert.equal(MANDATORY_SUITE, 0x0052);
  assert.equal(parseSuiteId(82), 0x0052);
  assert.equal(suiteName(0x0051), "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65");
  for (const bad of [0, 1, 0x53, "82", null, undefined]) {
    await refused(() => Promise.resolve().then(() => parseSuiteId(bad)), "UNSUPPORTED");
  }
});
