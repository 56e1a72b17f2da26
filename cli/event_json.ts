/** Events and messages as JSON objects, their best-known fields first. */

import type { ClientEvent, ConversationInfo, HistoryEntry } from "../client/mod.ts";

const FIRST = ["type", "group", "kind", "from", "id", "text", "at"];
const LAST = ["groupId", "own", "device"];

/** The event with its fields in the order that is documented. */
export function eventObject(event: ClientEvent): Record<string, unknown> {
  const fields = event as unknown as Record<string, unknown>;
  const between = Object.keys(fields).filter((key) => !FIRST.includes(key) && !LAST.includes(key));
  return Object.fromEntries(
    [...FIRST, ...between, ...LAST].filter((key) => fields[key] !== undefined).map((
      key,
    ) => [key, fields[key]]),
  );
}

/** A stored message looks like the event that brought it. */
export function historyObject(
  conversation: Pick<ConversationInfo, "ref">,
  { sequence, message }: HistoryEntry,
): Record<string, unknown> {
  const { group, groupId, kind } = conversation.ref;
  const at = new Date(message.sentAtMs).toISOString();
  if (message.gap !== undefined) {
    return { type: "Gap", group, kind, reason: message.gap, at, sequence, groupId };
  }
  const { from, id, text, replyTo, edited, deleted, reactions, state } = message;
  const always = { type: "MsgCreated", group, kind, from, id, text: deleted ? "" : text, at };
  return { ...always, replyTo, edited, deleted, reactions, state, sequence, groupId };
}
