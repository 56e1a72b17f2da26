/** Who may connect: caps on connections, for each network address and for the relay as a whole. */

import { MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, MAX_PENDING_CONNECTIONS } from "./limits.ts";
import type { RefusalReason } from "./log.ts";

/** An admitted connection's place. */
export interface Place {
  /** AUTH has succeeded: the place among the pending ones is free again. */
  authenticated(): void;
  /** The connection is over. Safe to call again. */
  release(): void;
}

/** Counts connections. */
export class Admission {
  readonly #byAddress = new Map<string, number>();
  #total = 0;
  #pending = 0;

  /** Connections from one network address; 0 for no limit. Those that are there stay when it changes. */
  perAddress: number;

  /** @param options.perAddress @default MAX_CONNECTIONS_PER_ADDRESS */
  constructor(options: { perAddress?: number } = {}) {
    this.perAddress = options.perAddress ?? MAX_CONNECTIONS_PER_ADDRESS;
  }

  get connections(): number {
    return this.#total;
  }

  /** Takes a place for a connection from `remoteAddress` (`host:port`), or says why there is none. */
  admit(remoteAddress: string): Place | RefusalReason {
    const limit = this.perAddress;
    const address = addressKey(remoteAddress);
    const counted = !isLoopback(address);
    const held = this.#byAddress.get(address) ?? 0;
    if (counted && limit > 0 && held >= limit) return "too_many_from_address";
    if (this.#total >= MAX_CONNECTIONS) return "too_many_connections";
    if (this.#pending >= MAX_PENDING_CONNECTIONS) return "too_many_pending";
    this.#total++;
    this.#pending++;
    if (counted) this.#byAddress.set(address, held + 1);
    let pending = true;
    let released = false;
    const authenticated = () => {
      if (pending) this.#pending--;
      pending = false;
    };
    return {
      authenticated,
      release: () => {
        if (released) return;
        released = true;
        authenticated();
        this.#total--;
        if (counted) this.#leave(address);
      },
    };
  }

  #leave(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }
}

/** What counts as one address: an IPv4 address, or the 64-bit network of an IPv6 one, which one customer has to itself. */
export function addressKey(remoteAddress: string): string {
  const host = remoteAddress.replace(/:\d+$/, "").replace(/^\[|\]$/g, "").toLowerCase();
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(host);
  if (mapped !== null) return mapped[1];
  if (!host.includes(":") || host === "::1") return host;
  const [head, tail] = host.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array<string>(missing).fill("0"), ...back];
  return `${groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}

function isLoopback(address: string): boolean {
  return address === "::1" || address === "localhost" || /^127\./.test(address);
}
