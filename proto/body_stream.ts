/** Bodies with a length in front, over a transport; and the deadline that an unfinished handshake has. */

import type { Clock } from "./clock.ts";
import { Deframer } from "./deframer.ts";
import type { Transport } from "./transport.ts";

/** Bodies with a length in front, over a transport. */
export class BodyStream {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly deframer: Deframer;

  constructor(readonly transport: Transport, limitBytes: number) {
    this.#iterator = transport[Symbol.asyncIterator]();
    this.deframer = new Deframer(limitBytes);
  }

  send(body: Uint8Array): Promise<void> {
    return this.transport.send(lengthPrefixed(body));
  }

  /** The next body, or null at the end of the stream. */
  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      const body = this.deframer.next();
      if (body !== null) return body;
      const chunk = await this.read();
      if (chunk.done) return null;
      this.deframer.push(chunk.value);
    }
  }

  /** The next chunk, for the deframer. */
  read(): Promise<IteratorResult<Uint8Array>> {
    return this.#iterator.next();
  }
}

/** Calls `action` once when time is up, unless it is cancelled before. */
export class Deadline {
  expired = false;
  readonly cancel: () => void;

  constructor(clock: Clock, delayMs: number, action: () => void) {
    this.cancel = clock.schedule(delayMs, () => {
      this.expired = true;
      action();
    });
  }
}

function lengthPrefixed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}
