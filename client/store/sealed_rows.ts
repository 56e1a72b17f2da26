/**
 * Sealing of what a database file holds, so that it shows neither content nor ids, and no sealed value fits another place.
 *
 *     sealed = nonce 24 ‖ XChaCha20-Poly1305(sealing key, nonce, place, plaintext)
 *     place  = vector16("arona row v1") ‖ schema u32 ‖ vector16(table) ‖ vector16(row) ‖ vector16(column)
 *     id     = table code u8 ‖ HMAC-SHA-256(index key, vector16(table) ‖ name), its first 15 bytes
 *
 * Sealing key, index key and presence key are expanded from the store's one random key. Who can write to the file can
 * put back an older state of it; who cannot open it can do nothing else unseen.
 */

import { hchacha } from "@noble/ciphers/chacha.js";
import { createCipheriv } from "node:crypto";
import { AronaError, ByteWriter, concatBytes, type CryptoProvider, utf8 } from "../../proto/mod.ts";

export const STORE_KEY_BYTES = 32;
/** A stored row id: the table's code and the name's digest, together one AES block. */
export const INDEX_ID_BYTES = 16;

const NONCE_BYTES = 24;
const TAG_BYTES = 16;
const PLACE_LABEL = utf8("arona row v1");
const CHACHA_CONSTANT = words(utf8("expand 32-byte k"));

/** Where a sealed value belongs; it opens nowhere else. */
export interface Place {
  readonly schema: number;
  readonly table: string;
  readonly row: Uint8Array;
  readonly column: string;
}

/** Seals and opens values under one store key. */
export interface RowSealer {
  /** The stored form of a row id or log name: it says which table, and nothing more without the key. */
  indexId(table: { code: number; name: string }, name: Uint8Array): Uint8Array;
  seal(place: Place, plaintext: Uint8Array): Uint8Array;
  /** @throws {AronaError} `CORRUPT_STORE` where the value was not sealed for this place. */
  open(place: Place, sealed: Uint8Array): Uint8Array;
  /** XOR of one secret 16-byte tag for each of the stored ids: equal for the same set of ids, whatever the order. */
  presence(ids: Uint8Array): Uint8Array;
}

/** @param storeKey {@link STORE_KEY_BYTES} random bytes */
export function createRowSealer(crypto: CryptoProvider, storeKey: Uint8Array): RowSealer {
  const derive = (purpose: string) =>
    crypto.hkdfExpand("SHA-256", storeKey, utf8(`arona store ${purpose} v1`), 32);
  const sealingKey = derive("sealing");
  const indexKey = derive("index");
  const presenceKey = derive("presence");
  return {
    indexId(table, name) {
      const named = new ByteWriter().vector16(utf8(table.name)).raw(name).finish();
      const digest = crypto.hmac("SHA-256", indexKey, named);
      return concatBytes(Uint8Array.of(table.code), digest.subarray(0, INDEX_ID_BYTES - 1));
    },
    seal(place, plaintext) {
      return sealExtended(crypto, sealingKey, { associatedData: placeBytes(place), plaintext });
    },
    open(place, sealed) {
      const plaintext = openExtended(crypto, sealingKey, { associatedData: placeBytes(place), sealed });
      if (plaintext === null) throw corrupt(`a value of table ${place.table} does not open`);
      return plaintext;
    },
    presence(ids) {
      // A block cipher is the pseudorandom function here: the ids are distinct, and one call does for all of them.
      const cipher = createCipheriv("aes-256-ecb", presenceKey, new Uint8Array()).setAutoPadding(false);
      const tags = cipher.update(ids);
      cipher.final(); // nothing is left over; it frees the cipher
      const sum = new Uint8Array(INDEX_ID_BYTES);
      for (let i = 0; i < tags.length; i++) sum[i % INDEX_ID_BYTES] ^= tags[i];
      return sum;
    },
  };
}

/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03 section 2) with a random nonce: HChaCha20 makes the key of a
 * ChaCha20-Poly1305 that the provider runs, natively where it can.
 *
 * @returns nonce 24 ‖ ciphertext ‖ tag 16
 */
export function sealExtended(
  crypto: CryptoProvider,
  key: Uint8Array,
  { associatedData, plaintext, nonce = crypto.randomBytes(NONCE_BYTES) }: {
    associatedData: Uint8Array;
    plaintext: Uint8Array;
    /** For test vectors. @default random */
    nonce?: Uint8Array;
  },
): Uint8Array {
  const inner = innerKey(key, nonce);
  return concatBytes(
    nonce,
    crypto.seal("ChaCha20-Poly1305", inner.key, inner.nonce, associatedData, plaintext),
  );
}

/** Opens what {@link sealExtended} made; null where anything differs. */
export function openExtended(
  crypto: CryptoProvider,
  key: Uint8Array,
  { associatedData, sealed }: { associatedData: Uint8Array; sealed: Uint8Array },
): Uint8Array | null {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return null;
  const inner = innerKey(key, sealed.subarray(0, NONCE_BYTES));
  return crypto.open(
    "ChaCha20-Poly1305",
    inner.key,
    inner.nonce,
    associatedData,
    sealed.subarray(NONCE_BYTES),
  );
}

/** The error for stored bytes that are not what was stored. */
export function corrupt(state: string, cause?: unknown): AronaError {
  return new AronaError("CORRUPT_STORE", `Cannot read profile: ${state}`, {
    cause,
    hint:
      "The profile's files were damaged or changed. Put back a copy of the whole folder, or begin a new profile.",
  });
}

function innerKey(key: Uint8Array, nonce: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
  const derived = new Uint32Array(8);
  hchacha(CHACHA_CONSTANT, words(key), words(nonce.subarray(0, 16)), derived);
  return { key: new Uint8Array(derived.buffer), nonce: concatBytes(new Uint8Array(4), nonce.subarray(16)) };
}

/** Little-endian words, which is the order of every platform there is a Deno for. */
function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}

function placeBytes(place: Place): Uint8Array {
  return new ByteWriter().vector16(PLACE_LABEL).u32(place.schema).vector16(utf8(place.table)).vector16(
    place.row,
  )
    .vector16(utf8(place.column)).finish();
}
