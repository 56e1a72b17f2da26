/** A relay's metrics, made from its status. Labels are from fixed sets and never say who somebody is. */

import { isPublished, type RelayStatus } from "../control/protocol.ts";
import type { Metric, Sample } from "./exposition.ts";

/** What is measured while asking. */
export interface Measured {
  /** How long the relay's thread took to answer: it is as long as what was in front of the question in its event loop. */
  readonly answerSeconds: number;
}

/** All metrics. */
export function relayMetrics(status: RelayStatus, { answerSeconds }: Measured): Metric[] {
  const { stats, publisher, tunnel } = status;
  const { document } = stats;
  return [
    gauge("arona_info", "What is running; always 1.", [
      { labels: { version: status.version, runtime: status.runtime }, value: 1 },
    ]),
    gauge(
      "arona_start_time_seconds",
      "When the relay started, since the Unix epoch.",
      stats.startedAtMs / 1_000,
    ),
    counter("arona_messages_accepted_total", "Messages accepted from devices.", stats.accepted),
    counter(
      "arona_messages_refused_total",
      "Messages refused, by what the device was told.",
      byReason(stats.refusedMessages),
    ),
    counter("arona_deliveries_queued_total", "Deliveries queued for devices.", stats.queued),
    counter("arona_deliveries_acknowledged_total", "Deliveries that a device has stored.", stats.delivered),
    counter(
      "arona_deliveries_without_room_total",
      "Deliveries for which a mailbox had no room.",
      stats.undeliverable,
    ),
    counter(
      "arona_requests_refused_total",
      "Control requests refused, by what the device was told.",
      byReason(stats.refusedRequests),
    ),
    gauge("arona_connections", "Connections that are open.", stats.connections),
    counter("arona_connections_accepted_total", "Connections let in.", stats.connectionsAccepted),
    counter(
      "arona_connections_refused_total",
      "Connections turned away before a handshake.",
      byReason(stats.connectionsRefused),
    ),
    counter(
      "arona_documents_served_total",
      "Connections that asked for the discovery document only.",
      stats.documentsServed,
    ),
    counter(
      "arona_handshakes_failed_total",
      "Handshakes that came to nothing.",
      byReason(stats.handshakesFailed),
    ),
    gauge("arona_sessions", "Devices that are logged in.", stats.sessions),
    counter("arona_sessions_started_total", "Logins.", stats.sessionsStarted),
    counter("arona_sessions_ended_total", "Sessions and logins that ended.", byReason(stats.sessionsEnded)),
    counter("arona_registrations_total", "Accounts made.", stats.registrations),
    gauge("arona_accounts", "Accounts.", stats.accounts),
    gauge("arona_groups", "Groups, channels and direct conversations.", stats.groups),
    gauge("arona_mailboxes", "Devices with a mailbox in memory.", stats.mailboxes),
    gauge(
      "arona_mailbox_bytes",
      "Undelivered envelopes, one that is shared counted once.",
      stats.mailboxBytes,
    ),
    counter(
      "arona_mailboxes_collapsed_total",
      "Mailboxes that gave way to a gap marker.",
      stats.mailboxesCollapsed,
    ),
    gauge("arona_document_sequence", "Number of the discovery document.", document.sequence),
    gauge(
      "arona_document_expiry_seconds",
      "Time until the discovery document ends; it is renewed days before.",
      (document.expiresAtMs - status.nowMs) / 1_000,
    ),
    gauge(
      "arona_publisher_up",
      "Whether the newest document is published.",
      publisher === null ? [] : [
        { value: isPublished(publisher) ? 1 : 0 },
      ],
    ),
    counter(
      "arona_publish_failures_total",
      "Failed tries to publish the document.",
      publisher === null ? [] : [
        { value: publisher.failures ?? 0 },
      ],
    ),
    gauge(
      "arona_tunnel_up",
      "Whether the relay is reached through its tunnel.",
      tunnel === null ? [] : [
        { value: tunnel.up ? 1 : 0 },
      ],
    ),
    gauge("arona_data_bytes", "Files in the data folder.", status.dataBytes),
    counter(
      "arona_internal_errors_total",
      "Faults of the relay itself; its log has them.",
      stats.internalErrors,
    ),
    gauge(
      "arona_relay_answer_seconds",
      "How long the relay's event loop took to answer this question.",
      answerSeconds,
    ),
    gauge("process_resident_memory_bytes", "Memory of the whole process.", status.memoryBytes),
    counter("process_cpu_seconds_total", "CPU time of the whole process.", status.cpuSeconds),
  ];
}

function gauge(name: string, help: string, value: number | readonly Sample[]): Metric {
  return { name, type: "gauge", help, samples: samplesOf(value) };
}

function counter(name: string, help: string, value: number | readonly Sample[]): Metric {
  return { name, type: "counter", help, samples: samplesOf(value) };
}

function samplesOf(value: number | readonly Sample[]): readonly Sample[] {
  return typeof value === "number" ? [{ value }] : value;
}

/** The reasons are codes of the program, never a peer's text. */
function byReason(counts: Readonly<Partial<Record<string, number>>>): Sample[] {
  return Object.entries(counts).map(([reason, value]) => ({
    labels: { reason: reason.toLowerCase().replaceAll("-", "_") },
    value: value ?? 0,
  }));
}
