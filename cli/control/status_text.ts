/** A relay's status for people, and as the one JSON object that scripts read. */

import type { RelayStatus } from "./protocol.ts";

/** The object that `arona status --json` prints. Its fields stay; more may come. */
export function statusObject(status: RelayStatus, freeBytes: number | null): Record<string, unknown> {
  const { stats, limits, publisher, tunnel, lan } = status;
  const { document, startedAtMs, ...counts } = stats;
  return {
    type: "Status",
    version: status.version,
    runtime: status.runtime,
    pid: status.pid,
    address: status.address,
    fingerprint: status.fingerprint,
    link: status.link,
    startedAt: iso(startedAtMs),
    uptimeS: Math.max(0, Math.round((status.nowMs - startedAtMs) / 1_000)),
    ...counts,
    document: { sequence: document.sequence, expiresAt: iso(document.expiresAtMs) },
    mailbox: status.mailbox,
    limits,
    publisher,
    tunnel,
    lan,
    metrics: status.metrics,
    disk: { dataBytes: status.dataBytes, freeBytes },
    memoryBytes: status.memoryBytes,
    cpuS: status.cpuSeconds,
  };
}

/** Lines for a person. */
export function statusLines(status: RelayStatus, freeBytes: number | null): string[] {
  const { stats, limits, publisher, tunnel } = status;
  const { document } = stats;
  return [
    row("relay", `arona ${status.version} (${status.runtime}), process ${status.pid}`),
    row("address", status.address),
    row("link", status.link),
    row("up", span((status.nowMs - stats.startedAtMs) / 1_000)),
    row("people", `${stats.accounts} accounts, ${stats.sessions} devices here, ${stats.groups} groups`),
    row(
      "messages",
      `${stats.accepted} accepted, ${stats.delivered} deliveries stored, ${stats.refused} refused`,
    ),
    row(
      "mailboxes",
      `${size(stats.mailboxBytes)} waiting, kept ${status.mailbox === "disk" ? "on disk" : "in memory"}`,
    ),
    row(
      "document",
      `number ${document.sequence}, good for ${
        span((document.expiresAtMs - status.nowMs) / 1_000)
      } (renewed before)`,
    ),
    row("publisher", publisher === null ? "off" : publisherText(publisher)),
    row(
      "tunnel",
      tunnel === null ? "off" : tunnel.up ? `up: ${tunnel.address ?? "?"}` : `down: ${tunnel.reason ?? "?"}`,
    ),
    row("metrics", status.metrics === null ? "off" : `http://${status.metrics}/metrics`),
    row("disk", `${size(status.dataBytes)} used${freeBytes === null ? "" : `, ${size(freeBytes)} free`}`),
    row("memory", size(status.memoryBytes)),
    row(
      "limits",
      `${limits.messagesPerSecond} messages/s, ${limits.messageBurst} at once, ` +
        `${
          limits.maxPerIp === 0 ? "any number of" : limits.maxPerIp
        } connections an address, registration ${limits.registration}`,
    ),
  ];
}

/** `3 d 4 h`, `5 min`, `12 s`: the two largest units. */
export function span(seconds: number): string {
  const units: readonly [string, number][] = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  let rest = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  for (const [name, size] of units.slice(first, first + 2)) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n} ${name}`);
  }
  return parts.join(" ");
}

/** `1.2 MB`. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function publisherText({ state, source, sequence, reason }: NonNullable<RelayStatus["publisher"]>): string {
  return [state, source, sequence === undefined ? undefined : `number ${sequence}`, reason].filter(Boolean)
    .join(", ");
}

function row(name: string, text: string): string {
  return `${name.padEnd(12)} ${text}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
