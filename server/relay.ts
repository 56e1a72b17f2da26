/** A relay in one process: the composition of all its parts, the listener and the timers. */

import {
  acceptSecure,
  type Clock,
  type CryptoProvider,
  formatEndpoint,
  formatLink,
  type Listener,
  listenTcp,
  parseEndpoint,
  PROTOCOL_VERSION,
  type RelayGreeting,
  ReplayGuard,
  toBase64Url,
  toHex,
  type Transport,
} from "../proto/mod.ts";
import { Admission } from "./admission.ts";
import { type Bus, InProcessBus } from "./bus.ts";
import { GroupDirectory } from "./group_directory.ts";
import { Leaves } from "./leaves.ts";
import {
  CLAIMS_PER_MINUTE,
  MAILBOX_LIFETIME_MS,
  MAINTENANCE_INTERVAL_MS,
  MESSAGE_BURST,
  MESSAGES_PER_SECOND,
  REQUEST_BURST,
  REQUESTS_PER_SECOND,
  SWEEP_INTERVAL_MS,
} from "./limits.ts";
import type { RelayLog, RelayLogEvent } from "./log.ts";
import type { MailboxStore } from "./mailbox.ts";
import { RateLimiter } from "./rate_limit.ts";
import { Recipients } from "./recipients.ts";
import { Registration } from "./registration.ts";
import { RelayIdentity } from "./relay_identity.ts";
import type { RelayCounters, Services } from "./services.ts";
import { openSession, type Session } from "./session.ts";
import type { RelayStore } from "./store.ts";

/** Options of {@link startRelay}. */
export interface RelayOptions {
  /** Where to listen; port 0 lets the system choose. Without it connections come through {@link RunningRelay.serve} only. */
  readonly listen?: { readonly hostname: string; readonly port: number };
  /** Stays the caller's: close it after {@link RunningRelay.stop}. */
  readonly store: RelayStore;
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

/**
 * Starts a relay.
 *
 * @throws {AronaError} `UNREACHABLE` where it cannot listen, `BAD_DOCUMENT` for a name or an address that does not fit
 */
export async function startRelay(options: RelayOptions): Promise<RunningRelay> {
  options.signal?.throwIfAborted();
  const log = quietly(options.log ?? (() => {}));
  const identity = await RelayIdentity.load({ ...options, log });
  const listener = options.listen === undefined ? null : listenTcp(options.listen);
  const relay = new Relay(options, { log, identity, listener });
  try {
    await relay.publish(options.publicAddresses ?? []);
    options.signal?.throwIfAborted();
  } catch (error) {
    await relay.stop();
    throw error;
  }
  relay.run();
  return relay;
}

class Relay implements RunningRelay {
  readonly address: string;
  readonly fingerprint: string;
  readonly #services: Services;
  readonly #admission: Admission;
  readonly #replay = new ReplayGuard();
  readonly #boot: string;
  readonly #sessions = new Set<Session>();
  readonly #transports = new Set<Transport>();
  readonly #serving = new Set<Promise<void>>();
  readonly #timers = new Map<string, () => void>();
  #link = "";
  #stopping: Promise<void> | null = null;
  readonly #onAbort = () => void this.stop();

  constructor(
    private readonly options: RelayOptions,
    private readonly parts: { log: RelayLog; identity: RelayIdentity; listener: Listener | null },
  ) {
    const { identity, listener } = parts;
    this.address = listener === null ? "" : formatEndpoint(listener.address);
    this.fingerprint = toBase64Url(identity.fingerprint);
    this.#boot = toHex(options.crypto.randomBytes(8));
    this.#admission = new Admission({ perAddress: options.maxPerIp });
    this.#services = createServices(options, parts.log);
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get link(): string {
    return this.#link;
  }

  /** Begins to accept connections and to keep the house. */
  run(): void {
    const { log, listener } = this.parts;
    if (listener !== null) this.#track(this.#acceptAll(listener));
    this.#every("sweep", SWEEP_INTERVAL_MS, () => {
      const nowMs = this.options.clock.monotonic();
      for (const session of this.#sessions) session.check(nowMs);
    });
    this.#every("maintenance", MAINTENANCE_INTERVAL_MS, () => this.#maintain());
    log({ type: "started", address: this.address, fingerprint: this.fingerprint });
  }

  document(): Uint8Array {
    return this.parts.identity.document;
  }

  stats(): RelayStats {
    const { store, counters } = this.#services;
    return {
      ...counters,
      connections: this.#admission.connections,
      sessions: this.#sessions.size,
      accounts: store.accountCount(),
      groups: store.groupCount(),
      mailboxBytes: this.options.mailboxes.bytes,
    };
  }

  createInvite(): string {
    return this.#services.registration.createInvite();
  }

  setPublicAddresses(addresses: readonly string[]): Promise<void> {
    return this.publish(addresses);
  }

  /** Signs a document for these addresses; none means where it listens. */
  async publish(addresses: readonly string[]): Promise<void> {
    const { identity, listener } = this.parts;
    const own = listener === null
      ? []
      : [formatEndpoint({ ...listener.address, hostname: reachable(listener) })];
    const endpoints = addresses.length > 0 ? addresses : own;
    await identity.publish({ name: this.options.name, endpoints });
    this.#link = endpoints.length === 0
      ? ""
      : formatLink({ ...parseEndpoint(endpoints[0]), fingerprint: identity.fingerprint });
    this.#announce();
  }

