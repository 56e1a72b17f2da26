/** The MulticastSocket over `Deno.listenDatagram`, for older Denos: a socket for each datagram, as only its address chooses the way. */

import { MAX_DNS_MESSAGE_BYTES } from "../dns.ts";
import { AronaError } from "../errors.ts";
import { MDNS_GROUP, MDNS_HOPS, MDNS_PORT } from "../lan.ts";
import type { Datagram, LanInterface, MulticastSocket } from "../multicast.ts";

/** @throws {AronaError} `UNREACHABLE`, `UNSUPPORTED` */
export function openDenoMulticast(): Promise<MulticastSocket> {
  if (Deno.listenDatagram === undefined) {
    const error = new AronaError(
      "UNSUPPORTED",
      "Cannot use the local network: this Deno runs without --unstable-net",
    );
    return Promise.reject(error);
  }
  try {
    return Promise.resolve(new DenoMulticast(listen("0.0.0.0")));
  } catch (error) {
    return Promise.reject(error);
  }
}

class DenoMulticast implements MulticastSocket {
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
      await membership.setTTL(MDNS_HOPS);
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

function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.AddrInUse) return "another program has it to itself";
  if (cause instanceof Deno.errors.NotCapable) return "no permission for it";
  return cause instanceof Error ? cause.message.split("\n")[0].slice(0, 200) : "unknown reason";
}
