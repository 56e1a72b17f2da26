/** The receiving end of the record layer: opens records and puts their frames together (PROTOCOL.md sections 5.2 to 6.1). No I/O. */

import type { CryptoProvider } from "./crypto/provider.ts";
import { AEAD_TAG_BYTES } from "./crypto/sizes.ts";
import { AronaError } from "./errors.ts";
import { type Frame, FRAME_HEADER_BYTES, FRAME_MORE, FrameType } from "./frame.ts";
import { KeyChain } from "./key_chain.ts";
import {
  MAX_FRAME_BYTES,
  MAX_FRAME_BYTES_BEFORE_AUTH,
  MAX_RECORD_BYTES,
  MAX_RECORDS_PER_KEY,
  MIN_PADDED_BYTES,
} from "./limits.ts";
import { Direction, MIN_FRAGMENT_BYTES, type RecordOptions } from "./record.ts";

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

function cutOff(): AronaError {
  return new AronaError("BAD_FRAME", "Cannot receive: a frame goes beyond its record");
}
