/** `arona tail [TARGET]`: prints what happens as it comes. */

import type { ClientEvent } from "../../client/mod.ts";
import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { ended } from "../ending.ts";
import { CommandFailure } from "../failure.ts";

const MESSAGE_EVENTS: readonly string[] = ["MsgCreated", "MsgEdited", "MsgDeleted", "Reaction"];

/** `arona tail`. */
export const tail: CommandSpec = {
  name: "tail",
  summary: "print messages as they come",
  args: [{ name: "target", describe: "#channel, @user or a group's name; all without it", optional: true }],
  endless: true,
  options: ["count", "timeout", "all", "suite", ...PROFILE_OPTIONS],
  more:
    "Ends with Ctrl-C, after --count messages, or after --timeout seconds (with exit code 1 where --count is not\n" +
    "reached by then). It begins with what has waited at the relay since this device was connected last.",
  async run(context) {
    const { settings, output, args, signal, io } = context;
    const target = args[0];
    const [
      { openProfile },
      { resolveTarget, suiteOf },
      { eventObject },
      { eventText },
      { ConnectionWatch },
      clock,
    ] = await Promise.all([
      import("../open_client.ts"),
      import("../target.ts"),
      import("../event_json.ts"),
      import("../event_text.ts"),
      import("../connection_watch.ts"),
      io.clock(),
    ]);
    const watch = new ConnectionWatch((text) => output.note(text));
    const count = settings.number("count") ?? Infinity;
    const enough = Promise.withResolvers<void>();
    let seen = 0;
    let listens = false;
    const onEvent = (event: ClientEvent) => {
      if (event.type === "Status" && listens) watch.note(event);
      if (seen >= count || !(settings.switch("all") || MESSAGE_EVENTS.includes(event.type))) return;
      if (target !== undefined && !concerns(event, target)) return;
      const text = output.json ? "" : eventText(event);
      if (text !== null) output.data(eventObject(event), text);
      if (event.type === "MsgCreated" && ++seen >= count) enough.resolve();
    };
    await using opened = await openProfile(context, { onEvent });
    const timeoutS = settings.number("timeout");
    const late = Promise.withResolvers<"late">();
    const cancel = timeoutS === undefined
      ? () => {}
      : clock.schedule(timeoutS * 1_000, () => late.resolve("late"));
    try {
      const listen = async () => {
        if (target !== undefined) {
          await resolveTarget(opened.client, target, { suite: suiteOf(settings), signal });
        }
        output.note(
          `Listening ${target === undefined ? "everywhere" : `in ${target}`} as ${opened.client.account}.`,
        );
        listens = true;
        await Promise.race([enough.promise, watch.lost, ended(signal)]);
      };
      const outcome = await Promise.race([listen(), late.promise]);
      if (outcome === "late" && seen < count && count !== Infinity) {
        throw new CommandFailure(
          `Cannot wait any longer: ${seen} of ${count} messages came in ${timeoutS} s`,
        );
      }
    } finally {
      cancel();
      listens = false;
    }
  },
};

function concerns(event: ClientEvent, target: string): boolean {
  return "group" in event && (event.group === target || event.groupId === target);
}
