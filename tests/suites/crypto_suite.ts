/** What every Crypto provider has to do, with the published vectors: run it once for each provider. */

import assert from "node:assert/strict";
import type { CryptoProvider, HashName, MlDsaName } from "../../proto/crypto/provider.ts";
import { probe } from "../../proto/crypto/select.ts";
import { AEAD_TAG_BYTES, KEM_SIZES, ML_DSA_SIZES } from "../../proto/crypto/sizes.ts";
import { concatBytes, equalBytes, fromHex, isAronaError, toHex, utf8 } from "../../proto/mod.ts";
import { requireVectors } from "../require.ts";

/** Options of {@link cryptoSuite}. */
export interface CryptoSuiteOptions {
  readonly provider: CryptoProvider;
  readonly x25519: (privateKey: Uint8Array, publicKey: Uint8Array) => Uint8Array | null;
  /** Whether the provider takes encapsulation seeds and signs deterministically. */
  readonly derandomised: boolean;
}

const wycheproof = requireVectors("wycheproof");
const draft = requireVectors("xwing");
const MESSAGE = utf8("Schale");

/** Defines the suite's tests. */
export function cryptoSuite(options: CryptoSuiteOptions): void {
  const { provider, derandomised } = options;
  const named = (what: string) => `${provider.name} provider: ${what}`;

  Deno.test(named("passes the probe of selectProvider()"), async () => {
    assert.ok(await probe(provider));
  });

  Deno.test(named("randomBytes() gives more than one call of the system does"), () => {
    const bytes = provider.randomBytes(70_000);
    assert.equal(bytes.length, 70_000);
    assert.ok(bytes.subarray(65_536).some((byte) => byte !== 0));
  });

  for (const kem of ["ML-KEM-768", "X-Wing"] as const) {
    Deno.test(named(`${kem} gives both sides the same secret and refuses wrong lengths`), async () => {
      const { publicKey, privateKey } = await provider.kemKeyPair(kem);
      const { ciphertext, sharedSecret } = await provider.encapsulate(kem, publicKey);
      assert.deepEqual(
        [publicKey.length, privateKey.length, ciphertext.length, sharedSecret.length],
        [KEM_SIZES[kem].publicKey, KEM_SIZES[kem].seed, KEM_SIZES[kem].ciphertext, 32],
      );
      assert.deepEqual(await provider.decapsulate(kem, privateKey, ciphertext), sharedSecret);
      const flipped = ciphertext.slice();
      flipped[5] ^= 1;
      assert.notDeepEqual(await provider.decapsulate(kem, privateKey, flipped), sharedSecret);
      await refused(provider.encapsulate(kem, publicKey.subarray(1)));
      await refused(provider.decapsulate(kem, privateKey, ciphertext.subarray(1)));
      await assert.rejects(async () => await provider.decapsulate(kem, privateKey.subarray(1), ciphertext));
    });

    Deno.test(
      named(`${kem} refuses a coefficient over the modulus and an X25519 key of low order`),
      async () => {
        const { publicKey } = await provider.kemKeyPair(kem);
        const over = publicKey.slice();
        over[0] = over[1] = 0xff;
        await refused(provider.encapsulate(kem, over));
        if (kem === "X-Wing") {
          await refused(provider.encapsulate(kem, new Uint8Array(KEM_SIZES[kem].publicKey)));
          const zeroX = publicKey.slice();
          zeroX.fill(0, KEM_SIZES["ML-KEM-768"].publicKey);
          await refused(provider.encapsulate(kem, zeroX));
        }
      },
    );
  }

  wycheproof.test(named("ML-KEM-768 key pairs from seeds match Wycheproof"), async () => {
    for (const { vector } of await cases("mlkem_768_keygen_seed_test.json")) {
      const { publicKey } = await provider.kemKeyPair("ML-KEM-768", hex(vector.seed));
      assert.equal(toHex(publicKey), vector.ek);
    }
  });

  wycheproof.test(named("ML-KEM-768 decapsulation matches Wycheproof"), async () => {
    for (const { vector } of await cases("mlkem_768_test.json")) {
      const run = provider.decapsulate("ML-KEM-768", hex(vector.seed), hex(vector.c));
      if (vector.result === "invalid") await assert.rejects(run, `case ${vector.tcId}`);
      else assert.equal(toHex(await run), vector.K, `case ${vector.tcId}`);
    }
  });

  wycheproof.test(
    named(
      `ML-KEM-768 encapsulation ${derandomised ? "matches" : "refuses what"} Wycheproof${
        derandomised ? "" : " does"
      }`,
    ),
    async () => {
      for (const { vector } of await cases("mlkem_768_encaps_test.json")) {
        const seed = derandomised ? hex(vector.m) : undefined;
        const run = provider.encapsulate("ML-KEM-768", hex(vector.ek), seed);
        if (vector.result === "invalid") {
          await refused(run);
          continue;
        }
        const { ciphertext, sharedSecret } = await run;
        if (derandomised) assert.deepEqual([toHex(ciphertext), toHex(sharedSecret)], [vector.c, vector.K]);
      }
    },
  );

  draft.test(named("X-Wing matches the draft's vectors"), async () => {
    const vectors: Text[] = JSON.parse(await Deno.readTextFile(draft.url("test-vectors.json")));
    assert.ok(vectors.length > 0);
    for (const vector of vectors) {
      const { publicKey } = await provider.kemKeyPair("X-Wing", hex(vector.seed));
      assert.equal(toHex(publicKey), vector.pk);
      assert.equal(toHex(await provider.decapsulate("X-Wing", hex(vector.sk), hex(vector.ct))), vector.ss);
      if (!derandomised) continue;
      const { ciphertext, sharedSecret } = await provider.encapsulate(
        "X-Wing",
        hex(vector.pk),
        hex(vector.eseed),
      );
      assert.deepEqual([toHex(ciphertext), toHex(sharedSecret)], [vector.ct, vector.ss]);
    }
  });

  for (const algorithm of ["ML-DSA-44", "ML-DSA-65"] as const) {
    const file = algorithm === "ML-DSA-44" ? "mldsa_44" : "mldsa_65";

    Deno.test(named(`${algorithm} signs, and verify() is false for anything else`), async () => {
      const { publicKey, privateKey } = await provider.signatureKeyPair(algorithm);
      const signature = await provider.sign(algorithm, privateKey, MESSAGE);
      assert.deepEqual(
        [publicKey.length, signature.length],
        [ML_DSA_SIZES[algorithm].publicKey, ML_DSA_SIZES[algorithm].signature],
      );
      assert.ok(await provider.verify(algorithm, publicKey, MESSAGE, signature));
      const flipped = signature.slice();
      flipped[0] ^= 1;
      const others: [Uint8Array, Uint8Array, Uint8Array][] = [
        [publicKey, utf8("schale"), signature],
        [publicKey, MESSAGE, flipped],
        [publicKey, MESSAGE, signature.subarray(1)],
        [publicKey, MESSAGE, concatBytes(signature, Uint8Array.of(0))],
        [publicKey.subarray(1), MESSAGE, signature],
        [publicKey, MESSAGE, new Uint8Array()],
      ];
      for (const other of others) assert.equal(await provider.verify(algorithm, ...other), false);
      await assert.rejects(async () => await provider.sign(algorithm, privateKey.subarray(1), MESSAGE));
    });

    wycheproof.test(named(`${algorithm} verification matches Wycheproof`), async () => {
      const all = await cases(`${file}_verify_test.json`);
      // Arona signs with the empty context only, so vectors with one are not for it.
      const plain = all.filter(({ vector }) => vector.ctx === undefined || vector.ctx === "");
      assert.equal(all.length - plain.length, 7);
      for (const { group, vector } of plain) {
        const valid = await provider.verify(
          algorithm,
          hex(group.publicKey),
          hex(vector.msg),
          hex(vector.sig),
        );
        assert.equal(valid, vector.result === "valid", `case ${vector.tcId}`);
      }
    });

    wycheproof.test(named(`${algorithm} signing from seeds matches Wycheproof`), async () => {
      for (const { group, vector } of signable(await cases(`${file}_sign_seed_test.json`))) {
        await checkSigning(algorithm, group, vector);
      }
    });
  }

  wycheproof.test(named("ChaCha20-Poly1305 matches Wycheproof"), async () => {
    for (const { vector } of await cases("chacha20_poly1305_test.json")) {
      const [key, nonce, aad] = [hex(vector.key), hex(vector.iv), hex(vector.aad)];
      const sealed = fromHex(vector.ct + vector.tag);
      if (nonce.length !== 12) {
        assert.throws(() => provider.seal("ChaCha20-Poly1305", key, nonce, aad, hex(vector.msg)));
        continue;
      }
      const opened = provider.open("ChaCha20-Poly1305", key, nonce, aad, sealed);
      if (vector.result === "invalid") {
        assert.equal(opened, null, `case ${vector.tcId}`);
        continue;
      }
      assert.equal(opened && toHex(opened), vector.msg, `case ${vector.tcId}`);
      assert.equal(
        toHex(provider.seal("ChaCha20-Poly1305", key, nonce, aad, hex(vector.msg))),
        toHex(sealed),
      );
    }
  });

  for (const aead of ["ChaCha20-Poly1305", "AES-256-GCM"] as const) {
    Deno.test(named(`${aead} opens what it seals and nothing else`), () => {
      const [key, nonce, aad] = [provider.randomBytes(32), provider.randomBytes(12), utf8("header")];
      for (const length of [0, 1, 15, 16, 17, 300, 70_000]) {
        const plaintext = provider.randomBytes(length);
        const sealed = provider.seal(aead, key, nonce, aad, plaintext);
        assert.equal(sealed.length, length + AEAD_TAG_BYTES);
        const roomy = provider.seal(aead, key, nonce, aad, plaintext, 4);
        assert.ok(equalBytes(roomy, concatBytes(new Uint8Array(4), sealed)));
        const opened = provider.open(aead, key, nonce, aad, sealed);
        assert.ok(opened !== null && equalBytes(opened, plaintext));
        const flipped = sealed.slice();
        flipped[length >> 1] ^= 0x80;
        assert.equal(provider.open(aead, key, nonce, aad, flipped), null);
        assert.equal(provider.open(aead, key, nonce, utf8("Header"), sealed), null);
        assert.equal(provider.open(aead, key, nonce, aad, sealed.subarray(1)), null);
      }
      assert.equal(provider.open(aead, key, nonce, aad, new Uint8Array(15)), null);
      assert.throws(() => provider.seal(aead, key.subarray(1), nonce, aad, MESSAGE));
    });
  }

  wycheproof.test(named("X25519 matches Wycheproof and refuses every all-zero result"), async () => {
    for (const { vector } of await cases("x25519_test.json")) {
      const secret = options.x25519(hex(vector.private), hex(vector.public));
      const allZero = /^0*$/.test(vector.shared);
      assert.equal(
        secret === null ? null : toHex(secret),
        allZero ? null : vector.shared,
        `case ${vector.tcId}`,
      );
    }
  });

  for (const hash of ["SHA-256", "SHA-384"] as const) {
    wycheproof.test(named(`HKDF-${hash} matches Wycheproof`), async () => {
      for (const { vector } of await cases(`hkdf_${hash.toLowerCase().replace("-", "")}_test.json`)) {
        const derive = () => hkdf(provider, hash, vector);
        if (vector.result === "invalid") assert.throws(derive, `case ${vector.tcId}`);
        else assert.equal(derive(), vector.okm, `case ${vector.tcId}`);
      }
    });
  }

  Deno.test(named("digest() and hmac() match RFC 6234's and RFC 4231's examples"), () => {
    assert.equal(
      toHex(provider.digest("SHA-256", utf8("abc"))),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    assert.equal(
      toHex(provider.digest("SHA-384", utf8("abc"))),
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    );
    assert.equal(
      toHex(provider.hmac("SHA-256", utf8("Jefe"), utf8("what do ya want for nothing?"))),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
  });

  async function checkSigning(algorithm: MlDsaName, group: Text, vector: Text): Promise<void> {
    const seed = hex(group.privateSeed);
    if (vector.result === "invalid") {
      await assert.rejects(
        async () => await provider.sign(algorithm, seed, hex(vector.msg)),
        `case ${vector.tcId}`,
      );
      return;
    }
    if (derandomised) {
      const signature = await provider.sign(algorithm, seed, hex(vector.msg), { deterministic: true });
      assert.equal(toHex(signature), vector.sig, `case ${vector.tcId}`);
      return;
    }
    const { publicKey } = await provider.signatureKeyPair(algorithm, seed);
    assert.equal(toHex(publicKey), group.publicKey);
    assert.ok(
      await provider.verify(algorithm, publicKey, hex(vector.msg), hex(vector.sig)),
      `case ${vector.tcId}`,
    );
    assert.ok(
      await provider.verify(
        algorithm,
        publicKey,
        hex(vector.msg),
        await provider.sign(algorithm, seed, hex(vector.msg)),
      ),
    );
  }
}

/** Every field of a vector file is read as text; numbers only appear in messages and sizes. */
type Text = Record<string, string>;

interface Case {
  readonly group: Text;
  readonly vector: Text;
}

async function cases(file: string): Promise<Case[]> {
  const { testGroups } = JSON.parse(await Deno.readTextFile(wycheproof.url(file)));
  const all = testGroups.flatMap((group: Text & { tests: Text[] }) =>
    group.tests.map((vector) => ({ group, vector }))
  );
  assert.ok(all.length > 0);
  return all;
}

/** Leaves out what Arona's port cannot ask for: contexts, external mu, given randomness. */
function signable(all: readonly Case[]): Case[] {
  return all.filter(({ vector }) => !vector.ctx && vector.msg !== undefined && vector.rnd === undefined);
}

function hkdf(provider: CryptoProvider, hash: HashName, vector: Text): string {
  const key = provider.hkdfExtract(hash, hex(vector.salt), hex(vector.ikm));
  return toHex(provider.hkdfExpand(hash, key, hex(vector.info), Number(vector.size)));
}

function hex(text: string): Uint8Array<ArrayBuffer> {
  return fromHex(text);
}

async function refused(action: Promise<unknown>): Promise<void> {
  await assert.rejects(action, (error) => isAronaError(error, "BAD_HANDSHAKE"));
}
