/** MailboxStore in memory: queues of references to shared deliveries. */

import { AronaError, DeliveryKind, type DeviceId, type GroupId } from "../proto/mod.ts";
import { gapDelivery, type SharedDelivery } from "./delivery.ts";
import {
  MAILBOX_RESERVE_ENTRIES,
  MAILBOX_SENDER_SHARE,
  MAX_MAILBOX_BYTES,
  MAX_MAILBOX_ENTRIES,
  MAX_MAILBOXES_BYTES,
} from "./limits.ts";
import { type Mailbox, type MailboxState, type MailboxStore, PushResult } from "./mailbox.ts";

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

/** Mailboxes that last as long as the process. */
export class MemoryMailboxStore implements MailboxStore {
  readonly limits: MailboxLimits;
  readonly #mailboxes = new Map<DeviceId, MemoryMailbox>();
  #bytes = 0;

  constructor(limits: Partial<MailboxLimits> = {}) {
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
      mailbox = new MemoryMailbox(this, options.gap);
      this.#mailboxes.set(device, mailbox);
    }
    return mailbox;
  }

  expire(beforeMs: number): void {
    for (const mailbox of this.#mailboxes.values()) mailbox.expire(beforeMs);
  }

  /** Counts a delivery in that a mailbox has taken. */
  hold(delivery: SharedDelivery): void {
    if (delivery.holders++ === 0) this.#bytes += delivery.size;
  }

  release(delivery: SharedDelivery): void {
    if (--delivery.holders === 0) this.#bytes -= delivery.size;
  }
}

class MemoryMailbox implements Mailbox {
  #queue: SharedDelivery[] = [];
  /** Place of the first delivery that is not acknowledged, and of the first that waits. */
  #first = 0;
  #cursor = 0;
  /** Number of the delivery at place 0. */
  #base = 0;
  /** Bytes of the envelopes; markers and Welcomes have their own reserve of {@link #reserved} places. */
  #bytes = 0;
  #reserved = 0;
  /** Groups with a marker that the device has not acknowledged. */
  readonly #marked = new Set<GroupId>();
  #gap: boolean;
  #open = false;

  constructor(private readonly store: MemoryMailboxStore, gap: boolean) {
    this.#gap = gap;
  }

  get unacknowledged(): number {
    return this.#cursor - this.#first;
  }

  get waiting(): number {
    return this.#queue.length - this.#cursor;
  }

  push(delivery: SharedDelivery): PushResult {
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
    this.#cursor = this.#first;
    this.#open = true;
    return { next: this.#base + this.#first, backlog: this.#queue.length - this.#first, gap: this.#gap };
  }

  take(): SharedDelivery | null {
    return this.#cursor < this.#queue.length ? this.#queue[this.#cursor++] : null;
  }

  acknowledge(upTo: number, onStored: (delivery: SharedDelivery) => void): void {
    const place = upTo - this.#base;
    if (place > this.#cursor) {
      throw new AronaError("BAD_FRAME", "Cannot acknowledge: the deliveries were not sent yet");
    }
    while (this.#first < place) {
      const delivery = this.#queue[this.#first++];
      this.#release(delivery);
      onStored(delivery);
    }
    this.#gap = false;
    this.#compact();
  }

  settle(): void {
    this.#gap = false;
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
    if (expired > 0) this.#gap = true;
    this.#cursor = this.#first;
  }

  #append(delivery: SharedDelivery): void {
    this.#queue.push(delivery);
    if (usesReserve(delivery)) this.#reserved++;
    else this.#bytes += delivery.size;
    if (delivery.kind === DeliveryKind.GAP) this.#marked.add(delivery.group);
    this.store.hold(delivery);
  }

  #release(delivery: SharedDelivery): void {
    if (usesReserve(delivery)) this.#reserved--;
    else this.#bytes -= delivery.size;
    if (delivery.kind === DeliveryKind.GAP) this.#marked.delete(delivery.group);
    this.store.release(delivery);
  }

  /** The device learns by one marker that something of the group is missing here, unless what is missing was for now only. */
  #refuse(delivery: SharedDelivery, result: PushResult): PushResult {
    if (delivery.ephemeral || this.#marked.has(delivery.group)) return result;
    if (this.#reserved < MAILBOX_RESERVE_ENTRIES) this.#append(gapDelivery(delivery.group, delivery.atMs));
    else this.#gap = true;
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
    this.#append(gapDelivery(commit.group, commit.atMs));
    return removed === 1 && this.#wasMarker ? PushResult.QUEUED : PushResult.COLLAPSED;
  }

  #overflow(): PushResult {
    this.#gap = true;
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

function usesReserve({ kind }: SharedDelivery): boolean {
  return kind === DeliveryKind.GAP || kind === DeliveryKind.WELCOME;
}
