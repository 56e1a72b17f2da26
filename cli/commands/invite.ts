/** `arona invite …`: lets people into an invite-only relay, one by one. */

import type { CommandSpec } from "../command.ts";

/** `arona invite`. */
export const invite: CommandSpec = {
  name: "invite",
  summary: "make an invite for your relay; it lets one new account in",
  options: ["count", "expires", "data", "json", "config"],
  more:
    "Run it where the relay's data folder is, as the same user. It prints the one thing to pass on, the relay's link with the\n" +
    "code in it; where the relay does not run, the code alone. The other person runs: arona connect 'LINK' --username NAME",
  async run(context) {
    const { makeInvites } = await import("../relay/invite.ts");
    await makeInvites(context);
  },
};

/** `arona invite list`. */
export const inviteList: CommandSpec = {
  name: "invite list",
  summary: "list the invites of your relay and what became of them",
  options: ["data", "json", "config"],
  more: "The codes themselves are not kept; an invite is known by the beginning of its id.",
  async run(context) {
    const { listInvites } = await import("../relay/invite.ts");
    await listInvites(context);
  },
};

/** `arona invite revoke`. */
export const inviteRevoke: CommandSpec = {
  name: "invite revoke",
  summary: "take an invite back that nobody has used",
  args: [{ name: "invite", describe: "the code, the link that holds it, or the beginning of its id" }],
  options: ["data", "json", "config"],
  async run(context) {
    const { revokeInvite } = await import("../relay/invite.ts");
    await revokeInvite(context, context.args[0]!);
  },
};
