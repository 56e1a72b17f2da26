/** One client's events and messages as lines: knows its conversations, and what was said before somebody changed it. */

import type {
  ChatClient,
  ClientEvent,
  ConversationInfo,
  ConversationRef,
  HistoryEntry,
} from "../client/mod.ts";
import type { GroupId } from "../proto/mod.ts";
import { eventText, historyText, type KnownMessage, labelText, type Surroundings } from "./event_text.ts";

/** Messages kept of each conversation from before. */
const KEPT_FROM_BEFORE = 20;
/** Messages kept in all. */
const MAX_KEPT = 2_000;
/** More than a quotation shows. */
const MAX_KEPT_CHARACTERS = 200;
/** Digits of a group's id that stand behind its name where another one is called the same. */
const SHORT_ID_DIGITS = 8;

/** What of the client is used. */
type ViewedClient = Pick<ChatClient, "account" | "history" | "message"> & {
  conversations(): Viewed[];
};

/** What of a conversation is used. */
type Viewed = Pick<ConversationInfo, "id" | "title" | "isOpen" | "ref">;

/** Makes lines. Where they are of events, it has to see every one of them, one after the other. */
export class EventView {
  readonly #client: ViewedClient;
  /** `groupId/id` → the message as it was shown last. The store has only what an edit made of it. */
  readonly #kept = new Map<string, KnownMessage>();

  constructor(client: ViewedClient) {
    this.#client = client;
  }

  /** Reads what was said last, so that later changes of it can say what they change. Call it before the client connects. */
  async recall(): Promise<this> {
    const client = this.#client;
    for (const conversation of this.#active()) {
      for (const { message } of await client.history(conversation, { limit: KEPT_FROM_BEFORE })) {
        if (message.gap === undefined && !message.deleted) this.#keep(conversation.id, message.id, message);
      }
    }
    return this;
  }

  /** The line for an event, or null where there is nothing to tell. */
  async line(event: ClientEvent): Promise<string | null> {
    const meant = meantBy(event);
    const around = this.#around(meant === null ? null : await this.#message(meant));
    const text = eventText(event, around);
    if (event.type === "MsgCreated") this.#keep(event.groupId, event.id, event);
    if (event.type === "MsgEdited") this.#keep(event.groupId, event.target, event);
    return text;
  }

  /** The line for a stored message. */
  async historyLine({ ref }: Pick<ConversationInfo, "ref">, entry: HistoryEntry): Promise<string> {
    const { replyTo } = entry.message;
    const { groupId } = ref;
    const meant = replyTo === undefined ? null : await this.#message({ groupId, id: replyTo });
    return historyText(ref, entry, this.#around(meant));
  }

  /** A conversation's name, with its short id where another one is called the same. */
  label({ ref }: Pick<ConversationInfo, "ref">): string {
    return labelText(ref, this.#around(null));
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

  /** @param meant the message that a reply or a reaction means */
  #around(meant: KnownMessage | null): Surroundings {
    return {
      account: this.#client.account,
      shortId: (where) => this.shortId(where),
      message: () => meant,
      shownMessage: (groupId, id) => this.#kept.get(`${groupId}/${id}`) ?? null,
    };
  }

  async #message({ groupId, id }: MessageName): Promise<KnownMessage | null> {
    const kept = this.#kept.get(`${groupId}/${id}`);
    if (kept !== undefined) return kept;
    try {
      const found = await this.#client.message({ groupId }, id);
      return found === null || found.deleted || found.gap !== undefined ? null : found;
    } catch {
      return null; // the client has ended meanwhile
    }
  }

  #active(): Viewed[] {
    return this.#client.conversations().filter(({ isOpen }) => isOpen);
  }

  #keep(groupId: string, id: string, { from, text }: KnownMessage): void {
    const key = `${groupId}/${id}`;
    this.#kept.delete(key); // so that it counts as new
    this.#kept.set(key, { from, text: text.slice(0, MAX_KEPT_CHARACTERS) });
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
  }
}

/** Which message. */
interface MessageName {
  readonly groupId: GroupId;
  readonly id: string;
}

/** The message whose beginning stands in the line for an event. */
function meantBy(event: ClientEvent): MessageName | null {
  if (event.type === "Reaction") return { groupId: event.groupId, id: event.target };
  if (event.type !== "MsgCreated" || event.replyTo === undefined) return null;
  return { groupId: event.groupId, id: event.replyTo };
}
