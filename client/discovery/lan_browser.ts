/**
 * Finds the relays that announce themselves on the local network (RFC 6762 section 5.2, RFC 6763 section 4).
 *
 * Whoever is there can say anything, so everything is bounded and nothing is trusted: what comes out says where to ask for the signed
 * document, at addresses of the local network only.
 */

import {
  AronaError,
  type Clock,
  decodeDnsMessage,
  type DnsMessage,
  type DnsName,
  dnsNameKey,
  type DnsQuestion,
  type DnsRecord,
  DnsType,
  encodeDnsMessage,
  formatEndpoint,
  formatIp,
  isAronaError,
  isOnLink,
  LAN_SERVICE,
  type LanInterface,
  type LanService,
  type LanTxt,
  MDNS_PORT,
  type MulticastSocket,
  parseIp,
  parseLanTxt,
  sameDnsName,
  SERVICE_TTL_SECONDS,
  toBase64Url,
} from "../../proto/base/mod.ts";
import {
  LAN_PACKETS_PER_SECOND,
  MAX_LAN_ENDPOINTS,
  MAX_LAN_INSTANCES,
  MAX_LAN_QUESTIONS,
  MAX_LAN_RELAYS,
} from "../limits.ts";

/** Options of {@link browse}. */
export interface BrowseOptions {
  /** Open; closed in the end. */
  readonly socket: MulticastSocket;
  readonly interfaces: readonly LanInterface[];
  readonly clock: Clock;
  /** A number from 0 up to 1, so that not everybody speaks at once. @default Math.random */
  readonly random?: () => number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** The first question comes after 20 to 120 ms, the next a second later, then after twice the time, up to an hour. */
const FIRST_QUERY_MS = [20, 120] as const;
const SECOND_QUERY_MS = 1_000;
const MAX_QUERY_INTERVAL_MS = 3_600_000;

/**
 * The relays on the local network as they are found, until `signal` aborts. A relay whose name or endpoints change comes again: of each
 * fingerprint the last counts.
 *
 * @throws {AronaError} `UNREACHABLE` where there is no interface to ask on, or the socket fails
 */
export async function* browse(options: BrowseOptions): AsyncGenerator<LanService> {
  const { socket, interfaces, signal } = options;
  const browser = new Browser(options);
  const close = () => socket.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    if (signal.aborted) return;
    if (interfaces.length === 0) {
      throw new AronaError("UNREACHABLE", "Cannot look at the local network: this machine is in none");
    }
    await socket.join(interfaces);
    const received = browser.receive();
    received.catch(() => {}); // the loop below hears of it
    browser.ask();
    yield* browser.found();
    await received;
  } finally {
    signal.removeEventListener("abort", close);
    browser.stop();
    socket.close();
  }
}

/** What is known of one announced name. */
interface Instance {
  readonly name: DnsName;
  target: DnsName | null;
  port: number;
  txt: LanTxt | null;
  /** Texts of addresses. */
  readonly addresses: Set<string>;
}

class Browser {
  readonly #options: BrowseOptions;
  readonly #instances = new Map<string, Instance>();
  /** By fingerprint: what was given out last. */
  readonly #services = new Map<string, LanService>();
  /** Fingerprints of services to give out. */
  readonly #news = new Set<string>();
  #wake = () => {};
  #ended = false;
  #intervalMs = 0;
  #cancelQuery = () => {};
  #window = { startMs: -Infinity, packets: 0 };

  constructor(options: BrowseOptions) {
    this.#options = options;
  }

