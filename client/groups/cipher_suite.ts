/**
 * The cryptography that MLS runs on: Arona's Crypto provider in the shape that the MLS library takes, with HPKE (RFC 9180) over
 * the post-quantum KEMs.
 *
 * Private HPKE keys are seeds. Keys pass through HPKE's interface as opaque objects, because it is typed for WebCrypto's CryptoKey.
 * An array that has served as a key must not be changed: providers remember what they have derived from it.
 */

import {
  AeadId,
  type AeadInterface,
  CipherSuite,
  KdfId,
  type KdfInterface,
  type KemInterface,
  type RecipientContextParams,
  type SenderContextParams,
} from "@hpke/core";
import {
  type AeadName,
  AronaError,
  concatBytes,
  type CryptoProvider,
  equalBytes,
  type KemName,
  utf8,
} from "../../proto/mod.ts";
import { type SuiteId, SUITES } from "./suite.ts";

type Bytes = ArrayBufferLike | ArrayBufferView;
type PublicKey = CryptoKey & { type: "public" };
type PrivateKey = CryptoKey & { type: "private" };

/** A cipher suite as the MLS library wants it. */
export interface MlsCipherSuite {
  readonly id: number;
  readonly hash: {
    digest(data: Uint8Array): Promise<Uint8Array>;
    mac(key: Uint8Array, data: Uint8Array): Promise<Uint8Array>;
    verifyMac(key: Uint8Array, mac: Uint8Array, data: Uint8Array): Promise<boolean>;
  };
  readonly kdf: {
    extract(salt: Uint8Array, inputKey: Uint8Array): Promise<Uint8Array>;
    expand(key: Uint8Array, info: Uint8Array, length: number): Promise<Uint8Array>;
    size: number;
  };
  readonly rng: { randomBytes(length: number): Uint8Array };
  readonly signature: {
    sign(privateKey: Uint8Array, message: Uint8Array): Promise<Uint8Array>;
    verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean>;
    keygen(): Promise<{ publicKey: Uint8Array; signKey: Uint8Array }>;
  };
  readonly hpke: MlsHpke;
}

/** HPKE in base mode, and the suite's AEAD. */
export interface MlsHpke {
  seal(
    publicKey: PublicKey,
    plaintext: Uint8Array,
    info: Uint8Array,
    aad?: Uint8Array,
  ): Promise<{ ct: Uint8Array; enc: Uint8Array }>;
  open(
    privateKey: PrivateKey,
    kemOutput: Uint8Array,
    ciphertext: Uint8Array,
    info: Uint8Array,
    aad?: Uint8Array,
  ): Promise<Uint8Array>;
  exportSecret(
    publicKey: PublicKey,
    exporterContext: Uint8Array,
    length: number,
    info: Uint8Array,
  ): Promise<{ enc: Uint8Array; secret: Uint8Array }>;
  importSecret(
    privateKey: PrivateKey,
    exporterContext: Uint8Array,
    kemOutput: Uint8Array,
    length: number,
    info: Uint8Array,
  ): Promise<Uint8Array>;
  importPublicKey(bytes: Uint8Array): Promise<PublicKey>;
  importPrivateKey(bytes: Uint8Array): Promise<PrivateKey>;
  exportPublicKey(key: PublicKey): Promise<Uint8Array>;
  exportPrivateKey(key: PrivateKey): Promise<Uint8Array>;
  /** Derives a key pair as draft-ietf-hpke-pq says. */
  deriveKeyPair(inputKey: Uint8Array): Promise<{ privateKey: PrivateKey; publicKey: PublicKey }>;
  generateKeyPair(): Promise<{ privateKey: PrivateKey; publicKey: PublicKey }>;
  /** Whether `publicKey` is what the seed `privateKey` gives. Keys that were derived or generated here are not derived again. */
  isKeyPair(privateKey: Uint8Array, publicKey: Uint8Array): Promise<boolean>;
  encryptAead(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array | undefined,
    plaintext: Uint8Array,
  ): Promise<Uint8Array>;
  decryptAead(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array | undefined,
    ciphertext: Uint8Array,
  ): Promise<Uint8Array>;
  keyLength: number;
  nonceLength: number;
}

