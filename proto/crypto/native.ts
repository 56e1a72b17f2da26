/**
 * The native Crypto provider: WebCrypto for ML-KEM and ML-DSA, `node:crypto` for everything synchronous.
 *
 * WebCrypto's symmetric operations cost about ten times as much a call as `node:crypto`'s, so they are not used.
 * Imported keys are remembered by the array that holds them: a key's array must not be changed once it has been used.
 */

import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from "node:crypto";
import { concatBytes } from "../bytes.ts";
import { AronaError } from "../errors.ts";
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

const ML_KEM_NAME = "ML-KEM-768";
const NODE_HASHES = { "SHA-256": "sha256", "SHA-384": "sha384" } as const;
const HASH_BYTES = { "SHA-256": 32, "SHA-384": 48 } as const;
const HASH_BLOCK_BYTES = { "SHA-256": 64, "SHA-384": 128 } as const;
const NODE_AEADS = { "ChaCha20-Poly1305": "chacha20-poly1305", "AES-256-GCM": "aes-256-gcm" } as const;
/** DER in front of a raw X25519 key (RFC 8410). */
const X25519_PKCS8_PREFIX = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 110, 4, 34, 4, 32]);
const X25519_SPKI_PREFIX = Uint8Array.from([48, 42, 48, 5, 6, 3, 43, 101, 110, 3, 33, 0]);

/** Builds the native provider. Whether the runtime has what it needs is for `selectProvider()` to find out. */
export function createNativeProvider(): CryptoProvider {
  const xWing = createXWing({
    randomBytes,
    mlKemPublicKey,
    mlKemEncapsulate,
    mlKemDecapsulate,
    x25519PublicKey: nativeX25519PublicKey,
    x25519: nativeX25519,
    sha3: (data) => plain(createHash("sha3-256").update(data).digest()),
    shake256: nativeShake256,
  });

  return {
    name: "native",
    randomBytes,

    async kemKeyPair(kem, seed) {
      if (kem === "X-Wing") return await xWing.keyPair(seed);
      const privateKey = seed ?? randomBytes(KEM_SIZES[kem].seed);
      return { publicKey: await mlKemPublicKey(privateKey), privateKey };
    },
    encapsulate: (kem, publicKey, seed) =>
      kem === "X-Wing" ? xWing.encapsulate(publicKey, seed) : mlKemEncapsulate(publicKey, seed),
    decapsulate: (kem, privateKey, ciphertext) =>
      kem === "X-Wing" ? xWing.decapsulate(privateKey, ciphertext) : mlKemDecapsulate(privateKey, ciphertext),

    async signatureKeyPair(algorithm, seed = randomBytes(ML_DSA_SEED_BYTES)) {
      const { publicKey } = await mlDsaPrivateKey(algorithm, seed);
      return {
        publicKey: new Uint8Array(await subtle().exportKey("raw-public", publicKey)),
        privateKey: seed,
      };
    },
    async sign(algorithm, privateKey, message, options) {
      if (options?.deterministic) throw unsupported("sign deterministically");
      const key = await mlDsaPrivateKey(algorithm, privateKey);
      return new Uint8Array(await subtle().sign(algorithm, key.privateKey, message));
    },
    async verify(algorithm, publicKey, message, signature) {
      const sizes = ML_DSA_SIZES[algorithm];
      if (publicKey.length !== sizes.publicKey || signature.length !== sizes.signature) return false;
      const key = await remembered(
        publicKeys,
        publicKey,
        () => importKey("raw-public", publicKey, algorithm, "verify"),
      );
      return await subtle().verify(algorithm, key, signature, message);
    },

    digest,
    shake256: nativeShake256,
    hmac,
    hkdfExtract: (hash, salt, inputKey) => hmac(hash, salt, inputKey),
    hkdfExpand,
    seal,
    open,
  };
}

function nativeShake256(data: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  return plain(createHash("shake256", { outputLength: length }).update(data).digest());
}

