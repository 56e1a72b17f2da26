/**
 * Feeds a device's mailbox to its connection, no faster than the device reads: above the high water mark nothing more is taken out of the
 * mailbox, and a reader that stays there, or that never acknowledges, is given up.
 */

import type { Clock, SecureConnection } from "../proto/mod.ts";
import {
  ACKNOWLEDGE_TIMEOUT_MS,
  OVERFLOW_GRACE_MS,
  SEND_HIGH_WATER_BYTES,
  SEND_LOW_WATER_BYTES,
  STALL_TIMEOUT_MS,
} from "./limits.ts";
import { type Mailbox, PushResult } from "./mailbox.ts";

/** One connection's share of sending. Times are on the monotonic clock. */
export class Feed {
  #nextObject = 1;
  #stopped = false;
  #blockedSinceMs: number | null = null;
  #unacknowledgedSinceMs: number | null = null;
  readonly #nextObjectNumber = () => this.#nextObject++;

  constructor(
    private readonly connection: SecureConnection,
    private readonly mailbox: Mailbox,
    private readonly options: { clock: Clock; onStall: () => void; onError: (error: unknown) => void },
  ) {}

  /** Gives numbers for OBJECT frames, to answers too. */
  get nextObjectNumber(): () => number {
    return this.#nextObjectNumber;
  }

  /** Sends what waits in the mailbox, as far as the connection has room. */
  pump(): void {
    if (this.#blockedSinceMs !== null || this.#stopped) return;
    const { connection, mailbox } = this;
    for (let delivery = mailbox.take(); delivery !== null; delivery = mailbox.take()) {
      if (delivery.frame !== null) connection.queue(delivery.frame);
      else connection.queue(...delivery.framesFor(this.#nextObjectNumber));
      if (connection.queuedBytes > SEND_HIGH_WATER_BYTES) {
        this.#waitForRoom().catch(this.options.onError);
        break;
      }
    }
    if (this.#unacknowledgedSinceMs === null && mailbox.unacknowledged > 0) {
      this.#unacknowledgedSinceMs = this.options.clock.monotonic();
    }
  }

  /** Waits where too much is queued: a peer that asks without reading is not answered any faster. */
  async throttle(): Promise<void> {
    if (this.connection.queuedBytes > SEND_HIGH_WATER_BYTES) await this.#waitForRoom();
  }

  /** The device has acknowledged something. */
  acknowledged(): void {
    this.#unacknowledgedSinceMs = this.mailbox.unacknowledged > 0 ? this.options.clock.monotonic() : null;
  }

  /** The mailbox has refused or collapsed something: a reader that is not reading has had its time. */
  overflowed(result: PushResult): void {
    const blockedSinceMs = this.#blockedSinceMs;
    const nowMs = this.options.clock.monotonic();
    const stalled = blockedSinceMs !== null && nowMs - blockedSinceMs >= OVERFLOW_GRACE_MS;
    if (stalled || result === PushResult.OVERFLOW) this.#stall();
  }

  /** Called now and then: gives a stalled reader up. */
  check(nowMs: number): void {
    const over = (sinceMs: number | null, limitMs: number) => sinceMs !== null && nowMs - sinceMs >= limitMs;
    if (
      over(this.#blockedSinceMs, STALL_TIMEOUT_MS) ||
      over(this.#unacknowledgedSinceMs, ACKNOWLEDGE_TIMEOUT_MS)
    ) {
      this.#stall();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #waitForRoom(): Promise<void> {
    this.#blockedSinceMs ??= this.options.clock.monotonic();
    await this.connection.drained(SEND_LOW_WATER_BYTES);
    this.#blockedSinceMs = null;
    this.pump();
  }

  #stall(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.options.onStall();
  }
}