const HASH = "SHA-384";
const HASH_BYTES = 48;
const AEAD_KEY_BYTES = 32;
const AEAD_NONCE_BYTES = 12;
const AEAD_TAG_BYTES = 16;
const SHARED_SECRET_BYTES = 32;
const AEAD_IDS = { "ChaCha20-Poly1305": AeadId.Chacha20Poly1305, "AES-256-GCM": AeadId.Aes256Gcm } as const;
const KEM_BYTES = {
  "X-Wing": { publicKey: 1_216, privateKey: 32, ciphertext: 1_120 },
  "ML-KEM-768": { publicKey: 1_184, privateKey: 64, ciphertext: 1_088 },
} as const;

/** Builds the suite `id` over `crypto`. */
export function createCipherSuite(crypto: CryptoProvider, id: SuiteId): MlsCipherSuite {
  const { kem, kemId, aead, signature } = SUITES[id];
  const derived = new WeakMap<Uint8Array, Uint8Array>();
  const kemAdapter = createKem(crypto, { kem, kemId });
  const hpke = new CipherSuite({
    kem: kemAdapter,
    kdf: createKdf(crypto),
    aead: createAead(crypto, aead),
  });
  const remember = (pair: { publicKey: CryptoKey; privateKey: CryptoKey }) => {
    derived.set(bytesOf(pair.privateKey), bytesOf(pair.publicKey));
    return pair as { publicKey: PublicKey; privateKey: PrivateKey };
  };

  return {
    id,
    hash: {
      digest: (data) => Promise.resolve(crypto.digest(HASH, data)),
      mac: (key, data) => Promise.resolve(crypto.hmac(HASH, key, data)),
      verifyMac: (key, mac, data) => Promise.resolve(equalBytes(crypto.hmac(HASH, key, data), mac)),
    },
    kdf: {
      extract: (salt, inputKey) => Promise.resolve(crypto.hkdfExtract(HASH, salt, inputKey)),
      expand: (key, info, length) => Promise.resolve(crypto.hkdfExpand(HASH, key, info, length)),
      size: HASH_BYTES,
    },
    rng: { randomBytes: (length) => crypto.randomBytes(length) },
    signature: {
      sign: (privateKey, message) => crypto.sign(signature, privateKey, message),
      verify: (publicKey, message, signed) => crypto.verify(signature, publicKey, message, signed),
      async keygen() {
        const { publicKey, privateKey } = await crypto.signatureKeyPair(signature);
        return { publicKey, signKey: privateKey };
      },
    },
    hpke: {
      async seal(recipientPublicKey, plaintext, info, aad = new Uint8Array()) {
        const { ct, enc } = await hpke.seal({ recipientPublicKey, info }, plaintext, aad);
        return { ct: view(ct), enc: view(enc) };
      },
      open: (recipientKey, enc, ciphertext, info, aad = new Uint8Array()) =>
        opening(async () => view(await hpke.open({ recipientKey, enc, info }, ciphertext, aad))),
      async exportSecret(recipientPublicKey, exporterContext, length, info) {
        const context = await hpke.createSenderContext({ recipientPublicKey, info });
        return { enc: view(context.enc), secret: view(await context.export(exporterContext, length)) };
      },
      importSecret: (recipientKey, exporterContext, enc, length, info) =>
        opening(async () => {
          const context = await hpke.createRecipientContext({ recipientKey, enc, info });
          return view(await context.export(exporterContext, length));
        }),
      // The library's own copies are skipped: providers remember keys by their array.
      importPublicKey: (bytes) => attempt(() => opaque("public", bytes, KEM_BYTES[kem].publicKey)),
      importPrivateKey: (bytes) => attempt(() => opaque("private", bytes, KEM_BYTES[kem].privateKey)),
      exportPublicKey: (key) => Promise.resolve(bytesOf(key)),
      exportPrivateKey: (key) => Promise.resolve(bytesOf(key)),
      deriveKeyPair: async (inputKey) => remember(await kemAdapter.deriveKeyPair(inputKey)),
      generateKeyPair: async () => remember(await kemAdapter.generateKeyPair()),
      async isKeyPair(privateKey, publicKey) {
        let known = derived.get(privateKey);
        if (known === undefined) {
          known = (await crypto.kemKeyPair(kem, privateKey)).publicKey;
          derived.set(privateKey, known);
        }
        return equalBytes(known, publicKey);
      },
      encryptAead: (key, nonce, aad, plaintext) =>
        Promise.resolve(crypto.seal(aead, key, nonce, aad ?? new Uint8Array(), plaintext)),
      decryptAead: (key, nonce, aad, ciphertext) =>
        attempt(() => opened(crypto.open(aead, key, nonce, aad ?? new Uint8Array(), ciphertext))),
      keyLength: AEAD_KEY_BYTES,
      nonceLength: AEAD_NONCE_BYTES,
    },
  };
}

