/** What a relay says of itself to its local network, and what the messages of others mean for that. */

import {
  compareBytes,
  type DnsData,
  type DnsMessage,
  type DnsName,
  type DnsQuestion,
  type DnsRecord,
  DnsType,
  encodeDnsData,
  type Endpoint,
  equalBytes,
  formatLanTxt,
  HOST_TTL_SECONDS,
  isOnLink,
  LAN_SERVICE,
  lanHostName,
  lanInstanceName,
  type LanInterface,
  parseIp,
  sameDnsName,
  SERVICE_TTL_SECONDS,
} from "../../proto/mod.ts";

/** What is announced. */
export interface LanRelay {
  readonly name: string;
  /** SHA-256 of the relay's identity key, 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** Protocol versions that the relay speaks. */
  readonly protocols: readonly number[];
  /** Where it listens; `0.0.0.0` and `::` stand for every address. */
  readonly listen: Endpoint;
}

/** Lists every kind of service (RFC 6763 section 9). */
const ALL_SERVICES: DnsName = ["_services", "_dns-sd", "_udp", "local"];

/** The records of one relay under one pair of names. */
export class LanRecords {
  readonly instance: DnsName;
  readonly #host: DnsName;

  /** @param attempt how many others were found to have the names already */
  constructor(private readonly relay: LanRelay, attempt: number) {
    this.instance = lanInstanceName(relay, { attempt });
    this.#host = lanHostName(relay.fingerprint, { attempt });
  }

  /** What holds on one interface: its own addresses only, and nothing where the relay does not listen on it. */
  on(network: LanInterface): DnsRecord[] {
    const addresses = listeningAddresses(this.relay.listen, network);
    if (addresses.length === 0) return [];
    return [
      shared(LAN_SERVICE, this.instance),
      ...this.#service(),
      ...addresses.map((address) => unique(this.#host, addressData(address), HOST_TTL_SECONDS)),
    ];
  }

  /** The names that are to be had alone, as a query of whoever wants them asks for them. */
  get probes(): DnsQuestion[] {
    return [this.instance, this.#host].map((name) => ({ name, type: DnsType.ANY }));
  }

  /** Of the records of {@link on}, those with a name of their own. */
  claims(network: LanInterface): DnsRecord[] {
    return this.on(network).filter(({ type }) => type !== "PTR").map((record) => ({
      ...record,
      flush: false,
    }));
  }

  /** The answer to whoever lists every kind of service, or null where nobody does. */
  listing({ questions }: DnsMessage): DnsRecord | null {
    const isAsked = questions.some((question) => asksFor(question, ALL_SERVICES, ["PTR"]));
    return isAsked ? shared(ALL_SERVICES, LAN_SERVICE) : null;
  }

  /** Whether a query asks for something here that it does not know yet. */
  isAskedBy({ questions, answers }: DnsMessage): boolean {
    return questions.some((question) =>
      asksFor(question, this.instance, ["SRV", "TXT"]) || asksFor(question, this.#host, ["A", "AAAA"]) ||
      (asksFor(question, LAN_SERVICE, ["PTR"]) && !answers.some((answer) => this.#isKnownBy(answer)))
    );
  }

  /** Whether a query wants to have a name of ours. */
  isClaimedBy({ authorities }: DnsMessage): boolean {
    return authorities.some(({ name }) => this.#isOurs(name));
  }

  /** Of two that want the names at once, the one whose records come later in order has them (RFC 6762 section 8.2). */
  losesTo({ authorities }: DnsMessage, network: LanInterface): boolean {
    const theirs = sortedData(authorities.filter(({ name }) => this.#isOurs(name)));
    const ours = sortedData(this.claims(network));
    for (let i = 0; i < Math.max(theirs.length, ours.length); i++) {
      const order = compareBytes(theirs[i] ?? EMPTY, ours[i] ?? EMPTY);
      if (order !== 0) return order > 0;
    }
    return false;
  }

  /** Whether somebody else says something else under our names. */
  isContradictedBy({ answers, additionals }: DnsMessage, networks: readonly LanInterface[]): boolean {
    const own = [...this.#service(), ...networks.flatMap((network) => this.claims(network))];
    return [...answers, ...additionals].some((record) =>
      record.ttlSeconds > 0 && this.#isOurs(record.name) && !own.some((one) => saysTheSame(one, record))
    );
  }

  #service(): DnsRecord[] {
    const { listen: { port } } = this.relay;
    return [
      unique(this.instance, { type: "SRV", port, target: this.#host }, HOST_TTL_SECONDS),
      unique(this.instance, { type: "TXT", strings: formatLanTxt(this.relay) }, SERVICE_TTL_SECONDS),
    ];
  }

  /** Known for less than half of its time is not known (RFC 6762 section 7.1). */
  #isKnownBy(answer: DnsRecord): boolean {
    return answer.type === "PTR" && sameDnsName(answer.name, LAN_SERVICE) &&
      sameDnsName(answer.target, this.instance) && answer.ttlSeconds >= SERVICE_TTL_SECONDS / 2;
  }

  #isOurs(name: DnsName): boolean {
    return sameDnsName(name, this.instance) || sameDnsName(name, this.#host);
  }
}

const EMPTY = new Uint8Array();

/** The addresses of an interface that a relay can be reached at. */
export function listeningAddresses({ hostname }: Endpoint, network: LanInterface): string[] {
  const all = network.addresses.map(({ address }) => address);
  if (hostname === "::") return all;
  return all.filter((address) => hostname === "0.0.0.0" ? !address.includes(":") : address === hostname);
}

/** The interface that a message came through: the one whose network its sender is in. */
export function networkOf(hostname: string, networks: readonly LanInterface[]): LanInterface | undefined {
  const address = parseIp(hostname);
  return address === null ? undefined : networks.find(({ ipv4 }) => isOnLink(address, ipv4));
}

function asksFor({ name, type }: DnsQuestion, wanted: DnsName, types: readonly DnsData["type"][]): boolean {
  const isType = type === DnsType.ANY || types.some((one) => DnsType[one] === type);
  return isType && sameDnsName(name, wanted);
}

function shared(name: DnsName, target: DnsName): DnsRecord {
  return { type: "PTR", name, target, ttlSeconds: SERVICE_TTL_SECONDS, flush: false };
}

function unique(name: DnsName, data: DnsData, ttlSeconds: number): DnsRecord {
  return { ...data, name, ttlSeconds, flush: true };
}

function addressData(text: string): DnsData {
  const address = parseIp(text)!;
  return { type: address.length === 4 ? "A" : "AAAA", address };
}

function saysTheSame(a: DnsRecord, b: DnsRecord): boolean {
  return a.type === b.type && sameDnsName(a.name, b.name) && equalBytes(encodeDnsData(a), encodeDnsData(b));
}

/** Type and data of records, in the order in which two sets of them are compared. */
function sortedData(records: readonly DnsRecord[]): Uint8Array[] {
  return records.map((record) => Uint8Array.of(DnsType[record.type], ...encodeDnsData(record)))
    .sort(compareBytes);
}
