/** `arona group …`: private groups, and who is in a group or channel. */

import type { ChatClient, ConversationInfo } from "../../client/mod.ts";
import { type CommandContext, type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";

const GROUP = { name: "group", describe: "a group's name or id, or #channel" };
const USER = { name: "user", describe: "account name" };

/** `arona group create`. */
export const groupCreate: CommandSpec = {
  name: "group create",
  summary: "create a private group",
  args: [{ name: "name", describe: "what to call it, 1 to 64 characters" }],
  options: ["suite", ...PROFILE_OPTIONS],
  async run(context) {
    const { output, settings, args, signal } = context;
    const { openProfile } = await import("../open_client.ts");
    const { conversationObject, suiteOf } = await import("../target.ts");
    await using opened = await openProfile(context);
    const conversation = await untilEnd(opened.client.createGroup(args[0]!, suiteOf(settings)), signal);
    output.object(conversationObject(conversation));
    output.note(`Created ${JSON.stringify(conversation.title)} (${conversation.id}).`);
  },
};

/** `arona group invite`. */
export const groupInvite: CommandSpec = {
  name: "group invite",
  summary: "add somebody to a group",
  args: [GROUP, USER],
  options: [...PROFILE_OPTIONS],
  run: (context) =>
    change(context, {
      act: (client, conversation, user) => client.invite(conversation, user),
      done: (user, title) => `${user} is in ${title}.`,
    }),
};

/** `arona group remove`. */
export const groupRemove: CommandSpec = {
  name: "group remove",
  summary: "remove somebody from a group or channel; admins only",
  args: [GROUP, USER],
  options: [...PROFILE_OPTIONS],
  run: (context) =>
    change(context, {
      act: (client, conversation, user) => client.remove(conversation, user),
      done: (user, title) => `${user} is no longer in ${title}.`,
    }),
};

/** `arona group ban`. */
export const groupBan: CommandSpec = {
  name: "group ban",
  summary: "remove somebody and keep them out; admins only",
  args: [GROUP, USER],
  options: [...PROFILE_OPTIONS],
  run: (context) =>
    change(context, {
      act: (client, conversation, user) => client.ban(conversation, user),
      done: (user, title) => `${user} is banned from ${title}.`,
    }),
};

/** `arona group admin`. */
export const groupAdmin: CommandSpec = {
  name: "group admin",
  summary: "make a member an admin, or with --revoke no longer; admins only",
  args: [GROUP, USER],
  options: ["revoke", ...PROFILE_OPTIONS],
  run(context) {
    const admin = !context.settings.switch("revoke");
    return change(context, {
      act: (client, conversation, user) => client.setAdmin(conversation, user, admin),
      done: (user, title) => `${user} is ${admin ? "an admin" : "no longer an admin"} of ${title}.`,
    });
  },
};

async function change(
  context: CommandContext,
  step: {
    act: (client: ChatClient, conversation: ConversationInfo, user: string) => Promise<void>;
    done: (user: string, title: string) => string;
  },
): Promise<void> {
  const { output, args, signal } = context;
  const { openProfile } = await import("../open_client.ts");
  const { accountOf, conversationObject, findTarget } = await import("../target.ts");
  await using opened = await openProfile(context, { make: false });
  const conversation = await findTarget(opened.client, args[0]!, signal);
  const user = accountOf(args[1]);
  await untilEnd(step.act(opened.client, conversation, user), signal);
  output.object(conversationObject(conversation));
  output.note(step.done(user, conversation.title));
}
