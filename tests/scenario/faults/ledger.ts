/**
 * The book of a fault scenario: what was said, what a sender was told is accepted, what each member was shown, what stands in the
 * histories at the end. `check.ts` compares.
 *
 * Texts are unique in a world and stand for their messages: a client that is killed may never tell the id of what it has kept.
 */

import type { ShownEntry } from "./lines.ts";

/** A message that somebody was told to send. */
export interface Said {
  readonly conversation: string;
  readonly from: string;
  readonly text: string;
  /** Who was in the conversation before it was said, the sender too. */
  readonly audience: ReadonlySet<string>;
  /** Known once anybody has told it. */
  id: string | null;
  /** Whether the sender was told that the relay has it. */
  accepted: boolean;
  /** Whether the sender was told that it cannot be sent. */
  failed: boolean;
}

/** A message that a client has reported as an event. */
export interface ShownEvent {
  readonly id: string;
  readonly from: string;
  readonly text: string;
}

/** What one member has of one conversation. */
export interface View {
  readonly who: string;
  readonly conversation: string;
  /** Every event, from all lives of the client. */
  readonly events: ShownEvent[];
  /** As it was read last; null before. */
  history: readonly ShownEntry[] | null;
}

/** Keeps the book. */
export class Ledger {
  readonly #said = new Map<string, Said>();
  readonly #members = new Map<string, Set<string>>();
  readonly #views = new Map<string, View>();

  /** In the order in which each sender was told. */
  get said(): readonly Said[] {
    return [...this.#said.values()];
  }

  get views(): readonly View[] {
    return [...this.#views.values()];
  }

  /** `who` is in the conversation from now on: whatever is said later has to reach them. */
  joined(who: string, conversation: string): void {
    this.#membersOf(conversation).add(who);
  }

  /** Nothing that is said from now on is for `who`. */
  left(who: string): void {
    for (const members of this.#members.values()) members.delete(who);
  }

  /** Call it before the sender is told. @returns who has to see it */
  say(message: { conversation: string; from: string; text: string }): void {
    if (this.#said.has(message.text)) throw new Error(`the scenario says ${message.text} twice`);
    const audience = new Set(this.#membersOf(message.conversation)).add(message.from);
    this.#said.set(message.text, { ...message, audience, id: null, accepted: false, failed: false });
  }

  /** The client has refused to take it: nobody may ever show it. */
  refused(text: string): void {
    this.#said.delete(text);
  }

  accepted(message: { text: string; id: string }): void {
    const said = this.#said.get(message.text);
    if (said === undefined) throw new Error(`accepted without being said: ${message.text}`);
    said.accepted = true;
    said.id ??= message.id;
  }

  /** The relay has accepted what has this id; as an event says it, which does not tell the text. */
  acceptedId(id: string): void {
    for (const said of this.#said.values()) if (said.id === id) said.accepted = true;
  }

  failed(id: string): void {
    for (const said of this.#said.values()) if (said.id === id) said.failed = true;
  }

  /** Whether the sender knows what became of `text`. */
  isSettled(text: string): boolean {
    const said = this.#said.get(text);
    return said !== undefined && (said.accepted || said.failed);
  }

  /** A client has reported a message, an own one too. */
  shown(who: string, event: ShownEvent & { conversation: string }): void {
    const { conversation, id, from, text } = event;
    this.#view(who, conversation).events.push({ id, from, text });
    const said = this.#said.get(text);
    if (said !== undefined && who === said.from) said.id ??= id;
  }

  /** A history as it was read, oldest first. */
  read(who: string, conversation: string, history: readonly ShownEntry[]): void {
    this.#view(who, conversation).history = history;
  }

  /** Whether `who` has been shown `text`, as an event or in the history that was read last. */
  hasSeen(who: string, conversation: string, text: string): boolean {
    const { events, history } = this.#view(who, conversation);
    return events.some((event) => event.text === text) ||
      (history?.some((entry) => entry.text === text) ?? false);
  }

  membersOf(conversation: string): readonly string[] {
    return [...this.#membersOf(conversation)];
  }

  #membersOf(conversation: string): Set<string> {
    const members = this.#members.get(conversation) ?? new Set();
    this.#members.set(conversation, members);
    return members;
  }

  #view(who: string, conversation: string): View {
    const key = `${who} ${conversation}`;
    const view = this.#views.get(key) ?? { who, conversation, events: [], history: null };
    this.#views.set(key, view);
    return view;
  }
}
