/** `arona tail [TARGET]`: prints what happens as it comes. */

import type { ClientEvent } from "../../client/mod.ts";
import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { ended } from "../ending.ts";
import { CommandFailure } from "../failure.ts";

/** Messages, and what a reader must not miss about them. */
const SHOWN_EVENTS: readonly string[] = [
  "MsgCreated",
  "MsgEdited",
  "MsgDeleted",
  "Reaction",
  "Gap",
  "MsgFailed",
  "IdentityChanged",
  "DeviceAdded",
  "DeviceRemoved",
];
/** What concerns every conversation. */
const EVERYWHERE: readonly string[] = ["IdentityChanged", "DeviceAdded", "DeviceRemoved"];

/** `arona tail`. */
export const tail: CommandSpec = {
  name: "tail",
  summary: "print messages as they come",
  args: [{ name: "target", describe: "#channel, @user or a group's name; all without it", optional: true }],
  endless: true,
  options: ["count", "timeout", "all", "suite", ...PROFILE_OPTIONS],
  more:
    "Also prints what a reader must not miss: gaps, messages that failed, changed identities. Ends with Ctrl-C, after --count messages, or after --timeout seconds (with exit code 1 where --count is not\n" +
    "reached by then). It begins with what has waited at the relay since this device was connected last.",
  async run(context) {
    const { settings, output, args, signal, io } = context;
    const target = args[0];
    const [
      { openProfile },
      { resolveTarget, suiteOf },
      { eventObject },
      { EventView },
      { ConnectionWatch },
      { InTurn },
      clock,
    ] = await Promise.all([
      import("../open_client.ts"),
      import("../target.ts"),
      import("../event_json.ts"),
      import("../event_view.ts"),
      import("../connection_watch.ts"),
      import("../in_turn.ts"),
      io.clock(),
    ]);
    const watch = new ConnectionWatch((text) => output.note(text));
    const count = settings.number("count") ?? Infinity;
    const enough = Promise.withResolvers<void>();
    let seen = 0;
    let listens = false;
    let view: InstanceType<typeof EventView> | null = null; // JSON does without
    const lines = new InTurn();
    const print = async (event: ClientEvent) => {
      const text = view === null ? "" : await view.line(event);
      if (seen >= count || !isShown(event, { target, all: settings.switch("all") })) return;
      if (text !== null) output.data(eventObject(event), text);
      if (event.type === "MsgCreated" && ++seen >= count) enough.resolve();
    };
    await using opened = await openProfile(context, {
      onOpen: async (client) => {
        if (!output.json) view = await new EventView(client).recall();
      },
      onEvent: (event) => {
        if (event.type === "Status" && listens) watch.note(event);
        lines.add(() => print(event));
      },
    });
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
      await lines.settled();
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

/** Whether `arona tail` prints an event. A changed identity concerns every conversation: nothing goes out to that person any more. */
export function isShown(event: ClientEvent, { target, all }: { target?: string; all: boolean }): boolean {
  if (!all && !SHOWN_EVENTS.includes(event.type)) return false;
  if (target === undefined || EVERYWHERE.includes(event.type)) return true;
  return "group" in event && (event.group === target || event.groupId === target);
}
