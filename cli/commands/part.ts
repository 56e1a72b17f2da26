/** `arona part TARGET`: leaves a channel or a group. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";

/** `arona part`. */
export const part: CommandSpec = {
  name: "part",
  summary: "leave a channel or a group",
  args: [{ name: "target", describe: "#channel or a group's name" }],
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output, args, signal } = context;
    const { openProfile } = await import("../open_client.ts");
    const { conversationObject, findTarget } = await import("../target.ts");
    await using opened = await openProfile(context, { make: false });
    const conversation = await findTarget(opened.client, args[0]!, signal);
    await untilEnd(opened.client.leave(conversation), signal);
    output.object(conversationObject(conversation));
    output.note(`${opened.client.account} has left ${args[0]}.`);
  },
};
