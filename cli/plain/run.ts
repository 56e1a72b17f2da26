/** Runs the line-by-line chat: profile, connection, input until its end. */

import type { CommandContext } from "../command.ts";
import { ConnectionWatch } from "../connection_watch.ts";
import { EventView } from "../event_view.ts";
import { CommandFailure } from "../failure.ts";
import { openProfile } from "../open_client.ts";
import { suiteOf } from "../target.ts";
import { PlainChat } from "./chat.ts";

/** Chats until /quit, the end of the input, or Ctrl-C. @throws {AronaError | CommandFailure} */
export async function runPlainChat(context: CommandContext): Promise<void> {
  const { io, output, settings, signal } = context;
  const clock = await io.clock();
  const watch = new ConnectionWatch((text) => !signal.aborted && output.note(text));
  const started: { chat?: PlainChat; connected?: true } = {};
  await using _opened = await openProfile(context, {
    patient: io.interactive,
    onOpen: async (client) => {
      started.chat = new PlainChat({
        client,
        view: await new EventView(client).recall(),
        clock,
        output,
        suite: suiteOf(settings),
        readMarks: settings.switch("read-marks"),
        signal,
      });
    },
    onEvent: (event) => {
      if (event.type === "Status" && (io.interactive || started.connected)) watch.note(event);
      started.chat!.show(event);
    },
  });
  const chat = started.chat!;
  started.connected = true;
  await chat.begin();
  await readLines(chat, { context, watch });
  await chat.finish();
  if (chat.failures > 0 && !io.stdin.isTerminal && !signal.aborted) {
    throw new CommandFailure(`Cannot finish: ${chat.failures} of what was asked failed, see above`);
  }
}

async function readLines(
  chat: PlainChat,
  { context: { io, signal }, watch }: { context: CommandContext; watch: ConnectionWatch },
): Promise<void> {
  const lost = new AbortController();
  watch.lost.catch((reason) => lost.abort(reason));
  for await (const line of io.stdin.lines(AbortSignal.any([signal, lost.signal]))) {
    await chat.handle(line);
    if (chat.finished || signal.aborted) break;
  }
  lost.signal.throwIfAborted();
}
