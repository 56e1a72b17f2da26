/** A Transport inside one process, for tests: what one end sends, the other receives, with backpressure. */

import { AronaError } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** Options of {@link memoryTransportPair}. */
export interface MemoryTransportOptions {
  /** Bytes under way in one direction before `send()` waits. @default 65536 */
  readonly bufferBytes?: number;
  /** @default "memory:client" and "memory:server" */
  readonly addresses?: readonly [string, string];
}

/** Two ends of one connection. */
export function memoryTransportPair(options: MemoryTransportOptions = {}): [Transport, Transport] {
  const bufferBytes = options.bufferBytes ?? 65_536;
  const [clientAddress, serverAddress] = options.addresses ?? ["memory:client", "memory:server"];
  const up = new Pipe(bufferBytes);
  const down = new Pipe(bufferBytes);
  return [new MemoryTransport(down, up, serverAddress), new MemoryTransport(up, down, clientAddress)];
}

class MemoryTransport implements Transport {
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(incoming: Pipe, outgoing: Pipe, readonly remoteAddress: string) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  send(bytes: Uint8Array): Promise<void> {
    return this.#outgoing.write(bytes);
  }

  close(): void {
    this.#incoming.cancel();
    this.#outgoing.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await this.#incoming.read();
      if (chunk === null) return;
      yield chunk;
    }
  }
}

/** One direction. */
class Pipe {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #heldBytes = 0;
  #state: "open" | "ended" | "cancelled" = "open";
  #waitingReader: (() => void) | null = null;
  #waitingWriters: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#requireOpen();
    if (bytes.length === 0) return;
    this.#chunks.push(bytes.slice());
    this.#heldBytes += bytes.length;
    this.#wakeReader();
    while (this.#state === "open" && this.#heldBytes > this.#limitBytes) {
      await new Promise<void>((resolve) => this.#waitingWriters.push(resolve));
    }
    if (this.#heldBytes > this.#limitBytes) this.#requireOpen();
  }

  async read(): Promise<Uint8Array | null> {
    while (this.#chunks.length === 0 && this.#state === "open") {
      await new Promise<void>((resolve) => this.#waitingReader = resolve);
    }
    const chunk = this.#state === "cancelled" ? undefined : this.#chunks.shift();
    if (chunk === undefined) return null;
    this.#heldBytes -= chunk.length;
    if (this.#heldBytes <= this.#limitBytes) this.#wakeWriters();
    return chunk;
  }

  /** The writer is done; what is under way still arrives. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wakeReader();
    this.#wakeWriters();
  }

  /** The reader is gone; what is under way is lost. */
  cancel(): void {
    this.#state = "cancelled";
    this.#chunks = [];
    this.#wakeReader();
    this.#wakeWriters();
  }

  #requireOpen(): void {
    if (this.#state !== "open") throw new AronaError("CLOSED", "Cannot send: the connection is closed");
  }

  #wakeReader(): void {
    this.#waitingReader?.();
    this.#waitingReader = null;
  }

  #wakeWriters(): void {
    for (const wake of this.#waitingWriters.splice(0)) wake();
  }
}
