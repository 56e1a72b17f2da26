/** A connection in memory on which nothing arrives until the test passes it on, so that the test decides what comes when. */

import { AronaError, type Transport } from "../../proto/mod.ts";

/** One connection: `near` is the client's end, `far` the relay's. */
export class HeldLine {
  /** From the client to the relay. */
  readonly up = new HeldWay();
  readonly down = new HeldWay();
  readonly near: Transport = new HeldEnd(this.down, this.up, "127.0.0.1:7700");
  readonly far: Transport = new HeldEnd(this.up, this.down, "127.0.0.1:50000");

  /** Nothing will come any more on either way. */
  get isOver(): boolean {
    return this.up.isOver && this.down.isOver;
  }

  /** The line breaks: what is under way is lost, and both ends notice. */
  lose(): void {
    this.up.lose();
    this.down.lose();
  }

  /** Only the client notices for now: what it has sent still arrives, and then the end. */
  breakNear(): void {
    this.up.end();
    this.down.lose();
  }
}

/** One direction. A chunk is what one `send()` was given; null is the end. */
class HeldWay {
  #held: (Uint8Array | null)[] = [];
  readonly #arrived: (Uint8Array | null)[] = [];
  #ended = false;
  #lost = false;
  #wake = () => {};

  /** Chunks that wait to be passed on. */
  get waiting(): number {
    return this.#held.length;
  }

  get isOver(): boolean {
    return this.#lost || (this.#ended && this.#held.length === 0);
  }

  /** Lets the next chunk arrive. */
  pass(): void {
    this.#arrive(this.#held.shift()!);
  }

  send(bytes: Uint8Array): void {
    if (this.#ended) throw new AronaError("CLOSED", "Cannot send: the connection is closed");
    if (!this.#lost) this.#held.push(bytes.slice()); // a writer is not told that nobody reads
  }

  /** The writer is done; what is under way still arrives. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#lost) this.#held.push(null);
  }

  /** What is under way is lost, and the reader sees the end at once. */
  lose(): void {
    this.#lost = true;
    this.#held = [];
    this.#arrive(null);
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#arrived.length === 0) await new Promise<void>((wake) => this.#wake = wake);
      const chunk = this.#arrived.shift()!;
      if (chunk === null) return;
      yield chunk;
    }
  }

  #arrive(chunk: Uint8Array | null): void {
    this.#arrived.push(chunk);
    this.#wake();
  }
}

class HeldEnd implements Transport {
  constructor(
    private readonly incoming: HeldWay,
    private readonly outgoing: HeldWay,
    readonly remoteAddress: string,
  ) {}

  send(bytes: Uint8Array): Promise<void> {
    try {
      return Promise.resolve(this.outgoing.send(bytes));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  close(): void {
    this.incoming.lose();
    this.outgoing.end();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return this.incoming.chunks();
  }
}
