/** The sending end of the record layer: packs frames together, pads and seals them (PROTOCOL.md sections 5.2 to 5.4). No I/O. */

import type { CryptoProvider } from "./crypto/provider.ts";
import { AronaError } from "./errors.ts";
import { FRAME_HEADER_BYTES, FRAME_MORE, FrameType, type OutFrame } from "./frame.ts";
import { KeyChain } from "./key_chain.ts";
import {
  KEY_LIFETIME_MS,
  MAX_FRAME_BYTES,
  MAX_FRAME_BYTES_BEFORE_AUTH,
  MAX_RECORDS_PER_KEY,
} from "./limits.ts";
import { padmeLength } from "./padme.ts";
import { MAX_PLAINTEXT_BYTES, MIN_FRAGMENT_BYTES, type RecordOptions } from "./record.ts";

/** Every record keeps room for a KEY_UPDATE at its end. */
const USABLE_BYTES = MAX_PLAINTEXT_BYTES - FRAME_HEADER_BYTES;

/** Collects frames and seals as many of them as fit into each record. */
export class RecordSealer {
  readonly #keys: KeyChain;
  readonly #recordsPerKey: number;
  #queue: OutFrame[] = [];
  #head = 0;
  #sentOfHead = 0;
  #queuedBytes = 0;
  #keySinceMs: number | null = null;
  /** Set once AUTH has succeeded: frames may then be split over records. */
  mayFragment = false;

  constructor(crypto: CryptoProvider, options: RecordOptions) {
    this.#keys = new KeyChain(crypto, options);
    this.#recordsPerKey = options.recordsPerKey ?? MAX_RECORDS_PER_KEY;
  }

  /** Frame bytes that wait, headers included. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * Adds a frame behind those that wait.
   *
   * @throws {AronaError} `TOO_LARGE` for one that the peer would refuse
   */
  enqueue(frame: OutFrame): void {
    const length = bodyLength(frame);
    const limit = this.mayFragment ? MAX_FRAME_BYTES : MAX_FRAME_BYTES_BEFORE_AUTH;
    if (length > limit) {
      throw new AronaError("TOO_LARGE", `Cannot send frame: ${length} bytes are over ${limit}`);
    }
    this.#queue.push(frame);
    this.#queuedBytes += FRAME_HEADER_BYTES + length;
  }

  /**
   * The next record with its length in front, or null where nothing waits. Call it again until it gives null.
   *
   * @param nowMs monotonic time, for the age of the key
   */
  seal(nowMs: number): Uint8Array | null {
    if (this.#head === this.#queue.length) return null;
    this.#keySinceMs ??= nowMs;
    let used = this.#pack();
    const update = this.#keys.records + 1 >= this.#recordsPerKey ||
      nowMs - this.#keySinceMs >= KEY_LIFETIME_MS;
    if (update) used = writeHeader(used, FrameType.KEY_UPDATE, 0);
    const length = Math.min(padmeLength(used), MAX_PLAINTEXT_BYTES);
    SCRATCH.fill(0, used, length);
    const record = this.#keys.seal(SCRATCH.subarray(0, length));
    if (update) {
      this.#keys.ratchet();
      this.#keySinceMs = nowMs;
    }
    return record;
  }

  /** Moves frames from the queue into the scratch buffer. @returns the bytes used */
  #pack(): number {
    let used = 0;
    while (this.#head < this.#queue.length) {
      const frame = this.#queue[this.#head];
      const left = bodyLength(frame) - this.#sentOfHead;
      const room = USABLE_BYTES - used - FRAME_HEADER_BYTES;
      if (left <= room) {
        used = writeHeader(used, frame.type, left);
        used = writeBody(used, frame, this.#sentOfHead, left);
        this.#queuedBytes -= FRAME_HEADER_BYTES + left;
        this.#head++;
        this.#sentOfHead = 0;
      } else {
        if (!this.mayFragment || room < MIN_FRAGMENT_BYTES) break;
        used = writeHeader(used, frame.type | FRAME_MORE, room);
        used = writeBody(used, frame, this.#sentOfHead, room);
        this.#queuedBytes -= room;
        this.#sentOfHead += room;
        break;
      }
    }
    this.#forgetSent();
    return used;
  }

  #forgetSent(): void {
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head >= 64 && this.#head * 2 >= this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/**
 * Shared by all connections of a thread, because each use is over before the next one begins: packing and sealing are synchronous. One
 * for each connection would cost an idle one 64 kB.
 */
const SCRATCH = new Uint8Array(MAX_PLAINTEXT_BYTES);

function bodyLength(frame: OutFrame): number {
  let length = 0;
  for (const part of frame.parts) length += part.length;
  return length;
}

function writeHeader(offset: number, type: number, length: number): number {
  SCRATCH[offset] = type;
  SCRATCH[offset + 1] = length >>> 16;
  SCRATCH[offset + 2] = length >>> 8;
  SCRATCH[offset + 3] = length;
  return offset + FRAME_HEADER_BYTES;
}

/** Writes `count` bytes of the frame's body from `from` on. */
function writeBody(offset: number, frame: OutFrame, from: number, count: number): number {
  let skip = from;
  let left = count;
  for (const part of frame.parts) {
    if (skip >= part.length) {
      skip -= part.length;
      continue;
    }
    const piece = skip === 0 && part.length <= left ? part : part.subarray(skip, skip + left);
    SCRATCH.set(piece, offset);
    offset += piece.length;
    left -= piece.length;
    skip = 0;
    if (left === 0) break;
  }
  return offset;
}
