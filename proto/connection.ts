/** The encrypted connection as its users see it: whole frames in, whole frames out, closed by an authenticated BYE. */

import type { Frame, OutFrame } from "./frame.ts";

/** What the relay says of itself in M2 (PROTOCOL.md section 4.3). */
export interface RelayGreeting {
  /** Protocol version chosen. */
  readonly version: number;
  /** Random for every start of the relay, 16 hexadecimal digits. */
  readonly boot: string;
  /** The relay's own name for people. */
  readonly name: string;
  /** Leading zero bits that a registration's proof of work needs. */
  readonly powBits: number;
  /** Whether a registration needs an invite code. */
  readonly inviteOnly: boolean;
  /** The relay's clock, milliseconds since the epoch. */
  readonly timeMs: number;
}

/** One encrypted connection. Both sides have the same exporter and nobody else has it. */
export interface SecureConnection {
  /** 32 bytes bound to this handshake (PROTOCOL.md section 4.5). */
  readonly exporter: Uint8Array;
  readonly greeting: RelayGreeting;
  /** SHA-256 of the relay's identity public key. */
  readonly relayFingerprint: Uint8Array;
  /** The peer's network address, for logs and limits per address. */
  readonly remoteAddress: string;

  /**
   * The frames that have arrived, at least one; null after the peer's BYE.
   *
   * @throws {AronaError} `TRUNCATED` for an end without BYE, `BAD_RECORD`, `BAD_FRAME`, `TOO_LARGE`, `CLOSED` …;
   *   the connection is closed then.
   */
  receive(): Promise<readonly Frame[] | null>;

  /**
   * Queues frames. They leave together with whatever else waits, in one record, as soon as the transport is free.
   * Never blocks; use {@link queuedBytes} and {@link drained} for backpressure. Does nothing once closed.
   */
  queue(...frames: readonly OutFrame[]): void;
  /** Bytes queued and not yet handed to the transport. */
  readonly queuedBytes: number;
  /** Resolves when at most `belowBytes` are queued or the connection is closed. */
  drained(belowBytes: number): Promise<void>;

  /** Raises the frame limit: call once AUTH has succeeded. */
  authenticated(): void;
  /** Sends what is queued, then BYE, and closes. Safe to call again. */
  close(reason?: { code: string; message?: string }): Promise<void>;
  /** Cuts the connection without a word. */
  abort(): void;
  readonly closed: boolean;
  /** When the newest record was read that truly came from the peer; on the clock's monotonic time. */
  readonly lastHeardMs: number;
  /** What the peer's BYE said, once {@link receive} has given null. */
  readonly peerReason?: { readonly code?: string; readonly message?: string };
}
