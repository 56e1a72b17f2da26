/**
 * MailboxStore in memory: queues of references to shared deliveries. With a journal they are kept beyond the process as well; the queues
 * are these all the same.
 */

import { AronaError, DeliveryKind, type DeviceId, type GroupId, toHex } from "../proto/mod.ts";
import { gapDelivery, type SharedDelivery } from "./delivery.ts";
import {
  MAILBOX_RESERVE_ENTRIES,
  MAILBOX_SENDER_SHARE,
  MAX_MAILBOX_BYTES,
  MAX_MAILBOX_ENTRIES,
  MAX_MAILBOXES_BYTES,
} from "./limits.ts";
import { type Mailbox, type MailboxState, type MailboxStore, type OnStored, PushResult } from "./mailbox.ts";
import type { JournaledMailbox, MailboxJournal } from "./mailbox_journal.ts";
import type { ReceiptCounter } from "./receipts.ts";

/** Bounds of the mailboxes, to be made small by tests. */
export interface MailboxLimits {
  /** @default MAX_MAILBOX_ENTRIES */
  readonly entries: number;
  /** @default MAX_MAILBOX_BYTES */
  readonly bytes: number;
  /** @default MAX_MAILBOXES_BYTES */
  readonly totalBytes: number;
}

const DEFAULT_LIMITS: MailboxLimits = {
  entries: MAX_MAILBOX_ENTRIES,
  bytes: MAX_MAILBOX_BYTES,
  totalBytes: MAX_MAILBOXES_BYTES,
};
/** The queue's array is compacted when so many acknowledged places are at its front. */
const COMPACT_AFTER = 256;
const MAILBOX_ID_BYTES = 8;

/** What a journal knows of a mailbox that goes on. */
export type RestoredMailbox = Pick<JournaledMailbox, "number" | "device" | "id" | "next" | "gap" | "lastRow">;

/** Mailboxes that last as long as the process, or as their journal. */
export class MemoryMailboxStore implements MailboxStore {
  readonly limits: MailboxLimits;
  readonly #mailboxes = new Map<DeviceId, MemoryMailbox>();
  #bytes = 0;
  #lastNumber = 0;

  constructor(limits: Partial<MailboxLimits> = {}, readonly journal: MailboxJournal | null = null) {
    this.limits = { ...DEFAULT_LIMITS, ...limits };
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#mailboxes.size;
  }

  mailbox(device: DeviceId, options: { gap: boolean }): Mailbox {
    let mailbox = this.#mailboxes.get(device);
    if (mailbox === undefined) {
      mailbox = this.restore({
        number: this.#lastNumber + 1,
        device,
        id: newMailboxId(),
        next: 0,
        gap: options.gap,
        lastRow: 0,
      });
      this.journal?.created(mailbox);
    }
    return mailbox;
  }

  /** Goes on with a mailbox as its journal has it; what waits in it follows by {@link MemoryMailbox.restore}. */
  restore(state: RestoredMailbox): MemoryMailbox {
    const mailbox = new MemoryMailbox(this, state);
    this.#mailboxes.set(state.device, mailbox);
    this.#lastNumber = Math.max(this.#lastNumber, state.number);
    return mailbox;
  }

