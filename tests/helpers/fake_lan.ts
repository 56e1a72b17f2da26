/** A local network for tests: whoever is on it hears what anybody sends, in the order of sending, at once. */

import type { Datagram, LanInterface, MulticastSocket } from "../../proto/mod.ts";
import { AronaError, MDNS_PORT } from "../../proto/mod.ts";

/** An interface with one IPv4 address in a network of 256, and perhaps further addresses. */
export function lanInterface(name: string, address: string, ...others: readonly string[]): LanInterface {
  const ipv4 = { address, prefixBits: 24 };
  return { name, ipv4, addresses: [ipv4, ...others.map((address) => ({ address, prefixBits: 64 }))] };
}

/** One network; hosts with interfaces in several are given several. */
export class FakeLan {
  readonly #sockets = new Set<FakeSocket>();
  /** Everything that was sent, with its sender's address. */
  readonly sent: Datagram[] = [];

  /** A socket of a host. */
  open(): FakeSocket {
    const socket = new FakeSocket((datagram, from) => this.#spread(datagram, from));
    this.#sockets.add(socket);
    return socket;
  }

  /** What anybody could put on the wire. */
  inject(bytes: Uint8Array, from: { hostname: string; port?: number }): void {
    this.#spread({ bytes, hostname: from.hostname, port: from.port ?? MDNS_PORT }, from.hostname);
  }

  #spread(datagram: Datagram, from: string): void {
    this.sent.push(datagram);
    const network = from.split(".").slice(0, 3).join(".");
    for (const socket of this.#sockets) socket.hear(datagram, network);
  }
}

/** A socket on a {@link FakeLan}. */
export class FakeSocket implements MulticastSocket {
  #interfaces: readonly LanInterface[] = [];
  #queue: Datagram[] = [];
  #wake = () => {};
  closed = false;
  /** Names of interfaces that nothing can be sent or heard on. */
  readonly broken = new Set<string>();

  constructor(private readonly spread: (datagram: Datagram, from: string) => void) {}

  join(interfaces: readonly LanInterface[]): Promise<LanInterface[]> {
    this.#interfaces = interfaces;
    return Promise.resolve(interfaces.filter(({ name }) => this.broken.has(name)));
  }

  send(bytes: Uint8Array, through: LanInterface): Promise<void> {
    if (this.closed) return Promise.reject(new AronaError("CLOSED", "Cannot send: closed"));
    if (this.broken.has(through.name)) {
      return Promise.reject(new AronaError("UNREACHABLE", `Cannot send through ${through.name}: broken`));
    }
    const { address } = through.ipv4;
    this.spread({ bytes, hostname: address, port: MDNS_PORT }, address);
    return Promise.resolve();
  }

  /** Takes a datagram where it is on that network. */
  hear(datagram: Datagram, network: string): void {
    if (!this.#interfaces.some(({ ipv4 }) => ipv4.address.startsWith(`${network}.`)) || this.closed) return;
    this.#queue.push(datagram);
    this.#wake();
  }

  close(): void {
    this.closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.closed) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}
