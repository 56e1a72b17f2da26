/** `--tunnel bore` and `--tunnel ngrok` with stand-ins for their agents as processes and a real relay behind them. */

import assert from "node:assert/strict";
import { connectTcp } from "../../proto/mod.ts";
import { standInAgents } from "../helpers/stand_in_agents.ts";
import { WatchedTunnel } from "../helpers/watched_tunnel.ts";
import { TestRelay } from "./test_relay.ts";

const RELAY = { listen: { hostname: "127.0.0.1", port: 0 }, publicAddresses: undefined };

Deno.test("bore: people log in through it; when the agent dies, the same port is asked for again", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using agents = await standInAgents();
  await using watched = new WatchedTunnel(relay, { spec: "bore:127.0.0.1", program: `${agents.bin}/bore` });
  const { hostname, port } = await watched.address();
  await relay.connect("alice", { transport: await connectTcp({ hostname, port }) });
  watched.agents.at(-1)!.kill("SIGKILL");
  assert.equal((await watched.failure()).reason, "ended");
  assert.deepEqual(await watched.address(), { hostname, port, changed: false });
  await relay.connect("bob", { transport: await connectTcp({ hostname, port }) });
});

Deno.test("bore: where that port is taken meanwhile, the new address is told", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using agents = await standInAgents();
  await using watched = new WatchedTunnel(relay, { spec: "bore:127.0.0.1", program: `${agents.bin}/bore` });
  const { hostname, port } = await watched.address();
  const agent = watched.agents.at(-1)!;
  agent.kill("SIGKILL");
  await agent.ended;
  using _taken = Deno.listen({ hostname, port });
  assert.equal((await watched.failure()).reason, "ended");
  const next = await watched.address();
  assert.ok(next.changed && next.port !== port);
  await relay.connect("alice", { transport: await connectTcp(next) });
});

for (const mode of [undefined, "silent"]) {
  const from = mode === undefined ? "its log" : "its interface, where the log says nothing";
  Deno.test(`ngrok: people log in through the address from ${from}`, async () => {
    await using relay = await TestRelay.start(RELAY);
    await using agents = await standInAgents({ mode });
    await using watched = new WatchedTunnel(relay, { spec: "ngrok", program: `${agents.bin}/ngrok` });
    await relay.connect("alice", { transport: await connectTcp(await watched.address()) });
  });
}

Deno.test("ngrok: an error is told with its code and without the token", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using agents = await standInAgents({ mode: "ERR_NGROK_105" });
  await using watched = new WatchedTunnel(relay, { spec: "ngrok", program: `${agents.bin}/ngrok` });
  const failure = await watched.failure();
  assert.equal(failure.reason, "not_authenticated");
  assert.match(failure.text, /ERR_NGROK_105/);
  assert.ok(!JSON.stringify([failure, watched.tunnel.status]).includes("2secret_token"));
});

Deno.test("an agent's process gets the environment that it is given, and nothing of this one's", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using agents = await standInAgents();
  const program = `${agents.bin}/nosy`;
  const out = `${agents.bin}/environment`;
  await Deno.writeTextFile(program, `#!/bin/sh\n/usr/bin/env > ${out}\n`, { mode: 0o755 });
  Deno.env.set("GITHUB_TOKEN", "secret");
  Deno.env.set("ARONA_PASSPHRASE", "secret");
  try {
    await using watched = new WatchedTunnel(relay, { spec: "bore:127.0.0.1", program });
    await watched.failure();
  } finally {
    Deno.env.delete("GITHUB_TOKEN");
    Deno.env.delete("ARONA_PASSPHRASE");
  }
  const names = (await Deno.readTextFile(out)).split("\n").filter((line) => line !== "").map((line) =>
    line.split("=")[0]
  );
  assert.deepEqual(names.filter((name) => !["PATH", "PWD", "_", "SHLVL", "OLDPWD"].includes(name)), []);
});

Deno.test("a program that is not there is a failure in words", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using watched = new WatchedTunnel(relay, { spec: "ngrok", program: "/nowhere/ngrok" });
  const { reason, text, hint } = await watched.failure();
  assert.deepEqual([reason, text], [
    "not_installed",
    "Cannot open tunnel ngrok: there is no program ngrok here",
  ]);
  assert.match(hint!, /ngrok\.com\/download/);
});
