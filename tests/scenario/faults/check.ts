/**
 * The invariant: every message that was reported as accepted is shown exactly once by every member, in the sender's order, or a gap
 * marker stands in its place.
 *
 * Shown means: in the history, which is what a person sees after the next start, and reported as an event at most once by all lives of
 * a client together, in the same order. A gap excuses what others have sent, never the own messages. A message that was never reported
 * as accepted may be missing, but not where the sender has kept it and a later one of the same sender was accepted: the outbox sends in
 * order.
 */

import type { Ledger, Said, View } from "./ledger.ts";
import type { ShownEntry } from "./lines.ts";

/** How strictly {@link check} looks. */
export interface CheckOptions {
  /**
   * Whether a gap may stand for what is missing. Only where a mailbox was full does it have to: no death, cut or full disk loses
   * anything, so elsewhere a gap is a loss that was noticed, or a false alarm. @default "allowed"
   */
  readonly gaps?: "allowed" | "refused";
}

/** @returns what is wrong, one line each; nothing where all holds */
export function check(ledger: Ledger, { gaps = "allowed" }: CheckOptions = {}): string[] {
  const problems: string[] = [];
  const said = new Map(ledger.said.map((message) => [message.text, message]));
  const owed = owedMessages(ledger);
  for (const message of ledger.said) {
    if (message.accepted && message.failed) problems.push(`${name(message)} was accepted and failed`);
    for (const who of owed.has(message) ? message.audience : []) {
      const view = ledger.views.find((view) =>
        view.who === who && view.conversation === message.conversation
      );
      if (!view?.history) {
        problems.push(`nobody has read the history of ${who}, who is owed ${name(message)}`);
      }
    }
  }
  for (const view of ledger.views) {
    if (view.history === null) continue;
    const all = ledger.said.filter((message) => message.conversation === view.conversation);
    problems.push(
      ...checkContent(view, said),
      ...checkOrder(view, all),
      ...checkPresence(view, { all, owed }),
      ...checkEvents(view),
      ...(gaps === "refused" ? refuseGaps(view) : []),
    );
  }
  return [...new Set(problems)];
}

/** What was accepted, told or not. */
function owedMessages(ledger: Ledger): Set<Said> {
  const owed = new Set<Said>();
  const acceptedLater = new Set<string>();
  for (const message of ledger.said.toReversed()) {
    const lane = `${message.from} ${message.conversation}`;
    if (message.accepted) acceptedLater.add(lane);
    const kept = !message.failed && acceptedLater.has(lane) && holds(ledger, message.from, message);
    if (message.accepted || kept) owed.add(message);
  }
  return owed;
}

function holds(ledger: Ledger, who: string, { conversation, text }: Said): boolean {
  const view = ledger.views.find((view) => view.who === who && view.conversation === conversation);
  return view?.history?.some((entry) => entry.text === text) ?? false;
}

/** Nothing but what was said, by whom it was said, where it was said, under one id. */
function checkContent(view: View, said: ReadonlyMap<string, Said>): string[] {
  const problems: string[] = [];
  for (const entry of [...messagesOf(view.history!), ...view.events]) {
    const message = said.get(entry.text);
    const place = `${view.who} shows ${JSON.stringify(entry.text.slice(0, 60))}`;
    if (message === undefined) {
      problems.push(`${place}, which nobody has said`);
      continue;
    }
    message.id ??= entry.id;
    if (message.id !== entry.id) problems.push(`${place} under the id ${entry.id} instead of ${message.id}`);
    if (message.from !== entry.from) problems.push(`${place} as if ${entry.from} had said it`);
    if (message.conversation !== view.conversation) problems.push(`${place} in another conversation`);
  }
  return problems;
}

/** Each sender's messages once, in the order they were said. */
function checkOrder(view: View, all: readonly Said[]): string[] {
  const problems: string[] = [];
  const order = new Map(all.map((message, i) => [message.text, i]));
  const seen = new Set<string>();
  const newest = new Map<string, ShownEntry>();
  for (const entry of messagesOf(view.history!)) {
    if (seen.has(entry.text)) problems.push(`${view.who} has ${JSON.stringify(entry.text)} twice`);
    seen.add(entry.text);
    const before = newest.get(entry.from);
    if (before !== undefined && order.get(before.text)! > order.get(entry.text)!) {
      problems.push(`${view.who} has ${JSON.stringify(entry.text)} after ${JSON.stringify(before.text)}`);
    }
    newest.set(entry.from, entry);
  }
  return problems;
}

/** What is owed is there, or a gap stands between its neighbours. */
function checkPresence(view: View, book: { all: readonly Said[]; owed: ReadonlySet<Said> }): string[] {
  const problems: string[] = [];
  const history = view.history!;
  const places = new Map(history.flatMap(({ text, gap }, i) => gap === undefined ? [[text, i]] : []));
  for (const [i, message] of book.all.entries()) {
    if (!book.owed.has(message) || !message.audience.has(view.who) || places.has(message.text)) continue;
    const place = (other: Said) => other.from === message.from ? places.get(other.text) : undefined;
    const before = book.all.slice(0, i).map(place).findLast((at) => at !== undefined) ?? -1;
    const after = book.all.slice(i + 1).map(place).find((at) => at !== undefined) ?? history.length;
    const between = history.slice(before + 1, Math.max(before + 1, after));
    const excused = view.who !== message.from && between.some(({ gap }) => gap !== undefined);
    if (!excused) problems.push(`${view.who} misses ${name(message)}, and no gap stands there`);
  }
  return problems;
}

/** Reported once by all lives together, only what is kept, in the order it is kept. */
function checkEvents(view: View): string[] {
  const problems: string[] = [];
  const places = new Map(messagesOf(view.history!).map(({ id }, i) => [id, i]));
  const reported = new Set<string>();
  let last = -1;
  for (const { id, text } of view.events) {
    const what = JSON.stringify(text.slice(0, 60));
    const at = places.get(id);
    if (at === undefined) problems.push(`${view.who} reported ${what} and has not kept it`);
    else if (reported.has(id)) problems.push(`${view.who} reported ${what} twice`);
    else if (at < last) problems.push(`${view.who} reported ${what} in another order than it is kept`);
    reported.add(id);
    last = Math.max(last, at ?? -1);
  }
  return problems;
}

function refuseGaps({ who, history }: View): string[] {
  return history!.flatMap(({ gap }, i) => gap === undefined ? [] : [`${who} has a gap at ${i}: ${gap}`]);
}

function messagesOf(history: readonly ShownEntry[]): ShownEntry[] {
  return history.filter(({ gap }) => gap === undefined);
}

function name(message: Said): string {
  return `${JSON.stringify(message.text.slice(0, 60))} of ${message.from}`;
}
