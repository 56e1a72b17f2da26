/**
 * Counts which devices have stored an envelope, and tells its sender: at the first, when everybody has it on one device, and when all
 * devices have dealt with it that it was queued for; also at the first that could not open it, and at each that has room for it again.
 */

import { type AccountName, type DeviceId, type Receipt, toHex } from "../proto/mod.ts";
import { MAX_WAITING_RECEIPTS, SILENCE_TIMEOUT_MS } from "./limits.ts";

/** What becomes of an envelope at one device. `room`: its mailbox was too full for it, and is no longer. */
export type Outcome = "stored" | "lost" | "room";

/** The count for one envelope. */
export class ReceiptCounter {
  #devices = 0;
  #people = 0;
  #lost = 0;
  #room = 0;
  #queued = 0;
  #ofDevices = 0;
  #ofPeople = 0;
  /** Accounts with several devices of which one has it; most messages never need it. */
  #counted: Set<AccountName> | null = null;

  constructor(
    readonly sender: { readonly device: DeviceId; readonly account: AccountName },
    readonly envelope: Uint8Array,
    /** Accounts with more than one device in the group, when the envelope was sent. */
    private readonly several: ReadonlySet<AccountName>,
  ) {}

  /** Sets how many devices the envelope is queued for, how many it was for (with those whose mailbox was full), and how many people. */
  expect(expected: { queued: number; ofDevices: number; ofPeople: number }): void {
    this.#queued = expected.queued;
    this.#ofDevices = expected.ofDevices;
    this.#ofPeople = expected.ofPeople;
  }

  /** One more device of `account` has dealt with it. @returns the receipt to send now, or null */
  count(account: AccountName, outcome: Outcome): Receipt | null {
    return this.#note(account, outcome) ? this.#receipt() : null;
  }

  /** @returns whether that is worth a receipt */
  #note(account: AccountName, outcome: Outcome): boolean {
    switch (outcome) {
      case "room":
        return ++this.#room === 1; // since the receipt before
      case "lost":
        return ++this.#lost === 1 || this.#isDealtWith;
      case "stored": {
        this.#devices++;
        const isNew = account !== this.sender.account && this.#isFirstOf(account);
        if (isNew) this.#people++;
        return this.#devices === 1 || this.#isDealtWith || (isNew && this.#people === this.#ofPeople);
      }
    }
  }

  get #isDealtWith(): boolean {
    return this.#devices + this.#lost === this.#queued;
  }

  #receipt(): Receipt {
    const room = this.#room;
    this.#room = 0;
    return {
      envelope: this.envelope,
      devices: this.#devices,
      ofDevices: this.#ofDevices,
      people: this.#people,
      ofPeople: this.#ofPeople,
      lost: this.#lost,
      room,
    };
  }

  #isFirstOf(account: AccountName): boolean {
    if (!this.several.has(account)) return true;
    this.#counted ??= new Set();
    const before = this.#counted.size;
    return this.#counted.add(account).size > before;
  }
}

/** Receipts that a connection was given lately: whether they have arrived is known only once more has come from the device. */
export class RecentReceipts {
  readonly #sent: { readonly receipt: Receipt; readonly atMs: number }[] = [];

  /** @param nowMs monotonic */
  add(receipt: Receipt, nowMs: number): void {
    this.#sent.push({ receipt, atMs: nowMs });
    if (this.#sent.length > MAX_WAITING_RECEIPTS) this.#sent.shift();
  }

  /** Those that a dead connection may have swallowed: it is noticed after {@link SILENCE_TIMEOUT_MS} at the latest. */
  uncertain(nowMs: number): Receipt[] {
    return this.#sent.filter(({ atMs }) => nowMs - atMs <= SILENCE_TIMEOUT_MS).map(({ receipt }) => receipt);
  }
}

/** Receipts for a device that is away, bounded; the latest for each envelope. */
export class WaitingReceipts {
  readonly #byEnvelope = new Map<string, Receipt>();

  add(receipt: Receipt): void {
    const key = toHex(receipt.envelope);
    const known = this.#byEnvelope.get(key);
    const latest = known !== undefined && dealtWith(known) > dealtWith(receipt) ? known : receipt;
    this.#byEnvelope.delete(key);
    this.#byEnvelope.set(key, { ...latest, room: receipt.room + (known?.room ?? 0) });
    if (this.#byEnvelope.size <= MAX_WAITING_RECEIPTS) return;
    for (const oldest of this.#byEnvelope.keys()) {
      this.#byEnvelope.delete(oldest);
      return;
    }
  }

  /** Hands all of them out, oldest first. */
  take(): Receipt[] {
    const receipts = [...this.#byEnvelope.values()];
    this.#byEnvelope.clear();
    return receipts;
  }
}

/** Only grows from one receipt of an envelope to the next. */
function dealtWith({ devices, lost }: Receipt): number {
  return devices + lost;
}
