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
    "tunnel",
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
    "https://github.com/settings/tokens/new?scopes=gist. ARONA_GITHUB_API names another API than https://api.github.com.\n\n" +
    "Without a port to forward, --tunnel gives the relay an address elsewhere: ssh:USER@HOST asks a server of yours for a\n" +
    "port (ssh:USER@HOST=chat.example.org:7700 where others reach it by another name or port), bore and ngrok ask a public\n" +
    "service. The program has to be installed; a bore server's secret comes from BORE_SECRET, ngrok's token from its own\n" +
    "configuration or NGROK_AUTHTOKEN.",
  async run(context) {
    const { launchRelay } = await import("../relay/relay_role.ts");
    using launched = await launchRelay(context);
    const { runRelay } = await import("../relay/supervisor.ts");
    await runRelay(context, { served: serve.options, launched });
  },
};
