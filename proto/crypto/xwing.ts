/**
 * X-Wing, the hybrid of ML-KEM-768 and X25519 (draft-connolly-cfrg-xwing-kem), over any provider's primitives.
 *
 * Key: seed 32 → SHAKE256(seed, 96) = d ‖ z (ML-KEM) ‖ x (X25519); public key = pkM 1,184 ‖ pkX 32.
 * Ciphertext = ctM 1,088 ‖ ctX 32; shared secret = SHA3-256(ssM ‖ ssX ‖ ctX ‖ pkX ‖ label).
 */

import { concatBytes } from "../bytes.ts";
import { AronaError } from "../errors.ts";
import type { Encapsulation, KeyPair } from "./provider.ts";
import { KEM_SIZES, requirePeerBytes, requireSecret, X25519_BYTES } from "./sizes.ts";

/** `\.//^\` */
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c);
const ML_KEM = KEM_SIZES["ML-KEM-768"];
const X_WING = KEM_SIZES["X-Wing"];

/** What X-Wing is made of. */
export interface XWingPrimitives {
  randomBytes(length: number): Uint8Array;
  /** ML-KEM-768 from its 64-byte seed. */
  mlKemPublicKey(seed: Uint8Array): Promise<Uint8Array>;
  mlKemEncapsulate(publicKey: Uint8Array, seed?: Uint8Array): Promise<Encapsulation>;
  mlKemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array>;
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** The shared secret, or null where it is all zero. */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  sha3(data: Uint8Array): Uint8Array;
  shake256(data: Uint8Array, length: number): Uint8Array;
}

/** X-Wing with the private key as its 32-byte seed. */
export interface XWing {
  keyPair(seed?: Uint8Array): Promise<KeyPair>;
  encapsulate(publicKey: Uint8Array, seed?: Uint8Array): Promise<Encapsulation>;
  decapsulate(privateKey: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array>;
}

interface ExpandedKey {
  readonly mlKemSeed: Uint8Array;
  readonly xPrivate: Uint8Array;
  readonly xPublic: Uint8Array;
}

/** Builds X-Wing. Expanded private keys are kept for as long as the caller keeps the seed's array, which must not change. */
export function createXWing(primitives: XWingPrimitives): XWing {
  const expandedKeys = new WeakMap<Uint8Array, ExpandedKey>();

  return {
    async keyPair(seed = primitives.randomBytes(X_WING.seed)) {
      requireSecret(seed, X_WING.seed, "X-Wing private key");
      const key = expand(seed);
      return {
        publicKey: concatBytes(await primitives.mlKemPublicKey(key.mlKemSeed), key.xPublic),
        privateKey: seed,
      };
    },

    async encapsulate(publicKey, seed) {
      requirePeerBytes(publicKey, X_WING.publicKey, "X-Wing public key");
      if (seed !== undefined) requireSecret(seed, X_WING.encapsulationSeed, "X-Wing randomness");
      const xPublic = publicKey.subarray(ML_KEM.publicKey);
      const ephemeral = seed === undefined
        ? primitives.randomBytes(X25519_BYTES)
        : seed.subarray(X25519_BYTES);
      const xSecret = agree(ephemeral, xPublic);
      const mlKem = await primitives.mlKemEncapsulate(
        publicKey.subarray(0, ML_KEM.publicKey),
        seed?.subarray(0, ML_KEM.encapsulationSeed),
      );
      const xCiphertext = primitives.x25519PublicKey(ephemeral);
      return {
        ciphertext: concatBytes(mlKem.ciphertext, xCiphertext),
        sharedSecret: combine(mlKem.sharedSecret, xSecret, xCiphertext, xPublic),
      };
    },

    async decapsulate(privateKey, ciphertext) {
      requireSecret(privateKey, X_WING.seed, "X-Wing private key");
      requirePeerBytes(ciphertext, X_WING.ciphertext, "X-Wing ciphertext");
      const key = expand(privateKey);
      const xCiphertext = ciphertext.subarray(ML_KEM.ciphertext);
      const xSecret = agree(key.xPrivate, xCiphertext);
      const mlKemSecret = await primitives.mlKemDecapsulate(
        key.mlKemSeed,
        ciphertext.subarray(0, ML_KEM.ciphertext),
      );
      return combine(mlKemSecret, xSecret, xCiphertext, key.xPublic);
    },
  };

  function expand(seed: Uint8Array): ExpandedKey {
    const known = expandedKeys.get(seed);
    if (known !== undefined) return known;
    const bytes = primitives.shake256(seed, ML_KEM.seed + X25519_BYTES);
    const xPrivate = bytes.subarray(ML_KEM.seed);
    const key = {
      mlKemSeed: bytes.subarray(0, ML_KEM.seed),
      xPrivate,
      xPublic: primitives.x25519PublicKey(xPrivate),
    };
    expandedKeys.set(seed, key);
    return key;
  }

  function agree(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
    const secret = primitives.x25519(privateKey, publicKey);
    if (secret === null) {
      throw new AronaError("BAD_HANDSHAKE", "Cannot use X25519 public key: its order is low");
    }
    return secret;
  }

  function combine(
    mlKem: Uint8Array,
    x: Uint8Array,
    xCiphertext: Uint8Array,
    xPublic: Uint8Array,
  ): Uint8Array {
    return primitives.sha3(concatBytes(mlKem, x, xCiphertext, xPublic, LABEL));
  }
}