  /** Reads until the socket is closed. */
  async receive(): Promise<void> {
    const { socket, interfaces } = this.#options;
    try {
      for await (const { bytes, hostname, port } of socket) {
        const address = parseIp(hostname);
        const network = address && interfaces.find(({ ipv4 }) => isOnLink(address, ipv4));
        if (!network || port !== MDNS_PORT || !this.#hasTime()) continue;
        try {
          this.#hear(decodeDnsMessage(bytes), network);
        } catch (error) {
          if (!isAronaError(error)) throw error;
        }
      }
    } finally {
      this.#ended = true;
      this.#wake();
    }
  }

  /** What is found, until {@link receive} has ended. */
  async *found(): AsyncGenerator<LanService> {
    for (;;) {
      for (const key of this.#news) {
        this.#news.delete(key);
        yield this.#services.get(key)!;
      }
      if (this.#ended) return;
      if (this.#news.size === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Asks at once and again and again, more and more rarely. */
  ask(): void {
    const [least, most] = FIRST_QUERY_MS;
    const random = (this.#options.random ?? Math.random)();
    this.#askIn(least + random * (most - least));
  }

  stop(): void {
    this.#ended = true;
    this.#cancelQuery();
    this.#wake();
  }

  #askIn(delayMs: number): void {
    this.#cancelQuery = this.#options.clock.schedule(delayMs, () => {
      void this.#query();
      this.#intervalMs = Math.min(MAX_QUERY_INTERVAL_MS, this.#intervalMs * 2 || SECOND_QUERY_MS);
      this.#askIn(this.#intervalMs);
    });
  }

  async #query(): Promise<void> {
    const instances = [...this.#instances.values()];
    const questions: DnsQuestion[] = [{ name: LAN_SERVICE, type: DnsType.PTR }];
    const answers: DnsRecord[] = [];
    for (const instance of instances) {
      const missing = missingOf(instance);
      if (missing.length === 0) answers.push(knownAnswer(instance.name));
      else questions.push(...missing);
    }
    const message = encodeDnsMessage({
      kind: "query",
      questions: questions.slice(0, MAX_LAN_QUESTIONS),
      answers: answers.slice(0, MAX_LAN_QUESTIONS),
    });
    // An interface that cannot send now may be able to the next time.
    const { socket, interfaces } = this.#options;
    await Promise.allSettled(interfaces.map((network) => socket.send(message, network)));
  }

  #hear({ kind, answers, additionals }: DnsMessage, network: LanInterface): void {
    if (kind !== "response") return;
    const records = [...answers, ...additionals];
    const heard = new Set<Instance>();
    for (const record of records) this.#hearService(record, heard);
    for (const record of records) this.#hearAddress(record, { network, heard }); // only now the hosts that matter are known
    for (const instance of heard) this.#complete(instance);
  }

  #hearService(record: DnsRecord, heard: Set<Instance>): void {
    const name = record.type === "PTR" && sameDnsName(record.name, LAN_SERVICE) ? record.target : record.name;
    if (!isInstance(name)) return;
    const key = dnsNameKey(name);
    if (record.ttlSeconds === 0) {
      this.#instances.delete(key);
      return;
    }
    const instance = this.#instances.get(key) ?? this.#newInstance(key, name);
    if (instance === null) return;
    heard.add(instance);
    if (record.type === "TXT") instance.txt = parseOrNull(record.strings);
    if (record.type !== "SRV") return;
    if (instance.target === null || !sameDnsName(instance.target, record.target)) instance.addresses.clear();
    instance.target = record.target;
    instance.port = record.port;
  }

  #hearAddress(
    record: DnsRecord,
    { network, heard }: { network: LanInterface; heard: Set<Instance> },
  ): void {
    if (record.type !== "A" && record.type !== "AAAA") return;
    if (!network.addresses.some((own) => isOnLink(record.address, own))) return; // leads elsewhere
    for (const instance of this.#instances.values()) {
      const { target, addresses } = instance;
      if (target === null || !sameDnsName(target, record.name)) continue;
      const text = formatIp(record.address);
      if (record.ttlSeconds === 0) addresses.delete(text);
      else if (addresses.size < MAX_LAN_ENDPOINTS && !addresses.has(text)) {
        addresses.add(text);
        heard.add(instance);
      }
    }
  }

  #newInstance(key: string, name: DnsName): Instance | null {
    if (this.#instances.size >= MAX_LAN_INSTANCES) return null;
    const instance: Instance = { name, target: null, port: 0, txt: null, addresses: new Set() };
    this.#instances.set(key, instance);
    return instance;
  }

  #complete({ port, txt, addresses }: Instance): void {
    if (txt === null || port === 0 || addresses.size === 0) return;
    const key = toBase64Url(txt.fingerprint);
    const known = this.#services.get(key);
    if (known === undefined && this.#services.size >= MAX_LAN_RELAYS) return;
    const found = [...addresses].map((hostname) => formatEndpoint({ hostname, port }));
    const endpoints = [...new Set([...known?.endpoints ?? [], ...found])].slice(-MAX_LAN_ENDPOINTS);
    if (known?.name === txt.name && endpoints.join() === known.endpoints.join()) return;
    this.#services.set(key, { name: txt.name, fingerprint: key, endpoints });
    this.#news.add(key);
    this.#wake();
  }

  /** Whether a packet more can be read in this second. */
  #hasTime(): boolean {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#window.startMs >= 1_000) this.#window = { startMs: nowMs, packets: 0 };
    return ++this.#window.packets <= LAN_PACKETS_PER_SECOND;
  }
}

function isInstance(name: DnsName): boolean {
  return name.length === LAN_SERVICE.length + 1 && sameDnsName(name.slice(1), LAN_SERVICE);
}

function missingOf({ name, target, txt, addresses }: Instance): DnsQuestion[] {
  if (target === null || txt === null) return [{ name, type: DnsType.ANY }];
  return addresses.size === 0 ? [{ name: target, type: DnsType.ANY }] : [];
}

function knownAnswer(target: DnsName): DnsRecord {
  return { type: "PTR", name: LAN_SERVICE, target, ttlSeconds: SERVICE_TTL_SECONDS, flush: false };
}

function parseOrNull(strings: readonly Uint8Array[]): LanTxt | null {
  try {
    return parseLanTxt(strings);
  } catch (error) {
    if (isAronaError(error)) return null;
    throw error;
  }
}
