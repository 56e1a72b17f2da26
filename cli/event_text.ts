/** Events and messages as lines for people, inert whatever others put into them. */

import { type ClientEvent, type HistoryEntry, sanitizeText } from "../client/mod.ts";

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

/** The line for an event, or null where there is nothing to tell. */
export function eventText(event: ClientEvent): string | null {
  switch (event.type) {
    case "MsgCreated":
      return `${head(event)} ${nameText(event.from)}: ${messageText(event.text)}`;
    case "MsgEdited":
      return `${head(event)} ${nameText(event.from)} edited: ${messageText(event.text)}`;
    case "MsgDeleted":
      return `${head(event)} ${nameText(event.from)} deleted a message`;
    case "Reaction": {
      const emoji = nameText(event.emoji);
      const what = event.removed ? `took back ${emoji}` : `reacted with ${emoji}`;
      return `${head(event)} ${nameText(event.from)} ${what}`;
    }
    case "GroupCreated":
      return `[${nameText(event.group)}] you are in (${event.suite})`;
    case "MemberJoined":
      return `[${nameText(event.group)}] ${nameText(event.account)} joined`;
    case "MemberLeft":
      return event.by === event.account
        ? `[${nameText(event.group)}] ${nameText(event.account)} left`
        : `[${nameText(event.group)}] ${nameText(event.account)} was removed by ${nameText(event.by)}`;
    case "GroupChanged":
      return `[${nameText(event.group)}] ${nameText(event.by)} changed the settings`;
    case "GroupLeft":
      return `[${nameText(event.group)}] ${event.reason === "left" ? "you have left" : "you were removed"}`;
    case "Gap":
      return `[${nameText(event.group)}] --- something is missing here: ${nameText(event.reason)} ---`;
    case "MsgFailed":
      return `[${nameText(event.group)}] a message was not sent: ${nameText(event.reason)}`;
    case "IdentityChanged":
      return `The identity of ${
        nameText(event.account)
      } has changed: nothing is sent to them until you accept it. ` +
        `Ask them whether it was they, then see arona verify ${nameText(event.account)}.`;
    case "Status": // see ConnectionWatch
    case "Typing":
    case "Read":
    case "MsgSent":
      return null;
  }
}

/** The line for a stored message. */
export function historyText(group: string, { message }: HistoryEntry): string {
  const at = new Date(message.sentAtMs);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const where = `${day} ${pad(at.getHours())}:${pad(at.getMinutes())} [${nameText(group)}]`;
  if (message.gap !== undefined) {
    return `${where} --- something is missing here: ${nameText(message.gap)} ---`;
  }
  if (message.deleted) return `${where} ${nameText(message.from)} deleted a message`;
  const reactions = Object.entries(message.reactions ?? {}).filter(([, by]) => by.length > 0)
    .map(([emoji, by]) => `${nameText(emoji)} ${by.length}`).join(" ");
  return `${where} ${nameText(message.from)}: ${messageText(message.text)}${
    message.edited ? " (edited)" : ""
  }` +
    (reactions === "" ? "" : `  ${reactions}`);
}

function head(event: { at: string; group: string }): string {
  return `${timeText(event.at)} [${nameText(event.group)}]`;
}

function pad(number: number): string {
  return String(number).padStart(2, "0");
}
