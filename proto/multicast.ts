/** The MulticastSocket port: datagrams to and from everybody in the local networks, and its adapter over UDP. */

import { MAX_DNS_MESSAGE_BYTES } from "./dns.ts";
import { AronaError } from "./errors.ts";
import type { LocalAddress } from "./ip.ts";
import { MDNS_GROUP, MDNS_PORT } from "./lan.ts";

/** An interface of this machine that leads to a local network. */
export interface LanInterface {
  readonly name: string;
  /** The IPv4 address that multicast goes out from. */
  readonly ipv4: LocalAddress;
  /** All its addresses, that one too; those that only hold with a zone are left out. */
  readonly addresses: readonly LocalAddress[];
}

/** What came from somebody. */
export interface Datagram {
  readonly bytes: Uint8Array;
  readonly hostname: string;
  readonly port: number;
}

/** Datagrams of multicast DNS; the iteration ends when it is closed. What this machine sends comes in too. */
export interface MulticastSocket extends AsyncIterable<Datagram> {
  /**
   * Takes part on exactly these interfaces from now on.
   *
   * @returns the interfaces on which it cannot
   */
  join(interfaces: readonly LanInterface[]): Promise<LanInterface[]>;
  /** Sends to everybody behind one interface. @throws {AronaError} `UNREACHABLE` */
  send(bytes: Uint8Array, through: LanInterface): Promise<void>;
  /** Safe to call again. */
  close(): void;
}

/** How far a packet of multicast DNS could go; that it arrives with this shows that nobody has passed it on (RFC 6762 section 11). */
const HOPS = 255;
/** A network of one or two addresses has no neighbours to speak to: a tunnel. */
const MAX_PREFIX_BITS = 30;

/** The interfaces among `all` that lead to a local network. */
export function lanInterfaces(all: readonly Deno.NetworkInterfaceInfo[]): LanInterface[] {
  const names = [...new Set(all.map(({ name }) => name))];
  return names.flatMap((name) => {
    const own = all.filter((one) => one.name === name && isForNeighbours(one))
      .map(({ address, cidr }) => ({ address, prefixBits: Number(cidr.split("/")[1]) }));
    const ipv4 = own.find(({ address, prefixBits }) =>
      !address.includes(":") && prefixBits <= MAX_PREFIX_BITS
    );
    return ipv4 === undefined ? [] : [{ name, ipv4, addresses: own }];
  });
}

/** The addresses that a process has to be allowed to use for multicast DNS on these interfaces. */
export function multicastAddresses(interfaces: readonly LanInterface[]): string[] {
  const hosts = [MDNS_GROUP, "0.0.0.0", ...interfaces.map(({ ipv4 }) => ipv4.address)];
  return hosts.map((host) => `${host}:${MDNS_PORT}`);
}

/**
 * Opens the port of multicast DNS, which programs share.
 *
 * @throws {AronaError} `UNREACHABLE` where it cannot be had; `UNSUPPORTED` where this Deno runs without `--unstable-net`
 */
export function openMulticast(): MulticastSocket {
  if (Deno.listenDatagram === undefined) {
    throw new AronaError("UNSUPPORTED", "Cannot use the local network: Deno runs without --unstable-net");
  }
  return new UdpMulticast(listen("0.0.0.0"));
}

class UdpMulticast implements MulticastSocket {
  readonly #receiver: Deno.DatagramConn;
  /** By the address that they are joined from. */
  readonly #memberships = new Map<string, Membership>();
  #closed = false;

  constructor(receiver: Deno.DatagramConn) {
    this.#receiver = receiver;
  }

  async join(interfaces: readonly LanInterface[]): Promise<LanInterface[]> {
    const addresses = new Set(interfaces.map(({ ipv4 }) => ipv4.address));
    for (const [address, membership] of this.#memberships) {
      if (addresses.has(address)) continue;
      this.#memberships.delete(address);
      await membership.leave().catch(() => {}); // it has gone with its interface
    }
    const failed: LanInterface[] = [];
    for (const one of interfaces) {
      const { address } = one.ipv4;
      if (this.#memberships.has(address) || this.#closed) continue;
      try {
        this.#memberships.set(address, await this.#receiver.joinMulticastV4(MDNS_GROUP, address));
      } catch {
        failed.push(one);
      }
    }
    return failed;
  }

  /**
   * The system sends through the interface whose address the socket has. Such a socket lives for one datagram only: a longer one would get
   * what others send to this machine's own address, and perhaps another program here waits for that.
   */
  async send(bytes: Uint8Array, through: LanInterface): Promise<void> {
    const { address } = through.ipv4;
    let sender: Deno.DatagramConn | undefined;
    try {
      sender = listen(address);
      const membership = await sender.joinMulticastV4(MDNS_GROUP, address);
      await membership.setTTL(HOPS);
      await sender.send(bytes, { transport: "udp", hostname: MDNS_GROUP, port: MDNS_PORT });
    } catch (cause) {
      throw new AronaError("UNREACHABLE", `Cannot send through ${through.name}: ${reasonOf(cause)}`, {
        cause,
      });
    } finally {
      sender?.close();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#receiver.close(); // and leaves the group everywhere
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram> {
    const buffer = new Uint8Array(MAX_DNS_MESSAGE_BYTES);
    while (!this.#closed) {
      let received: [Uint8Array, Deno.Addr];
      try {
        received = await this.#receiver.receive(buffer);
      } catch (cause) {
        if (this.#closed) return;
        throw new AronaError("UNREACHABLE", `Cannot receive: ${reasonOf(cause)}`, { cause });
      }
      const [bytes, from] = received;
      const { hostname, port } = from as Deno.NetAddr;
      yield { bytes: bytes.slice(), hostname, port };
    }
  }
}

type Membership = Awaited<ReturnType<Deno.DatagramConn["joinMulticastV4"]>>;

function listen(hostname: string): Deno.DatagramConn {
  try {
    return Deno.listenDatagram({
      transport: "udp",
      hostname,
      port: MDNS_PORT,
      reuseAddress: true,
      loopback: true,
    });
  } catch (cause) {
    throw new AronaError("UNREACHABLE", `Cannot use port ${MDNS_PORT} of ${hostname}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function isForNeighbours({ family, address, scopeid }: Deno.NetworkInterfaceInfo): boolean {
  if (family === "IPv6") return address !== "::1" && !/^fe[89ab]/i.test(address) && !scopeid;
  return !/^(127|0)\./.test(address);
}

function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.AddrInUse) return "another program has it to itself";
  if (cause instanceof Deno.errors.NotCapable) return "no permission for it";
  return cause instanceof Error ? cause.message.split("\n")[0].slice(0, 200) : "unknown reason";
}
