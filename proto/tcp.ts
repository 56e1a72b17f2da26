/** The Transport over TCP. */

import { AronaError } from "./errors.ts";
import { formatEndpoint } from "./endpoint.ts";
import type { Listener, Transport } from "./transport.ts";

/** The largest piece read at once. One buffer of this size exists only while bytes are there to be read. */
const READ_CHUNK_BYTES = 65_536;
/** What an idle connection keeps as its buffer. */
const IDLE_CHUNK_BYTES = 512;

/**
 * Connects to `hostname:port`.
 *
 * @throws {AronaError} `UNREACHABLE`; the signal's reason where it was aborted.
 */
export async function connectTcp(
  options: { hostname: string; port: number; signal?: AbortSignal },
): Promise<Transport> {
  options.signal?.throwIfAborted();
  const address = formatEndpoint(options);
  try {
    const connection = await Deno.connect({
      hostname: options.hostname,
      port: options.port,
      transport: "tcp",
      signal: options.signal,
    });
    return new TcpTransport(connection, address);
  } catch (cause) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new AronaError("UNREACHABLE", `Cannot connect to ${address}: ${reasonOf(cause)}`, {
      cause,
      hint: hintFor(cause),
    });
  }
}

/**
 * Listens on `hostname:port`; port 0 lets the system choose.
 *
 * @throws {AronaError} `UNREACHABLE` where the address cannot be used.
 */
export function listenTcp(options: { hostname: string; port: number }): Listener {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: options.hostname, port: options.port, transport: "tcp" });
  } catch (cause) {
    const address = formatEndpoint(options);
    throw new AronaError("UNREACHABLE", `Cannot listen on ${address}: ${reasonOf(cause)}`, {
      cause,
      hint: cause instanceof Deno.errors.AddrInUse
        ? "Another program, perhaps another relay, uses this port. Choose another one."
        : "Check the address; ports under 1024 need special rights.",
    });
  }
  const { hostname, port } = listener.addr as Deno.NetAddr;
  return { address: { hostname, port }, accept: acceptAll(listener), close: () => closeQuietly(listener) };
}

class TcpTransport implements Transport {
  readonly #connection: Deno.TcpConn;
  #closed = false;
  #failSend: ((error: AronaError) => void) | null = null;

  constructor(connection: Deno.TcpConn, readonly remoteAddress: string) {
    this.#connection = connection;
    try {
      connection.setNoDelay(true);
    } catch {
      // The peer is gone already; the first read or write will say so.
    }
  }

  send(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#failSend = reject;
      this.#writeAll(bytes).then(resolve, (cause) => reject(closedError(cause)));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeQuietly(this.#connection);
    // Older runtimes leave a write that waits for the peer waiting.
    this.#failSend?.(closedError());
  }

  /**
   * A small buffer waits; as long as reads fill it, larger ones take over, and after a read that does not, a small one waits again. So
   * an idle connection costs little and a busy one few reads. Every chunk has a buffer of its own, which the reader may keep.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    let size = IDLE_CHUNK_BYTES;
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      if (this.#closed) return END;
      const buffer = new Uint8Array(size);
      try {
        const count = await this.#connection.read(buffer);
        if (count === null) return END;
        size = count === size ? Math.min(READ_CHUNK_BYTES, size * 8) : IDLE_CHUNK_BYTES;
        return { done: false, value: buffer.subarray(0, count) };
      } catch (cause) {
        if (this.#closed) return END;
        throw new AronaError("CLOSED", "Cannot receive: the connection broke", { cause });
      }
    };
    return { next };
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let written = await this.#connection.write(bytes);
    while (written < bytes.length) written += await this.#connection.write(bytes.subarray(written));
    this.#failSend = null;
  }
}

const END: IteratorResult<Uint8Array> = { done: true, value: undefined };

async function* acceptAll(listener: Deno.TcpListener): AsyncGenerator<Transport> {
  for (;;) {
    let connection: Deno.TcpConn;
    try {
      connection = await listener.accept();
    } catch (cause) {
      if (cause instanceof Deno.errors.BadResource || cause instanceof Deno.errors.Interrupted) return;
      if (isPassing(cause)) continue;
      throw cause;
    }
    const remote = connection.remoteAddr as Deno.NetAddr;
    yield new TcpTransport(connection, formatEndpoint(remote));
  }
}

function closedError(cause?: unknown): AronaError {
  return new AronaError("CLOSED", "Cannot send: the connection is closed", { cause });
}

/** A connection that broke before it was accepted says nothing about the next one. */
function isPassing(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.ConnectionAborted;
}

function closeQuietly(resource: { close(): void }): void {
  try {
    resource.close();
  } catch {
    // It is closed already.
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.ConnectionRefused) return "nothing listens there";
  if (cause instanceof Deno.errors.TimedOut) return "no answer";
  if (cause instanceof Deno.errors.AddrInUse) return "the port is in use";
  if (cause instanceof Deno.errors.NotCapable) return "no permission for this address";
  return cause instanceof Error ? cause.message.split("\n")[0].slice(0, 200) : "no connection";
}

function hintFor(cause: unknown): string {
  return cause instanceof Deno.errors.ConnectionRefused
    ? "Is the relay running, and is the port the one it shows?"
    : "Check the address and your network; the relay may have moved, then ask for a new link.";
}
