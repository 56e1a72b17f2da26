/**
 * The Bus port: who hears what. A group's subscribers are its members' devices; publishing puts one shared delivery into the mailbox
 * of each and wakes those that are connected.
 */

import {
  type AccountName,
  type ControlFields,
  DeliveryKind,
  type DeviceId,
  type GroupId,
  type Receipt,
} from "../proto/mod.ts";
import type { SharedDelivery } from "./delivery.ts";
import { type Mailbox, PushResult } from "./mailbox.ts";
import { WaitingReceipts } from "./receipts.ts";

/** The connected side of a device. No method waits or throws. */
export interface Listener {
  /** Something new is in the mailbox. */
  wake(): void;
  /** The mailbox has refused a delivery or collapsed. */
  overflowed(result: PushResult): void;
  /** The device is its account's no longer: the connection ends. */
  revoked(): void;
  event(fields: ControlFields, blobs?: readonly Uint8Array[]): void;
  /** @returns false where the connection has too much queued to take it */
  receipt(receipt: Receipt): boolean;
}

/** A device that hears things: connected when it has a listener. */
export class Recipient {
  listener: Listener | null = null;
  #receipts: WaitingReceipts | null = null;

  constructor(readonly device: DeviceId, readonly account: AccountName, readonly mailbox: Mailbox) {}

  /** Sends a receipt now or keeps it for the next connection. */
  receipt(receipt: Receipt): void {
    if (this.listener?.receipt(receipt) !== true) this.keepReceipt(receipt);
  }

  /** For the next connection. */
  keepReceipt(receipt: Receipt): void {
    this.#receipts ??= new WaitingReceipts();
    this.#receipts.add(receipt);
  }

  /** The receipts kept since the last connection. */
  get waitingReceipts(): WaitingReceipts | null {
    return this.#receipts;
  }
}

/** How many devices a delivery reached. */
export interface Published {
  readonly queued: number;
  /** Devices whose mailbox refused it. */
  readonly full: number;
}

/** Topics are groups. */
export interface Bus {
  subscribe(group: GroupId, recipient: Recipient): void;
  unsubscribe(group: GroupId, device: DeviceId): void;
  forget(group: GroupId): void;
  subscribers(group: GroupId): readonly Recipient[];
  /**
   * A message that nobody has room for but other devices of its sender's account reaches nobody: it comes again.
   *
   * @param except the sending device, which gets no copy
   */
  publish(group: GroupId, delivery: SharedDelivery, except: DeviceId): Published;
  /** To one device, whether or not it subscribes to anything. */
  deliver(recipient: Recipient, delivery: SharedDelivery): PushResult;
}

const NOBODY: readonly Recipient[] = [];

/** A bus within one process. */
export class InProcessBus implements Bus {
  readonly #topics = new Map<GroupId, Recipient[]>();

  subscribe(group: GroupId, recipient: Recipient): void {
    const topic = this.#topics.get(group);
    if (topic === undefined) this.#topics.set(group, [recipient]);
    else if (!topic.includes(recipient)) topic.push(recipient);
  }

  unsubscribe(group: GroupId, device: DeviceId): void {
    const topic = this.#topics.get(group);
    const place = topic?.findIndex((recipient) => recipient.device === device) ?? -1;
    if (place >= 0) topic!.splice(place, 1);
  }

  forget(group: GroupId): void {
    this.#topics.delete(group);
  }

  subscribers(group: GroupId): readonly Recipient[] {
    return this.#topics.get(group) ?? NOBODY;
  }

  publish(group: GroupId, delivery: SharedDelivery, except: DeviceId): Published {
    const topic = this.#topics.get(group) ?? NOBODY;
    const ephemeral = delivery.ephemeral;
    if (!ephemeral && delivery.kind === DeliveryKind.APPLICATION) {
      const full = refusedByAll(topic, delivery, except);
      if (full > 0) return { queued: 0, full };
    }
    let queued = 0;
    let full = 0;
    for (let i = 0; i < topic.length; i++) {
      const recipient = topic[i];
      if (recipient.device === except || (ephemeral && recipient.listener === null)) continue;
      const result = this.deliver(recipient, delivery);
      if (result <= PushResult.COLLAPSED) queued++;
      else full++;
    }
    return { queued, full };
  }

  deliver(recipient: Recipient, delivery: SharedDelivery): PushResult {
    const result = recipient.mailbox.push(delivery);
    const listener = recipient.listener;
    if (listener !== null) {
      if (result !== PushResult.QUEUED) listener.overflowed(result);
      listener.wake();
    }
    return result;
  }
}

/** @returns how many have no room, where nobody has whom the message is for: other people's devices, or own ones where there are no others */
function refusedByAll(topic: readonly Recipient[], delivery: SharedDelivery, except: DeviceId): number {
  const others: Recipient[] = [];
  const own: Recipient[] = [];
  for (const recipient of topic) {
    if (recipient.device === except) continue;
    if (recipient.account === delivery.sender) own.push(recipient);
    else if (recipient.mailbox.roomFor(delivery) === PushResult.QUEUED) return 0;
    else others.push(recipient);
  }
  const all = others.length > 0 ? others : own;
  const results = all.map(({ mailbox }) => mailbox.roomFor(delivery));
  if (results.includes(PushResult.QUEUED)) return 0;
  for (const [i, { listener }] of all.entries()) listener?.overflowed(results[i]);
  return all.length;
}
