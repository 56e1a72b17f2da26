/** The binary data frames MSG, ACK and RECEIPT: envelopes and what becomes of them (PROTOCOL.md section 7). */

import { ByteReader, ByteWriter } from "./bytes.ts";
import { AronaError } from "./errors.ts";
import { FrameType, type OutFrame } from "./frame.ts";
import type { ObjectAssembler } from "./control.ts";
import { MAX_ENVELOPE_BYTES } from "./limits.ts";

/** Bytes of a group id and of an envelope id. */
export const GROUP_ID_BYTES = 16;
export const ENVELOPE_ID_BYTES = 16;

/** Flags of a submitted MSG. */
export const MessageFlag = {
  RECEIPT: 0x01, //   answer with RECEIPT when devices have it
  EPHEMERAL: 0x02, // only to who is connected now, never queued (typing)
} as const;

/** A device's own message on its way to the relay. The relay answers with ACK or ERROR. */
export interface Submission {
  /** Request id, u32. */
  readonly request: number;
  /** {@link MessageFlag} bits. */
  readonly flags: number;
  readonly group: Uint8Array; //      16
  readonly epoch: number; //          u64; has to be the group's current one
  readonly envelope: Uint8Array; //   16, random
  readonly ciphertext: Uint8Array; // an MLS PrivateMessage
}

/** `request u32 ‖ flags u8 ‖ group 16 ‖ epoch u64 ‖ envelope 16 ‖ ciphertext` */
export function encodeSubmission(submission: Submission): OutFrame {
  const header = new ByteWriter().u32(submission.request).u8(submission.flags).raw(submission.group)
    .u64(submission.epoch).raw(submission.envelope).finish();
  return { type: FrameType.MSG, parts: [header, submission.ciphertext] };
}

/** @throws {AronaError} `BAD_ENCODING`, `TOO_LARGE` */
export function decodeSubmission(body: Uint8Array): Submission {
  const reader = new ByteReader(body);
  const submission = {
    request: reader.u32(),
    flags: reader.u8(),
    group: reader.take(GROUP_ID_BYTES),
    epoch: reader.u64(),
    envelope: reader.take(ENVELOPE_ID_BYTES),
    ciphertext: reader.rest(),
  };
  if (submission.ciphertext.length > MAX_ENVELOPE_BYTES) {
    throw new AronaError("TOO_LARGE", `Cannot accept message: ${submission.ciphertext.length} bytes`);
  }
  return submission;
}

/** What a delivered envelope holds. */
export const DeliveryKind = {
  APPLICATION: 0x01, // an MLS PrivateMessage with content
  COMMIT: 0x02, //      an MLS commit that moves the group from `epoch` to `epoch + 1`
  WELCOME: 0x03, //     an MLS Welcome for this device; `epoch` is the one it lets into
  GAP: 0x04, //         empty: envelopes of this group were not kept for this device
} as const;
export type DeliveryKind = typeof DeliveryKind[keyof typeof DeliveryKind];

/** Set in a delivery's kind where its payload came in OBJECT frames; in its place is the object's number (u32). */
export const DELIVERY_AS_OBJECT = 0x80;

/** An envelope on its way to a device. Deliveries of a device are numbered from AUTH_OK's `next` on, in order. */
export interface Delivery {
  readonly kind: DeliveryKind;
  readonly group: Uint8Array; //    16
  readonly epoch: number; //        u64
  readonly envelope: Uint8Array; // 16
  readonly atMs: number; //         u64, when the relay accepted it
  readonly payload: Uint8Array;
}

/**
 * `kind u8 ‖ group 16 ‖ epoch u64 ‖ envelope 16 ‖ at u64 ‖ payload`: the same bytes for every recipient. A payload may be larger
 * than an application's (a Welcome, a commit); as a frame it may span records. One that does not fit a frame travels as an object
 * ({@link DELIVERY_AS_OBJECT}).
 */
export function encodeDelivery(delivery: Delivery): Uint8Array {
  return new ByteWriter().u8(delivery.kind).raw(delivery.group).u64(delivery.epoch).raw(delivery.envelope)
    .u64(delivery.atMs).raw(delivery.payload).finish();
}

/**
 * @param objects takes the payload that arrived before it, where there is one
 * @throws {AronaError} `BAD_ENCODING`, `BAD_FRAME`
 */