/** X25519 (RFC 7748). Null where the result is all zero. */
export function nativeX25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  const peer = createPublicKey({
    key: concatBytes(X25519_SPKI_PREFIX, publicKey) as unknown as
      & Parameters<typeof createPublicKey>[0]
      & string,
    format: "der",
    type: "spki",
  });
  let secret: Uint8Array;
  try {
    secret = plain(diffieHellman({ privateKey: x25519PrivateKey(privateKey), publicKey: peer }));
  } catch {
    return null; // the library refuses what comes out all zero
  }
  return secret.every((byte) => byte === 0) ? null : secret;
}

/** The X25519 public key of a private key. */
export function nativeX25519PublicKey(privateKey: Uint8Array): Uint8Array {
  const spki = createPublicKey(x25519PrivateKey(privateKey)).export({ type: "spki", format: "der" });
  return plain(spki).slice(X25519_SPKI_PREFIX.length);
}

/** WebCrypto as FIPS 203 and 204 extend it; the standard library's types do not know it yet. */
interface ModernSubtle {
  importKey(
    format: string,
    key: Uint8Array,
    name: string,
    extractable: boolean,
    uses: string[],
  ): Promise<CryptoKey>;
  exportKey(format: string, key: CryptoKey): Promise<ArrayBuffer>;
  getPublicKey(key: CryptoKey, uses: string[]): Promise<CryptoKey>;
  encapsulateBits(name: string, key: CryptoKey): Promise<{ ciphertext: ArrayBuffer; sharedKey: ArrayBuffer }>;
  decapsulateBits(name: string, key: CryptoKey, ciphertext: Uint8Array): Promise<ArrayBuffer>;
  sign(name: string, key: CryptoKey, message: Uint8Array): Promise<ArrayBuffer>;
  verify(name: string, key: CryptoKey, signature: Uint8Array, message: Uint8Array): Promise<boolean>;
}

interface SigningKey {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

type Remembered<T> = WeakMap<Uint8Array, Promise<T>>;

const publicKeys: Remembered<CryptoKey> = new WeakMap();
const kemPrivateKeys: Remembered<CryptoKey> = new WeakMap();
const signingKeys: Record<MlDsaName, Remembered<SigningKey>> = {
  "ML-DSA-44": new WeakMap(),
  "ML-DSA-65": new WeakMap(),
};
const x25519Keys = new WeakMap<Uint8Array, KeyObject>();

function subtle(): ModernSubtle {
  return crypto.subtle as unknown as ModernSubtle;
}

function remembered<T>(keys: Remembered<T>, bytes: Uint8Array, make: () => Promise<T>): Promise<T> {
  let key = keys.get(bytes);
  if (key === undefined) {
    key = make();
    keys.set(bytes, key);
  }
  return key;
}

function importKey(format: string, bytes: Uint8Array, name: string, use: string): Promise<CryptoKey> {
  return subtle().importKey(format, bytes, name, true, [use]);
}

function mlKemPrivateKey(seed: Uint8Array): Promise<CryptoKey> {
  requireSecret(seed, KEM_SIZES[ML_KEM_NAME].seed, "ML-KEM private key");
  return remembered(kemPrivateKeys, seed, () => importKey("raw-seed", seed, ML_KEM_NAME, "decapsulateBits"));
}

async function mlKemPublicKey(seed: Uint8Array): Promise<Uint8Array> {
  const publicKey = await subtle().getPublicKey(await mlKemPrivateKey(seed), ["encapsulateBits"]);
  return new Uint8Array(await subtle().exportKey("raw-public", publicKey));
}

async function mlKemEncapsulate(publicKey: Uint8Array, seed?: Uint8Array): Promise<Encapsulation> {
  if (seed !== undefined) throw unsupported("encapsulate from a seed");
  requireMlKemPublicKey(publicKey);
  const key = await importKey("raw-public", publicKey, ML_KEM_NAME, "encapsulateBits");
  const { ciphertext, sharedKey } = await subtle().encapsulateBits(ML_KEM_NAME, key);
  return { ciphertext: new Uint8Array(ciphertext), sharedSecret: new Uint8Array(sharedKey) };
}

async function mlKemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
  requirePeerBytes(ciphertext, KEM_SIZES[ML_KEM_NAME].ciphertext, "ML-KEM ciphertext");
  const key = await mlKemPrivateKey(seed);
  return new Uint8Array(await subtle().decapsulateBits(ML_KEM_NAME, key, ciphertext));
}

