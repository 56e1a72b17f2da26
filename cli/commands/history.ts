/** `arona history TARGET`: the newest messages that this device has. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { CommandFailure } from "../failure.ts";

const DEFAULT_COUNT = 50;

/** `arona history`. */
export const history: CommandSpec = {
  name: "history",
  summary: "print the newest messages that this device has",
  args: [{ name: "target", describe: "#channel, @user or a group's name or id" }],
  options: ["count", ...PROFILE_OPTIONS],
  more: "Reads this profile only and does not connect. --count is 50 where it is not given.",
  async run(context) {
    const { output, settings, args } = context;
    const { openProfile } = await import("../open_client.ts");
    const { historyObject } = await import("../event_json.ts");
    const { EventView } = await import("../event_view.ts");
    const { matches } = await import("../target.ts");
    await using opened = await openProfile(context, { connect: "no", make: false });
    const found = opened.client.conversations().filter((conversation) => matches(conversation, args[0]!));
    if (found.length === 0) {
      throw new CommandFailure(`Cannot find ${JSON.stringify(args[0])}: this device was never in it`, {
        hint: "See `arona groups`. Quote channels: '#general'.",
      });
    }
    // One name can have had several groups, when it was left and joined again: the present one counts.
    const conversation = found.find(({ isOpen }) => isOpen) ?? found.at(-1)!;
    const limit = settings.number("count") ?? DEFAULT_COUNT;
    const view = new EventView(opened.client);
    for (const entry of await opened.client.history(conversation, { limit })) {
      output.data(historyObject(conversation, entry), await view.historyLine(conversation, entry));
    }
  },
};
