/** Byte-string helpers and the bounds-checked reader and writer that every Arona encoder and decoder uses. */

import { AronaError } from "./errors.ts";

const TEXT_ENCODER = new TextEncoder();
const TEXT_DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return TEXT_ENCODER.encode(text);
}

/**
 * Text of UTF-8 `bytes`.
 *
 * @throws {AronaError} `BAD_ENCODING` where the bytes are not well-formed UTF-8.
 */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return TEXT_DECODER.decode(bytes);
  } catch (cause) {
    throw new AronaError("BAD_ENCODING", "Cannot decode text: it is not UTF-8", { cause });
  }
}

/** One new array holding `parts` in order. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return joinBytes(parts);
}

/** The same for any number of parts: a call takes only so many arguments. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Whether `a` and `b` hold the same bytes, in time that depends on their lengths only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

/** Below 0 where `a` comes before `b`, byte by byte and the shorter one first; above 0 where after; 0 where they are the same. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

/** Lower-case hexadecimal of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX_PAIRS[byte];
  return text;
}

/**
 * Bytes of hexadecimal `text`.
 *
 * @throws {AronaError} `BAD_ENCODING` where the text is not an even number of hexadecimal digits.
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new AronaError("BAD_ENCODING", "Cannot decode hexadecimal: odd length or another character");
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Base64url without padding (RFC 4648 section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Bytes of base64url `text`. Only the canonical form is accepted: no padding, no spare bits.
 *
 * @throws {AronaError} `BAD_ENCODING`
 */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) {
    throw new AronaError("BAD_ENCODING", "Cannot decode base64url: another character or a wrong length");
  }
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  if (toBase64Url(bytes) !== text) {
    throw new AronaError("BAD_ENCODING", "Cannot decode base64url: it is not in canonical form");
  }
  return bytes;
}

/** Reads big-endian fields from one byte string and never past its end. */
export class ByteReader {
  #offset = 0;
  readonly #view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u24(): number {
    const offset = this.#advance(3);
    return this.#view.getUint16(offset) * 256 + this.#view.getUint8(offset + 2);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** An unsigned 64-bit number; refused above 2^53 − 1, which no Arona field reaches. */
  u64(): number {
    const value = this.#view.getBigUint64(this.#advance(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new AronaError("BAD_ENCODING", "Cannot decode number: it is over 2^53 - 1");
    }
    return Number(value);
  }

  /** A view (no copy) of the next `length` bytes. */
  take(length: number): Uint8Array {
    const offset = this.#advance(length);
    return this.bytes.subarray(offset, offset + length);
  }

  /** A view of everything left. */
  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  /** A byte string with a 16-bit length in front, at most `limit` bytes. */
  vector16(limit: number): Uint8Array {
    const length = this.u16();
    this.#within(length, limit);
    return this.take(length);
  }

  /** A byte string with a 32-bit length in front, at most `limit` bytes. */
  vector32(limit: number): Uint8Array {
    const length = this.u32();
    this.#within(length, limit);
    return this.take(length);
  }

  /**
   * Declares the value complete.
   *
   * @throws {AronaError} `BAD_ENCODING` where bytes are left over.
   */
  end(): void {
    if (this.remaining !== 0) {
      throw new AronaError("BAD_ENCODING", `Cannot decode: ${this.remaining} bytes are left over`);
    }
  }

  #within(length: number, limit: number): void {
    if (length > limit) {
      throw new AronaError("BAD_ENCODING", `Cannot decode: a field of ${length} bytes is over ${limit}`);
    }
  }

  #advance(length: number): number {
    const offset = this.#offset;
    if (length > this.bytes.length - offset) {
      throw new AronaError("BAD_ENCODING", "Cannot decode: the input ends too early");
    }
    this.#offset = offset + length;
    return offset;
  }
}

/** Builds one byte string from big-endian fields. */
export class ByteWriter {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    return this.raw(Uint8Array.of(value));
  }

  u16(value: number): this {
    const part = new Uint8Array(2);
    new DataView(part.buffer).setUint16(0, value);
    return this.raw(part);
  }

  u32(value: number): this {
    const part = new Uint8Array(4);
    new DataView(part.buffer).setUint32(0, value);
    return this.raw(part);
  }

  u64(value: number): this {
    const part = new Uint8Array(8);
    new DataView(part.buffer).setBigUint64(0, BigInt(value));
    return this.raw(part);
  }

  /** Bytes without a length in front. */
  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  vector16(bytes: Uint8Array): this {
    return this.u16(bytes.length).raw(bytes);
  }

  vector32(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return concatBytes(...this.#parts);
  }
}

const HEX_PAIRS: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
