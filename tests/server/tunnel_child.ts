/** A process with a tunnel, to be killed. Prints `up` once. */

import { connectTcp, parseEndpoint, systemClock } from "../../proto/mod.ts";
import { agentSpawner, parseTunnelSpec, startTunnel } from "../../server/tunnel/mod.ts";

startTunnel({
  spec: parseTunnelSpec(Deno.env.get("TUNNEL")!),
  local: parseEndpoint(Deno.env.get("LOCAL")!),
  clock: systemClock,
  random: () => 0,
  spawn: agentSpawner({ program: Deno.env.get("PROGRAM")!, env: { PATH: "/usr/bin:/bin" } }),
  fetch,
  probe: async (endpoint, { signal }) => (await connectTcp({ ...endpoint, signal })).close(),
  onEvent: ({ type }) => console.log(type === "address" ? "up" : type),
});
