/**
 * A message in the outbox as it is stored.
 *
 *     row = version u8 ‖ group 16 ‖ message id 16 ‖ created u64 ‖ accepted by the boot vector16 ‖ content vector32 ‖ sealed u8 ‖ [sealed]
 *     sealed = epoch u64 ‖ envelope id 16 ‖ ciphertext vector32
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

const VERSION = 1;
const MAX_PART_BYTES = 1 << 20;

/** A message sealed for one epoch. */
export interface SealedMessage {
  readonly epoch: number;
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
}

/** For the store. */
export function encodeOutboxRow(row: OutboxRow): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(VERSION).raw(fromHex(row.group)).raw(fromHex(row.messageId))
    .u64(row.createdAtMs).vector16(utf8(row.acceptedBoot ?? "")).vector32(row.content)
    .u8(row.sealed === null ? 0 : 1);
  if (row.sealed) writer.u64(row.sealed.epoch).raw(row.sealed.envelope).vector32(row.sealed.ciphertext);
  return writer.finish();
}

/** @throws {AronaError} `CORRUPT_STORE` */
export function decodeOutboxRow(id: string, bytes: Uint8Array): OutboxRow {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== VERSION) throw new AronaError("BAD_ENCODING", `Cannot read message: version ${version}`);
    const head = {
      id,
      group: parseGroupId(toHex(reader.take(16))),
      messageId: toHex(reader.take(16)),
      createdAtMs: reader.u64(),
    };
    const boot = fromUtf8(reader.vector16(64));
    const content = reader.vector32(MAX_PART_BYTES);
    const isSealed = reader.u8();
    if (isSealed > 1) throw new AronaError("BAD_ENCODING", `Cannot read message: flag ${isSealed}`);
    const sealed = isSealed === 0
      ? null
      : { epoch: reader.u64(), envelope: reader.take(16), ciphertext: reader.vector32(MAX_PART_BYTES) };
    reader.end();
    return { ...head, content, sealed, acceptedBoot: boot === "" ? null : boot };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read the outbox: a row does not decode", { cause });
  }
}
