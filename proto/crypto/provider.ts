/**
 * The Crypto provider port: every primitive that Arona uses, so that native WebCrypto and noble are interchangeable.
 *
 * Keys are plain bytes on this interface. Private keys are always the *seed* form of their standard, which is the
 * smallest and the same in both providers: ML-KEM 64 B (d ‖ z), ML-DSA 32 B (ξ), X25519 32 B, X-Wing 32 B.
 * Both providers give the same bytes for everything that is not randomised.
 */

/** ML-DSA parameter sets (FIPS 204). Public key, signature: 44 → 1,312 B, 2,420 B; 65 → 1,952 B, 3,309 B. */
export type MlDsaName = "ML-DSA-44" | "ML-DSA-65";
/** KEMs: ML-KEM-768 (FIPS 203) and X-Wing (draft-connolly-cfrg-xwing-kem). Shared secrets are 32 B. */
export type KemName = "ML-KEM-768" | "X-Wing";
/** Hashes (FIPS 180-4). */
export type HashName = "SHA-256" | "SHA-384";
/** AEADs with 32-byte keys, 12-byte nonces and 16-byte tags (RFC 8439, NIST SP 800-38D). */
export type AeadName = "ChaCha20-Poly1305" | "AES-256-GCM";

/** A key pair; `privateKey` is the seed. */
export interface KeyPair {
  publicKey: Uint8Array;
  privateKey: Uint8Array;
}

/** A KEM ciphertext and the 32-byte secret it carries. */
export interface Encapsulation {
  ciphertext: Uint8Array;
  sharedSecret: Uint8Array;
}

/** All primitives. Asynchronous where WebCrypto is; symmetric ones are synchronous, they are the hot path. */
export interface CryptoProvider {
  readonly name: "native" | "noble";

  randomBytes(length: number): Uint8Array<ArrayBuffer>;

  /** @param seed fixed randomness: ML-KEM 64 B, X-Wing 32 B. @default random */
  kemKeyPair(kem: KemName, seed?: Uint8Array): Promise<KeyPair>;
  /**
   * @param seed fixed randomness for test vectors: ML-KEM 32 B, X-Wing 64 B. Only noble takes it.
   * @throws {AronaError} `BAD_HANDSHAKE` for a public key of a wrong length, all zero X25519 output, or with a
   *   coefficient over the modulus (FIPS 203 section 7.2).
   */
  encapsulate(kem: KemName, publicKey: Uint8Array, seed?: Uint8Array): Promise<Encapsulation>;
  /** Implicit rejection: a wrong ciphertext of the right length gives another secret, not an error. */
  decapsulate(kem: KemName, privateKey: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array>;

  /** @param seed 32 B. @default random */
  signatureKeyPair(algorithm: MlDsaName, seed?: Uint8Array): Promise<KeyPair>;
  /** Hedged signature with an empty context. `deterministic` is for test vectors; only noble takes it. */
  sign(
    algorithm: MlDsaName,
    privateKey: Uint8Array,
    message: Uint8Array,
    options?: { deterministic?: boolean },
  ): Promise<Uint8Array>;
  /** False for a wrong signature and for any key or signature of a wrong length; never throws. */
  verify(
    algorithm: MlDsaName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean>;

  digest(hash: HashName, data: Uint8Array): Uint8Array<ArrayBuffer>;
  /** SHAKE256 (FIPS 202) with `length` bytes of output. */
  shake256(data: Uint8Array, length: number): Uint8Array<ArrayBuffer>;
  hmac(hash: HashName, key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer>;
  /** HKDF-Extract (RFC 5869). */
  hkdfExtract(hash: HashName, salt: Uint8Array, inputKey: Uint8Array): Uint8Array<ArrayBuffer>;
  /** HKDF-Expand (RFC 5869). */
  hkdfExpand(hash: HashName, key: Uint8Array, info: Uint8Array, length: number): Uint8Array<ArrayBuffer>;

  /**
   * @param headroom bytes left zero in front, for the caller's own header without another copy. @default 0
   * @returns headroom ‖ ciphertext ‖ tag: `headroom + plaintext.length + 16` bytes.
   */
  seal(
    aead: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
    headroom?: number,
  ): Uint8Array;
  /** @returns the plaintext, or null where the tag does not fit. */
  open(
    aead: AeadName,
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null;
}
