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
  MAX_MAILBOX_OWED_MARKERS,
  MAX_MAILBOX_REFUSED_RECEIPTS,
  MAX_MAILBOXES_BYTES,
} from "./limits.ts";
import { type Mailbox, type MailboxState, type MailboxStore, type OnDone, PushResult } from "./mailbox.ts";
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
const NONE: readonly number[] = [];

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
  /** Groups that a marker is due for as soon as the reserve has a place, with the epoch that it leads to. */
  readonly #owed = new Map<GroupId, number>();
  /** Receipts of messages that a marker stands for. */
  readonly #refused = new Map<GroupId, Set<ReceiptCounter>>();
  #refusedCount = 0;
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

  roomFor(delivery: SharedDelivery): PushResult {
    if (this.#restored?.has(delivery.identity) === true) return PushResult.QUEUED;
    return this.#roomFor(delivery);
  }

  #push(delivery: SharedDelivery): PushResult {
    if (this.#restored !== null && this.#isAgain(delivery)) return PushResult.QUEUED;
    switch (delivery.kind) {
      case DeliveryKind.APPLICATION: {
        const room = this.#roomFor(delivery);
        if (room !== PushResult.QUEUED) return this.#refuse(delivery, room);
        break;
      }
      case DeliveryKind.COMMIT:
        if (this.#roomFor(delivery) !== PushResult.QUEUED) return this.#collapse(delivery);
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

  acknowledge(upTo: number, onDone: OnDone, lost: readonly number[] = NONE): void {
    const { journal } = this.store;
    if (journal === null) this.#acknowledge(upTo, onDone, lost);
    else {
      journal.batch(() => {
        this.#acknowledge(upTo, onDone, lost);
        journal.changed(this);
      });
    }
  }

  #acknowledge(upTo: number, onDone: OnDone, lost: readonly number[]): void {
    const place = upTo - this.#base;
    if (place > this.#cursor) {
      throw new AronaError("BAD_FRAME", "Cannot acknowledge: the deliveries were not sent yet");
    }
    let nextLost = 0;
    while (this.#first < place) {
      const number = this.#base + this.#first;
      while (lost[nextLost] < number) nextLost++;
      const delivery = this.#queue[this.#first++];
      onDone(delivery, this.#release(delivery), lost[nextLost] === number ? "lost" : "stored");
      if (delivery.kind === DeliveryKind.GAP) this.#haveRoom(delivery, onDone);
    }
    this.#gap = false;
    this.#compact();
    for (const [group, epoch] of this.#owed) {
      if (this.#reserved >= MAILBOX_RESERVE_ENTRIES) break;
      this.#owed.delete(group);
      this.#append(gapDelivery(group, { epoch, atMs: 0 }));
    }
  }

  /** What a marker stood for can be sent once more. */
  #haveRoom(marker: SharedDelivery, onDone: OnDone): void {
    const refused = this.#refused.get(marker.group);
    if (refused === undefined || this.#marked.has(marker.group)) return;
    this.#refused.delete(marker.group);
    this.#refusedCount -= refused.size;
    for (const receipt of refused) onDone(marker, receipt, "room");
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
    const expired = new Map<GroupId, SharedDelivery>();
    this.#retain(this.#first, (delivery) => {
      if (usesReserve(delivery) || delivery.atMs >= beforeMs) return true;
      expired.set(delivery.group, delivery);
      return false;
    });
    this.#cursor = this.#first;
    for (const delivery of expired.values()) this.#mark(delivery);
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
    if (delivery.ephemeral) return result;
    this.#noteRefused(delivery);
    this.#mark(delivery);
    return result;
  }

  /**
   * Puts a marker for the delivery's group at the end, unless the device has yet to acknowledge one; where the reserve has no place, once
   * it has one again.
   *
   * @returns whether there is one
   */
  #mark(delivery: SharedDelivery): boolean {
    const { group } = delivery;
    if (this.#marked.has(group)) return true;
    if (this.#reserved < MAILBOX_RESERVE_ENTRIES) {
      this.#append(markerFor(delivery));
      return true;
    }
    if (this.#owed.size < MAX_MAILBOX_OWED_MARKERS || this.#owed.has(group)) {
      this.#owed.set(group, Math.max(this.#owed.get(group) ?? 0, delivery.epochAfter));
    }
    this.#setGap(true); // the device asks for the commits at its next login
    return false;
  }

  #noteRefused({ group, options: { receipt } }: SharedDelivery): void {
    if (!receipt || this.#refusedCount >= MAX_MAILBOX_REFUSED_RECEIPTS) return;
    const refused = this.#refused.get(group) ?? new Set();
    this.#refused.set(group, refused);
    this.#refusedCount -= refused.size;
    this.#refusedCount += refused.add(receipt).size;
  }

  /** Whether a message or a commit fits, and why not. */
  #roomFor(delivery: SharedDelivery): PushResult {
    const { entries, bytes, totalBytes } = this.store.limits;
    const length = this.#queue.length - this.#first - this.#reserved;
    if (length >= entries || this.#bytes + delivery.size > bytes) return PushResult.MAILBOX_FULL;
    const more = delivery.holders === 0 ? delivery.size : 0;
    if (this.store.bytes + more > totalBytes) return PushResult.RELAY_FULL;
    const isOver = delivery.kind === DeliveryKind.APPLICATION && this.#overShare(delivery, length);
    return isOver ? PushResult.SENDER_SHARE : PushResult.QUEUED;
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
    const removed = this.#retain(this.#cursor, (delivery) => {
      const isOther = delivery.group !== commit.group;
      if (!isOther) this.#noteRefused(delivery);
      return isOther;
    });
    this.#marked.delete(commit.group); // one that the device has been sent leads to an earlier epoch
    if (!this.#mark(commit)) return PushResult.OVERFLOW;
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
