/** `arona invite`: makes an invite code for an invite-only relay. */

import type { CommandSpec } from "../command.ts";

/** `arona invite`. */
export const invite: CommandSpec = {
  name: "invite",
  summary: "make an invite code for your relay; it lets one new account in",
  options: ["data", "json", "config"],
  more:
    "Run it where the relay's data folder is, whether the relay runs or not. The other person gives the code once:\n" +
    "arona connect LINK --username NAME --invite CODE",
  async run(context) {
    const { makeInvite } = await import("../relay/invite.ts");
    const code = await makeInvite(context);
    context.output.data({ type: "Invite", code }, code);
  },
};
