/** Counts which devices have stored an envelope, and tells its sender: at the first, and when all that it waits for have it. */

import { type DeviceId, encodeReceipt, type OutFrame, type Receipt, toHex } from "../proto/mod.ts";
import { MAX_WAITING_RECEIPTS } from "./limits.ts";

/** The count for one envelope. */
export class ReceiptCounter {
  #delivered = 0;
  #queued = 0;
  #of = 0;

  constructor(readonly senderDevice: DeviceId, readonly envelope: Uint8Array) {}

  /** Sets how many devices the envelope is queued for, and how many it was for: with those whose mailbox was full. */
  expect(queued: number, of: number): void {
    this.#queued = queued;
    this.#of = of;
  }

  /** One more device has it. @returns the receipt to send now, or null */
  count(): Receipt | null {
    this.#delivered++;
    if (this.#delivered !== 1 && this.#delivered !== this.#queued) return null;
    return { envelope: this.envelope, delivered: this.#delivered, of: this.#of };
  }
}

/** Receipts for a device that is away, bounded; the latest for each envelope. */
export class WaitingReceipts {
  readonly #byEnvelope = new Map<string, Receipt>();

  add(receipt: Receipt): void {
    const key = toHex(receipt.envelope);
    this.#byEnvelope.delete(key);
    this.#byEnvelope.set(key, receipt);
    if (this.#byEnvelope.size <= MAX_WAITING_RECEIPTS) return;
    for (const oldest of this.#byEnvelope.keys()) {
      this.#byEnvelope.delete(oldest);
      return;
    }
  }

  /** Hands all of them out, oldest first. */
  take(): OutFrame[] {
    const frames = [...this.#byEnvelope.values()].map(encodeReceipt);
    this.#byEnvelope.clear();
    return frames;
  }
}
