/** What a relay counts as it goes: a few additions beside work that is done anyway, and every label from a fixed set. */

import type { ErrorCode } from "../proto/mod.ts";
import type { RefusalReason, RelayLog, RelayLogEvent, SessionEnd } from "./log.ts";

/** How often each reason came up. */
export type Tally<Reason extends string> = Partial<Record<Reason, number>>;

/** Why a handshake came to nothing. */
export type HandshakeFailure =
  | "length"
  | "version"
  | "unknown-key"
  | "replay"
  | "bad-key"
  | "bad-seal"
  | "timeout"
  | "cut-off";

/** Counts since the start. */
export interface RelayCounters {
  /** Messages accepted. */
  accepted: number;
  /** Deliveries queued for devices. */
  queued: number;
  /** Deliveries that a device acknowledged. */
  delivered: number;
  /** Messages or deliveries refused for a rate or a quota. */
  refused: number;
  /** Deliveries for which a mailbox had no room. */
  undeliverable: number;
  /** Messages refused, by what their sender was told. */
  readonly refusedMessages: Tally<ErrorCode>;
  /** Requests refused, by what their sender was told. */
  readonly refusedRequests: Tally<ErrorCode>;
  /** Connections let in. */
  connectionsAccepted: number;
  readonly connectionsRefused: Tally<RefusalReason>;
  /** Connections that only asked for the discovery document. */
  documentsServed: number;
  readonly handshakesFailed: Tally<HandshakeFailure>;
  sessionsStarted: number;
  /** Accounts made. */
  registrations: number;
  readonly sessionsEnded: Tally<SessionEnd>;
  /** Mailboxes that gave way to a gap marker. */
  mailboxesCollapsed: number;
  internalErrors: number;
}

/** All zero. */
export function newCounters(): RelayCounters {
  return {
    accepted: 0,
    queued: 0,
    delivered: 0,
    refused: 0,
    undeliverable: 0,
    refusedMessages: {},
    refusedRequests: {},
    connectionsAccepted: 0,
    connectionsRefused: {},
    documentsServed: 0,
    handshakesFailed: {},
    sessionsStarted: 0,
    registrations: 0,
    sessionsEnded: {},
    mailboxesCollapsed: 0,
    internalErrors: 0,
  };
}

/** Counts one more. */
export function tally<Reason extends string>(counts: Tally<Reason>, reason: Reason): void {
  counts[reason] = (counts[reason] ?? 0) + 1;
}

/** A log that counts what goes through it. */
export function countingLog(counters: RelayCounters, log: RelayLog): RelayLog {
  return (event) => {
    count(counters, event);
    log(event);
  };
}

function count(counters: RelayCounters, event: RelayLogEvent): void {
  switch (event.type) {
    case "connection_refused":
      return tally(counters.connectionsRefused, event.reason);
    case "session_started":
      counters.sessionsStarted++;
      if (event.registered) counters.registrations++;
      return;
    case "session_ended":
      return tally(counters.sessionsEnded, event.reason);
    case "mailbox_collapsed":
      counters.mailboxesCollapsed++;
      return;
    case "internal_error":
      counters.internalErrors++;
      return;
  }
}
