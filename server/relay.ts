/** A relay in one process: the composition of all its parts, the listener and the timers. */

import {
  acceptSecure,
  formatEndpoint,
  formatLink,
  type Listener,
  listenTcp,
  localHost,
  parseEndpoint,
  PROTOCOL_VERSION,
  type RelayGreeting,
  ReplayGuard,
  sleep,
  toBase64Url,
  toHex,
  type Transport,
} from "../proto/mod.ts";
import { Administration, type Subject, type SubjectResult } from "./administration.ts";
import { Admission } from "./admission.ts";
import { InProcessBus } from "./bus.ts";
import { countingLog, newCounters, type RelayCounters, tally } from "./counters.ts";
import { GroupDirectory } from "./group_directory.ts";
import { Leaves } from "./leaves.ts";
import { Logins } from "./logins.ts";
import { Linking } from "./linking.ts";
import {
  DRAIN_POLL_MS,
  DRAIN_TIMEOUT_MS,
  MAILBOX_LIFETIME_MS,
  MAINTENANCE_INTERVAL_MS,
  RETURN_BURST,
  RETURN_INTERVAL_MS,
  SWEEP_INTERVAL_MS,
} from "./limits.ts";
import type { RelayLog, RelayLogEvent } from "./log.ts";
import { RateLimiter } from "./rate_limit.ts";
import { Recipients } from "./recipients.ts";
import type { RelayOptions, RelayStats, RunningRelay } from "./relay_options.ts";
import { Registration } from "./registration.ts";
import { type DocumentContent, RelayIdentity } from "./relay_identity.ts";
import { Returns } from "./returns.ts";
import { changeLimits, DEFAULT_RELAY_LIMITS, type RelayLimits } from "./running_limits.ts";
import type { Services } from "./services.ts";
import { openSession, type Session } from "./session.ts";
import type { StoredBan, StoredGist } from "./store.ts";

/**
 * Starts a relay.
 *
 * @throws {AronaError} `UNREACHABLE` where it cannot listen, `BAD_DOCUMENT` for a name or an address that does not fit
 */
