/**
 * The key file: the store's random key, wrapped by a passphrase, or in the open where there is none.
 *
 *     {"version":1,"kdf":{"name":"scrypt","N":131072,"r":8,"p":1,"salt":S},"wrapped":W,"check":C}
 *     {"version":1,"kdf":{"name":"none"},"key":K,"check":C}
 *
 * S is 16 random bytes; W is nonce 24 ‖ XChaCha20-Poly1305(scrypt(NFKC(passphrase), S), nonce, AAD, key) with the bytes of
 * the file's object without `wrapped` and `check` as AAD; C is the first 16 bytes of SHA-256 over the object without `check`.
 * All base64url. The check tells a damaged file from a wrong passphrase; it adds nothing for who guesses, W tells as much.
 */

import { scrypt } from "node:crypto";
import {
  AronaError,
  type CryptoProvider,
  equalBytes,
  fromBase64Url,
  fromUtf8,
  isAronaError,
  toBase64Url,
  utf8,
} from "../../proto/mod.ts";
import { corrupt, openExtended, sealExtended, STORE_KEY_BYTES } from "./sealed_rows.ts";

/** Cost of scrypt (RFC 7914 section 2). It takes 128·N·r bytes of memory. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** Cost for new key files: 128 MiB, about half a second. */
export const DEFAULT_SCRYPT_COST: ScryptCost = { N: 131_072, r: 8, p: 1 };
/** Costs over this are refused: a key file must not be able to take a machine down. */
export const MAX_SCRYPT_COST: ScryptCost = { N: 1_048_576, r: 16, p: 4 };

const VERSION = 1;
const SALT_BYTES = 16;
const CHECK_BYTES = 16;
const MAX_FILE_BYTES = 4_096;

/** A store key and whether a passphrase guards it. */
export interface UnlockedKey {
  readonly key: Uint8Array;
  /** True where whoever can read the file has the key. */
  readonly unprotected: boolean;
}

type KeyFile =
  | { kind: "scrypt"; cost: ScryptCost; salt: Uint8Array; wrapped: Uint8Array }
  | { kind: "none"; key: Uint8Array };

/**
 * The bytes of a key file.
 *
 * @param options.passphrase empty: the key is written in the open
 * @param options.cost @default DEFAULT_SCRYPT_COST
 */
export async function encodeKeyFile(
  crypto: CryptoProvider,
  options: { key: Uint8Array; passphrase: string; cost?: ScryptCost },
): Promise<Uint8Array> {
  const { key, passphrase, cost = DEFAULT_SCRYPT_COST } = options;
  if (passphrase === "") return serialise(crypto, { kind: "none", key });
  const salt = crypto.randomBytes(SALT_BYTES);
  const wrappingKey = await stretch(passphrase, { salt, cost });
  const wrapped = sealExtended(crypto, wrappingKey, { associatedData: head(cost, salt), plaintext: key });
  return serialise(crypto, { kind: "scrypt", cost, salt, wrapped });
}

/**
 * The store key in a key file. `passphrase` is asked only where there is one.
 *
 * @throws {AronaError} `WRONG_PASSPHRASE`, `CORRUPT_STORE` for a damaged file
 */
export async function decodeKeyFile(
  crypto: CryptoProvider,
  options: { bytes: Uint8Array; passphrase: () => Promise<string> },
): Promise<UnlockedKey> {
  const file = parse(crypto, options.bytes);
  if (file.kind === "none") return { key: file.key, unprotected: true };
  const wrappingKey = await stretch(await options.passphrase(), file);
  const key = openExtended(crypto, wrappingKey, {
    associatedData: head(file.cost, file.salt),
    sealed: file.wrapped,
  });
  if (key === null || key.length !== STORE_KEY_BYTES) {
    throw new AronaError("WRONG_PASSPHRASE", "Cannot unlock profile: the passphrase is wrong", {
      hint: "Try again, and mind the keyboard layout. Without the passphrase nobody can open the profile.",
    });
  }
  return { key, unprotected: false };
}

function stretch(
  passphrase: string,
  { salt, cost }: { salt: Uint8Array; cost: ScryptCost },
): Promise<Uint8Array> {
  const options = { ...cost, maxmem: 128 * cost.r * (cost.N + cost.p + 2) + 1_048_576 };
  return new Promise((resolve, reject) => {
    scrypt(utf8(passphrase.normalize("NFKC")), salt, 32, options, (error, key) => {
      if (error === null) resolve(new Uint8Array(key));
      else reject(new AronaError("INTERNAL", "Cannot unlock profile: scrypt failed", { cause: error }));
    });
  });
}

function kdfObject(cost: ScryptCost, salt: Uint8Array) {
  return { name: "scrypt", N: cost.N, r: cost.r, p: cost.p, salt: toBase64Url(salt) };
}

function head(cost: ScryptCost, salt: Uint8Array): Uint8Array {
  return utf8(JSON.stringify({ version: VERSION, kdf: kdfObject(cost, salt) }));
}

function serialise(crypto: CryptoProvider, file: KeyFile): Uint8Array {
  const fields = file.kind === "none"
    ? { version: VERSION, kdf: { name: "none" }, key: toBase64Url(file.key) }
    : { version: VERSION, kdf: kdfObject(file.cost, file.salt), wrapped: toBase64Url(file.wrapped) };
  const check = crypto.digest("SHA-256", utf8(JSON.stringify(fields))).subarray(0, CHECK_BYTES);
  return utf8(`${JSON.stringify({ ...fields, check: toBase64Url(check) })}\n`);
}

/** There is one way to write each key file, so whatever does not come out the same again has been damaged. */
function parse(crypto: CryptoProvider, bytes: Uint8Array): KeyFile {
  if (bytes.length > MAX_FILE_BYTES) throw corrupt("the key file is too long");
  let file: KeyFile;
  try {
    file = parseFields(JSON.parse(fromUtf8(bytes)));
  } catch (cause) {
    if (isAronaError(cause, "CORRUPT_STORE")) throw cause;
    throw corrupt("the key file is damaged", cause);
  }
  if (!equalBytes(serialise(crypto, file), bytes)) throw corrupt("the key file is damaged");
  return file;
}

// Whatever is missing or of another type here makes a file that serialises differently or throws on the way.
function parseFields(fields: Record<string, unknown> & { kdf: Record<string, unknown> }): KeyFile {
  if (fields.version !== VERSION) throw corrupt(`the key file has version ${String(fields.version)}`);
  if (fields.kdf.name === "none") {
    const key = fromBase64Url(String(fields.key));
    if (key.length !== STORE_KEY_BYTES) throw corrupt("the key file's key has a wrong length");
    return { kind: "none", key };
  }
  const cost = parseCost(fields.kdf);
  const salt = fromBase64Url(String(fields.kdf.salt));
  return { kind: "scrypt", cost, salt, wrapped: fromBase64Url(String(fields.wrapped)) };
}

function parseCost(kdf: Record<string, unknown>): ScryptCost {
  const { name, N, r, p } = kdf;
  const within = (value: unknown, most: number): value is number =>
    Number.isInteger(value) && Number(value) >= 1 && Number(value) <= most;
  const sound = name === "scrypt" && within(N, MAX_SCRYPT_COST.N) && N > 1 && (N & (N - 1)) === 0 &&
    within(r, MAX_SCRYPT_COST.r) && within(p, MAX_SCRYPT_COST.p);
  if (!sound) throw corrupt("the key file asks for a key derivation that is not allowed");
  return { N, r, p };
}
