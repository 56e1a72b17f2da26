/** One envelope on its way to many devices: its bytes exist once, mailboxes and connections share them. */

import {
  ByteReader,
  decodeDelivery,
  type Delivery,
  DELIVERY_AS_OBJECT,
  DeliveryKind,
  encodeDelivery,
  FrameType,
  fromHex,
  type GroupId,
  objectFrames,
  type OutFrame,
  toHex,
} from "../proto/mod.ts";
import { MAX_INLINE_PAYLOAD_BYTES } from "./limits.ts";
import type { ReceiptCounter } from "./receipts.ts";

const EMPTY = new Uint8Array();
/** Where the epoch is in an encoded delivery. */
const EPOCH_PLACE = 17;
/** Where the envelope id is in an encoded delivery (PROTOCOL.md section 7), and where it ends. */
const ENVELOPE_ID_PLACE = [25, 41] as const;

/** What a mailbox queues; the same object for every recipient. */
export class SharedDelivery {
  /** How many mailboxes hold it; kept by the mailbox store, which counts shared bytes once. */
  holders = 0;
  /** Its row where a journal keeps mailboxes; 0 for none. Kept by the journal. */
  row = 0;
  #identity: string | null = null;

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
      /** The Welcome's epoch. */
      readonly epoch?: number;
      /** Fetches what is too large to keep in memory; null when it is gone. */
      readonly load?: () => Delivery | null;
    } = NO_OPTIONS,
  ) {}

  get ephemeral(): boolean {
    return this.options.ephemeral === true;
  }

  /** The group's epoch once the device has handled it. */
  get epochAfter(): number {
    const epoch = this.frame === null
      ? this.options.epoch ?? this.options.load?.()?.epoch ?? 0
      : new ByteReader(this.frame.parts[0].subarray(EPOCH_PLACE)).u64();
    return this.kind === DeliveryKind.COMMIT ? epoch + 1 : epoch;
  }

  /** Tells whether two application messages are the same envelope of the same sender; nobody else's can have the same. */
  get identity(): string {
    return this.#identity ??= `${this.group} ${this.sender} ${
      toHex(this.frame!.parts[0].subarray(...ENVELOPE_ID_PLACE))
    }`;
  }

  /** The same once more, for a mailbox that it reaches behind what came later. */
  copy(): SharedDelivery {
    return new SharedDelivery(
      this.kind,
      this.group,
      this.sender,
      this.size,
      this.atMs,
      this.frame,
      this.options,
    );
  }

  /** The bytes that {@link restoreDelivery} makes it of again: as PROTOCOL.md section 7 has it, a Welcome without its payload. */
  stored(): Uint8Array {
    if (this.frame !== null) return this.frame.parts[0];
    if (this.kind !== DeliveryKind.WELCOME) return encodeDelivery(this.options.load!()!);
    return encodeDelivery({
      kind: DeliveryKind.WELCOME,
      group: fromHex(this.group),
      epoch: this.options.epoch ?? 0,
      envelope: fromHex(this.options.envelope!),
      atMs: this.atMs,
      payload: EMPTY,
    });
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

/**
 * The marker that stands for deliveries of `group` that were not kept.
 *
 * @param options.epoch the group's once they would have been handled: what waits behind the marker is of this epoch or a later one
 */
export function gapDelivery(group: GroupId, options: { epoch: number; atMs: number }): SharedDelivery {
  const { epoch, atMs } = options;
  return shareDelivery(
    {
      kind: DeliveryKind.GAP,
      group: fromHex(group),
      epoch,
      envelope: new Uint8Array(16),
      atMs,
      payload: EMPTY,
    },
    { group, sender: "" },
  );
}

/** A Welcome without its bytes. */
export interface WelcomeHead {
  readonly envelope: string;
  readonly group: GroupId;
  readonly epoch: number;
  readonly atMs: number;
}

/**
 * The delivery that {@link SharedDelivery.stored} gave these bytes for.
 *
 * @param options.welcome makes a Welcome that finds its payload elsewhere
 * @throws {AronaError} `BAD_ENCODING`
 */
export function restoreDelivery(
  stored: Uint8Array,
  options: { sender: string; welcome: (head: WelcomeHead) => SharedDelivery },
): SharedDelivery {
  const delivery = decodeDelivery(stored);
  const group = toHex(delivery.group) as GroupId;
  if (delivery.kind !== DeliveryKind.WELCOME) {
    return shareDelivery(delivery, { group, sender: options.sender });
  }
  const { epoch, atMs } = delivery;
  return options.welcome({ envelope: toHex(delivery.envelope), group, epoch, atMs });
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
