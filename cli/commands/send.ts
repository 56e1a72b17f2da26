/** `arona send TARGET [TEXT|-]`: sends one message and waits until the relay has it. */

import { type CommandContext, type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";
import { CommandFailure, usageFailure } from "../failure.ts";

const DEFAULT_TIMEOUT_S = 30;
/** More than a message can hold: what is over it is refused by the client with the exact limit. */
const MAX_STDIN_BYTES = 65_536;

/** `arona send`. */
export const send: CommandSpec = {
  name: "send",
  summary: "send a message and wait until the relay has it",
  args: [
    { name: "target", describe: "#channel, @user or a group's name" },
    { name: "text", describe: "the message; - or nothing reads it from stdin", optional: true },
  ],
  options: ["wait", "timeout", "suite", ...PROFILE_OPTIONS],
  more: "Quote channels, # begins a comment in most shells:  arona send '#general' 'hello everybody'",
  async run(context) {
    const { settings, output, args, signal } = context;
    const target = args[0]!;
    const text = await readText(context);
    if (text === "") {
      throw usageFailure("Cannot send: the text is empty", "Write it after the target, or pipe it in.");
    }
    const { openProfile } = await import("../open_client.ts");
    const { resolveTarget, suiteOf } = await import("../target.ts");
    await using opened = await openProfile(context);
    const { client, clock } = opened;
    const timeoutS = settings.number("timeout") ?? DEFAULT_TIMEOUT_S;
    const wanted = settings.text("wait")!;
    const there = new Set<string>();
    const arrived = Promise.withResolvers<void>();
    let sentId = "";
    client.on("MsgSent", ({ id, state }) => {
      if (state === wanted) there.add(id);
      if (there.has(sentId)) arrived.resolve();
    });
    client.on("MsgFailed", ({ id, reason }) => {
      if (id === sentId) arrived.reject(new CommandFailure(reason));
    });
    arrived.promise.catch(() => {}); // waited for below, if at all
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {}); // the race below hears of it
    let accepted = false;
    const cancel = clock.schedule(
      timeoutS * 1_000,
      () => late.reject(timeOver(timeoutS, accepted ? wanted : null)),
    );
    try {
      const conversation = await Promise.race([
        resolveTarget(opened.client, target, { suite: suiteOf(settings), signal }),
        late.promise,
      ]);
      const sending = await Promise.race([client.send(conversation, text), late.promise]);
      sentId = sending.id;
      await untilEnd(Promise.race([sending.accepted, late.promise]), signal);
      accepted = true;
      if (wanted !== "accepted") {
        if (conversation.people < 2) {
          throw new CommandFailure(`Cannot deliver: nobody else is in ${target} yet`, {
            hint: "The relay took the message, but who joins later cannot read it.",
          });
        }
        if (!there.has(sentId)) await untilEnd(Promise.race([arrived.promise, late.promise]), signal);
      }
      output.object({ type: "MsgSent", id: sentId, group: conversation.title, state: wanted });
    } finally {
      cancel();
    }
  },
};

async function readText({ args, io, signal }: CommandContext): Promise<string> {
  const given = args[1];
  if (given !== undefined && given !== "-") return given;
  if (given === undefined && io.stdin.isTerminal) {
    throw usageFailure(
      "Cannot send: there is no text",
      "Write it after the target, or - to type it here and end with Ctrl-D.",
    );
  }
  const bytes = await io.stdin.bytes({ maxBytes: MAX_STDIN_BYTES, signal });
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, MAX_STDIN_BYTES));
    if (bytes.length > MAX_STDIN_BYTES) {
      throw new CommandFailure("Cannot send: the text is too long for a message");
    }
    return text.replace(/\r?\n$/, "");
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure("Cannot send: what came on stdin is not UTF-8 text", { cause });
  }
}

/** @param waitedFor null where the relay has not even taken the message */
function timeOver(timeoutS: number, waitedFor: string | null): CommandFailure {
  if (waitedFor === null) {
    return new CommandFailure(`Cannot send: the relay did not take the message within ${timeoutS} s`, {
      hint: "What is written already waits in this profile and goes out with the next command that connects.",
    });
  }
  const what = waitedFor === "read" ? "had read the message" : "had the message";
  return new CommandFailure(`Cannot wait any longer: not everybody ${what} after ${timeoutS} s`, {
    hint: waitedFor === "read" ? undefined : "The relay has it and keeps it for them for now.",
  });
}
