/** A line-by-line chat: lines in, lines out, no control of the screen. */

import type {
  Awaitable,
  ChatClient,
  ClientEvent,
  ConversationInfo,
  Sending,
  StoredMessage,
  SuiteId,
} from "../../client/mod.ts";
import { type Clock, isAronaError } from "../../proto/base/mod.ts";
import { ended } from "../ending.ts";
import { nameText } from "../event_text.ts";
import type { EventView } from "../event_view.ts";
import { CommandFailure, describeFailure, Interrupted } from "../failure.ts";
import { InTurn } from "../in_turn.ts";
import { nearest } from "../nearest.ts";
import type { Output } from "../output.ts";
import { PLAIN_COMMANDS } from "./commands.ts";
import { parseInput } from "./input.ts";

/** How long the end of the input waits for what was sent. */
const LAST_WORDS_MS = 30_000;
/** How far back the message is looked for that /edit, /react and the others mean. */
const LOOK_BACK = 200;

const RELAY_AWAY =
  "Cannot do that: the relay is away. The connection is tried again until it is back; then type it once more.";

/** What a chat works with. */
export interface ChatOptions {
  readonly client: ChatClient;
  /** Has seen what the client has. */
  readonly view: EventView;
  readonly clock: Clock;
  readonly output: Output;
  /** For groups that it creates. */
  readonly suite: SuiteId;
  /** Whether to tell the other side of a direct message what was read. */
  readonly readMarks: boolean;
  readonly signal: AbortSignal;
}

/** The state of one chat. */
export class PlainChat {
  readonly client: ChatClient;
  readonly clock: Clock;
  readonly output: Output;
  readonly suite: SuiteId;
  readonly readMarks: boolean;
  readonly signal: AbortSignal;
  /** Where typed text goes. */
  current: ConversationInfo | null = null;
  /** Set by /quit. */
  finished = false;
  /** What could not be done. */
  failures = 0;
  readonly view: EventView;
  readonly #pending = new Set<Promise<void>>();
  /** Lines from before the beginning: what has waited at the relay comes while connecting. */
  #early: string[] | null = [];
  readonly #lines = new InTurn();
  #toldKept = false;

  constructor(options: ChatOptions) {
    this.client = options.client;
    this.view = options.view;
    this.clock = options.clock;
    this.output = options.output;
    this.suite = options.suite;
    this.readMarks = options.readMarks;
    this.signal = options.signal;
  }

  /** Prints what happens; what this chat sends itself is on the screen already. */
  show(event: ClientEvent): void {
    if (event.type === "Status" && event.status === "online") this.#toldKept = false;
    this.#lines.add(async () => {
      const text = await this.view.line(event);
      if (text === null || this.#isTypedHere(event) || this.signal.aborted) return;
      if (["IdentityChanged", "DeviceAdded", "DeviceRemoved"].includes(event.type)) this.output.note(text);
      else if (this.#early !== null) this.#early.push(text);
      else this.output.line(text);
    });
  }

