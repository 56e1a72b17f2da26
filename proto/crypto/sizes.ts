/** Sizes of the primitives' inputs, and the checks that both providers make before they touch a key. */

import { AronaError } from "../errors.ts";
import type { AeadName, KemName, MlDsaName } from "./provider.ts";

/** Bytes of every KEM's seed (the private key), public key, ciphertext and encapsulation randomness. */
export const KEM_SIZES = {
  "ML-KEM-768": { seed: 64, publicKey: 1_184, ciphertext: 1_088, encapsulationSeed: 32 },
  "X-Wing": { seed: 32, publicKey: 1_216, ciphertext: 1_120, encapsulationSeed: 64 },
} as const satisfies Record<KemName, unknown>;

/** Bytes of every ML-DSA parameter set's public key and signature; the seed is 32 B. */
export const ML_DSA_SIZES = {
  "ML-DSA-44": { publicKey: 1_312, signature: 2_420 },
  "ML-DSA-65": { publicKey: 1_952, signature: 3_309 },
} as const satisfies Record<MlDsaName, unknown>;

export const ML_DSA_SEED_BYTES = 32;
export const X25519_BYTES = 32;
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

const ML_KEM_MODULUS = 3_329;
/** The last 32 bytes of an ML-KEM public key are ρ; before them come 12-bit coefficients. */
const ML_KEM_COEFFICIENT_BYTES = 1_152;

/**
 * Checks a private key or other secret of our own.
 *
 * @throws {AronaError} `INTERNAL`
 */
export function requireSecret(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) {
    throw new AronaError("INTERNAL", `Cannot use ${what}: it has ${bytes.length} bytes instead of ${length}`);
  }
}

/**
 * Checks a peer's public key or ciphertext.
 *
 * @throws {AronaError} `BAD_HANDSHAKE`
 */
export function requirePeerBytes(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) {
    throw new AronaError(
      "BAD_HANDSHAKE",
      `Cannot use ${what}: it has ${bytes.length} bytes instead of ${length}`,
    );
  }
}

/**
 * The encapsulation key check of FIPS 203 section 7.2: right length and every coefficient under the modulus.
 *
 * @throws {AronaError} `BAD_HANDSHAKE`
 */
export function requireMlKemPublicKey(publicKey: Uint8Array): void {
  requirePeerBytes(publicKey, KEM_SIZES["ML-KEM-768"].publicKey, "ML-KEM public key");
  for (let i = 0; i < ML_KEM_COEFFICIENT_BYTES; i += 3) {
    const middle = publicKey[i + 1];
    const low = publicKey[i] | ((middle & 0x0f) << 8);
    const high = (middle >> 4) | (publicKey[i + 2] << 4);
    if (low >= ML_KEM_MODULUS || high >= ML_KEM_MODULUS) {
      throw new AronaError(
        "BAD_HANDSHAKE",
        "Cannot use ML-KEM public key: a coefficient is over the modulus",
      );
    }
  }
}

/**
 * Checks what an AEAD is called with. Arona uses 32-byte keys and 12-byte nonces only.
 *
 * @throws {AronaError} `INTERNAL`
 */
export function requireAeadInputs(aead: AeadName, key: Uint8Array, nonce: Uint8Array): void {
  if (key.length !== AEAD_KEY_BYTES || nonce.length !== AEAD_NONCE_BYTES) {
    throw new AronaError(
      "INTERNAL",
      `Cannot use ${aead}: key of ${key.length} bytes, nonce of ${nonce.length}`,
    );
  }
}
