/** The MulticastSocket over `node:dgram`: one socket, which is told before each datagram which interface it leaves through. */

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { AronaError } from "../errors.ts";
import { MDNS_GROUP, MDNS_HOPS, MDNS_PORT } from "../lan.ts";
import type { Datagram, LanInterface, MulticastSocket } from "../multicast.ts";

/** Datagrams that wait to be read; further ones are dropped, as the network does. */
const MAX_WAITING = 64;

/** @throws {AronaError} `UNREACHABLE` */
export function openNodeMulticast(): Promise<MulticastSocket> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      socket.close();
      reject(
        new AronaError("UNREACHABLE", `Cannot use port ${MDNS_PORT}: ${reasonOf(cause)}`, { cause }),
      );
    };
    socket.once("error", fail);
    socket.bind(MDNS_PORT, "0.0.0.0", () => {
      socket.off("error", fail);
      try {
        socket.setMulticastTTL(MDNS_HOPS);
        socket.setMulticastLoopback(true);
        resolve(new NodeMulticast(socket));
      } catch (cause) {
        fail(cause);
      }
    });
  });
}

class NodeMulticast implements MulticastSocket {
  readonly #socket: Socket;
  readonly #joined = new Set<string>();
  readonly #waiting: Datagram[] = [];
  #sending: Promise<void> = Promise.resolve();
  #failure: AronaError | null = null;
  #closed = false;
  #wake = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes: Uint8Array, { address, port }: RemoteInfo) => {
      if (this.#waiting.length >= MAX_WAITING) return;
      this.#waiting.push({ bytes: new Uint8Array(bytes), hostname: address, port });
      this.#wake();
    });
    socket.on("error", (cause) => {
      this.#failure = new AronaError("UNREACHABLE", `Cannot receive: ${reasonOf(cause)}`, { cause });
      this.#wake();
    });
  }

  join(interfaces: readonly LanInterface[]): Promise<LanInterface[]> {
    const addresses = new Set(interfaces.map(({ ipv4 }) => ipv4.address));
    for (const address of this.#joined) {
      if (addresses.has(address)) continue;
      this.#joined.delete(address);
      try {
        this.#socket.dropMembership(MDNS_GROUP, address);
      } catch {
        // It has gone with its interface.
      }
    }
    const failed = interfaces.filter(({ ipv4: { address } }) => {
      if (this.#joined.has(address) || this.#closed) return false;
      try {
        this.#socket.addMembership(MDNS_GROUP, address);
        this.#joined.add(address);
        return false;
      } catch {
        return true;
      }
    });
    return Promise.resolve(failed);
  }

  /** One after the other: the choice of the interface is the socket's. */
  send(bytes: Uint8Array, through: LanInterface): Promise<void> {
    const sent = this.#sending.then(() => this.#sendNow(bytes, through));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  async #sendNow(bytes: Uint8Array, { name, ipv4 }: LanInterface): Promise<void> {
    try {
      this.#socket.setMulticastInterface(ipv4.address);
      await new Promise<void>((resolve, reject) =>
        this.#socket.send(bytes, MDNS_PORT, MDNS_GROUP, (error) => error ? reject(error) : resolve())
      );
    } catch (cause) {
      throw new AronaError("UNREACHABLE", `Cannot send through ${name}: ${reasonOf(cause)}`, { cause });
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close(); // and leaves the group everywhere
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram> {
    for (;;) {
      const next = this.#waiting.shift();
      if (this.#closed) return;
      if (this.#failure !== null) throw this.#failure;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

function reasonOf(cause: unknown): string {
  const { code, message } = cause as { code?: string; message: string };
  if (code === "EADDRINUSE") return "another program has it to itself";
  if (code === "ENETUNREACH" || code === "ENETDOWN") return "there is no network";
  return message.split("\n")[0].slice(0, 200);
}
