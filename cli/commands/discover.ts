/** `arona discover [SOURCE]`: looks for relays, and shows what it found and why it trusts it. */

import type { CommandSpec } from "../command.ts";

/** `arona discover`. */
export const discover: CommandSpec = {
  name: "discover",
  summary: "look for relays, and show what is found and why it is trusted",
  args: [{
    name: "source",
    describe: "a relay's link, host:port, gist:ID or a Gist's address, @user of GitHub, https://host, lan",
    optional: true,
  }],
  options: ["document", "timeout", "lan", "relay", "profile", "json", "config"],
  more:
    "Without a SOURCE it looks at all that the profile knows of its relay, at --relay or ARONA_LINK, and around the local network. " +
    "Nothing is remembered. A relay is trusted by its key: the one in the link, or the one that the profile (--profile) has pinned.",
  async run(context) {
    const { runDiscover } = await import("../run_discover.ts");
    await runDiscover(context);
  },
};
