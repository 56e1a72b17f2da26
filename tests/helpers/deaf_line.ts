/** A line to the relay that can go deaf: what the client sends arrives, and no answer comes back until the line is cut and made anew. */

import { connectTcp, type Transport } from "../../proto/mod.ts";

/** Give {@link dial} to a client. */
export class DeafLine {
  #current: { transport: Transport; isDeaf: boolean } | null = null;
  #gate: PromiseWithResolvers<void> | null = null;

  readonly dial = async (options: Parameters<typeof connectTcp>[0]): Promise<Transport> => {
    await this.#gate?.promise;
    const transport = await connectTcp(options);
    const current = this.#current = { transport, isDeaf: false };
    return {
      remoteAddress: transport.remoteAddress,
      send: (bytes) => transport.send(bytes),
      close: () => transport.close(),
      async *[Symbol.asyncIterator]() {
        for await (const chunk of transport) if (!current.isDeaf) yield chunk;
      },
    };
  };

  /** From now on nothing comes back. */
  deafen(): void {
    this.#current!.isDeaf = true;
  }

  /** The connection breaks. @param options.hold no new one is made until {@link release} */
  cut(options: { hold: boolean } = { hold: false }): void {
    if (options.hold) this.#gate = Promise.withResolvers<void>();
    this.#current!.transport.close();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = null;
  }
}
