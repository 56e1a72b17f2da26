/** A relay in one process: the composition of all its parts, the listener and the timers. */

import {
  acceptSecure,
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
import { InProcessBus } from "./bus.ts";
import { GroupDirectory } from "./group_directory.ts";
import { Leaves } from "./leaves.ts";
import { Logins } from "./logins.ts";
import { Linking } from "./linking.ts";
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
import { RateLimiter } from "./rate_limit.ts";
import { Recipients } from "./recipients.ts";
import type { RelayOptions, RelayStats, RunningRelay } from "./relay_options.ts";
import { Registration } from "./registration.ts";
import { RelayIdentity } from "./relay_identity.ts";
import { Returns } from "./returns.ts";
import type { Services } from "./services.ts";
import { openSession, type Session } from "./session.ts";

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
    mailboxes,
    recipients,
    groups: new GroupDirectory(store, bus, recipients),
    leaves: new Leaves(clock),
    returns: new Returns(clock),
    logins: new Logins({ store, clock, log }),
    linking: new Linking({ clock, recipients }),
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
