/** Events and messages as lines for people, inert whatever others put into them. */

import {
  type ClientEvent,
  type ConversationRef,
  type EventOf,
  type HistoryEntry,
  sanitizeText,
} from "../client/api/mod.ts";

/** A name from somebody else, on one line. */
export function nameText(name: string): string {
  return sanitizeText(name);
}

/** A text from somebody else; its further lines are indented so that none looks like a line of ours. */
export function messageText(text: string): string {
  return sanitizeText(text, { multiline: true }).replaceAll("\n", "\n    ");
}

/** `HH:MM` where the person is. */
export function timeText(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "--:--";
  return `${pad(time.getHours())}:${pad(time.getMinutes())}`;
}

/** A message that another one refers to. */
export interface KnownMessage {
  readonly from: string;
  readonly text: string;
}

/** What lines say beyond the event itself. */
export interface Surroundings {
  /** Whose client it is. */
  readonly account: string;
  /** Stands behind a conversation's name where another one of this client is called the same. */
  shortId(where: Pick<ConversationRef, "group" | "groupId">): string | null;
  /** The message as it is that a reply or a reaction means. */
  message(groupId: string, id: string): KnownMessage | null;
  /** The message as it was shown, before the event that refers to it. */
  shownMessage(groupId: string, id: string): KnownMessage | null;
}

/** Behind an own message in the history, where there is something to say about it. */
const STATE_TEXTS = {
  waiting: " (waits for the relay)",
  accepted: "",
  delivered: " ✓",
  read: " ✓✓",
  failed: " (was not sent)",
} as const;
/** Characters of a quotation. */
const MAX_QUOTED_CHARACTERS = 24;

/** A conversation's name; behind it its short id in brackets, which no name can hold, where it needs one. */
export function labelText(where: Pick<ConversationRef, "group" | "groupId">, around: Surroundings): string {
  const shortId = around.shortId(where);
  return shortId === null ? nameText(where.group) : `${nameText(where.group)} [${shortId}]`;
}

/** The beginning of a message's first line, in quotation marks. */
export function quoteText(text: string): string {
  const all = text.trim();
  const [first] = all.split("\n", 1);
  const characters = [...sanitizeText(first.trimEnd())];
  const whole = characters.length <= MAX_QUOTED_CHARACTERS && first === all;
  return `“${characters.slice(0, MAX_QUOTED_CHARACTERS).join("")}${whole ? "" : "…"}”`;
}

/** The line for an event, or null where there is nothing to tell. */
export function eventText(event: ClientEvent, around: Surroundings): string | null {
  switch (event.type) {
    case "MsgCreated": {
      const replies = event.replyTo === undefined
        ? ""
        : ` replies to ${meant(around.message(event.groupId, event.replyTo))}`;
      return `${head(event, around)} ${nameText(event.from)}${replies}: ${messageText(event.text)}`;
    }
    case "MsgEdited": {
      const which = shown(event, around);
      return `${head(event, around)} ${nameText(event.from)} edited ${which}: ${messageText(event.text)}`;
    }
    case "MsgDeleted":
      return `${head(event, around)} ${nameText(event.from)} deleted ${shown(event, around)}`;
    case "Reaction": {
      const emoji = nameText(event.emoji);
      const what = event.removed ? `took back ${emoji} from` : `reacted with ${emoji} to`;
      const which = meant(around.message(event.groupId, event.target));
      return `${head(event, around)} ${nameText(event.from)} ${what} ${which}`;
    }
    case "GroupCreated":
      return `${place(event, around)} ${entered(event, around.account)}`;
    case "MemberJoined":
      return `${place(event, around)} ${nameText(event.account)} joined`;
    case "MemberLeft":
      return event.by === event.account
        ? `${place(event, around)} ${nameText(event.account)} left`
        : `${place(event, around)} ${nameText(event.account)} was removed by ${nameText(event.by)}`;
    case "GroupChanged":
      return `${place(event, around)} ${nameText(event.by)} changed the settings`;
    case "GroupLeft":
      return `${place(event, around)} ${event.reason === "left" ? "you have left" : "you were removed"}`;
    case "Gap":
      return `${place(event, around)} --- something is missing here: ${nameText(event.reason)} ---`;
    case "MsgFailed":
      return `${place(event, around)} a message was not sent: ${nameText(event.reason)}`;
    case "IdentityChanged":
      return `The identity of ${
        nameText(event.account)
      } has changed: nothing is sent to them until you accept it. ` +
        `Ask them whether it was they, then see arona verify ${nameText(event.account)}.`;
    case "DeviceAdded":
      return `A further device of yours, ${
        event.device.slice(0, 8)
      }, is in your conversations from now on. ` +
        "Where you have not added it, see `arona device list`.";
    case "DeviceRemoved":
      return `Your device ${event.device.slice(0, 8)} was removed.`;
    case "RelayMoved":
      return `The relay has moved to ${nameText(event.address)} (found by ${nameText(event.source)})`;
    case "SourceRefused":
      return `The relay was looked for at ${nameText(event.source)}: ${nameText(event.reason)}`;
    case "Status": // see ConnectionWatch
    case "Fault": // told on stderr by whoever opened the client
    case "Typing":
    case "Read":
    case "MsgSent":
      return null;
  }
}

/** The line for a stored message. */
export function historyText(where: ConversationRef, { message }: HistoryEntry, around: Surroundings): string {
  const at = new Date(message.sentAtMs);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const start = `${day} ${pad(at.getHours())}:${pad(at.getMinutes())} ${place(where, around)}`;
  if (message.gap !== undefined) {
    return `${start} --- something is missing here: ${nameText(message.gap)} ---`;
  }
  if (message.deleted) return `${start} ${nameText(message.from)} deleted a message`;
  const replies = message.replyTo === undefined
    ? ""
    : ` replies to ${meant(around.message(where.groupId, message.replyTo))}`;
  const reactions = Object.entries(message.reactions ?? {}).filter(([, by]) => by.length > 0)
    .map(([emoji, by]) => `  ${nameText(emoji)} ${by.length}`).join("");
  const edited = message.edited ? " (edited)" : "";
  const state = message.state === undefined ? "" : STATE_TEXTS[message.state];
  return `${start} ${nameText(message.from)}${replies}: ${
    messageText(message.text)
  }${edited}${state}${reactions}`;
}

function head(event: ConversationRef & { at: string }, around: Surroundings): string {
  return `${timeText(event.at)} ${place(event, around)}`;
}

/** `[name]`, or `[name] [short id]`. */
function place(where: ConversationRef, around: Surroundings): string {
  const shortId = around.shortId(where);
  return `[${nameText(where.group)}]${shortId === null ? "" : ` [${shortId}]`}`;
}

/** How one came into a conversation. Into a channel everybody goes by themselves. */
function entered({ by, kind, suite }: EventOf<"GroupCreated">, account: string): string {
  if (by === account || kind === "channel") return `you are in (${suite})`;
  return `${nameText(by)} has ${kind === "dm" ? "begun to talk with you" : "added you"} (${suite})`;
}

/** Whose message, and how it begins. */
function meant(message: KnownMessage | null): string {
  return message === null ? "an earlier message" : `${nameText(message.from)} ${quoteText(message.text)}`;
}

/** An own message of whoever changed it. */
function shown({ groupId, target }: { groupId: string; target: string }, around: Surroundings): string {
  const message = around.shownMessage(groupId, target);
  return message === null ? "an earlier message" : quoteText(message.text);
}

function pad(number: number): string {
  return String(number).padStart(2, "0");
}
