/**
 * A message in the outbox as it is stored.
 *
 *     row = version u8 ‖ group 16 ‖ message id 16 ‖ created u64 ‖ accepted by the boot vector16 ‖ content vector32 ‖
 *           reached u32 ‖ lost u8 ‖ sealed u8 ‖ [sealed]
 *     sealed = epoch u64 ‖ sequence u64 ‖ envelope id 16 ‖ ciphertext vector32
 */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  fromHex,
  fromUtf8,
  type GroupId,
  parseGroupId,
  toHex,
  utf8,
} from "../proto/mod.ts";

/** Version 1 had neither `reached` nor the sequence number; version 2 not `lost`, and counted devices in `reached`. */
const VERSION = 3;
const MAX_PART_BYTES = 1 << 20;

/** A message sealed for one epoch. */
export interface SealedMessage {
  readonly epoch: number;
  /** Its place among this device's messages in the conversation. */
  readonly sequence: number;
  /** 16 random bytes. */
  readonly envelope: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** A message that not every device has yet. */
export interface OutboxRow {
  /** Twelve digits; later messages have higher ones. */
  readonly id: string;
  readonly group: GroupId;
  /** 32 hexadecimal digits. */
  readonly messageId: string;
  readonly createdAtMs: number;
  /** Encoded content, not sealed yet. */
  readonly content: Uint8Array;
  /** As it was sealed last. */
  readonly sealed: SealedMessage | null;
  /** The boot id of the relay that has accepted it; null before. */
  readonly acceptedBoot: string | null;
  /** Other people who have it, as far as the relay has said; where there are none, own devices. */
  readonly reached: number;
  /** Whether a device could not open it. */
  readonly lost: boolean;
}

/** For the store. */
export function encodeOutboxRow(row: OutboxRow): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(VERSION).raw(fromHex(row.group)).raw(fromHex(row.messageId))
    .u64(row.createdAtMs).vector16(utf8(row.acceptedBoot ?? "")).vector32(row.content)
    .u32(row.reached).u8(row.lost ? 1 : 0).u8(row.sealed === null ? 0 : 1);
  if (row.sealed) {
    writer.u64(row.sealed.epoch).u64(row.sealed.sequence).raw(row.sealed.envelope).vector32(
      row.sealed.ciphertext,
    );
  }
  return writer.finish();
}

/** @throws {AronaError} `CORRUPT_STORE` */
export function decodeOutboxRow(id: string, bytes: Uint8Array): OutboxRow {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version < 1 || version > VERSION) {
      throw new AronaError("BAD_ENCODING", `Cannot read message: version ${version}`);
    }
    const head = {
      id,
      group: parseGroupId(toHex(reader.take(16))),
      messageId: toHex(reader.take(16)),
      createdAtMs: reader.u64(),
    };
    const boot = fromUtf8(reader.vector16(64));
    const content = reader.vector32(MAX_PART_BYTES);
    const reached = version === 1 ? 0 : reader.u32();
    const lost = version < 3 ? 0 : reader.u8();
    if (lost > 1) throw new AronaError("BAD_ENCODING", `Cannot read message: flag ${lost}`);
    const isSealed = reader.u8();
    if (isSealed > 1) throw new AronaError("BAD_ENCODING", `Cannot read message: flag ${isSealed}`);
    const sealed = isSealed === 0 ? null : readSealed(reader, version);
    reader.end();
    return { ...head, content, reached, lost: lost === 1, sealed, acceptedBoot: boot === "" ? null : boot };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read the outbox: a row does not decode", { cause });
  }
}

/** One of version 1 has no number: it is sealed anew. */
function readSealed(reader: ByteReader, version: number): SealedMessage | null {
  const epoch = reader.u64();
  const sequence = version === 1 ? 0 : reader.u64();
  const sealed = { epoch, sequence, envelope: reader.take(16), ciphertext: reader.vector32(MAX_PART_BYTES) };
  return version === 1 ? null : sealed;
}
