/**
 * Records: frames packed together, padded and sealed with ChaCha20-Poly1305 (PROTOCOL.md section 5). No I/O.
 *
 *     wire       length u32 ‖ ciphertext ‖ tag 16
 *     plaintext  frame* ‖ [0x00 ‖ anything]      padded to a Padmé length, at least 256, at most 65,520
 *     nonce      IV xor (0^4 ‖ counter u64)
 *     AAD        direction u8 ‖ counter u64 ‖ length u32
 *
 * The counter never goes back, not even when the key is ratcheted, so no nonce can come twice.
 */

import type { CryptoProvider } from "./crypto/provider.ts";
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES } from "./crypto/sizes.ts";
import { AronaError } from "./errors.ts";
import { type Frame, FRAME_HEADER_BYTES, FRAME_MORE, FrameType, type OutFrame } from "./frame.ts";
import { deriveSecret } from "./handshake.ts";
import {
  KEY_LIFETIME_MS,
  MAX_FRAME_BYTES,
  MAX_FRAME_BYTES_BEFORE_AUTH,
  MAX_RECORD_BYTES,
  MAX_RECORDS_PER_KEY,
  MIN_PADDED_BYTES,
} from "./limits.ts";
import { padmeLength } from "./padme.ts";

/** Which way a record goes. */
export const Direction = { CLIENT_TO_RELAY: 0x01, RELAY_TO_CLIENT: 0x02 } as const;
export type Direction = typeof Direction[keyof typeof Direction];

/** Largest plaintext of a record. */
export const MAX_PLAINTEXT_BYTES = MAX_RECORD_BYTES - AEAD_TAG_BYTES;
const LENGTH_BYTES = 4;
const AAD_BYTES = 13;
/** A frame is split only where at least this much of it fits into the record. */
const MIN_FRAGMENT_BYTES = 1_024;
/** Every record keeps room for a KEY_UPDATE at its end. */
const USABLE_BYTES = MAX_PLAINTEXT_BYTES - FRAME_HEADER_BYTES;

/** How one direction of a connection begins. */
export interface RecordOptions {
  readonly direction: Direction;
  /** 48 bytes from the handshake. */
  readonly secret: Uint8Array;
  /** Records under one key. @default MAX_RECORDS_PER_KEY */
  readonly recordsPerKey?: number;
}

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

/** Opens records and gives their frames, whole again where they were split. */
export class RecordOpener {
  readonly #keys: KeyChain;
  readonly #direction: Direction;
  readonly #recordsPerKey: number;
  #fragments: Uint8Array[] | null = null;
  #fragmentType = 0;
  #fragmentBytes = 0;
  #finished = false;
  #authenticated = false;

  constructor(crypto: CryptoProvider, options: RecordOptions) {
    this.#keys = new KeyChain(crypto, options);
    this.#direction = options.direction;
    this.#recordsPerKey = options.recordsPerKey ?? MAX_RECORDS_PER_KEY;
  }

  /** Raises the frame limit and allows frames that span records. */
  authenticated(): void {
    this.#authenticated = true;
  }

  /** Whether AUTH has succeeded, as far as this side knows. A client knows by the relay's AUTH_OK. */
  get isAuthenticated(): boolean {
    return this.#authenticated;
  }

