/**
 * The deframer: turns a stream of chunks into bodies, `[length u32][length bytes]` (PROTOCOL.md section 2).
 *
 * It does no I/O. A body that arrives whole inside one chunk is a view of that chunk. A length over the limit of the moment is
 * refused before anything is allocated, and what is held grows with what has arrived, not with what was announced.
 */

import { AronaError } from "./errors.ts";

const LENGTH_BYTES = 4;
/** First room for a body that arrives in pieces. */
const FIRST_ROOM_BYTES = 1_024;

/** Feed chunks with {@link Deframer.push}, take bodies with {@link Deframer.next}. */
export class Deframer {
  #limitBytes: number;
  #chunk: Uint8Array = EMPTY;
  #offset = 0;
  /** Length bytes that have arrived, as a number; complete at 4. */
  #length = 0;
  #lengthBytes = 0;
  /** A body under way, `#filled` bytes of it. */
  #body: Uint8Array | null = null;
  #filled = 0;

  /** @param limitBytes largest body, without its length */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Sets the limit for bodies whose length has not been read yet. */
  set limitBytes(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Hands in the next chunk. The one before has to be used up: `next()` has returned null. */
  push(chunk: Uint8Array): void {
    if (this.#offset !== this.#chunk.length) {
      throw new AronaError("INTERNAL", "Cannot take chunk: the one before is not used up");
    }
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /**
   * The next complete body, or null where more bytes are needed.
   *
   * @throws {AronaError} `BAD_ENCODING` for length 0, `TOO_LARGE` for one over the limit; the stream is useless then.
   */
  next(): Uint8Array | null {
    if (!this.#readLength()) return this.#waiting();
    const available = this.#chunk.length - this.#offset;
    if (this.#body === null) {
      if (available >= this.#length) {
        const start = this.#offset;
        this.#offset += this.#length;
        return this.#complete(this.#chunk.subarray(start, this.#offset));
      }
      this.#body = new Uint8Array(Math.min(this.#length, Math.max(FIRST_ROOM_BYTES, available)));
      this.#filled = 0;
    }
    const taken = Math.min(available, this.#length - this.#filled);
    this.#fill(this.#body, this.#chunk.subarray(this.#offset, this.#offset + taken));
    this.#offset += taken;
    return this.#filled === this.#length ? this.#complete(this.#body) : this.#waiting();
  }

  #readLength(): boolean {
    if (this.#lengthBytes === LENGTH_BYTES) return true;
    while (this.#lengthBytes < LENGTH_BYTES) {
      if (this.#offset === this.#chunk.length) return false;
      this.#length = this.#length * 256 + this.#chunk[this.#offset++];
      this.#lengthBytes++;
    }
    if (this.#length === 0) {
      throw new AronaError("BAD_ENCODING", "Cannot read from the connection: a length is 0");
    }
    if (this.#length > this.#limitBytes) {
      throw new AronaError(
        "TOO_LARGE",
        `Cannot read from the connection: ${this.#length} bytes are over the limit`,
      );
    }
    return true;
  }

  #fill(body: Uint8Array, bytes: Uint8Array): void {
    const needed = this.#filled + bytes.length;
    if (needed > body.length) {
      const grown = new Uint8Array(Math.min(this.#length, Math.max(needed, body.length * 2)));
      grown.set(body.subarray(0, this.#filled));
      this.#body = body = grown;
    }
    body.set(bytes, this.#filled);
    this.#filled = needed;
  }

  #complete(body: Uint8Array): Uint8Array {
    const whole = this.#filled > 0 ? this.#body! : body;
    this.#body = null;
    this.#filled = this.#length = this.#lengthBytes = 0;
    return whole;
  }

  /** Lets go of the chunk, so that an idle connection holds none. */
  #waiting(): null {
    this.#chunk = EMPTY;
    this.#offset = 0;
    return null;
  }
}

const EMPTY = new Uint8Array();
