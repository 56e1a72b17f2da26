/** The slash commands of the line-by-line chat. */

import type { StoredMessage } from "../../client/mod.ts";
import { untilEnd } from "../ending.ts";
import { nameText } from "../event_text.ts";
import { CommandFailure } from "../failure.ts";
import { memberText } from "../member_text.ts";
import { accountOf, findTarget, resolveTarget } from "../target.ts";
import {
  acceptPending,
  lookUpPerson,
  parseFingerprintPrefix,
  shortFingerprint,
  verificationLines,
  verificationOf,
} from "../verification.ts";
import type { PlainChat } from "./chat.ts";
import { firstWord } from "./input.ts";

/** A slash command. */
export interface PlainCommand {
  /** The first one is shown, all work. */
  readonly names: readonly string[];
  /** What follows the name. */
  readonly usage: string;
  readonly summary: string;
  run(chat: PlainChat, rest: string): Promise<void> | void;
}

const DEFAULT_HISTORY = 20;

/** All of them, in the order of /help. */
export const PLAIN_COMMANDS: readonly PlainCommand[] = [
  {
    names: ["join", "j"],
    usage: "#channel",
    summary: "join a channel and go there",
    async run(chat, rest) {
      const channel = need(rest, "/join #channel");
      chat.go(await resolveTarget(chat.client, channel.startsWith("#") ? channel : `#${channel}`, chat));
    },
  },
  {
    names: ["msg", "m"],
    usage: "@user TEXT",
    summary: "send a direct message; without TEXT go there",
    async run(chat, rest) {
      const [user, text] = firstWord(need(rest, "/msg @user TEXT"));
      const conversation = await resolveTarget(chat.client, `@${accountOf(user)}`, chat);
      if (text === "") return chat.go(conversation);
      await chat.track(chat.client.send(conversation, text));
      chat.current ??= conversation;
    },
  },
  {
    names: ["group"],
    usage: "NAME",
    summary: "create a private group and go there",
    async run(chat, rest) {
      const name = need(rest, "/group NAME");
      chat.go(await untilEnd(chat.client.createGroup(name, chat.suite), chat.signal));
    },
  },
  {
    names: ["switch", "s"],
    usage: "TARGET",
    summary: "go to #channel, @user or a group",
    async run(chat, rest) {
      chat.go(await findTarget(chat.client, need(rest, "/switch TARGET"), chat.signal));
    },
  },
  {
    names: ["invite"],
    usage: "USER",
    summary: "add somebody here",
    run: (chat, rest) =>
      untilEnd(chat.client.invite(chat.here(), accountOf(need(rest, "/invite USER"))), chat.signal),
  },
  {
    names: ["kick"],
    usage: "USER",
    summary: "remove somebody from here",
    run: (chat, rest) =>
      untilEnd(chat.client.remove(chat.here(), accountOf(need(rest, "/kick USER"))), chat.signal),
  },
  {
    names: ["ban"],
    usage: "USER",
    summary: "remove somebody and keep them out",
    run: (chat, rest) =>
      untilEnd(chat.client.ban(chat.here(), accountOf(need(rest, "/ban USER"))), chat.signal),
  },
  {
    names: ["leave", "part"],
    usage: "",
    summary: "leave the current conversation",
    async run(chat) {
      await untilEnd(chat.client.leave(chat.here()), chat.signal);
      chat.current = null;
    },
  },
  {
    names: ["members"],
    usage: "",
    summary: "who is in here",
    run: (chat) => listMembers(chat, () => true),
  },
  {
    names: ["who"],
    usage: "",
    summary: "who is in here and connected now",
    run: (chat) => listMembers(chat, (online) => online === true),
  },
  {
    names: ["read"],
    usage: "",
    summary: "tell the others that you have read everything here",
    async run(chat) {
      if (!await chat.markRead(chat.here())) chat.output.note("They know already.");
    },
  },
  {
    names: ["list", "groups"],
    usage: "",
    summary: "your conversations",
    run(chat) {
      for (const conversation of chat.client.conversations()) {
        if (!conversation.isOpen) continue;
        chat.output.line(
          `${conversation.id === chat.current?.id ? "* " : "  "}${chat.view.label(conversation)}`,
        );
      }
    },
  },
  {
    names: ["channels"],
    usage: "",
    summary: "the relay's channels",
    async run(chat) {
      for (const { name, members } of await untilEnd(Promise.resolve(chat.client.channels()), chat.signal)) {
        chat.output.line(`${nameText(name)}  ${members} members`);
      }
    },
  },
  {
    names: ["history"],
    usage: "[N]",
    summary: "the newest messages here",
    async run(chat, rest) {
      const limit = /^[1-9]\d{0,5}$/.test(rest) ? Number(rest) : DEFAULT_HISTORY;
      const here = chat.here();
      for (const entry of await chat.client.history(here, { limit })) {
        chat.output.line(await chat.view.historyLine(here, entry));
      }
    },
  },
  {
    names: ["edit"],
    usage: "TEXT",
    summary: "replace your last message here",
    async run(chat, rest) {
      const text = need(rest, "/edit TEXT");
      const { id } = await chat.lastMessage("message of yours", isOwn(chat));
      const here = chat.here();
      await chat.track(chat.client.edit(here, id, text));
    },
  },
  {
    names: ["delete"],
    usage: "",
    summary: "take back your last message here",
    async run(chat) {
      const { id } = await chat.lastMessage("message of yours", isOwn(chat));
      const here = chat.here();
      await chat.track(chat.client.delete(here, id));
    },
  },
  {
    names: ["react"],
    usage: "EMOJI",
    summary: "react to the last message of somebody else here",
    async run(chat, rest) {
      const emoji = need(rest, "/react EMOJI");
      const { id } = await chat.lastMessage("message of somebody else", isNotOwn(chat));
      const here = chat.here();
      await chat.track(chat.client.react(here, id, emoji));
    },
  },
  {
    names: ["reply", "r"],
    usage: "TEXT",
    summary: "reply to the last message of somebody else here",
    async run(chat, rest) {
      const text = need(rest, "/reply TEXT");
      await chat.say(text, {
        replyTo: (await chat.lastMessage("message of somebody else", isNotOwn(chat))).id,
      });
    },
  },
  {
    names: ["verify"],
    usage: "USER [confirm|accept [F]]",
    summary:
      "compare the safety number; confirm it, or accept a changed identity (whose fingerprint begins with F)",
    run: verify,
  },
  {
    names: ["help", "h", "?"],
    usage: "",
    summary: "show this",
    run({ output }) {
      for (const { names, usage, summary } of PLAIN_COMMANDS) {
        output.line(`  ${`/${names[0]} ${usage}`.trimEnd().padEnd(30)} ${summary}`);
      }
      output.line("  Anything else is sent to the current conversation; // begins a text with a slash.");
    },
  },
  {
    names: ["quit", "q", "exit"],
    usage: "",
    summary: "end",
    run(chat) {
      chat.finished = true;
    },
  },
];

