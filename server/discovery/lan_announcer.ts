/**
 * Announces a relay on the local network: probes for its name, announces, answers, says goodbye (RFC 6762 sections 6, 8 and 10).
 *
 *     probing ──250 ms, three times──▸ announced ──asked──▸ answer to everybody, once a second and interface at most
 *        ▲                                 │
 *        └── somebody else has the name ◂──┘
 *
 * It answers to the group only, never to one address, and only who is in the same network: nobody can aim its answers at somebody.
 */

import {
  type Clock,
  type Datagram,
  decodeDnsMessage,
  type DnsMessage,
  type DnsRecord,
  encodeDnsMessage,
  isAronaError,
  type LanInterface,
  MDNS_PORT,
  type MulticastSocket,
} from "../../proto/mod.ts";
import {
  LAN_ANSWER_INTERVAL_MS,
  LAN_CONFLICT_DELAY_MS,
  LAN_DEFENCE_INTERVAL_MS,
  LAN_PACKETS_PER_SECOND,
  MAX_LAN_CONFLICTS,
} from "../limits.ts";
import { RateLimiter } from "../rate_limit.ts";
import { LanRecords, type LanRelay, networkOf } from "./lan_records.ts";

/** What an announcer reports. */
export type LanAnnouncerEvent =
  /** The relay is announced under this name, on these interfaces. */
  | { readonly type: "announced"; readonly name: string; readonly interfaces: readonly string[] }
  /** Somebody else has the name. */
  | { readonly type: "renamed"; readonly name: string }
  /** It cannot be announced on an interface, or not at all; said once until it works again. */
  | { readonly type: "failed"; readonly reason: string };

/** Options of {@link startLanAnnouncer}. */
export interface LanAnnouncerOptions {
  readonly relay: LanRelay;
  /** Open; closed in the end. */
  readonly socket: MulticastSocket;
  readonly interfaces: readonly LanInterface[];
  readonly clock: Clock;
  /** A number from 0 up to 1, so that not everybody speaks at once. @default Math.random */
  readonly random?: () => number;
  /** @default ignores them */
  readonly onEvent?: (event: LanAnnouncerEvent) => void;
}

/** A relay's presence on the local network. */
export interface LanAnnouncer {
  /** Tells of interfaces that came or went, or of another name of the relay. */
  update(change: { interfaces?: readonly LanInterface[]; name?: string }): Promise<void>;
  /** Takes everything back that was said, and closes the socket. Safe to call again. */
  stop(): Promise<void>;
}

const PROBES = 3;
const PROBE_INTERVAL_MS = 250;
const ANNOUNCEMENTS = 2;
/** Who loses against another probe waits for so long. */
const DEFER_MS = 1_000;
const ANSWER_DELAY_MS = [20, 120] as const;

/** Begins to announce. It never throws: what does not work is an event. */
export function startLanAnnouncer(options: LanAnnouncerOptions): LanAnnouncer {
  const announcer = new Announcer(options);
  announcer.start();
  return announcer;
}

/** What goes out through one interface. */
interface Way {
  /** By the monotonic clock. */
  sentMs: number;
  /** An answer that waits for its time. */
  waiting: { readonly atMs: number; readonly cancel: () => void } | null;
  /** Records to put into it, beside the usual. */
  listing: DnsRecord | null;
  failed: boolean;
}

class Announcer implements LanAnnouncer {
  readonly #options: LanAnnouncerOptions;
  readonly #packets: RateLimiter;
  readonly #ways = new Map<string, Way>();
  #interfaces: readonly LanInterface[];
  #relay: LanRelay;
  #records: LanRecords;
  #attempt = 0;
  #conflicts = 0;
  /** What was heard of the name before the first probe says nothing: who has it will say so then. */
  #phase: "waiting" | "probing" | "announced" | "stopped" = "waiting";
  #cancelStep = () => {};
  #received: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | null = null;

