/**
 * The Transport over a MessagePort: bytes from one worker to another, with the backpressure and the end of a stream that TCP has.
 *
 *     { kind: "bytes", bytes }   one send(); the next follows when it was taken
 *     { kind: "taken" }          the receiver has room again
 *     { kind: "end" }            the sender has closed: what came before still counts, nothing goes back any more
 */

import { AronaError, type Transport } from "../proto/base/mod.ts";

/** Bytes that wait for their reader before the sender has to. */
const BUFFER_BYTES = 65_536;

type Message =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "taken" }
  | { readonly kind: "end" };

/** One end of a stream over `port`; the other end is the same over the port's twin. */
export function portTransport(port: MessagePort, options: { remoteAddress: string }): Transport {
  return new PortTransport(port, options.remoteAddress);
}

/** Passes on what comes from either side to the other until one of them ends, and closes both. Never rejects. */
export async function joinTransports(one: Transport, other: Transport): Promise<void> {
  const carry = async (from: Transport, to: Transport) => {
    try {
      for await (const chunk of from) await to.send(chunk);
    } catch {
      // It broke; whoever reads at the other end hears of an end without a farewell.
    } finally {
      from.close();
      to.close();
    }
  };
  await Promise.all([carry(one, other), carry(other, one)]);
}

class PortTransport implements Transport {
  readonly #port: MessagePort;
  readonly #chunks: Uint8Array[] = [];
  #heldBytes = 0;
  /** Whether the other side waits to hear that there is room. */
  #owesTaken = false;
  #state: "open" | "ended" | "closed" = "open";
  #wakeReader: () => void = () => {};
  #sending: PromiseWithResolvers<void> | null = null;

  constructor(port: MessagePort, readonly remoteAddress: string) {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<Message>) => this.#take(data);
  }

  async send(bytes: Uint8Array): Promise<void> {
    if (this.#state !== "open") throw closedError();
    if (this.#sending !== null) {
      throw new AronaError("INTERNAL", "Cannot send: another call is under way");
    }
    const copy = bytes.slice();
    this.#sending = Promise.withResolvers();
    this.#port.postMessage({ kind: "bytes", bytes: copy } satisfies Message, [copy.buffer]);
    await this.#sending.promise;
  }

  close(): void {
    if (this.#state === "open") this.#port.postMessage({ kind: "end" } satisfies Message);
    this.#chunks.length = 0;
    this.#end("closed");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        try {
          yield chunk;
        } finally { // only now the reader is done with it
          this.#heldBytes -= chunk.length;
          this.#confirm();
        }
      } else if (this.#state === "open") {
        await new Promise<void>((resolve) => this.#wakeReader = resolve);
      } else return;
    }
  }

  #take(message: Message): void {
    if (this.#state !== "open") return;
    switch (message?.kind) {
      case "bytes":
        if (!(message.bytes instanceof Uint8Array)) return this.close();
        this.#owesTaken = true;
        if (message.bytes.length > 0) this.#chunks.push(message.bytes);
        this.#heldBytes += message.bytes.length;
        this.#confirm();
        return this.#wakeReader();
      case "taken":
        this.#sending?.resolve();
        this.#sending = null;
        return;
      case "end":
        return this.#end("ended");
    }
  }

  #confirm(): void {
    if (!this.#owesTaken || this.#heldBytes > BUFFER_BYTES || this.#state !== "open") return;
    this.#owesTaken = false;
    this.#port.postMessage({ kind: "taken" } satisfies Message);
  }

  #end(state: "ended" | "closed"): void {
    if (this.#state === "open") this.#port.close();
    this.#state = state;
    this.#sending?.reject(closedError());
    this.#sending = null;
    this.#wakeReader();
  }
}

function closedError(): AronaError {
  return new AronaError("CLOSED", "Cannot send: the connection is closed");
}
