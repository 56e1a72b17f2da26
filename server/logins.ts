/**
 * Login tickets: with each login the relay gives the device a new one, which the device keeps on its disk and shows at its next login.
 * A device that shows an older one runs on an older copy of its files, and is told so until it shows one that it was given since.
 *
 *     ticket = number "." 16 hexadecimal digits         held: the device has it for sure     offered: perhaps, if AUTH_OK has arrived
 *
 * A device writes its ticket down before it sends anything but AUTH on the connection: the first such frame makes the offered ticket the
 * held one. The numbers only grow, so that a ticket which the relay itself has forgotten is none of an older copy.
 *
 * Tickets are written in batches: a login does not wait for the disk, and a crash forgets a second of them at most.
 */

import { type Clock, type CryptoProvider, type DeviceId, toHex } from "../proto/mod.ts";
import { LOGINS_FLUSH_MS } from "./limits.ts";
import type { RelayLog } from "./log.ts";
import type { RelayStore, StoredTickets } from "./store.ts";

const RANDOM_BYTES = 8;
/** Higher numbers were given out by nobody. */
const MAX_NUMBER = 2 ** 52;

/** The ticket of each device. */
export class Logins {
  /** Not written yet. */
  readonly #unwritten = new Map<DeviceId, StoredTickets>();
  #cancelFlush: (() => void) | null = null;

  constructor(
    private readonly parts: {
      store: RelayStore;
      clock: Clock;
      log: RelayLog;
      crypto: Pick<CryptoProvider, "randomBytes">;
    },
  ) {}

  /**
   * Looks at the ticket that a device shows.
   *
   * @param shown empty before the first one
   * @returns whether its files are an older copy, and the ticket for its next login
   */
  begin(device: DeviceId, shown: string): { stale: boolean; ticket: string } {
    const { held, offered } = this.#ticketsOf(device);
    const newest = Math.max(numberOf(held), numberOf(offered));
    const isKnown = shown === held || (shown === offered && offered !== "");
    const stale = !isKnown && numberOf(shown) <= newest;
    const next = Math.max(newest, numberOf(shown)) + 1;
    const ticket = `${next}.${toHex(this.parts.crypto.randomBytes(RANDOM_BYTES))}`;
    this.#set(device, { held: stale ? held : shown, offered: ticket });
    return { stale, ticket };
  }

  /** The device has written down the ticket that it was given: what it had before is that of an older copy from now on. */
  confirm(device: DeviceId, ticket: string): void {
    if (this.#ticketsOf(device).offered === ticket) this.#set(device, { held: ticket, offered: "" });
  }

  stop(): void {
    this.#flush();
  }

  #ticketsOf(device: DeviceId): StoredTickets {
    return this.#unwritten.get(device) ?? this.parts.store.ticketsOf(device);
  }

  #set(device: DeviceId, tickets: StoredTickets): void {
    this.#unwritten.set(device, tickets);
    this.#cancelFlush ??= this.parts.clock.schedule(LOGINS_FLUSH_MS, () => this.#flush());
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = null;
    if (this.#unwritten.size === 0) return;
    try {
      this.parts.store.saveTickets(this.#unwritten);
      this.#unwritten.clear();
    } catch (error) {
      // They are written with the next ones.
      this.parts.log({ type: "internal_error", where: "logins", error });
    }
  }
}

/** 0 for what is no ticket. */
function numberOf(ticket: string): number {
  const number = Number(/^([0-9]{1,16})\./.exec(ticket)?.[1] ?? 0);
  return number < MAX_NUMBER ? number : 0;
}
