/** One envelope on its way to many devices: its bytes exist once, mailboxes and connections share them. */

import {
  type Delivery,
  DELIVERY_AS_OBJECT,
  DeliveryKind,
  encodeDelivery,
  FrameType,
  fromHex,
  type GroupId,
  objectFrames,
  type OutFrame,
} from "../proto/mod.ts";
import { MAX_INLINE_PAYLOAD_BYTES } from "./limits.ts";
import type { ReceiptCounter } from "./receipts.ts";

const EMPTY = new Uint8Array();

/** What a mailbox queues; the same object for every recipient. */
export class SharedDelivery {
  /** How many mailboxes hold it; kept by the mailbox store, which counts shared bytes once. */
  holders = 0;

  /**
   * @param frame the MSG frame, the same for every recipient; null where {@link load} makes it when it is sent
   * @param size bytes that it counts in a mailbox
   * @param sender account whose share of the mailbox it uses; empty for the relay's own
   */
  constructor(
    readonly kind: DeliveryKind,
    readonly group: GroupId,
    readonly sender: string,
    readonly size: number,
    readonly atMs: number,
    readonly frame: OutFrame | null,
    readonly options: {
      readonly ephemeral?: boolean;
      readonly receipt?: ReceiptCounter | null;
      /** Envelope id, for a Welcome that the store forgets once it is acknowledged. */
      readonly envelope?: string;
      /** Fetches what is too large to keep in memory; null when it is gone. */
      readonly load?: () => Delivery | null;
    } = NO_OPTIONS,
  ) {}

  get ephemeral(): boolean {
    return this.options.ephemeral === true;
  }

  /** The frames to send, for deliveries that have no shared one. */
  framesFor(nextObjectNumber: () => number): OutFrame[] {
    if (this.frame !== null) return [this.frame];
    const delivery = this.options.load?.() ??
      {
        kind: DeliveryKind.GAP,
        group: fromHex(this.group),
        epoch: 0,
        envelope: new Uint8Array(16),
        atMs: 0,
        payload: EMPTY,
      };
    return deliveryFrames(delivery, nextObjectNumber);
  }
}

const NO_OPTIONS = {};

/** A delivery whose frame is shared: application messages and commits that fit one. */
export function shareDelivery(
  delivery: Delivery,
  options: { group: GroupId; sender: string; ephemeral?: boolean; receipt?: ReceiptCounter | null },
): SharedDelivery {
  const { group, sender } = options;
  if (delivery.payload.length > MAX_INLINE_PAYLOAD_BYTES) {
    return new SharedDelivery(delivery.kind, group, sender, delivery.payload.length, delivery.atMs, null, {
      load: () => delivery,
    });
  }
  const bytes = encodeDelivery(delivery);
  const frame: OutFrame = { type: FrameType.MSG, parts: [bytes] };
  const plain = options.ephemeral !== true && (options.receipt ?? null) === null;
  return new SharedDelivery(
    delivery.kind,
    group,
    sender,
    bytes.length,
    delivery.atMs,
    frame,
    plain ? NO_OPTIONS : { ephemeral: options.ephemeral, receipt: options.receipt },
  );
}

/** The marker that stands for deliveries of `group` that were not kept. */
export function gapDelivery(group: GroupId, atMs: number): SharedDelivery {
  return shareDelivery(
    {
      kind: DeliveryKind.GAP,
      group: fromHex(group),
      epoch: 0,
      envelope: new Uint8Array(16),
      atMs,
      payload: EMPTY,
    },
    { group, sender: "" },
  );
}

function deliveryFrames(delivery: Delivery, nextObjectNumber: () => number): OutFrame[] {
  if (delivery.payload.length <= MAX_INLINE_PAYLOAD_BYTES) {
    return [{ type: FrameType.MSG, parts: [encodeDelivery(delivery)] }];
  }
  const number = nextObjectNumber();
  const reference = new Uint8Array(4);
  new DataView(reference.buffer).setUint32(0, number);
  const body = encodeDelivery({ ...delivery, payload: reference });
  body[0] |= DELIVERY_AS_OBJECT;
  return [...objectFrames(number, delivery.payload), { type: FrameType.MSG, parts: [body] }];
}