async function verify(chat: PlainChat, rest: string): Promise<void> {
  const [user, action] = firstWord(need(rest, "/verify USER"));
  const [what, digits] = firstWord(action);
  if (!["", "confirm", "accept"].includes(what) || (what !== "accept" && digits !== "")) {
    throw new CommandFailure(`Cannot verify: ${JSON.stringify(action)} is neither confirm nor accept`);
  }
  const { client, output, signal } = chat;
  const account = accountOf(user);
  const prefix = digits === "" ? null : parseFingerprintPrefix(digits);
  let contact = await lookUpPerson(client, account, { signal, note: (text) => output.note(text) });
  if (what === "accept") contact = await acceptPending(client, contact, prefix);
  if (what === "confirm") contact = await client.verify(account, { accept: false });
  const person = await verificationOf(client, contact);
  for (const line of verificationLines(client.account, person)) output.line(line);
  const { verified, pending } = person;
  if (pending !== undefined) {
    const short = shortFingerprint(pending.fingerprint);
    output.note(
      `Where ${account} says over another way that it is theirs: /verify ${account} accept ${short}`,
    );
  } else if (!verified) output.note(`Where ${account} sees the same number: /verify ${account} confirm`);
}

async function listMembers(chat: PlainChat, wanted: (online: boolean | null) => boolean): Promise<void> {
  const members = await untilEnd(chat.client.members(chat.here()), chat.signal);
  for (const member of members) if (wanted(member.online)) chat.output.line(memberText(member));
}

function isOwn(chat: PlainChat): (message: StoredMessage) => boolean {
  return (message) => message.fingerprint === chat.client.fingerprint;
}

function isNotOwn(chat: PlainChat): (message: StoredMessage) => boolean {
  return (message) => message.fingerprint !== chat.client.fingerprint;
}

function need(rest: string, usage: string): string {
  if (rest !== "") return rest;
  throw new CommandFailure("Cannot do that: something is missing", { hint: `Write ${usage}.` });
}
