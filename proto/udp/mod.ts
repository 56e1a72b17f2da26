/** Multicast over UDP: a door of its own, as only who speaks to the local network loads it. */

import { createSocket } from "node:dgram";
import { MDNS_GROUP, MDNS_PORT } from "../lan.ts";
import type { LanInterface, MulticastSocket } from "../multicast.ts";
import { openDenoMulticast } from "./deno_multicast.ts";
import { openNodeMulticast } from "./node_multicast.ts";

/**
 * The addresses that a process has to be allowed to use for multicast DNS: two, and where Deno is too old to choose the interface of
 * a socket, the machine's own on these interfaces.
 */
export function multicastAddresses(interfaces: readonly LanInterface[]): string[] {
  const own = choosesInterface() ? [] : interfaces.map(({ ipv4 }) => ipv4.address);
  return [MDNS_GROUP, "0.0.0.0", ...own].map((host) => `${host}:${MDNS_PORT}`);
}

/**
 * Opens the port of multicast DNS, which programs share.
 *
 * @throws {AronaError} `UNREACHABLE` where it cannot be had; `UNSUPPORTED` where an old Deno runs without `--unstable-net`
 */
export function openMulticast(): Promise<MulticastSocket> {
  return choosesInterface() ? openNodeMulticast() : openDenoMulticast();
}

/** Whether one socket can send through one interface after another: older Denos have no way to choose. */
function choosesInterface(): boolean {
  const socket = createSocket("udp4");
  try {
    socket.setMulticastInterface("0.0.0.0");
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== "ERR_NOT_IMPLEMENTED"; // it is not bound, which is another error
  } finally {
    socket.close();
  }
}