function mlDsaPrivateKey(algorithm: MlDsaName, seed: Uint8Array): Promise<SigningKey> {
  requireSecret(seed, ML_DSA_SEED_BYTES, `${algorithm} private key`);
  return remembered(signingKeys[algorithm], seed, async () => {
    const privateKey = await importKey("raw-seed", seed, algorithm, "sign");
    return { privateKey, publicKey: await subtle().getPublicKey(privateKey, ["verify"]) };
  });
}

function x25519PrivateKey(privateKey: Uint8Array): KeyObject {
  let key = x25519Keys.get(privateKey);
  if (key === undefined) {
    key = createPrivateKey({
      key: Buffer.concat([X25519_PKCS8_PREFIX, privateKey]),
      format: "der",
      type: "pkcs8",
    });
    x25519Keys.set(privateKey, key);
  }
  return key;
}

function digest(hash: HashName, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return plain(createHash(NODE_HASHES[hash]).update(data).digest());
}

/** HMAC (RFC 2104) from two hashes, which cost half of what the runtime's own HMAC object does. */
function hmac(hash: HashName, key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const blockBytes = HASH_BLOCK_BYTES[hash];
  const shortKey = key.length > blockBytes ? digest(hash, key) : key;
  const inner = new Uint8Array(blockBytes + data.length);
  const outer = new Uint8Array(blockBytes + HASH_BYTES[hash]);
  for (let i = 0; i < blockBytes; i++) {
    const byte = i < shortKey.length ? shortKey[i] : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  inner.set(data, blockBytes);
  outer.set(digest(hash, inner), blockBytes);
  return digest(hash, outer);
}

function hkdfExpand(
  hash: HashName,
  key: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array<ArrayBuffer> {
  const output = new Uint8Array(length);
  let block = new Uint8Array();
  for (let offset = 0, counter = 1; offset < length; offset += block.length, counter++) {
    if (counter > 255) throw new AronaError("INTERNAL", `Cannot derive key: ${length} bytes are too many`);
    block = hmac(hash, key, concatBytes(block, info, Uint8Array.of(counter)));
    output.set(block.subarray(0, length - offset), offset);
  }
  return output;
}

function seal(
  aead: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  plaintext: Uint8Array,
  headroom = 0,
): Uint8Array {
  requireAeadInputs(aead, key, nonce);
  const cipher = createCipheriv(NODE_AEADS[aead] as "chacha20-poly1305", key, nonce, {
    authTagLength: AEAD_TAG_BYTES,
  });
  cipher.setAAD(associatedData, { plaintextLength: plaintext.length });
  const sealed = new Uint8Array(headroom + plaintext.length + AEAD_TAG_BYTES);
  if (plaintext.length > 0) sealed.set(cipher.update(plaintext), headroom);
  cipher.final();
  sealed.set(cipher.getAuthTag(), headroom + plaintext.length);
  return sealed;
}

function open(
  aead: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  requireAeadInputs(aead, key, nonce);
  const length = ciphertext.length - AEAD_TAG_BYTES;
  if (length < 0) return null;
  const name = NODE_AEADS[aead] as "chacha20-poly1305";
  const decipher = createDecipheriv(name, key, nonce, { authTagLength: AEAD_TAG_BYTES });
  decipher.setAAD(associatedData, { plaintextLength: length });
  decipher.setAuthTag(ciphertext.subarray(length));
  const plaintext = length === 0 ? new Uint8Array() : plain(decipher.update(ciphertext.subarray(0, length)));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return null;
  }
}

/** The same bytes as a bare array instead of a `Buffer`. */
function plain(buffer: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.length);
}

function unsupported(what: string): AronaError {
  return new AronaError("UNSUPPORTED", `Cannot ${what}: only the noble provider does`);
}