  constructor(options: LanAnnouncerOptions) {
    this.#options = options;
    this.#interfaces = options.interfaces;
    this.#relay = options.relay;
    this.#records = new LanRecords(this.#relay, 0);
    this.#packets = new RateLimiter(options.clock, {
      perSecond: LAN_PACKETS_PER_SECOND,
      burst: LAN_PACKETS_PER_SECOND,
      maxEntries: 1,
    });
  }

  start(): void {
    this.#received = this.#receive();
    void this.#begin();
  }

  async update(change: { interfaces?: readonly LanInterface[]; name?: string }): Promise<void> {
    const { interfaces = this.#interfaces, name = this.#relay.name } = change;
    if (this.#phase === "stopped") return;
    if (name !== this.#relay.name) {
      const goodbye = this.#phase === "announced" ? this.#sayGoodbye() : Promise.resolve();
      this.#relay = { ...this.#relay, name };
      this.#attempt = 0;
      this.#records = new LanRecords(this.#relay, 0);
      await goodbye;
    }
    this.#interfaces = interfaces;
    const present = new Set(interfaces.map(({ name }) => name));
    for (const [name, way] of this.#ways) {
      if (present.has(name)) continue;
      way.waiting?.cancel();
      this.#ways.delete(name);
    }
    await this.#begin(); // neighbours may be others now (RFC 6762 section 8.4)
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#end();
  }

  async #end(): Promise<void> {
    const { socket } = this.#options;
    const wasAnnounced = this.#phase === "announced";
    this.#phase = "stopped";
    this.#cancelStep();
    for (const { waiting } of this.#ways.values()) waiting?.cancel();
    if (wasAnnounced) await this.#sayGoodbye();
    socket.close();
    await this.#received;
  }

  #sayGoodbye(): Promise<void> {
    return this.#toAll((network) => ({
      kind: "response",
      answers: this.#records.on(network).map((record) => ({ ...record, ttlSeconds: 0 })),
    }));
  }

  async #begin(): Promise<void> {
    this.#phase = "waiting";
    this.#cancelStep();
    const failed = await this.#options.socket.join(this.#interfaces);
    for (const network of failed) this.#fail(network, `Cannot listen on ${network.name}`);
    if (this.#phase === "waiting") this.#probeIn(this.#random() * PROBE_INTERVAL_MS);
  }

  #probeIn(delayMs: number): void {
    this.#phase = "waiting";
    this.#step(delayMs, () => this.#probe(0));
  }

  #probe(done: number): void {
    if (done === PROBES) return this.#announce(0);
    this.#phase = "probing";
    const questions = this.#records.probes;
    void this.#toAll((network) => ({
      kind: "query",
      questions,
      authorities: this.#records.claims(network),
    }));
    this.#step(PROBE_INTERVAL_MS, () => this.#probe(done + 1));
  }

  #announce(done: number): void {
    const networks = this.#networks();
    for (const network of networks) void this.#answer(network);
    if (done === 0) {
      this.#phase = "announced";
      this.#tell({
        type: "announced",
        name: this.#records.instance[0],
        interfaces: networks.map(({ name }) => name),
      });
    }
    if (done + 1 < ANNOUNCEMENTS) this.#step(LAN_ANSWER_INTERVAL_MS, () => this.#announce(done + 1));
    else this.#conflicts = 0;
  }

  async #receive(): Promise<void> {
    try {
      for await (const datagram of this.#options.socket) this.#hear(datagram);
    } catch (error) {
      if (this.#phase === "stopped") return;
      this.#tell({ type: "failed", reason: (error as Error).message });
      this.#phase = "stopped";
      this.#cancelStep();
    }
  }

  #hear({ bytes, hostname, port }: Datagram): void {
    if (this.#phase === "stopped" || port !== MDNS_PORT) return; // who sends from elsewhere wants an answer of its own
    const network = networkOf(hostname, this.#interfaces);
    if (network === undefined || this.#packets.take("") > 0) return;
    let message: DnsMessage;
    try {
      message = decodeDnsMessage(bytes);
    } catch (error) {
      if (isAronaError(error)) return;
      throw error;
    }
    const isOwn = this.#interfaces.some(({ addresses }) =>
      addresses.some(({ address }) => address === hostname)
    );
    if (message.kind === "query") this.#onQuery(message, { network, isOwn });
    else if (!isOwn && this.#records.isContradictedBy(message, this.#interfaces)) this.#onConflict();
  }

  #onQuery(message: DnsMessage, { network, isOwn }: { network: LanInterface; isOwn: boolean }): void {
    const isClaimed = this.#records.isClaimedBy(message);
    if (isClaimed && isOwn) return; // our own probe
    if (this.#phase === "probing" && isClaimed && this.#records.losesTo(message, network)) {
      this.#probeIn(DEFER_MS);
    }
    if (this.#phase !== "announced") return;
    const listing = this.#records.listing(message);
    if (listing === null && !this.#records.isAskedBy(message)) return;
    const way = this.#way(network);
    way.listing = listing ?? way.listing;
    this.#answerSoon(network, isClaimed ? LAN_DEFENCE_INTERVAL_MS : LAN_ANSWER_INTERVAL_MS);
  }

  /** A name is given up only where another holds it against a probe. */
  #onConflict(): void {
    if (this.#phase === "waiting") return;
    this.#conflicts++;
    if (this.#phase === "probing") {
      this.#attempt++;
      this.#records = new LanRecords(this.#relay, this.#attempt);
      this.#tell({ type: "renamed", name: this.#records.instance[0] });
    }
    const isTooMany = this.#conflicts > MAX_LAN_CONFLICTS;
    this.#probeIn(isTooMany ? LAN_CONFLICT_DELAY_MS : this.#random() * PROBE_INTERVAL_MS);
  }

  #answerSoon(network: LanInterface, intervalMs: number): void {
    const { clock } = this.#options;
    const way = this.#way(network);
    const [least, most] = ANSWER_DELAY_MS;
    const nowMs = clock.monotonic();
    const atMs = Math.max(nowMs + least + this.#random() * (most - least), way.sentMs + intervalMs);
    if (way.waiting !== null && way.waiting.atMs <= atMs) return;
    way.waiting?.cancel();
    const cancel = clock.schedule(atMs - nowMs, () => {
      way.waiting = null;
      if (this.#phase === "announced") void this.#answer(network);
    });
    way.waiting = { atMs, cancel };
  }

  #answer(network: LanInterface): Promise<void> {
    const way = this.#way(network);
    const answers = [...this.#records.on(network), ...way.listing === null ? [] : [way.listing]];
    way.listing = null;
    way.sentMs = this.#options.clock.monotonic();
    return this.#send(network, { kind: "response", answers });
  }

  async #toAll(
    message: (network: LanInterface) => Partial<DnsMessage> & Pick<DnsMessage, "kind">,
  ): Promise<void> {
    await Promise.all(this.#networks().map((network) => this.#send(network, message(network))));
  }

  /** Where there is something to announce. */
  #networks(): LanInterface[] {
    return this.#interfaces.filter((network) => this.#records.on(network).length > 0);
  }

  async #send(network: LanInterface, message: Partial<DnsMessage> & Pick<DnsMessage, "kind">): Promise<void> {
    try {
      await this.#options.socket.send(encodeDnsMessage(message), network);
      this.#way(network).failed = false;
    } catch (error) {
      this.#fail(network, (error as Error).message);
    }
  }

  #fail(network: LanInterface, reason: string): void {
    const way = this.#way(network);
    if (!way.failed && this.#phase !== "stopped") this.#tell({ type: "failed", reason });
    way.failed = true;
  }

  #way({ name }: LanInterface): Way {
    let way = this.#ways.get(name);
    if (way === undefined) {
      way = { sentMs: -Infinity, waiting: null, listing: null, failed: false };
      if (this.#interfaces.some((network) => network.name === name)) this.#ways.set(name, way);
    }
    return way;
  }

  #step(delayMs: number, action: () => void): void {
    this.#cancelStep();
    this.#cancelStep = this.#options.clock.schedule(delayMs, action);
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }

  #tell(event: LanAnnouncerEvent): void {
    this.#options.onEvent?.(event);
  }
}
