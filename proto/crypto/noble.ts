/**
 * The noble Crypto provider: every primitive in JavaScript, for runtimes without the native ones and for fixed test vectors.
 *
 * Expanded keys are remembered by the array that holds the seed: it must not be changed once it has been used.
 */

import { gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { expand, extract } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha384 } from "@noble/hashes/sha2.js";
import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { ml_dsa44, ml_dsa65 } from "@noble/post-quantum/ml-dsa.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import type { AeadName, CryptoProvider, Encapsulation, HashName, MlDsaName } from "./provider.ts";
import { randomBytes } from "./random.ts";
import {
  AEAD_TAG_BYTES,
  KEM_SIZES,
  ML_DSA_SEED_BYTES,
  ML_DSA_SIZES,
  requireAeadInputs,
  requireMlKemPublicKey,
  requirePeerBytes,
  requireSecret,
} from "./sizes.ts";
import { createXWing } from "./xwing.ts";

const HASHES = { "SHA-256": sha256, "SHA-384": sha384 } as const satisfies Record<HashName, unknown>;
const SIGNERS = { "ML-DSA-44": ml_dsa44, "ML-DSA-65": ml_dsa65 } as const satisfies Record<
  MlDsaName,
  unknown
>;
const AEADS = { "ChaCha20-Poly1305": chacha20poly1305, "AES-256-GCM": gcm } as const satisfies Record<
  AeadName,
  unknown
>;

interface ExpandedKey {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

function nobleShake256(data: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  return shake256(data, { dkLen: length }) as Uint8Array<ArrayBuffer>;
}

/** Builds the noble provider. */
export function createNobleProvider(): CryptoProvider {
  const xWing = createXWing({
    randomBytes,
    mlKemPublicKey: (seed) => Promise.resolve(mlKemKey(seed).publicKey),
    mlKemEncapsulate,
    mlKemDecapsulate,
    x25519PublicKey: (privateKey) => x25519.getPublicKey(privateKey),
    x25519: nobleX25519,
    sha3: sha3_256,
    shake256: nobleShake256,
  });

  return {
    name: "noble",
    randomBytes,

    async kemKeyPair(kem, seed) {
      if (kem === "X-Wing") return await xWing.keyPair(seed);
      const privateKey = seed ?? randomBytes(KEM_SIZES[kem].seed);
      return { publicKey: mlKemKey(privateKey).publicKey, privateKey };
    },
    encapsulate: (kem, publicKey, seed) =>
      kem === "X-Wing" ? xWing.encapsulate(publicKey, seed) : mlKemEncapsulate(publicKey, seed),
    decapsulate: (kem, privateKey, ciphertext) =>
      kem === "X-Wing" ? xWing.decapsulate(privateKey, ciphertext) : mlKemDecapsulate(privateKey, ciphertext),

    // Asynchronous, so that a refusal is a rejection as it is in the native provider.
    // deno-lint-ignore require-await
    async signatureKeyPair(algorithm, seed = randomBytes(ML_DSA_SEED_BYTES)) {
      return { publicKey: signingKey(algorithm, seed).publicKey, privateKey: seed };
    },
    // deno-lint-ignore require-await
    async sign(algorithm, privateKey, message, options) {
      const { secretKey } = signingKey(algorithm, privateKey);
      return SIGNERS[algorithm].sign(
        message,
        secretKey,
        options?.deterministic ? { extraEntropy: false } : {},
      );
    },
    // deno-lint-ignore require-await
    async verify(algorithm, publicKey, message, signature) {
      const sizes = ML_DSA_SIZES[algorithm];
      if (publicKey.length !== sizes.publicKey || signature.length !== sizes.signature) return false;
      return SIGNERS[algorithm].verify(signature, message, publicKey);
    },

    digest: (hash, data) => HASHES[hash](data) as Uint8Array<ArrayBuffer>,
    shake256: nobleShake256,
    hmac: (hash, key, data) => hmac(HASHES[hash], key, data) as Uint8Array<ArrayBuffer>,
    hkdfExtract: (hash, salt, inputKey) => extract(HASHES[hash], inputKey, salt) as Uint8Array<ArrayBuffer>,
    hkdfExpand: (hash, key, info, length) =>
      expand(HASHES[hash], key, info, length) as Uint8Array<ArrayBuffer>,

    seal(aead, key, nonce, associatedData, plaintext, headroom = 0) {
      requireAeadInputs(aead, key, nonce);
      const sealed = AEADS[aead](key, nonce, associatedData).encrypt(plaintext);
      if (headroom === 0) return sealed;
      const output = new Uint8Array(headroom + sealed.length);
      output.set(sealed, headroom);
      return output;
    },
    open(aead, key, nonce, associatedData, ciphertext) {
      requireAeadInputs(aead, key, nonce);
      if (ciphertext.length < AEAD_TAG_BYTES) return null;
      try {
        return AEADS[aead](key, nonce, associatedData).decrypt(ciphertext);
      } catch {
        return null;
      }
    },
  };
}

/** X25519 (RFC 7748). Null where the result is all zero. */
export function nobleX25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  try {
    const secret = x25519.getSharedSecret(privateKey, publicKey);
    return secret.every((byte) => byte === 0) ? null : secret;
  } catch {
    return null; // the library refuses what comes out all zero
  }
}

const kemKeys = new WeakMap<Uint8Array, ExpandedKey>();
const signingKeys: Record<MlDsaName, WeakMap<Uint8Array, ExpandedKey>> = {
  "ML-DSA-44": new WeakMap(),
  "ML-DSA-65": new WeakMap(),
};

function remembered(
  keys: WeakMap<Uint8Array, ExpandedKey>,
  seed: Uint8Array,
  make: () => ExpandedKey,
): ExpandedKey {
  let key = keys.get(seed);
  if (key === undefined) {
    key = make();
    keys.set(seed, key);
  }
  return key;
}

function mlKemKey(seed: Uint8Array): ExpandedKey {
  requireSecret(seed, KEM_SIZES["ML-KEM-768"].seed, "ML-KEM private key");
  return remembered(kemKeys, seed, () => ml_kem768.keygen(seed));
}

// deno-lint-ignore require-await
async function mlKemEncapsulate(publicKey: Uint8Array, seed?: Uint8Array): Promise<Encapsulation> {
  requireMlKemPublicKey(publicKey);
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, seed);
  return { ciphertext: cipherText, sharedSecret };
}

// deno-lint-ignore require-await
async function mlKemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
  const { secretKey } = mlKemKey(seed);
  requirePeerBytes(ciphertext, KEM_SIZES["ML-KEM-768"].ciphertext, "ML-KEM ciphertext");
  return ml_kem768.decapsulate(ciphertext, secretKey);
}

function signingKey(algorithm: MlDsaName, seed: Uint8Array): ExpandedKey {
  requireSecret(seed, ML_DSA_SEED_BYTES, `${algorithm} private key`);
  return remembered(signingKeys[algorithm], seed, () => SIGNERS[algorithm].keygen(seed));
}
