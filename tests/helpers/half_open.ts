/** Connections that die without a word: what is sent into them is gone, nothing comes out, and neither end is told. */

import { connectTcp, listenTcp, type Transport } from "../../proto/mod.ts";

/** Which ways are cut: from the client, to the client, or both. */
export type CutWays = "out" | "in" | "both";

/** The client's end of a connection that can be cut silently. The other end is not told of its close either, once it is cut. */
export class HalfOpenTransport implements Transport {
  readonly remoteAddress: string;
  /** Chunks that went into the void. */
  swallowed = 0;
  #cut: CutWays | null = null;
  readonly #closed = Promise.withResolvers<IteratorResult<Uint8Array>>();

  constructor(private readonly inner: Transport) {
    this.remoteAddress = inner.remoteAddress;
  }

  cut(ways: CutWays = "both"): void {
    this.#cut = ways;
  }

  send(bytes: Uint8Array): Promise<void> {
    if (this.#cut === null || this.#cut === "in") return this.inner.send(bytes);
    this.swallowed++;
    return Promise.resolve();
  }

  close(): void {
    this.#closed.resolve({ done: true, value: undefined });
    if (this.#cut === null) this.inner.close();
  }

  /** Ends the other end too. */
  dispose(): void {
    this.close();
    this.inner.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const iterator = this.inner[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      const chunk = await Promise.race([iterator.next(), this.#closed.promise]);
      if (chunk.done || this.#cut === null || this.#cut === "out") return chunk;
      return await next();
    };
    return { next };
  }
}

/** A loopback proxy whose connections can be cut silently; those that come later work. */
export class CuttingProxy {
  readonly #listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  readonly #pairs: { ends: Transport[]; cut: boolean }[] = [];
  readonly #running: Promise<void>[] = [];

  constructor(private readonly target: { hostname: string; port: number }) {
    this.#running.push(this.#acceptAll());
  }

  get address(): { hostname: string; port: number } {
    return this.#listener.address;
  }

  cutAll(): void {
    for (const pair of this.#pairs) pair.cut = true;
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const { ends } of this.#pairs) for (const end of ends) end.close();
    await Promise.all(this.#running);
  }

  async #acceptAll(): Promise<void> {
    for await (const near of this.#listener.accept) {
      const far = await connectTcp(this.target);
      const pair = { ends: [near, far], cut: false };
      this.#pairs.push(pair);
      this.#running.push(this.#pass(near, far, pair), this.#pass(far, near, pair));
    }
  }

  async #pass(from: Transport, to: Transport, pair: { readonly cut: boolean }): Promise<void> {
    try {
      for await (const chunk of from) if (!pair.cut) await to.send(chunk);
    } catch {
      // One end broke; the other is closed below.
    }
    if (!pair.cut) to.close();
  }
}
