/** `arona groups`: the conversations of this device. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";

/** `arona groups`. */
export const groups: CommandSpec = {
  name: "groups",
  summary: "list your channels, groups and direct messages",
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output, signal } = context;
    const { untilEnd } = await import("../ending.ts");
    const { openProfile } = await import("../open_client.ts");
    const { EventView } = await import("../event_view.ts");
    const { conversationObject } = await import("../target.ts");
    await using opened = await openProfile(context, { connect: "try", make: false });
    await untilEnd(opened.client.caughtUp(), signal);
    const view = new EventView(opened.client);
    const conversations = opened.client.conversations()
      .filter((conversation) => conversation.isOpen)
      .sort((a, b) => a.title < b.title ? -1 : 1);
    for (const conversation of conversations) {
      const object = conversationObject(conversation);
      const facts = [object.kind, `${object.members} members`, ...(object.admin ? ["admin"] : [])].join(", ");
      output.data(
        object,
        `${view.label(conversation)}  ${facts}, suite 0x${conversation.suite.toString(16).padStart(4, "0")}`,
      );
    }
    if (conversations.length === 0) {
      output.note("You are in no conversation yet. `arona join '#name'` joins a channel.");
    }
  },
};
