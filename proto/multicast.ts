/** The MulticastSocket port: datagrams to and from everybody in the local networks. Its adapters are in `udp/`. */

import type { LocalAddress } from "./ip.ts";

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

function isForNeighbours({ family, address, scopeid }: Deno.NetworkInterfaceInfo): boolean {
  if (family === "IPv6") return address !== "::1" && !/^fe[89ab]/i.test(address) && !scopeid;
  return !/^(127|0)\./.test(address);
}