  /**
   * Opens one record.
   *
   * @param body the record without its length
   * @returns its complete frames, PADDING and KEY_UPDATE left out; perhaps none. BYE is the last one ever.
   * @throws {AronaError} `BAD_RECORD` (the tag does not fit, too many records under a key, a record after BYE), `BAD_FRAME`, `TOO_LARGE`
   */
  open(body: Uint8Array): Frame[] {
    if (this.#finished) throw new AronaError("BAD_RECORD", "Cannot receive: a record came after BYE");
    if (body.length < MIN_PADDED_BYTES + AEAD_TAG_BYTES || body.length > MAX_RECORD_BYTES) {
      throw new AronaError("BAD_RECORD", `Cannot receive: a record of ${body.length} bytes`);
    }
    if (this.#keys.records >= this.#recordsPerKey) {
      throw new AronaError("BAD_RECORD", "Cannot receive: too many records under one key");
    }
    const plaintext = this.#keys.open(body);
    if (plaintext === null) {
      throw new AronaError(
        "BAD_RECORD",
        "Cannot receive: a record was changed, repeated or left out on the way",
        {
          hint: "Somebody may be interfering with the connection; it is set up again.",
        },
      );
    }
    return this.#unpack(plaintext);
  }

  #unpack(plaintext: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let offset = 0;
    while (offset < plaintext.length) {
      const typeByte = plaintext[offset];
      // What follows PADDING is authenticated like the rest; nothing reads it, so its value does not matter.
      if (typeByte === FrameType.PADDING) break;
      if (this.#finished) throw new AronaError("BAD_FRAME", "Cannot receive: a frame came after BYE");
      if (plaintext.length - offset < FRAME_HEADER_BYTES) throw cutOff();
      const length = plaintext[offset + 1] << 16 | plaintext[offset + 2] << 8 | plaintext[offset + 3];
      offset += FRAME_HEADER_BYTES;
      if (plaintext.length - offset < length) throw cutOff();
      const body = plaintext.subarray(offset, offset + length);
      offset += length;
      if (typeByte === FrameType.KEY_UPDATE) {
        if (!this.#authenticated) {
          throw new AronaError("BAD_FRAME", "Cannot receive: KEY_UPDATE came before AUTH");
        }
        if (length !== 0 || (offset < plaintext.length && plaintext[offset] !== FrameType.PADDING)) {
          throw new AronaError(
            "BAD_FRAME",
            "Cannot receive: KEY_UPDATE has to be empty and the last of its record",
          );
        }
        this.#keys.ratchet();
        break;
      }
      const frame = this.#assemble(typeByte, body);
      if (frame === null) continue;
      frames.push(frame);
      if (frame.type === FrameType.BYE) this.#finished = true;
      if (frame.type === FrameType.AUTH_OK && this.#direction === Direction.RELAY_TO_CLIENT) {
        this.#authenticated = true;
      }
    }
    return frames;
  }

  #assemble(typeByte: number, body: Uint8Array): Frame | null {
    const type = typeByte & ~FRAME_MORE;
    const more = (typeByte & FRAME_MORE) !== 0;
    const limit = this.#authenticated ? MAX_FRAME_BYTES : MAX_FRAME_BYTES_BEFORE_AUTH;
    if (this.#fragmentBytes + body.length > limit) {
      throw new AronaError("TOO_LARGE", `Cannot receive: a frame is over ${limit} bytes`);
    }
    if (this.#fragments === null && !more) return { type, body };
    if (!this.#authenticated) {
      throw new AronaError("BAD_FRAME", "Cannot receive: a frame was split before AUTH");
    }
    if (this.#fragments !== null && type !== this.#fragmentType) {
      throw new AronaError("BAD_FRAME", "Cannot receive: a split frame goes on as another type");
    }
    if (
      more &&
      (body.length < MIN_FRAGMENT_BYTES || type === FrameType.PADDING || type === FrameType.KEY_UPDATE)
    ) {
      throw new AronaError("BAD_FRAME", `Cannot receive: a split of ${body.length} bytes of type ${type}`);
    }
    this.#fragments ??= [];
    this.#fragments.push(body);
    this.#fragmentType = type;
    this.#fragmentBytes += body.length;
    if (more) return null;
    const joined = new Uint8Array(this.#fragmentBytes);
    let offset = 0;
    for (const fragment of this.#fragments) {
      joined.set(fragment, offset);
      offset += fragment.length;
    }
    this.#fragments = null;
    this.#fragmentBytes = 0;
    return { type, body: joined };
  }
}

/** The keys of one direction: key and IV from a secret, the next secret from this one. */
class KeyChain {
  readonly #crypto: CryptoProvider;
  readonly #direction: Direction;
  #secret: Uint8Array;
  #key: Uint8Array = NOTHING;
  #iv: Uint8Array = NOTHING;
  #counter = 0;
  #firstOfKey = 0;

  constructor(crypto: CryptoProvider, options: RecordOptions) {
    this.#crypto = crypto;
    this.#direction = options.direction;
    this.#secret = options.secret.slice();
    this.#derive();
  }

  /** Records under the present key so far. */
  get records(): number {
    return this.#counter - this.#firstOfKey;
  }

  ratchet(): void {
    const next = deriveSecret(this.#crypto, this.#secret, { label: "arona next secret v2", length: 48 });
    this.#secret.fill(0);
    this.#secret = next;
    this.#firstOfKey = this.#counter;
    this.#derive();
  }

  seal(plaintext: Uint8Array): Uint8Array {
    const length = plaintext.length + AEAD_TAG_BYTES;
    this.#prepare(length);
    const record = this.#crypto.seal("ChaCha20-Poly1305", this.#key, NONCE, AAD, plaintext, LENGTH_BYTES);
    record[0] = length >>> 24;
    record[1] = length >>> 16;
    record[2] = length >>> 8;
    record[3] = length;
    this.#counter++;
    return record;
  }

  open(body: Uint8Array): Uint8Array | null {
    this.#prepare(body.length);
    const plaintext = this.#crypto.open("ChaCha20-Poly1305", this.#key, NONCE, AAD, body);
    if (plaintext !== null) this.#counter++;
    return plaintext;
  }

  #derive(): void {
    this.#key = deriveSecret(this.#crypto, this.#secret, { label: "arona record key v2", length: 32 });
    this.#iv = deriveSecret(this.#crypto, this.#secret, {
      label: "arona record iv v2",
      length: AEAD_NONCE_BYTES,
    });
  }

  /** Fills the shared nonce and associated data for the record at hand. */
  #prepare(length: number): void {
    AAD[0] = this.#direction;
    // Two halves: bitwise operators work on 32 bits. 2^53 records do not happen.
    AAD_VIEW.setUint32(1, Math.floor(this.#counter / 0x1_0000_0000));
    AAD_VIEW.setUint32(5, this.#counter >>> 0);
    AAD_VIEW.setUint32(9, length);
    NONCE.set(this.#iv);
    for (let i = 0; i < 8; i++) NONCE[4 + i] ^= AAD[1 + i];
  }
}

/**
 * Shared by all connections of a thread, because each use is over before the next one begins: packing, sealing and opening are
 * synchronous. One each per connection would cost an idle one 64 kB.
 */
const SCRATCH = new Uint8Array(MAX_PLAINTEXT_BYTES);
const NONCE = new Uint8Array(AEAD_NONCE_BYTES);
const AAD = new Uint8Array(AAD_BYTES);
const AAD_VIEW = new DataView(AAD.buffer);
const NOTHING = new Uint8Array();

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

function cutOff(): AronaError {
  return new AronaError("BAD_FRAME", "Cannot receive: a frame goes beyond its record");
}
