/**
 * What can be asked of a running relay: HTTP and JSON on a loopback port, with the token from control.json.
 *
 *     GET  /v1/status                          RelayStatus
 *     GET  /v1/bans                            { bans: [{ kind, subject, at }] }
 *     POST /v1/ban | unban | kick  { subject } { kind, subject, changed, sessions }
 *     GET  /v1/limits                          RelayLimits
 *     POST /v1/limits      { name: value, … }  RelayLimits
 *     POST /v1/reload                          ReloadReport
 *     POST /v1/drain          { withinMs? }    { drained: true }, at the end
 *
 * Errors are `{ error: { code, message } }` with a status of 400 and over.
 */

import type { RelayLimits, RelayStats, StoredBan, Subject, SubjectResult } from "../../server/mod.ts";

/** How the publishing of the document goes; null where the relay does not publish. */
export interface PublisherStatus {
  /** `idle`, `publishing`, `published`, `waiting` (for another try) or `failed` (for good). */
  readonly state: string;
  /** `gist:ID`, where there is one. */
  readonly source?: string;
  readonly sequence?: number;
  /** Tries that failed since the start. */
  readonly failures?: number;
  /** Where it publishes. */
  readonly api?: string;
  readonly reason?: string;
}

/** Whether a document is where it shall be; a newer one may be on its way there. */
export function isPublished({ state, sequence }: PublisherStatus): boolean {
  return state === "published" || (state === "publishing" && sequence !== undefined);
}

/** How the tunnel goes; null where there is none. */
export interface TunnelStatus {
  /** Whether the relay is reached through it. */
  readonly up: boolean;
  readonly address?: string;
  readonly reason?: string;
}

/** What a relay says of itself. Numbers only: nobody's name is in it. */
export interface RelayStatus {
  readonly version: string;
  readonly runtime: string;
  readonly pid: number;
  readonly address: string;
  readonly fingerprint: string;
  readonly link: string;
  readonly nowMs: number;
  readonly stats: RelayStats;
  readonly limits: RelayLimits;
  readonly mailbox: string;
  readonly publisher: PublisherStatus | null;
  readonly tunnel: TunnelStatus | null;
  /** Whether it is announced on the local network; null where it is not to be. */
  readonly lan: boolean | null;
  /** `host:port` of the metrics, or null. */
  readonly metrics: string | null;
  /** Files in the data folder. */
  readonly dataBytes: number;
  readonly memoryBytes: number;
  readonly cpuSeconds: number;
}

/** What came of reading the configuration again. */
export interface ReloadReport {
  /** Settings that are in force now. */
  readonly applied: readonly string[];
  /** Settings that have changed and need a restart. */
  readonly restart: readonly string[];
}

/** What serves the requests: the supervisor of a running relay. */
export interface ControlledRelay {
  status(): Promise<RelayStatus>;
  ban(subject: Subject): Promise<SubjectResult>;
  unban(subject: Subject): Promise<SubjectResult>;
  kick(subject: Subject): Promise<SubjectResult>;
  bans(): Promise<StoredBan[]>;
  limits(): Promise<RelayLimits>;
  /** @throws {AronaError} `BAD_REQUEST` */
  setLimits(change: Record<string, unknown>): Promise<RelayLimits>;
  /** @throws {CommandFailure} where the file does not fit; nothing has changed then */
  reload(): Promise<ReloadReport>;
  /** Resolves when the relay has stopped. */
  drain(options: { withinMs?: number }): Promise<void>;
}

/** Bytes of a request at most. */
export const MAX_CONTROL_BODY_BYTES = 4_096;
/** Where everything begins. */
export const CONTROL_ROOT = "/v1/";