  expire(beforeMs: number): void {
    this.batch(() => {
      for (const mailbox of this.#mailboxes.values()) mailbox.expire(beforeMs);
    });
  }

  batch<T>(action: () => T): T {
    return this.journal === null ? action() : this.journal.batch(action);
  }

  announce(): void {
    this.journal?.announce();
  }

  tidy(): void {
    this.journal?.tidy(this.#mailboxes.values());
  }

  close(): void {
    this.journal?.close();
  }

  /** Counts a delivery in that a mailbox has taken. */
  hold(delivery: SharedDelivery): void {
    if (delivery.holders++ === 0) this.#bytes += delivery.size;
  }

  release(delivery: SharedDelivery): void {
    if (--delivery.holders > 0) return;
    this.#bytes -= delivery.size;
    if (delivery.row !== 0) this.journal?.released(delivery);
  }
}

class MemoryMailbox implements Mailbox, JournaledMailbox {
  #queue: SharedDelivery[] = [];
  /** Place of the first delivery that is not acknowledged, and of the first that waits. */
  #first = 0;
  #cursor = 0;
  /** Number of the delivery at place 0. */
  #base: number;
  /** Bytes of the envelopes; markers and Welcomes have their own reserve of {@link #reserved} places. */
  #bytes = 0;
  #reserved = 0;
  /** Groups with a marker that the device has not acknowledged. */
  readonly #marked = new Set<GroupId>();
  #gap: boolean;
  #open = false;
  /**
   * Messages that were queued before a restart, by {@link SharedDelivery.identity}, with the receipts that their senders have asked for
   * since: only those are sent again while they are queued, because a client sends again what an earlier run of the relay accepted.
   * Null where there are none, as always without a journal.
   */
  #restored: Map<string, ReceiptCounter | null> | null = null;
  readonly number: number;
  readonly device: DeviceId;
  readonly id: string;
  lastRow: number;

  constructor(private readonly store: MemoryMailboxStore, state: RestoredMailbox) {
    this.number = state.number;
    this.device = state.device;
    this.id = state.id;
    this.lastRow = state.lastRow;
    this.#base = state.next;
    this.#gap = state.gap;
  }

  get next(): number {
    return this.#base + this.#first;
  }

  get end(): number {
    return this.#base + this.#queue.length;
  }

  get gap(): boolean {
    return this.#gap;
  }

  *kept(): Iterable<SharedDelivery> {
    for (let i = this.#first; i < this.#queue.length; i++) {
      if (!this.#queue[i].ephemeral) yield this.#queue[i];
    }
  }

  /** Puts back what its journal has, in order. */
  restore(delivery: SharedDelivery): void {
    this.#enter(delivery);
    this.lastRow = delivery.row;
    if (delivery.kind !== DeliveryKind.APPLICATION) return;
    this.#restored ??= new Map();
    this.#restored.set(delivery.identity, null);
  }

  /** What its journal had cannot be put back. */
  lose(): this {
    this.#gap = true;
    return this;
  }

  get unacknowledged(): number {
    return this.#cursor - this.#first;
  }

  get waiting(): number {
    return this.#queue.length - this.#cursor;
  }

  push(delivery: SharedDelivery): PushResult {
    const { journal } = this.store;
    return journal === null ? this.#push(delivery) : journal.batch(() => this.#push(delivery));
  }

  #push(delivery: SharedDelivery): PushResult {
    if (this.#restored !== null && this.#isAgain(delivery)) return PushResult.QUEUED;
    const limits = this.store.limits;
    const length = this.#queue.length - this.#first - this.#reserved;
    const fits = length < limits.entries && this.#bytes + delivery.size <= limits.bytes;
    const relayFits = this.store.bytes + (delivery.holders === 0 ? delivery.size : 0) <= limits.totalBytes;
    switch (delivery.kind) {
      case DeliveryKind.APPLICATION:
        if (!fits) return this.#refuse(delivery, PushResult.MAILBOX_FULL);
        if (!relayFits) return this.#refuse(delivery, PushResult.RELAY_FULL);
        if (this.#overShare(delivery, length)) return this.#refuse(delivery, PushResult.SENDER_SHARE);
        break;
      case DeliveryKind.COMMIT:
        if (!fits || !relayFits) return this.#collapse(delivery);
        break;
      case DeliveryKind.WELCOME:
      case DeliveryKind.GAP:
        if (this.#reserved >= MAILBOX_RESERVE_ENTRIES) return this.#overflow();
        break;
    }
    this.#append(delivery);
    return PushResult.QUEUED;
  }

  open(): MailboxState {
    this.store.journal?.flush();
    this.#cursor = this.#first;
    this.#open = true;
    return { id: this.id, next: this.next, backlog: this.#queue.length - this.#first, gap: this.#gap };
  }

  take(): SharedDelivery | null {
    return this.#cursor < this.#queue.length ? this.#queue[this.#cursor++] : null;
  }

  acknowledge(upTo: number, onStored: OnStored): void {
    const { journal } = this.store;
    if (journal === null) this.#acknowledge(upTo, onStored);
    else {
      journal.batch(() => {
        this.#acknowledge(upTo, onStored);
        journal.changed(this);
      });
    }
  }

  #acknowledge(upTo: number, onStored: OnStored): void {
    const place = upTo - this.#base;
    if (place > this.#cursor) {
      throw new AronaError("BAD_FRAME", "Cannot acknowledge: the deliveries were not sent yet");
    }
    while (this.#first < place) {
      const delivery = this.#queue[this.#first++];
      onStored(delivery, this.#release(delivery));
    }
    this.#gap = false;
    this.#compact();
  }

  settle(): void {
    if (this.#gap) this.#setGap(false);
  }

  close(): void {
    this.#open = false;
    this.#retain(this.#first, (delivery) => !delivery.ephemeral);
    this.#cursor = this.#first;
  }

  holds(envelope: string): boolean {
    for (let i = this.#first; i < this.#queue.length; i++) {
      if (this.#queue[i].options.envelope === envelope) return true;
    }
    return false;
  }

  /** See {@link MailboxStore.expire}. */
  expire(beforeMs: number): void {
    if (this.#open) return;
    const expired = this.#retain(
      this.#first,
      (delivery) => delivery.kind === DeliveryKind.WELCOME || delivery.atMs >= beforeMs,
    );
    if (expired > 0) this.#setGap(true);
    this.#cursor = this.#first;
  }

  #append(delivery: SharedDelivery): void {
    const { journal } = this.store;
    if (journal === null || delivery.ephemeral) return this.#enter(delivery);
    const held = delivery.row !== 0 && delivery.row <= this.lastRow ? delivery.copy() : delivery;
    this.#enter(held);
    journal.appended(this, held);
    this.lastRow = held.row;
  }

  #enter(delivery: SharedDelivery): void {
    this.#queue.push(delivery);
    if (usesReserve(delivery)) this.#reserved++;
    else this.#bytes += delivery.size;
    if (delivery.kind === DeliveryKind.GAP) this.#marked.add(delivery.group);
    this.store.hold(delivery);
  }

  /** @returns the count of its receipts */
  #release(delivery: SharedDelivery): ReceiptCounter | null {
    if (usesReserve(delivery)) this.#reserved--;
    else this.#bytes -= delivery.size;
    if (delivery.kind === DeliveryKind.GAP) this.#marked.delete(delivery.group);
    this.store.release(delivery);
    const receipt = delivery.options.receipt ?? null;
    if (this.#restored === null || delivery.kind !== DeliveryKind.APPLICATION) return receipt;
    const later = this.#restored.get(delivery.identity) ?? null;
    if (this.#restored.delete(delivery.identity) && this.#restored.size === 0) this.#restored = null;
    return later ?? receipt;
  }

  /** Whether a message from before a restart was sent again; its sender then hears of the delivery from the newer count. */
  #isAgain(delivery: SharedDelivery): boolean {
    if (delivery.kind !== DeliveryKind.APPLICATION || delivery.ephemeral) return false;
    const earlier = this.#restored!.get(delivery.identity);
    if (earlier === undefined) return false;
    this.#restored!.set(delivery.identity, delivery.options.receipt ?? earlier);
    return true;
  }

  #setGap(gap: boolean): void {
    this.#gap = gap;
    this.store.journal?.changed(this);
  }

  /** The device learns by one marker that something of the group is missing here, unless what is missing was for now only. */
  #refuse(delivery: SharedDelivery, result: PushResult): PushResult {
    if (delivery.ephemeral || this.#marked.has(delivery.group)) return result;
    if (this.#reserved < MAILBOX_RESERVE_ENTRIES) this.#append(markerFor(delivery));
    else this.#setGap(true);
    return result;
  }

  /** Counted only from where one sender alone could be over: below that the answer is known without looking. */
  #overShare(delivery: SharedDelivery, length: number): boolean {
    const { entries, bytes } = this.store.limits;
    const shareEntries = Math.ceil(entries / MAILBOX_SENDER_SHARE);
    const shareBytes = Math.ceil(bytes / MAILBOX_SENDER_SHARE);
    if (length < shareEntries && this.#bytes + delivery.size <= shareBytes) return false;
    let count = 0;
    let held = delivery.size;
    for (let i = this.#first; i < this.#queue.length; i++) {
      if (this.#queue[i].sender !== delivery.sender) continue;
      count++;
      held += this.#queue[i].size;
    }
    return count >= shareEntries || held > shareBytes;
  }

  #collapse(commit: SharedDelivery): PushResult {
    const removed = this.#retain(this.#cursor, (delivery) => delivery.group !== commit.group);
    if (this.#reserved >= MAILBOX_RESERVE_ENTRIES) return this.#overflow();
    this.#append(markerFor(commit));
    return removed === 1 && this.#wasMarker ? PushResult.QUEUED : PushResult.COLLAPSED;
  }

  #overflow(): PushResult {
    this.#setGap(true);
    return PushResult.OVERFLOW;
  }

  /** Whether the last delivery that {@link #retain} dropped was a marker. */
  #wasMarker = false;

  /** Keeps only what `keep` says, from place `from` on. @returns how many were dropped */
  #retain(from: number, keep: (delivery: SharedDelivery) => boolean): number {
    let place = from;
    for (let i = from; i < this.#queue.length; i++) {
      const delivery = this.#queue[i];
      if (keep(delivery)) {
        this.#queue[place++] = delivery;
        continue;
      }
      this.#wasMarker = delivery.kind === DeliveryKind.GAP;
      if (delivery.row !== 0) this.store.journal?.dropped(this, delivery);
      this.#release(delivery);
    }
    const dropped = this.#queue.length - place;
    this.#queue.length = place;
    return dropped;
  }

  #compact(): void {
    if (this.#first < COMPACT_AFTER && this.#first < this.#queue.length) return;
    if (this.#first * 2 < this.#queue.length) return;
    this.#base += this.#first;
    this.#cursor -= this.#first;
    this.#queue = this.#queue.slice(this.#first);
    this.#first = 0;
  }
}

/** An id for a numbering that begins. */
export function newMailboxId(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(MAILBOX_ID_BYTES)));
}

/** What stands in the place of a delivery that does not fit. */
function markerFor(delivery: SharedDelivery): SharedDelivery {
  return gapDelivery(delivery.group, { epoch: delivery.epochAfter, atMs: delivery.atMs });
}

function usesReserve({ kind }: SharedDelivery): boolean {
  return kind === DeliveryKind.GAP || kind === DeliveryKind.WELCOME;
}