/**
 * The seed of a derived HPKE key pair: draft-ietf-hpke-pq sections 3 and 4, `SHAKE256.LabeledDerive(ikm, "DeriveKeyPair", "", Nsk)`,
 * that is SHAKE256 of `ikm ‖ "HPKE-v1" ‖ "KEM" ‖ kem id u16 ‖ label vector16 ‖ Nsk u16`.
 */
export function deriveKemSeed(
  crypto: CryptoProvider,
  options: { inputKey: Uint8Array; kemId: number; length: number },
): Uint8Array {
  const { inputKey, kemId, length } = options;
  const label = utf8("DeriveKeyPair");
  const u16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);
  const input = concatBytes(inputKey, utf8("HPKE-v1KEM"), u16(kemId), u16(label.length), label, u16(length));
  return crypto.shake256(input, length);
}

/** A key on HPKE's interface. */
interface OpaqueKey {
  readonly type: "public" | "private";
  readonly bytes: Uint8Array;
}

function opaque(type: "public", bytes: Uint8Array, length: number): PublicKey;
function opaque(type: "private", bytes: Uint8Array, length: number): PrivateKey;
function opaque(type: "public" | "private", bytes: Uint8Array, length: number): CryptoKey {
  if (bytes.length !== length) {
    throw new AronaError(
      "BAD_MLS",
      `Cannot use HPKE ${type} key: ${bytes.length} bytes instead of ${length}`,
    );
  }
  const key: OpaqueKey = { type, bytes };
  return key as unknown as CryptoKey;
}

function bytesOf(key: CryptoKey | CryptoKeyPair): Uint8Array {
  return (key as unknown as OpaqueKey).bytes;
}

/** A KEM of the provider as HPKE wants it. Its keys are opaque objects that only this file can read. */
export function createKem(crypto: CryptoProvider, options: { kem: KemName; kemId: number }): KemInterface {
  const { kem, kemId } = options;
  const size = KEM_BYTES[kem];
  const asKeys = (pair: { publicKey: Uint8Array; privateKey: Uint8Array }) => ({
    publicKey: opaque("public", pair.publicKey, size.publicKey),
    privateKey: opaque("private", pair.privateKey, size.privateKey),
  });
  const buffer = (key: CryptoKey) => Promise.resolve(toBuffer(bytesOf(key)));
  return {
    id: kemId as KemInterface["id"],
    secretSize: SHARED_SECRET_BYTES,
    encSize: size.ciphertext,
    publicKeySize: size.publicKey,
    privateKeySize: size.privateKey,
    serializePublicKey: buffer,
    serializePrivateKey: buffer,
    deserializePublicKey: (key) => attempt(() => opaque("public", view(key), size.publicKey)),
    deserializePrivateKey: (key) => attempt(() => opaque("private", view(key), size.privateKey)),
    importKey: () =>
      Promise.reject(new AronaError("INTERNAL", "Cannot import HPKE key: keys are plain bytes here")),
    generateKeyPair: async () => asKeys(await crypto.kemKeyPair(kem)),
    deriveKeyPair: async (inputKey) =>
      asKeys(
        await crypto.kemKeyPair(
          kem,
          deriveKemSeed(crypto, { inputKey: view(inputKey), kemId, length: size.privateKey }),
        ),
      ),
    async encap(params: SenderContextParams) {
      const { ciphertext, sharedSecret } = await crypto.encapsulate(kem, bytesOf(params.recipientPublicKey));
      return { sharedSecret: toBuffer(sharedSecret), enc: toBuffer(ciphertext) };
    },
    async decap(params: RecipientContextParams) {
      return toBuffer(await crypto.decapsulate(kem, bytesOf(params.recipientKey), view(params.enc)));
    },
  };
}

