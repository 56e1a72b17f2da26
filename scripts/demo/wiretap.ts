/** Copies every byte that passes a transport, as somebody on the network would. */

import { concatBytes, type Transport } from "../../proto/mod.ts";

/** Keeps the bytes of each direction of each connection together, so that a search also finds what spans two writes. */
export class Wiretap {
  readonly #streams: Uint8Array[][] = [];

  /** @returns a transport that behaves as `transport` does */
  listen(transport: Transport): Transport {
    const sent: Uint8Array[] = [];
    const received: Uint8Array[] = [];
    this.#streams.push(sent, received);
    return {
      remoteAddress: transport.remoteAddress,
      send(bytes) {
        sent.push(bytes.slice());
        return transport.send(bytes);
      },
      close: () => transport.close(),
      async *[Symbol.asyncIterator]() {
        for await (const chunk of transport) {
          received.push(chunk.slice());
          yield chunk;
        }
      },
    };
  }

  /** One byte string for each direction of each connection. */
  chunks(): Uint8Array[] {
    return this.#streams.map((stream) => concatBytes(...stream));
  }

  totalBytes(): number {
    return this.#streams.flat().reduce((sum, chunk) => sum + chunk.length, 0);
  }
}
