/**
 * How far everybody is in a conversation: the number of the last message from each sending device, by which a missing one is noticed, and
 * up to where each person has read.
 *
 *     from/GROUP/DEVICE = sequence u64            read/GROUP/FINGERPRINT = place in the log u64
 */

import { ByteReader, ByteWriter, type DeviceId, type GroupId } from "../proto/mod.ts";
import type { StoreReader, StoreWriter } from "./store/mod.ts";

const TABLE = "positions";

/** The highest sequence number that came from a device; null where nothing is known of it. */
export function lastSequence(reader: StoreReader, group: GroupId, device: DeviceId): number | null {
  return read(reader, senderId(group, device));
}

/** Notes the highest sequence number from a device. One that has just come in has 0 and begins with 1. */
export function noteSequence(
  writer: StoreWriter,
  group: GroupId,
  { device, sequence }: { device: DeviceId; sequence: number },
): void {
  writer.put(TABLE, senderId(group, device), new ByteWriter().u64(sequence).finish());
}

/** This device comes into the conversation anew: where the others are is not known. */
export function forgetSenders(writer: StoreWriter, group: GroupId): void {
  for (const { id } of writer.all(TABLE)) if (id.startsWith(`from/${group}/`)) writer.delete(TABLE, id);
}

/** Who comes in begins to count its messages; who goes is forgotten. */
export function noteMembers(
  writer: StoreWriter,
  group: GroupId,
  change: { added: readonly { device: DeviceId }[]; removed: readonly { device: DeviceId }[] },
): void {
  for (const { device } of change.removed) writer.delete(TABLE, senderId(group, device));
  for (const { device } of change.added) noteSequence(writer, group, { device, sequence: 0 });
}

/** The place in the log up to which a person has read; 0 for nothing yet. */
export function readUpTo(reader: StoreReader, group: GroupId, fingerprint: string): number {
  return read(reader, readerId(group, fingerprint)) ?? 0;
}

/** A person has read up to a place in the log. */
export function noteRead(
  writer: StoreWriter,
  group: GroupId,
  { fingerprint, place }: { fingerprint: string; place: number },
): void {
  writer.put(TABLE, readerId(group, fingerprint), new ByteWriter().u64(place).finish());
}

function read(reader: StoreReader, id: string): number | null {
  const row = reader.get(TABLE, id);
  return row === null ? null : new ByteReader(row).u64();
}

function senderId(group: GroupId, device: DeviceId): string {
  return `from/${group}/${device}`;
}

function readerId(group: GroupId, fingerprint: string): string {
  return `read/${group}/${fingerprint}`;
}
