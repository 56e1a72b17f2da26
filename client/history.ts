/** The messages of a conversation as they are kept: one sealed JSON row each, in the order they were stored. */

import { AronaError, fromUtf8, type GroupId, utf8 } from "../proto/mod.ts";
import type { Store, StoreReader, StoreWriter } from "./store/mod.ts";

/** How far an own message has come, in this order; `failed` can follow `waiting` and `accepted`. */
export const MESSAGE_STATES = ["waiting", "accepted", "delivered", "read", "failed"] as const;
export type MessageState = typeof MESSAGE_STATES[number];

/** A message as kept. */
export interface StoredMessage {
  readonly id: string;
  readonly from: string;
  readonly fingerprint: string;
  /** Milliseconds, the sender's clock. */
  readonly sentAtMs: number;
  readonly text: string;
  readonly replyTo?: string;
  readonly edited?: boolean;
  readonly deleted?: boolean;
  /** Emoji → accounts. */
  readonly reactions?: Readonly<Record<string, readonly string[]>>;
  /** Of an own message from this device. */
  readonly state?: MessageState;
  /** Not a message but a mark: something is missing here. */
  readonly gap?: string;
}

/** A message with its place in the conversation. */
export interface HistoryEntry {
  readonly sequence: number;
  readonly message: StoredMessage;
}

/** Whether the message id was stored before; ids are remembered per conversation. */
export function isStored(reader: StoreReader, group: GroupId, id: string): boolean {
  return reader.get("messages", `${group}/${id}`) !== null || reader.get("seen", `${group}/${id}`) !== null;
}

/** Remembers an id without a row of its own (an edit, a reaction …). */
export function remember(writer: StoreWriter, group: GroupId, id: string): void {
  writer.put("seen", `${group}/${id}`, new Uint8Array());
}

/** Stores a message once. @returns its sequence number */
export function appendMessage(writer: StoreWriter, group: GroupId, message: StoredMessage): number {
  const sequence = writer.append(group, utf8(JSON.stringify(message)));
  writer.put("messages", `${group}/${message.id}`, utf8(String(sequence)));
  return sequence;
}

/**
 * Replaces the message `id` by what `change` makes of it.
 *
 * @returns the new message, or null where `change` declines or there is no such message
 */
export function changeMessage(
  writer: StoreWriter,
  group: GroupId,
  options: { id: string; change: (message: StoredMessage) => StoredMessage | null },
): StoredMessage | null {
  const sequence = placeOf(writer, group, options.id);
  if (sequence === null) return null;
  const [entry] = writer.readLog(group, { before: sequence + 1, limit: 1 });
  if (entry === undefined || entry.sequence !== sequence) return null;
  const changed = options.change(parseStored(entry.row));
  if (changed !== null) writer.replaceInLog(group, sequence, utf8(JSON.stringify(changed)));
  return changed;
}

/** Notes how far an own message has come. @returns whether that is news */
export function advanceState(
  writer: StoreWriter,
  group: GroupId,
  { id, state }: { id: string; state: MessageState },
): boolean {
  const rank = (one: MessageState) => MESSAGE_STATES.indexOf(one);
  return changeMessage(writer, group, {
    id,
    change: (message) =>
      message.state !== undefined && rank(message.state) < rank(state) ? { ...message, state } : null,
  }) !== null;
}

/** The place of a message in its conversation; null where it is not kept. */
export function placeOf(reader: StoreReader, group: GroupId, id: string): number | null {
  const place = reader.get("messages", `${group}/${id}`);
  return place === null ? null : Number(fromUtf8(place));
}

/** The message `id` as it is kept; null where it is not. */
export function readMessage(store: Store, group: GroupId, id: string): StoredMessage | null {
  const sequence = placeOf(store, group, id);
  if (sequence === null) return null;
  const [entry] = readHistory(store, group, { before: sequence + 1, limit: 1 });
  return entry?.sequence === sequence ? entry.message : null;
}

/** The newest `limit` messages before the sequence number `before`, oldest first. */
export function readHistory(
  store: Store,
  group: GroupId,
  options: { before?: number; limit: number },
): HistoryEntry[] {
  return store.readLog(group, options).map(({ sequence, row }) => ({ sequence, message: parseStored(row) }));
}

/** @throws {AronaError} `CORRUPT_STORE` */
export function parseStored(row: Uint8Array): StoredMessage {
  try {
    return JSON.parse(fromUtf8(row)) as StoredMessage;
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read message: its row does not decode", { cause });
  }
}
