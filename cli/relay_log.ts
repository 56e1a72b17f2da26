/** The relay's log as text lines on stderr, without anybody's identity. */

import { configure, dispose, getLogger, type LogLevel, type LogRecord } from "@logtape/logtape";
import type { RelayLimits, RelayLog, RelayLogEvent } from "../server/mod.ts";
import { describeFailure, oneLine } from "./failure.ts";

/** A log that writes, and its end. */
export interface RelayLogWriter {
  readonly log: RelayLog;
  close(): Promise<void>;
}

/**
 * Makes the log.
 *
 * @param write takes whole lines without their end
 */
export async function createRelayLog(
  level: LogLevel,
  write: (line: string) => void,
): Promise<RelayLogWriter> {
  await configure({
    reset: true,
    sinks: { stderr: (record) => write(formatRecord(record)) },
    loggers: [
      { category: "arona", sinks: ["stderr"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
  const logger = getLogger(["arona", "relay"]);
  return {
    log: (event) => {
      const [level, text] = describeEvent(event);
      logger[level](text.replaceAll("{", "{{").replaceAll("}", "}}"));
    },
    close: () => dispose(),
  };
}

/** Severity and text of an event. */
export function describeEvent(event: RelayLogEvent): ["debug" | "info" | "warning" | "error", string] {
  switch (event.type) {
    case "started":
      return ["info", `relay started, listening on ${event.address}`];
    case "stopped":
      return ["info", "relay stopped"];
    case "connection_refused":
      return ["debug", `connection refused: ${event.reason}`];
    case "session_started":
      return ["debug", event.registered ? "session started, new account" : "session started"];
    case "session_ended":
      return ["debug", `session ended: ${event.reason}${event.code ? ` (${event.code})` : ""}`];
    case "banned":
      return ["info", `${event.kind} banned, ${counted(event.sessions, "session")} ended`];
    case "unbanned":
      return ["info", `${event.kind} let in again`];
    case "kicked":
      return ["info", `${counted(event.sessions, "session")} ended by the operator`];
    case "limits_changed":
      return ["info", `limits are now ${limitsText(event.limits)}`];
    case "draining":
      return [
        "info",
        `relay is stopping: ${counted(event.sessions, "session")}, ${
          counted(event.waiting, "delivery", "deliveries")
        } on the way`,
      ];
    case "drained":
      return event.waiting === 0 ? ["debug", "everything is delivered"] : [
        "warning",
        `${
          counted(event.waiting, "delivery", "deliveries")
        } not acknowledged in time; senders send them again`,
      ];
    case "relay_key_rotated":
      return ["info", "relay key replaced"];
    case "document_signed":
      return ["debug", `discovery document ${event.sequence} signed`];
    case "mailbox_collapsed":
      return ["warning", "a mailbox was full of group changes: its device has to synchronise"];
    case "mailbox_disk_failed":
      return [
        "error",
        `mailboxes cannot be kept on disk: ${
          describeFailure(event.error).line
        }. They go on in memory; the disk is tried again`,
      ];
    case "mailbox_disk_restored":
      return ["info", "mailboxes are kept on disk again"];
    case "internal_error":
      return ["error", `internal error in ${event.where}: ${describeFailure(event.error).line}`];
  }
}

function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

function limitsText(limits: RelayLimits): string {
  return Object.entries(limits).map(([name, value]) => `${name} ${value}`).join(", ");
}

function formatRecord({ timestamp, level, message }: LogRecord): string {
  return `${new Date(timestamp).toISOString()} ${level} ${oneLine(message.join(""))}`;
}
