/** `arona members TARGET`: who is in a conversation. */

import type { MemberInfo } from "../../client/mod.ts";
import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";

/** `arona members`. */
export const members: CommandSpec = {
  name: "members",
  summary: "list who is in a channel, a group or a direct message",
  args: [{ name: "target", describe: "#channel, @user or a group's name" }],
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output, args, signal } = context;
    const { openProfile } = await import("../open_client.ts");
    const { memberText } = await import("../member_text.ts");
    const { findTarget } = await import("../target.ts");
    await using opened = await openProfile(context, { connect: "try", make: false });
    const conversation = await findTarget(opened.client, args[0]!, signal);
    const found = await untilEnd(opened.client.members(conversation), signal);
    found.sort((a, b) => a.account < b.account ? -1 : 1);
    for (const member of found) output.data(memberObject(member), memberText(member));
  },
};

function memberObject(member: MemberInfo): Record<string, unknown> {
  const { account, fingerprint, device, admin, verified, identityChanged, online } = member;
  return { type: "Member", account, admin, online, verified, identityChanged, fingerprint, device };
}