function createKdf(crypto: CryptoProvider): KdfInterface {
  let suiteId = new Uint8Array();
  const version = utf8("HPKE-v1");
  const extract = (salt: Uint8Array, inputKey: Uint8Array) =>
    crypto.hkdfExtract(HASH, salt.length === 0 ? new Uint8Array(HASH_BYTES) : salt, inputKey);
  const buildLabeledIkm = (label: Uint8Array, inputKey: Uint8Array) =>
    concatBytes(version, suiteId, label, inputKey);
  const buildLabeledInfo = (label: Uint8Array, info: Uint8Array, length: number) =>
    concatBytes(Uint8Array.of(length >> 8, length & 0xff), version, suiteId, label, info);
  return {
    id: KdfId.HkdfSha384,
    hashSize: HASH_BYTES,
    init: (id) => void (suiteId = new Uint8Array(id)),
    buildLabeledIkm,
    buildLabeledInfo,
    extract: (salt, inputKey) => attempt(() => toBuffer(extract(view(salt), view(inputKey)))),
    expand: (key, info, length) =>
      attempt(() => toBuffer(crypto.hkdfExpand(HASH, view(key), view(info), length))),
    extractAndExpand: (salt, inputKey, info, length) =>
      attempt(() =>
        toBuffer(crypto.hkdfExpand(HASH, extract(view(salt), view(inputKey)), view(info), length))
      ),
    labeledExtract: (salt, label, inputKey) =>
      attempt(() => toBuffer(extract(view(salt), buildLabeledIkm(label, inputKey)))),
    labeledExpand: (key, label, info, length) =>
      attempt(() =>
        toBuffer(crypto.hkdfExpand(HASH, view(key), buildLabeledInfo(label, info, length), length))
      ),
  };
}

function createAead(crypto: CryptoProvider, aead: AeadName): AeadInterface {
  return {
    id: AEAD_IDS[aead],
    keySize: AEAD_KEY_BYTES,
    nonceSize: AEAD_NONCE_BYTES,
    tagSize: AEAD_TAG_BYTES,
    createEncryptionContext(key) {
      const keyBytes = view(key);
      return {
        seal: (nonce, data, aad) =>
          attempt(() => toBuffer(crypto.seal(aead, keyBytes, view(nonce), view(aad), view(data)))),
        open: (nonce, data, aad) =>
          attempt(() => toBuffer(opened(crypto.open(aead, keyBytes, view(nonce), view(aad), view(data))))),
      };
    },
  };
}

function opened(plaintext: Uint8Array | null): Uint8Array {
  if (plaintext === null) throw new AronaError("BAD_MLS", "Cannot open ciphertext: its tag does not fit");
  return plaintext;
}

/** What HPKE says about a wrong ciphertext, in Arona's words. */
async function opening(action: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await action();
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot open HPKE ciphertext: it is not for this key and context", {
      cause,
    });
  }
}

/** A promise of what `action` returns or throws. */
function attempt<T>(action: () => T): Promise<T> {
  try {
    return Promise.resolve(action());
  } catch (error) {
    return Promise.reject(error);
  }
}

function view(bytes: Bytes): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
}

/** The buffer that holds exactly `bytes`, copied only where it is part of a larger one. */
function toBuffer(bytes: Uint8Array): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return (whole ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer;
}
