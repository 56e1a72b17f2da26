/** `arona connect [LINK]`: chat. */

import type { CommandSpec } from "../command.ts";
import { PROFILE_OPTIONS } from "../command.ts";
import { usageFailure } from "../failure.ts";

/** `arona connect`. */
export const connect: CommandSpec = {
  name: "connect",
  summary: "chat",
  args: [{
    name: "link",
    describe: "the relay's link or where to look for it, the same as --relay",
    optional: true,
  }],
  endless: true,
  options: ["read-marks", "plain", "suite", "lan", ...PROFILE_OPTIONS.filter((name) => name !== "json")],
  more:
    "The link is needed the first time only: arona://…, or a place to look: gist:ID or a Gist's address, @user of GitHub, " +
    "https://host, lan (see arona discover).\n" +
    "What you type goes to the current conversation; /help shows commands.",
  async run(context) {
    const { args: [link], settings } = context;
    if (link !== undefined && settings.get("relay").source === "flag") {
      throw usageFailure("Cannot connect to two relays: there is a LINK and --relay", "Give one of them.");
    }
    const { runPlainChat } = await import("../plain/run.ts");
    if (link !== undefined && /#[^.]*\./.test(link)) { // a further device's code: that comes first
      const { linkProfile } = await import("../link_profile.ts");
      const profile = await linkProfile(context, link);
      return await runPlainChat({ ...context, settings: settings.with("profile", profile) });
    }
    await runPlainChat(link === undefined ? context : { ...context, settings: settings.with("relay", link) });
  },
};
