/** The Transport port: a two-way stream of bytes, whatever carries it. */

/**
 * One connection. Iterating gives what the peer sent in chunks of any size, owned by the reader, and ends at the peer's end of
 * stream; it is iterated once. A connection that breaks ends or throws `CLOSED`.
 */
export interface Transport extends AsyncIterable<Uint8Array> {
  /**
   * Resolves when the transport has taken all of `bytes` and has room again. One call at a time; the bytes must not change
   * before it resolves.
   *
   * @throws {AronaError} `CLOSED`
   */
  send(bytes: Uint8Array): Promise<void>;
  /** Ends both directions at once; the iterator ends and a send under way rejects. Safe to call again. */
  close(): void;
  /** The peer's address for logs and limits, for example `192.0.2.7:50123`. */
  readonly remoteAddress: string;
}

/** Something that clients connect to. */
export interface Listener {
  /** Where it really listens; the port is the chosen one where 0 was asked for. */
  readonly address: { readonly hostname: string; readonly port: number };
  /** Connections as they come, until {@link Listener.close}. */
  readonly accept: AsyncIterable<Transport>;
  close(): void;
}
