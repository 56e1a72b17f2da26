/**
 * Statements: what a device, or the identity behind it, has signed about its place in groups, so that whoever reads it may act on it
 * (PROTOCOL.md section 5.6).
 *
 *     leave  = 0x01 ‖ SHA-256(leaf's encryption key) 32 ‖ signature by the leaf's signature key
 *     revoke = 0x02 ‖ device 16 ‖ signature by the identity
 *     return = 0x03 ‖ device 16 ‖ epoch u64 ‖ SHA-256(KeyPackage) 32 ‖ signature by the leaf's signature key
 */

import { ByteReader, ByteWriter, fromHex, toHex, utf8 } from "./bytes.ts";
import { AronaError } from "./errors.ts";
import type { AccountName, DeviceId, GroupId } from "./identity.ts";

/** The largest: a return statement with an ML-DSA-65 signature, with some room. */
export const MAX_STATEMENT_BYTES = 4_096;

const HASH_BYTES = 32;
const DEVICE_BYTES = 16;
const KINDS = { leave: 0x01, revoke: 0x02, return: 0x03 } as const;
const LABELS = { leave: "arona leave v1", revoke: "arona revoke v1", return: "arona return v1" } as const;

/** Without its signature. */
export type UnsignedStatement =
  /** A device leaves a group. The hash ties it to one leaf, so that it cannot be used against a device that has come back. */
  | { readonly kind: "leave"; readonly leafKeyHash: Uint8Array }
  /** An identity takes a device back, in every group. */
  | { readonly kind: "revoke"; readonly device: DeviceId }
  /** A device that has lost its state of a group wants in again by a KeyPackage. `epoch` is the group's when it asked. */
  | {
    readonly kind: "return";
    readonly device: DeviceId;
    readonly epoch: number;
    readonly keyPackageHash: Uint8Array;
  };

/** A statement. Its signature is still to be verified, over {@link statementContent}. */
export type Statement = UnsignedStatement & { readonly signature: Uint8Array };

/** What a statement is about. */
export interface StatementSubject {
  readonly group: GroupId;
  readonly account: AccountName;
  readonly device: DeviceId;
}

/** The bytes that are signed: the label as a vector16, then what the statement is about. */
export function statementContent(
  statement: UnsignedStatement,
  { group, account, device }: StatementSubject,
): Uint8Array {
  const writer = new ByteWriter().vector16(utf8(LABELS[statement.kind]));
  switch (statement.kind) {
    case "leave":
      return writer.raw(fromHex(group)).raw(fromHex(device)).raw(statement.leafKeyHash).finish();
    case "revoke":
      return revokeContent({ account, device });
    case "return":
      return writer.raw(fromHex(group)).raw(fromHex(device)).u64(statement.epoch)
        .raw(statement.keyPackageHash).finish();
  }
}

/** The bytes that are signed where a device is taken back: in every group at once. */
export function revokeContent({ account, device }: Pick<StatementSubject, "account" | "device">): Uint8Array {
  return new ByteWriter().vector16(utf8(LABELS.revoke)).vector16(utf8(account)).raw(fromHex(device)).finish();
}

/** The statement's bytes. */
export function encodeStatement(statement: Statement): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(KINDS[statement.kind]);
  switch (statement.kind) {
    case "leave":
      writer.raw(statement.leafKeyHash);
      break;
    case "revoke":
      writer.raw(fromHex(statement.device));
      break;
    case "return":
      writer.raw(fromHex(statement.device)).u64(statement.epoch).raw(statement.keyPackageHash);
      break;
  }
  return writer.raw(statement.signature).finish();
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeStatement(bytes: Uint8Array): Statement {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  switch (kind) {
    case KINDS.leave:
      return { kind: "leave", leafKeyHash: reader.take(HASH_BYTES), signature: reader.rest() };
    case KINDS.revoke:
      return { kind: "revoke", device: readDevice(reader), signature: reader.rest() };
    case KINDS.return:
      return {
        kind: "return",
        device: readDevice(reader),
        epoch: reader.u64(),
        keyPackageHash: reader.take(HASH_BYTES),
        signature: reader.rest(),
      };
    default:
      throw new AronaError("BAD_ENCODING", `Cannot read statement: kind ${kind}`);
  }
}

function readDevice(reader: ByteReader): DeviceId {
  return toHex(reader.take(DEVICE_BYTES)) as DeviceId;
}
