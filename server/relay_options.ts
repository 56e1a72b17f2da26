/** What a relay is started with, and what a running one can do. */

import type { Clock, CryptoProvider, Transport } from "../proto/mod.ts";
import type { Bus } from "./bus.ts";
import type { RelayLog } from "./log.ts";
import type { MailboxStore } from "./mailbox.ts";
import type { Subject, SubjectResult } from "./administration.ts";
import type { RelayCounters } from "./counters.ts";
import type { RelayLimits } from "./running_limits.ts";
import type { RelayStore, StoredBan, StoredGist } from "./store.ts";

/** Options of `startRelay`. */
export interface RelayOptions {
  /** Where to listen; port 0 lets the system choose. Without it connections come through {@link RunningRelay.serve} only. */
  readonly listen?: { readonly hostname: string; readonly port: number };
  /** Stays the caller's: close it after {@link RunningRelay.stop}. */
  readonly store: RelayStore;
  /** The same. */
  readonly mailboxes: MailboxStore;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** For people; at most 64 characters. */
  readonly name: string;
  /** `host:port` as clients reach it. @default where it listens */
  readonly publicAddresses?: readonly string[];
  /** Limits that differ from {@link DEFAULT_RELAY_LIMITS}. */
  readonly limits?: Partial<RelayLimits>;
  /** @default an in-process one */
  readonly bus?: Bus;
  readonly log?: RelayLog;
  /** Called with each new discovery document. */
  readonly onDocument?: (document: Uint8Array) => void;
  /** Stops the relay. */
  readonly signal?: AbortSignal;
}

/** Counts for people and metrics. */
export interface RelayStats extends Readonly<RelayCounters> {
  readonly connections: number;
  /** Connections that are logged in. */
  readonly sessions: number;
  readonly accounts: number;
  readonly groups: number;
  /** Bytes waiting in mailboxes. */
  readonly mailboxBytes: number;
  /** Devices with a mailbox in memory. */
  readonly mailboxes: number;
  readonly startedAtMs: number;
  /** The current discovery document. */
  readonly document: { readonly sequence: number; readonly expiresAtMs: number };
}

/** A relay that runs. */
export interface RunningRelay {
  /** `host:port` where it listens; empty where it does not. */
  readonly address: string;
  /** SHA-256 of its identity key, 43 characters of base64url, as in the link. */
  readonly fingerprint: string;
  /** The link for its first address; it changes with {@link setPublicAddresses}. */
  readonly link: string;
  /** The signed discovery document's bytes. */
  document(): Uint8Array;
  stats(): RelayStats;
  /** A code that lets one new account in. @param options.lifetimeMs @default INVITE_LIFETIME_MS */
  createInvite(options?: { lifetimeMs?: number }): string;
  /** Publishes other addresses, for example a tunnel's. */
  setPublicAddresses(addresses: readonly string[]): Promise<void>;
  /** Serves a connection that came another way; resolves at its end and never throws. */
  serve(transport: Transport): Promise<void>;
  /** Calls itself something else from now on. */
  setName(name: string): Promise<void>;
  /** Says in its document where newer ones will be, in the form of `formatSource()`. @throws {AronaError} `BAD_DOCUMENT` */
  setSources(sources: readonly string[]): Promise<void>;
  /** The Gist that its document was published in last, over all starts. */
  publishedGist(): StoredGist | null;
  savePublishedGist(gist: StoredGist): void;
  /** Keeps somebody out from now on, over restarts too, and ends their sessions. */
  ban(subject: Subject): SubjectResult;
  unban(subject: Subject): SubjectResult;
  /** Oldest first. */
  bans(): StoredBan[];
  /** Ends somebody's sessions; they may come back. */
  kick(subject: Subject): SubjectResult;
  limits(): RelayLimits;
  /** Changes limits until the relay stops. @throws {AronaError} `BAD_REQUEST` */
  setLimits(change: Partial<RelayLimits>): RelayLimits;
  /**
   * Lets nobody new in, gives connected devices what waits for them, then {@link stop}s. Said again it can only become shorter.
   *
   * @param options.withinMs how long at most. @default DRAIN_TIMEOUT_MS
   */
  drain(options?: { withinMs?: number }): Promise<void>;
  /** Says goodbye to everybody and closes. Safe to call again. */
  stop(): Promise<void>;
}
