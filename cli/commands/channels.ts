/** `arona channels`: the channels of the relay. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";

/** `arona channels`. */
export const channels: CommandSpec = {
  name: "channels",
  summary: "list the relay's channels",
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output, signal } = context;
    const { openProfile } = await import("../open_client.ts");
    const { nameText } = await import("../event_text.ts");
    await using opened = await openProfile(context);
    const found = await untilEnd(opened.client.channels(), signal);
    for (const { name, members } of found) {
      output.data({ type: "Channel", name, members }, `${nameText(name)}  ${members} members`);
    }
    if (found.length === 0) output.note("There are no channels yet. `arona join '#name'` opens one.");
  },
};