export function decodeDelivery(body: Uint8Array, objects?: ObjectAssembler): Delivery {
  const reader = new ByteReader(body);
  const kindByte = reader.u8();
  const asObject = objects !== undefined && (kindByte & DELIVERY_AS_OBJECT) !== 0;
  const kind = asObject ? kindByte & ~DELIVERY_AS_OBJECT : kindByte;
  if (kind < DeliveryKind.APPLICATION || kind > DeliveryKind.GAP) {
    throw new AronaError("BAD_ENCODING", `Cannot decode delivery: kind ${kind}`);
  }
  const head = {
    kind: kind as DeliveryKind,
    group: reader.take(GROUP_ID_BYTES),
    epoch: reader.u64(),
    envelope: reader.take(ENVELOPE_ID_BYTES),
    atMs: reader.u64(),
  };
  if (!asObject) return { ...head, payload: reader.rest() };
  const number = reader.u32();
  reader.end();
  return { ...head, payload: objects.take(number) };
}

/** The relay has queued a submission. */
export interface Accepted {
  readonly request: number;
  /** Devices it is queued for. */
  readonly queued: number;
  /** Devices whose mailbox was full; the sender's outbox keeps it for them. */
  readonly full: number;
}

/** `request u32 ‖ queued u32 ‖ full u32` (relay → client) */
export function encodeAccepted(accepted: Accepted): OutFrame {
  const body = new ByteWriter().u32(accepted.request).u32(accepted.queued).u32(accepted.full).finish();
  return { type: FrameType.ACK, parts: [body] };
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeAccepted(body: Uint8Array): Accepted {
  const reader = new ByteReader(body);
  const accepted = { request: reader.u32(), queued: reader.u32(), full: reader.u32() };
  reader.end();
  return accepted;
}

/** What a device has done with its deliveries. */
export interface Delivered {
  /** Every delivery with a number under this one is dealt with. */
  readonly upTo: number;
  /** Numbers under it, ascending, of messages that the device could not open and has not kept. */
  readonly lost: readonly number[];
}

/** `upTo u64 ‖ lost u64 ×` any number of them (client → relay) */
export function encodeDelivered(upTo: number, lost: readonly number[] = []): OutFrame {
  const writer = new ByteWriter().u64(upTo);
  for (const number of lost) writer.u64(number);
  return { type: FrameType.ACK, parts: [writer.finish()] };
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeDelivered(body: Uint8Array): Delivered {
  const reader = new ByteReader(body);
  const upTo = reader.u64();
  const lost: number[] = [];
  while (reader.remaining > 0) {
    const number = reader.u64();
    if (number >= upTo || number <= (lost.at(-1) ?? -1)) {
      throw new AronaError("BAD_ENCODING", "Cannot decode acknowledgement: its numbers are out of order");
    }
    lost.push(number);
  }
  return { upTo, lost };
}

/** Who has stored an envelope so far. */
export interface Receipt {
  readonly envelope: Uint8Array;
  /** Devices that have it, of all it is for. */
  readonly devices: number;
  readonly ofDevices: number;
  /** Accounts other than the sender's with a device that has it, of those it is for. */
  readonly people: number;
  readonly ofPeople: number;
  /** Devices that have got it and could not open it. */
  readonly lost: number;
  /** Devices whose mailbox was too full for it, and has room by now; each is told of once. */
  readonly room: number;
}

/** `envelope 16 ‖ devices u32 ‖ of devices u32 ‖ people u32 ‖ of people u32 ‖ lost u32 ‖ room u32` (relay → client) */
export function encodeReceipt(receipt: Receipt): OutFrame {
  const { envelope, devices, ofDevices, people, ofPeople, lost, room } = receipt;
  const body = new ByteWriter().raw(envelope).u32(devices).u32(ofDevices).u32(people).u32(ofPeople).u32(lost)
    .u32(room).finish();
  return { type: FrameType.RECEIPT, parts: [body] };
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeReceipt(body: Uint8Array): Receipt {
  const reader = new ByteReader(body);
  const receipt = {
    envelope: reader.take(ENVELOPE_ID_BYTES),
    devices: reader.u32(),
    ofDevices: reader.u32(),
    people: reader.u32(),
    ofPeople: reader.u32(),
    lost: reader.u32(),
    room: reader.u32(),
  };
  reader.end();
  return receipt;
}