export async function startRelay(options: RelayOptions): Promise<RunningRelay> {
  options.signal?.throwIfAborted();
  const limits = changeLimits(DEFAULT_RELAY_LIMITS, { ...options.limits });
  const counters = newCounters();
  const log = countingLog(counters, quietly(options.log ?? (() => {})));
  const identity = await RelayIdentity.load({ ...options, log });
  const listener = options.listen === undefined ? null : listenTcp(options.listen);
  const relay = new Relay(options, { log, counters, limits, identity, listener });
  try {
    await relay.publish(options.publicAddresses ?? [], { name: options.name });
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
  readonly #administration: Administration;
  readonly #startedAtMs: number;
  readonly #replay = new ReplayGuard();
  readonly #boot: string;
  readonly #sessions = new Set<Session>();
  readonly #transports = new Set<Transport>();
  readonly #serving = new Set<Promise<void>>();
  readonly #timers = new Map<string, () => void>();
  #link = "";
  #draining: Promise<void> | null = null;
  /** In monotonic time. */
  #drainUntilMs = Infinity;
  #stopping: Promise<void> | null = null;
  readonly #onAbort = () => void this.stop();

  constructor(
    private readonly options: RelayOptions,
    private readonly parts: {
      log: RelayLog;
      counters: RelayCounters;
      limits: RelayLimits;
      identity: RelayIdentity;
      listener: Listener | null;
    },
  ) {
    const { identity, listener, limits } = parts;
    this.#startedAtMs = options.clock.now();
    this.address = listener === null ? "" : formatEndpoint(listener.address);
    this.fingerprint = toBase64Url(identity.fingerprint);
    this.#boot = toHex(options.crypto.randomBytes(8));
    this.#admission = new Admission({ perAddress: limits.maxPerIp, own: listener?.address.hostname });
    this.#services = createServices(options, parts);
    this.#administration = new Administration(this.#services, {
      admission: this.#admission,
      sessions: this.#sessions,
      limits,
    });
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get link(): string {
    return this.#link;
  }

  /** Begins to accept connections and to keep the house. */
  run(): void {
    const { log, listener } = this.parts;
    this.#expireMailboxes();
    if (listener !== null) this.#track(this.#acceptAll(listener));
    this.#every("sweep", SWEEP_INTERVAL_MS, () => {
      const nowMs = this.options.clock.monotonic();
      for (const session of this.#sessions) session.check(nowMs);
      this.options.mailboxes.tidy();
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
      ...structuredClone(counters),
      connections: this.#admission.connections,
      sessions: this.#sessions.size,
      accounts: store.accountCount(),
      groups: store.groupCount(),
      mailboxBytes: this.options.mailboxes.bytes,
      mailboxes: this.options.mailboxes.size,
      startedAtMs: this.#startedAtMs,
      document: this.parts.identity.documentState,
    };
  }

  createInvite(options?: { lifetimeMs?: number }): string {
    return this.#services.registration.createInvite(options);
  }

  setPublicAddresses(addresses: readonly string[]): Promise<void> {
    return this.publish(addresses);
  }

  setName(name: string): Promise<void> {
    return this.#publishAs({ name });
  }

  async setSources(sources: readonly string[]): Promise<void> {
    const { content } = this.parts.identity;
    if (sources.join() !== content.sources.join()) await this.#publishAs({ sources: [...sources] });
  }

  publishedGist(): StoredGist | null {
    return this.options.store.publishedGist();
  }

  savePublishedGist(gist: StoredGist): void {
    this.options.store.savePublishedGist(gist);
  }

  ban(subject: Subject): SubjectResult {
    return this.#administration.ban(subject);
  }

  unban(subject: Subject): SubjectResult {
    return this.#administration.unban(subject);
  }

  bans(): StoredBan[] {
    return this.options.store.bans();
  }

  kick(subject: Subject): SubjectResult {
    return this.#administration.kick(subject);
  }

  limits(): RelayLimits {
    return this.#administration.limits;
  }

  setLimits(change: Partial<RelayLimits>): RelayLimits {
    return this.#administration.setLimits({ ...change });
  }

  /** Signs a document for these addresses, and whatever else changes with them; none means where it listens. */
  async publish(addresses: readonly string[], change: Partial<DocumentContent> = {}): Promise<void> {
    const { listener } = this.parts;
    const own = listener === null
      ? []
      : [formatEndpoint({ ...listener.address, hostname: localHost(listener.address.hostname) })];
    const endpoints = addresses.length > 0 ? addresses : own;
    await this.#publishAs({ ...change, endpoints });
  }

  async #publishAs(change: Partial<DocumentContent>): Promise<void> {
    const { identity } = this.parts;
    await identity.publish(change);
    const { endpoints } = identity.content;
    this.#link = endpoints.length === 0
      ? ""
      : formatLink({ ...parseEndpoint(endpoints[0]), fingerprint: identity.fingerprint });
    this.#announce();
  }

  serve(transport: Transport): Promise<void> {
    return this.#track(this.#serve(transport));
  }

  drain({ withinMs = DRAIN_TIMEOUT_MS }: { withinMs?: number } = {}): Promise<void> {
    this.#drainUntilMs = Math.min(this.#drainUntilMs, this.options.clock.monotonic() + withinMs);
    this.#draining ??= this.#drain();
    return this.#draining;
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
    const place = this.#admit(transport);
    if (typeof place === "string") {
      transport.close();
      log({ type: "connection_refused", reason: place });
      return;
    }
    this.parts.counters.connectionsAccepted++;
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

  #admit(transport: Transport) {
    if (this.#draining !== null || this.#stopping !== null) return "stopping";
    return this.#admission.admit({
      remoteAddress: transport.remoteAddress,
      nowMs: this.options.clock.monotonic(),
      displace: () => {
        transport.close();
        this.parts.log({ type: "connection_refused", reason: "too_many_pending" });
      },
    });
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
      onRefused: (reason) => {
        const { counters } = this.parts;
        if (reason === "document") counters.documentsServed++;
        else tally(counters.handshakesFailed, reason);
      },
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
      name: this.parts.identity.content.name,
      powBits: registration.powBits(),
      inviteOnly: registration.inviteOnly,
      timeMs: this.options.clock.now(),
    };
  }

  async #maintain(): Promise<void> {
    this.#expireMailboxes();
    if (await this.parts.identity.maintain()) this.#announce();
  }

  #expireMailboxes(): void {
    this.options.mailboxes.expire(this.options.clock.now() - MAILBOX_LIFETIME_MS);
  }

  #announce(): void {
    try {
      this.options.onDocument?.(this.document());
    } catch (error) {
      this.parts.log({ type: "internal_error", where: "onDocument", error });
    }
  }

  /** What new messages bring meanwhile counts too: whoever goes on talking is told goodbye at the end of the time. */
  async #drain(): Promise<void> {
    const { clock } = this.options;
    const waiting = () => [...this.#sessions].reduce((sum, session) => sum + session.pending, 0);
    this.parts.listener?.close();
    this.parts.log({ type: "draining", sessions: this.#sessions.size, waiting: waiting() });
    while (this.#stopping === null && waiting() > 0 && clock.monotonic() < this.#drainUntilMs) {
      await sleep(clock, DRAIN_POLL_MS);
    }
    this.parts.log({ type: "drained", waiting: waiting() });
    await this.stop();
  }

  async #stop(): Promise<void> {
    this.options.signal?.removeEventListener("abort", this.#onAbort);
    this.parts.listener?.close();
    for (const cancel of this.#timers.values()) cancel();
    this.#services.leaves.stop();
    this.#services.returns.stop();
    this.#services.linking.stop();
    await Promise.allSettled([...this.#sessions].map((session) => session.shutDown()));
    for (const transport of this.#transports) transport.close();
    while (this.#serving.size > 0) await Promise.allSettled([...this.#serving]);
    this.#services.logins.stop();
    this.parts.log({ type: "stopped" });
  }

  #track(work: Promise<void>): Promise<void> {
    this.#serving.add(work);
    void work.finally(() => this.#serving.delete(work));
    return work;
  }

  /** Runs `action` again and again; what it throws is logged. */
  #every(name: string, intervalMs: number, action: () => void | Promise<void>): void {
    const run = async () => {
      try {
        await action();
      } catch (error) {
        this.parts.log({ type: "internal_error", where: name, error });
      }
    };
    const schedule = () => {
      const cancel = this.options.clock.schedule(intervalMs, () => {
        schedule();
        void run();
      });
      this.#timers.set(name, cancel);
    };
    schedule();
  }
}

function createServices(
  options: RelayOptions,
  { log, counters, limits }: { log: RelayLog; counters: RelayCounters; limits: RelayLimits },
): Services {
  const { store, crypto, clock, mailboxes } = options;
  const bus = options.bus ?? new InProcessBus();
  const recipients = new Recipients(mailboxes);
  const limiter = (perSecond: number, burst: number) => new RateLimiter(clock, { perSecond, burst });
  return {
    store,
    crypto,
    clock,
    log,
    bus,
    mailboxes,
    recipients,
    groups: new GroupDirectory(store, bus, recipients),
    leaves: new Leaves(clock),
    returns: new Returns(clock),
    logins: new Logins({ store, clock, log, crypto }),
    linking: new Linking({ clock, recipients }),
    registration: new Registration({ store, clock, crypto }, limits.registration),
    rates: {
      messages: limiter(limits.messagesPerSecond, limits.messageBurst),
      requests: limiter(limits.requestsPerSecond, limits.requestBurst),
      claims: limiter(limits.claimsPerMinute / 60, limits.claimsPerMinute),
      returns: limiter(1_000 / RETURN_INTERVAL_MS, RETURN_BURST),
    },
    counters,
  };
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
