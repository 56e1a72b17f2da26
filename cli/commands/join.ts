/** `arona join #channel`: joins a channel, and opens it where nobody has. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { usageFailure } from "../failure.ts";

/** `arona join`. */
export const join: CommandSpec = {
  name: "join",
  summary: "join a channel; the first to join opens it",
  args: [{ name: "channel", describe: "#name, quoted" }],
  options: ["suite", ...PROFILE_OPTIONS],
  async run(context) {
    const { settings, output, args, signal } = context;
    const channel = args[0]!;
    if (!channel.startsWith("#")) {
      throw usageFailure(
        `Cannot join ${JSON.stringify(channel)}: it is not a channel`,
        "Write it as '#name'.",
      );
    }
    const { openProfile } = await import("../open_client.ts");
    const { conversationObject, resolveTarget, suiteOf } = await import("../target.ts");
    await using opened = await openProfile(context);
    const conversation = await resolveTarget(opened.client, channel, { suite: suiteOf(settings), signal });
    output.object(conversationObject(conversation));
    output.note(`${opened.client.account} is in ${channel}.`);
  },
};
