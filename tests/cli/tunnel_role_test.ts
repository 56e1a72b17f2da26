/** The tunnel as the supervisor of `arona serve` has it: finding the program, both workers, and the addresses that it makes. */

import assert from "node:assert/strict";
import { localEndpoint, Reach } from "../../cli/relay/reach.ts";
import { findProgram } from "../../cli/relay/find_program.ts";
import { shownStatus } from "../../cli/relay/tunnel.ts";
import { findTunnel, startTunnelRole } from "../../cli/relay/tunnel_role.ts";
import { connectTcp, selectProvider, systemClock, toBase64Url } from "../../proto/mod.ts";
import { MemoryMailboxStore, MemoryRelayStore, startRelay } from "../../server/mod.ts";
import { parseTunnelSpec, type TunnelEvent } from "../../server/tunnel/mod.ts";
import { standInAgents } from "../helpers/stand_in_agents.ts";

Deno.test("findProgram() takes the first program in PATH, and none from a folder that depends on where one is", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["a", "b"]) await Deno.mkdir(`${folder}/${name}`);
    await Deno.writeTextFile(`${folder}/a/tool`, "", { mode: 0o644 }); // not a program
    await Deno.mkdir(`${folder}/a/other`);
    await Deno.writeTextFile(`${folder}/b/tool`, "", { mode: 0o755 });
    const find = (name: string, path: string | undefined) => findProgram(name, { path, os: "linux" });
    assert.equal(find("tool", `${folder}/a:${folder}/b`), `${folder}/b/tool`);
    assert.equal(find("other", `${folder}/a`), null);
    assert.equal(find("tool", `.::../${folder}/b`), null);
    assert.equal(find("tool", undefined), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Reach puts the tunnel first, then what was given; what the machine says only where there is neither", async () => {
  const published: string[] = [];
  const reach = new Reach((addresses) => Promise.resolve(void published.push(addresses.join(" "))), {
    given: [],
  });
  await reach.setOwn(["192.0.2.7:7700"]);
  assert.deepEqual(reach.addresses, ["192.0.2.7:7700"]);
  const tunnel = { hostname: "bore.pub", port: 1 };
  await Promise.all([reach.setTunnel(tunnel), reach.setTunnel(tunnel), reach.setGiven(["a.example:1"])]);
  await reach.setTunnel({ hostname: "a.example", port: 1 });
  await reach.setGiven([]);
  await reach.setOwn(["192.0.2.8:7700"]); // nothing new where there is a tunnel
  assert.deepEqual(published, ["192.0.2.7:7700", "bore.pub:1", "bore.pub:1 a.example:1", "a.example:1"]);
});

Deno.test("Reach goes on after addresses that could not be published", async () => {
  let fail = true;
  const reach = new Reach(() => fail ? Promise.reject(new Error("no")) : Promise.resolve(), {
    given: [],
  });
  await assert.rejects(reach.setTunnel({ hostname: "a.example", port: 1 }));
  fail = false;
  await reach.setTunnel({ hostname: "a.example", port: 2 });
  assert.deepEqual(reach.addresses, ["a.example:2"]);
});

Deno.test("localEndpoint() is loopback for a relay that listens everywhere", () => {
  assert.deepEqual(localEndpoint("0.0.0.0:7700"), { hostname: "127.0.0.1", port: 7700 });
  assert.deepEqual(localEndpoint("[::]:7700"), { hostname: "::1", port: 7700 });
  assert.deepEqual(localEndpoint("192.0.2.7:7700"), { hostname: "192.0.2.7", port: 7700 });
});

Deno.test("findTunnel() says how to get a program that is not here", () => {
  assert.throws(() => findTunnel({ os: "linux", env: () => "/nowhere" }, parseTunnelSpec("ngrok")), {
    message: "Cannot open tunnel ngrok: there is no program ngrok in PATH",
    hint: /ngrok\.com\/download/,
  });
});

for (const spec of ["bore:127.0.0.1", "ngrok"]) {
  Deno.test(`a relay is reached through ${spec}, which runs behind its wall and ends with its supervisor`, async () => {
    await using agents = await standInAgents();
    await using relay = await startMemoryRelay();
    const news = Promise.withResolvers<TunnelEvent>();
    const env: Record<string, string> = { PATH: agents.bin };
    const io = { os: Deno.build.os, env: (name: string) => env[name], signal: new AbortController().signal };
    const tunnel = await startTunnelRole(io, {
      ...findTunnel(io, parseTunnelSpec(spec)),
      local: localEndpoint(relay.address),
      fingerprint: relay.fingerprint,
      onEvent: news.resolve,
      onFault: news.reject,
    });
    const event = await news.promise;
    assert.ok(event.type === "address", JSON.stringify(event));
    assert.equal(tunnel.status.state, "up");
    (await connectTcp(event.endpoint)).close();
    await tunnel[Symbol.asyncDispose]();
    await assert.rejects(connectTcp(event.endpoint));
  });
}

Deno.test("a tunnel whose worker has ended by itself is down, and says so", async () => {
  await using agents = await standInAgents();
  const env: Record<string, string> = { PATH: agents.bin };
  const io = { os: Deno.build.os, env: (name: string) => env[name], signal: new AbortController().signal };
  const ended = Promise.withResolvers<Error>();
  const news: TunnelEvent[] = [];
  await using tunnel = await startTunnelRole(io, {
    ...findTunnel(io, parseTunnelSpec("ngrok")),
    local: localEndpoint("127.0.0.1:1"),
    fingerprint: toBase64Url(new Uint8Array(32)),
    onEvent: (event) => news.push(event),
    onFault: ended.resolve,
    modules: { tunnel: new URL("../workers/mortal_tunnel_worker.ts", import.meta.url) },
  });
  assert.match((await ended.promise).message, /the tunnel ended/);
  assert.equal(news[0].type, "address", "it was up before");
  assert.deepEqual(shownStatus(tunnel.status), {
    up: false,
    address: "tunnel.test:7",
    reason: "it has ended by itself; a restart of the relay opens it again",
  });
});

async function startMemoryRelay() {
  const relay = await startRelay({
    listen: { hostname: "127.0.0.1", port: 0 },
    store: new MemoryRelayStore(),
    mailboxes: new MemoryMailboxStore(),
    crypto: await selectProvider(),
    clock: systemClock,
    name: "test",
  });
  return {
    ...relay,
    address: relay.address,
    fingerprint: relay.fingerprint,
    [Symbol.asyncDispose]: () => relay.stop(),
  };
}