  serve(transport: Transport): Promise<void> {
    return this.#track(this.#serve(transport));
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #acceptAll(listener: Listener): Promise<void> {
    try {
      for await (const transport of listener.accept) void this.serve(transport);
    } catch (error) {
      this.parts.log({ type: "internal_error", where: "accept", error });
    }
  }

  async #serve(transport: Transport): Promise<void> {
    const { log } = this.parts;
    const place = this.#stopping === null ? this.#admission.admit(transport.remoteAddress) : "stopping";
    if (typeof place === "string") {
      transport.close();
      log({ type: "connection_refused", reason: place });
      return;
    }
    this.#transports.add(transport);
    try {
      await this.#runConnection(transport, () => place.authenticated());
    } catch (error) {
      log({ type: "internal_error", where: "connection", error });
    } finally {
      transport.close();
      this.#transports.delete(transport);
      place.release();
    }
  }

  async #runConnection(transport: Transport, onAuthenticated: () => void): Promise<void> {
    const { log, identity } = this.parts;
    const { crypto, clock } = this.options;
    // One greeting for each connection: the work that was asked for in M2 is the work that AUTH checks.
    let greeting: RelayGreeting | undefined;
    const connection = await acceptSecure({
      transport,
      crypto,
      clock,
      relay: identity,
      greeting: () => greeting ??= this.#greeting(),
      document: () => identity.document,
      replay: this.#replay,
    });
    if (connection === null) return;
    const opened = await openSession(this.#services, connection);
    if (!("session" in opened)) return log({ type: "session_ended", ...opened });
    const { session, pending } = opened;
    onAuthenticated();
    this.#sessions.add(session);
    log({ type: "session_started", registered: session.registered });
    try {
      if (this.#stopping !== null) await session.shutDown();
      log({ type: "session_ended", ...await session.run(pending) });
    } finally {
      this.#sessions.delete(session);
    }
  }

  #greeting(): RelayGreeting {
    const { registration } = this.#services;
    return {
      version: PROTOCOL_VERSION,
      boot: this.#boot,
      name: this.options.name,
      powBits: registration.powBits(),
      inviteOnly: registration.inviteOnly,
      timeMs: this.options.clock.now(),
    };
  }

  async #maintain(): Promise<void> {
    this.options.mailboxes.expire(this.options.clock.now() - MAILBOX_LIFETIME_MS);
    if (await this.parts.identity.maintain()) this.#announce();
  }

  #announce(): void {
    try {
      this.options.onDocument?.(this.document());
    } catch (error) {
      this.parts.log({ type: "internal_error", where: "onDocument", error });
    }
  }

  async #stop(): Promise<void> {
    this.options.signal?.removeEventListener("abort", this.#onAbort);
    this.parts.listener?.close();
    for (const cancel of this.#timers.values()) cancel();
    this.#services.leaves.stop();
    await Promise.allSettled([...this.#sessions].map((session) => session.shutDown()));
    for (const transport of this.#transports) transport.close();
    while (this.#serving.size > 0) await Promise.allSettled([...this.#serving]);
    this.parts.log({ type: "stopped" });
  }

  #track(work: Promise<void>): Promise<void> {
    this.#serving.add(work);
    void work.finally(() => this.#serving.delete(work));
    return work;
  }

  /** Runs `action` again and again; what it throws is logged. */
  #every(name: string, intervalMs: number, action: () => void | Promise<void>): void {
    const again = async () => {
      try {
        await action();
      } catch (error) {
        this.parts.log({ type: "internal_error", where: name, error });
      }
      if (this.#stopping === null) schedule();
    };
    const schedule = () =>
      this.#timers.set(name, this.options.clock.schedule(intervalMs, () => void again()));
    schedule();
  }
}

function createServices(options: RelayOptions, log: RelayLog): Services {
  const { store, crypto, clock, mailboxes, rates } = options;
  const bus = options.bus ?? new InProcessBus();
  const recipients = new Recipients(mailboxes);
  const limiter = (perSecond: number, burst: number) => new RateLimiter(clock, { perSecond, burst });
  return {
    store,
    crypto,
    clock,
    log,
    bus,
    recipients,
    groups: new GroupDirectory(store, bus, recipients),
    leaves: new Leaves(clock),
    registration: new Registration({ store, clock, crypto }, options.inviteOnly ?? false),
    rates: {
      messages: limiter(
        rates?.messagesPerSecond ?? MESSAGES_PER_SECOND,
        rates?.messageBurst ?? MESSAGE_BURST,
      ),
      requests: limiter(REQUESTS_PER_SECOND, REQUEST_BURST),
      claims: limiter(CLAIMS_PER_MINUTE / 60, CLAIMS_PER_MINUTE),
    },
    counters: { accepted: 0, queued: 0, delivered: 0, refused: 0 },
  };
}

/** A listener on every address is reached from here through loopback; elsewhere by an address that the caller publishes. */
function reachable({ address: { hostname } }: Listener): string {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  return hostname === "::" ? "::1" : hostname;
}

/** A log that throws must not end anything. */
function quietly(log: RelayLog): RelayLog {
  return (event: RelayLogEvent) => {
    try {
      log(event);
    } catch {
      // There is no better place to report it.
    }
  };
}
