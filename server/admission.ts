/** Who may connect: caps on connections, for each network address and for the relay as a whole. */

import { isLoopback } from "../proto/mod.ts";
import {
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_ADDRESS,
  MAX_PENDING_CONNECTIONS,
  PENDING_GRACE_MS,
} from "./limits.ts";
import type { RefusalReason } from "./log.ts";

/** An admitted connection's place. */
export interface Place {
  /** AUTH has succeeded: the place among the pending ones is free again. */
  authenticated(): void;
  /** The connection is over. Safe to call again. */
  release(): void;
}

/** A connection that wants a place. */
export interface Newcomer {
  /** `host:port`. */
  readonly remoteAddress: string;
  /** On the monotonic clock. */
  readonly nowMs: number;
  /** Closes the connection: it has not finished AUTH, and its place is needed. */
  readonly displace: () => void;
}

/** A connection that has not finished AUTH. */
interface Pending extends Pick<Newcomer, "displace"> {
  readonly sinceMs: number;
}

/**
 * Counts connections.
 *
 * Behind a tunnel all connections come from this machine itself, so nothing tells a flood from the people whom it keeps out. They are
 * therefore not limited by their address; instead, when there are too many that have not logged in, one of them gives way: the oldest of
 * the address that has the most. So a flood displaces itself first, whoever comes another way always gets a place, and whoever comes the
 * same way has {@link PENDING_GRACE_MS} for the login.
 */
export class Admission {
  readonly #byAddress = new Map<string, number>();
  /** By address, each address's in the order of their arrival. */
  readonly #pending = new Map<string, Set<Pending>>();
  readonly #own: string | null;
  #total = 0;
  #pendingTotal = 0;

  /** Connections from one network address; 0 for no limit. Those that are there stay when it changes. */
  perAddress: number;

  /**
   * @param options.perAddress @default MAX_CONNECTIONS_PER_ADDRESS
   * @param options.own the address that the relay listens on: what comes from there comes from this machine, as from loopback
   */
  constructor(options: { perAddress?: number; own?: string } = {}) {
    this.perAddress = options.perAddress ?? MAX_CONNECTIONS_PER_ADDRESS;
    this.#own = options.own?.toLowerCase() ?? null;
  }

  get connections(): number {
    return this.#total;
  }

  /** Takes a place for a connection, or says why there is none. */
  admit(newcomer: Newcomer): Place | RefusalReason {
    const { remoteAddress, nowMs, displace } = newcomer;
    const limit = this.perAddress;
    const address = addressKey(remoteAddress);
    const counted = !isLoopback(address) && hostOf(remoteAddress) !== this.#own;
    const held = this.#byAddress.get(address) ?? 0;
    if (counted && limit > 0 && held >= limit) return "too_many_from_address";
    if (this.#total >= MAX_CONNECTIONS) return "too_many_connections";
    if (this.#pendingTotal >= MAX_PENDING_CONNECTIONS && !this.#makeRoom(address, nowMs)) {
      return "too_many_pending";
    }
    this.#total++;
    if (counted) this.#byAddress.set(address, held + 1);
    const pending: Pending = { sinceMs: nowMs, displace };
    this.#addPending(address, pending);
    let released = false;
    return {
      authenticated: () => this.#removePending(address, pending),
      release: () => {
        if (released) return;
        released = true;
        this.#removePending(address, pending);
        this.#total--;
        if (counted) this.#leave(address);
      },
    };
  }

  /** Has a pending connection give way to one from `address`. @returns whether one did */
  #makeRoom(address: string, nowMs: number): boolean {
    let [most, crowd] = [address, this.#pending.get(address)];
    for (const [other, theirs] of this.#pending) {
      if (theirs.size > (crowd?.size ?? 0) + 1) [most, crowd] = [other, theirs];
    }
    const [oldest] = crowd ?? [];
    if (oldest === undefined || (most === address && nowMs - oldest.sinceMs < PENDING_GRACE_MS)) return false;
    this.#removePending(most, oldest);
    oldest.displace();
    return true;
  }

  #addPending(address: string, pending: Pending): void {
    let theirs = this.#pending.get(address);
    if (theirs === undefined) this.#pending.set(address, theirs = new Set());
    theirs.add(pending);
    this.#pendingTotal++;
  }

  #removePending(address: string, pending: Pending): void {
    const theirs = this.#pending.get(address);
    if (!theirs?.delete(pending)) return;
    this.#pendingTotal--;
    if (theirs.size === 0) this.#pending.delete(address);
  }

  #leave(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }
}

/** What counts as one address: an IPv4 address, or the 64-bit network of an IPv6 one, which one customer has to itself. */
export function addressKey(remoteAddress: string): string {
  const host = hostOf(remoteAddress);
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

function hostOf(remoteAddress: string): string {
  return remoteAddress.replace(/:\d+$/, "").replace(/^\[|\]$/g, "").toLowerCase();
}
