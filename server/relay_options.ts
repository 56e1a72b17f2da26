/** What a relay is started with, and what a running one can do. */

import type { Clock, CryptoProvider, Transport } from "../proto/mod.ts";
import type { Bus } from "./bus.ts";
import type { RelayLog } from "./log.ts";
import type { MailboxStore } from "./mailbox.ts";
import type { RelayCounters } from "./services.ts";
import type { RelayStore } from "./store.ts";

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
  /** @default false */
  readonly inviteOnly?: boolean;
  /** Connections from one address; 0 for any number. @default MAX_CONNECTIONS_PER_ADDRESS */
  readonly maxPerIp?: number;
  /** Rates for each account, for load tests and large relays. */
  readonly rates?: { readonly messagesPerSecond?: number; readonly messageBurst?: number };
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
  /** A code that lets one new account in. */
  createInvite(): string;
  /** Publishes other addresses, for example a tunnel's. */
  setPublicAddresses(addresses: readonly string[]): Promise<void>;
  /** Serves a connection that came another way; resolves at its end and never throws. */
  serve(transport: Transport): Promise<void>;
  /** Says goodbye to everybody and closes. Safe to call again. */
  stop(): Promise<void>;
}
