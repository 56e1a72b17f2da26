/** `arona serve`: runs a relay until it is told to end. */

import type { CommandSpec } from "../command.ts";

/** `arona serve`. */
export const serve: CommandSpec = {
  name: "serve",
  summary: "run a relay",
  endless: true,
  options: [
    "listen",
    "data",
    "name",
    "public-address",
    "publish-gist",
    "gist-id",
    "invite-only",
    "registration",
    "messages-per-second",
    "message-burst",
    "max-per-ip",
    "mailbox",
    "lan",
    "log-level",
    "log-format",
    "metrics",
    "json",
    "config",
  ],
  more:
    "Prints the address, the relay's fingerprint and the link to hand out. Behind a router, forward the port and give\n" +
    "--public-address, so that the link is right for others.\n\n" +
    "With --publish-gist it keeps its newest address in a public GitHub Gist and prints a link that stays right when the\n" +
    "address changes. The token is taken from GITHUB_TOKEN; make one with the scope gist and nothing else at\n" +
    "https://github.com/settings/tokens/new?scopes=gist. ARONA_GITHUB_API names another API than https://api.github.com.",
  async run(context) {
    const { runRelay } = await import("../relay/supervisor.ts");
    await runRelay(context, serve.options);
  },
};