  /** Nobody else uses this device meanwhile. */
  #isTypedHere(event: ClientEvent): boolean {
    return "own" in event && event.own && event.device === this.client.deviceId;
  }

  /** Goes into the only conversation there is; where there are more, it has to be said. */
  async begin(): Promise<void> {
    await this.#lines.settled();
    this.#tellWhere();
    for (const line of this.#early ?? []) this.output.line(line);
    this.#early = null;
  }

  #tellWhere(): void {
    const open = this.client.conversations().filter((c) => c.isOpen);
    if (open.length === 1) this.current = open[0];
    this.output.note(`You are ${this.client.account}. /help shows what you can type.`);
    if (this.current !== null) return this.tellCurrent();
    if (open.length === 0) {
      return this.output.note("You are nowhere yet: /join #channel, or /msg @user TEXT.");
    }
    this.output.note(
      `Where to? ${open.map((c) => `/switch ${this.view.shortId(c.ref) ?? nameText(c.title)}`).join(", ")}`,
    );
  }

  /** Handles one line; an error is told and the chat goes on. */
  async handle(line: string): Promise<void> {
    const input = parseInput(line);
    await this.#lines.settled(); // what has happened before comes before the answer
    try {
      switch (input.kind) {
        case "empty":
          return;
        case "text":
          return await this.say(input.text);
        case "command":
          return await this.#command(input.name, input.rest);
      }
    } catch (error) {
      if (error instanceof Interrupted) return;
      this.fail(error);
    }
  }

  /** Resolves when everything that was sent is with the relay. @throws {CommandFailure} where something is not */
  async finish(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const cancel = this.clock.schedule(LAST_WORDS_MS, () => resolve("late"));
    const outcome = await Promise.race([Promise.allSettled([...this.#pending]), late, ended(this.signal)]);
    cancel();
    await this.#lines.settled();
    if (outcome === "late") {
      throw new CommandFailure(
        `Cannot finish: the relay did not take everything within ${LAST_WORDS_MS / 1000} s`,
        {
          hint: "It waits in this profile and goes out with the next command that connects.",
        },
      );
    }
  }

  /** Sends text where the chat is. @throws {AronaError | CommandFailure} */
  async say(text: string, options: { replyTo?: string } = {}): Promise<void> {
    const conversation = this.here();
    // Whoever answers has read what came before.
    if (this.readMarks && conversation.kind === "dm") await this.markRead(conversation);
    await this.track(this.client.send(conversation, text, options));
  }

  /** Tells the others that everything here was read. @returns false where they know already */
  async markRead(conversation: ConversationInfo): Promise<boolean> {
    const marking = await this.client.markAllRead(conversation);
    if (marking !== null) await this.track(marking);
    return marking !== null;
  }

  /** Remembers something on its way, so that its failure is told and the end waits for it. */
  async track(sending: Awaitable<Sending>): Promise<void> {
    const { accepted } = await sending;
    if (!this.client.online && !this.#toldKept) {
      this.#toldKept = true;
      this.output.note("The relay is away: what you write is kept here until the relay is back.");
    }
    const settled = accepted.catch((error) => {
      if (!this.signal.aborted) this.fail(error);
    }).finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
  }

  /** The current conversation. @throws {CommandFailure} where there is none */
  here(): ConversationInfo {
    if (this.current?.isOpen) return this.current;
    throw new CommandFailure("Cannot do that: you are in no conversation", {
      hint: "/join #channel or /switch TARGET goes to one.",
    });
  }

  go(conversation: ConversationInfo): void {
    this.current = conversation;
    this.tellCurrent();
  }

  tellCurrent(): void {
    if (this.current !== null) this.output.note(`You are in ${this.view.label(this.current)}.`);
  }

  /** The newest message here that `wanted` says yes to. @throws {CommandFailure} where there is none */
  async lastMessage(what: string, wanted: (message: StoredMessage) => boolean): Promise<StoredMessage> {
    const entries = await this.client.history(this.here(), { limit: LOOK_BACK });
    const found = entries.findLast(({ message }) =>
      message.gap === undefined && !message.deleted && wanted(message)
    );
    if (found !== undefined) return found.message;
    throw new CommandFailure(`Cannot do that: there is no ${what} here`);
  }

  fail(error: unknown): void {
    this.failures++;
    const away = isAronaError(error, "CLOSED", "UNREACHABLE", "TIMEOUT") && !this.client.online;
    this.output.note(away ? RELAY_AWAY : describeFailure(error).line);
  }

  async #command(name: string, rest: string): Promise<void> {
    const command = PLAIN_COMMANDS.find((command) => command.names.includes(name));
    if (command !== undefined) return await command.run(this, rest);
    const meant = nearest(name, PLAIN_COMMANDS.flatMap((command) => command.names));
    throw new CommandFailure(`Cannot do /${name}: there is no such command`, {
      hint: `${
        meant === null ? "" : `Did you mean /${meant}? `
      }/help shows all; to say it as text, write //${name}.`,
    });
  }
}
