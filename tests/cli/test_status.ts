/** A relay's status with numbers to recognise, for tests. */

import type { RelayStatus } from "../../cli/control/protocol.ts";
import { DEFAULT_RELAY_LIMITS } from "../../server/mod.ts";

/** When everything happens. */
export const NOW = Date.UTC(2026, 0, 2);

/** A status; `change` replaces fields. */
export function testStatus(change: Partial<RelayStatus> = {}): RelayStatus {
  return {
    version: "0.1.0",
    runtime: "deno 2.9.6",
    pid: 42,
    address: "127.0.0.1:7700",
    fingerprint: "F".repeat(43),
    link: `arona://relay.test:7700#${"F".repeat(43)}`,
    nowMs: NOW,
    stats: {
      accepted: 5,
      queued: 12,
      delivered: 11,
      refused: 1,
      undeliverable: 1,
      refusedMessages: { RATE_LIMITED: 3 },
      refusedRequests: {},
      connectionsAccepted: 9,
      connectionsRefused: { too_many_from_address: 2 },
      documentsServed: 4,
      handshakesFailed: { "bad-seal": 1, "cut-off": 2 },
      sessionsStarted: 7,
      registrations: 3,
      sessionsEnded: { bye: 2, cut: 1 },
      mailboxesCollapsed: 0,
      internalErrors: 0,
      connections: 4,
      sessions: 3,
      accounts: 3,
      groups: 2,
      mailboxes: 3,
      mailboxBytes: 2_800,
      startedAtMs: NOW - 90_000_000,
      document: { sequence: 17, expiresAtMs: NOW + 7 * 86_400_000 },
    },
    limits: DEFAULT_RELAY_LIMITS,
    mailbox: "memory",
    publisher: null,
    tunnel: null,
    lan: null,
    metrics: null,
    dataBytes: 123_456,
    memoryBytes: 5e7,
    cpuSeconds: 1.25,
    ...change,
  };
}
