/** The log of `arona serve` on stderr, as text or as one JSON object a line, without anybody's identity. */

import { configure, dispose, getLogger, type LogRecord } from "@logtape/logtape";
import type { RelayLimits, RelayLog, RelayLogEvent } from "../server/mod.ts";
import { describeFailure, oneLine } from "./failure.ts";
import { toJsonLine } from "./output.ts";

/** How bad it is; what is less than the log's level is left out. */
export type LogSeverity = "debug" | "info" | "warning" | "error";
/** How a line looks. */
export type LogFormat = "text" | "json";

const SEVERITIES: readonly string[] = ["debug", "info", "warning", "error", "fatal"];

/** A log that writes, and its end. */
export interface RelayLogWriter {
  /** Takes what the relay reports. */
  readonly log: RelayLog;
  /** Says something else: `event` names its kind for programs. */
  say(severity: LogSeverity, event: string, text: string): void;
  /** Another level from now on. */
  setLevel(level: LogSeverity): void;
  close(): Promise<void>;
}

/**
 * Makes the log.
 *
 * @param write takes whole lines without their end
 * @param options.format @default "text"
 */
export async function createRelayLog(
  level: LogSeverity,
  write: (line: string) => void,
  { format = "text" }: { format?: LogFormat } = {},
): Promise<RelayLogWriter> {
  let least = level;
  const formatted = format === "json" ? jsonRecord : textRecord;
  await configure({
    reset: true,
    sinks: { stderr: (record) => write(formatted(record)) },
    filters: { level: (record) => SEVERITIES.indexOf(record.level) >= SEVERITIES.indexOf(least) },
    loggers: [
      { category: "arona", sinks: ["stderr"], filters: ["level"], lowestLevel: "debug" },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
  const logger = getLogger(["arona", "relay"]);
  const put = (severity: LogSeverity, text: string, fields: Record<string, unknown>) =>
    logger[severity](text.replaceAll("{", "{{").replaceAll("}", "}}"), fields);
  return {
    log: (event) => put(...describeEvent(event), fieldsOf(event)),
    say: (severity, event, text) => put(severity, text, { event }),
    setLevel: (level) => least = level,
    close: () => dispose(),
  };
}

/** Severity and text of an event. */
export function describeEvent(event: RelayLogEvent): [LogSeverity, string] {
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

/** An event for programs: its type as `event`, what else it says, an error as one line. */
function fieldsOf({ type, ...fields }: RelayLogEvent): Record<string, unknown> {
  return "error" in fields
    ? { event: type, ...fields, error: describeFailure(fields.error).line }
    : { event: type, ...fields };
}

function jsonRecord({ timestamp, level, message, properties }: LogRecord): string {
  const time = new Date(timestamp).toISOString();
  return toJsonLine({ time, level, ...properties, message: oneLine(message.join("")) });
}

function textRecord({ timestamp, level, message }: LogRecord): string {
  return `${new Date(timestamp).toISOString()} ${level} ${oneLine(message.join(""))}`;
}
