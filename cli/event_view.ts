/** One client's events and messages as lines: knows its conversations, and what was said before somebody changed it. */

import type { AronaClient, ClientEvent, Conversation, ConversationRef, HistoryEntry } from "../client/mod.ts";
import { eventText, historyText, type KnownMessage, labelText, type Surroundings } from "./event_text.ts";

/** Messages kept of each conversation from before. */
const KEPT_FROM_BEFORE = 20;
/** Messages kept in all. */
const MAX_KEPT = 2_000;
/** More than a quotation shows. */
const MAX_KEPT_CHARACTERS = 200;
/** How far back the message is looked for that a reply means. */
const LOOK_BACK = 200;
/** Digits of a group's id that stand behind its name where another one is called the same. */
const SHORT_ID_DIGITS = 8;

/** What of the client is used. */
type ViewedClient = Pick<AronaClient, "account" | "conversations" | "history">;

/** Makes lines. Where they are of events, it has to see every one of them. */
export class EventView implements Surroundings {
  readonly #client: ViewedClient;
  /** `groupId/id` → the message as it was shown last. The store has only what an edit made of it. */
  readonly #kept = new Map<string, KnownMessage>();

  constructor(client: ViewedClient) {
    this.#client = client;
  }

  /** Reads what was said last, so that later changes of it can say what they change. Call it before the client connects. */
  recall(): this {
    const client = this.#client;
    for (const conversation of this.#active()) {
      for (const { message } of client.history(conversation, { limit: KEPT_FROM_BEFORE })) {
        if (message.gap === undefined && !message.deleted) this.#keep(conversation.id, message.id, message);
      }
    }
    return this;
  }

  get account(): string {
    return this.#client.account;
  }

  /** The line for an event, or null where there is nothing to tell. */
  line(event: ClientEvent): string | null {
    const text = eventText(event, this);
    if (event.type === "MsgCreated") this.#keep(event.groupId, event.id, event);
    if (event.type === "MsgEdited") this.#keep(event.groupId, event.target, event);
    return text;
  }

  /** The line for a stored message. */
  historyLine(conversation: Conversation, entry: HistoryEntry): string {
    return historyText(conversation.ref, entry, this);
  }

  /** A conversation's name, with its short id where another one is called the same. */
  label(conversation: Conversation): string {
    return labelText(conversation.ref, this);
  }

  shortId({ group, groupId }: Pick<ConversationRef, "group" | "groupId">): string | null {
    const others = this.#active().filter(({ title, id }) => title === group && id !== groupId);
    if (others.length === 0) return null;
    let digits = SHORT_ID_DIGITS;
    while (digits < groupId.length && others.some(({ id }) => id.startsWith(groupId.slice(0, digits)))) {
      digits++;
    }
    return groupId.slice(0, digits);
  }

  message(groupId: string, id: string): KnownMessage | null {
    const kept = this.shownMessage(groupId, id);
    if (kept !== null) return kept;
    const conversation = this.#client.conversations().find((conversation) => conversation.id === groupId);
    if (conversation === undefined) return null;
    const entries = this.#client.history(conversation, { limit: LOOK_BACK });
    const found = entries.find(({ message }) => message.id === id)?.message;
    return found === undefined || found.deleted || found.gap !== undefined ? null : found;
  }

  shownMessage(groupId: string, id: string): KnownMessage | null {
    return this.#kept.get(`${groupId}/${id}`) ?? null;
  }

  #active(): Conversation[] {
    return this.#client.conversations().filter(({ isOpen }) => isOpen);
  }

  #keep(groupId: string, id: string, { from, text }: KnownMessage): void {
    const key = `${groupId}/${id}`;
    this.#kept.delete(key); // so that it counts as new
    this.#kept.set(key, { from, text: text.slice(0, MAX_KEPT_CHARACTERS) });
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
  }
}
