/** Operating a relay as its owner does: real processes, asked and steered from others. */

import assert from "node:assert/strict";
import { Arona, type Outcome, TestRelay } from "./processes.ts";
import { requireTool } from "../require.ts";
import { temporaryFolder } from "./test_io.ts";
import { parsePrometheus } from "./prometheus_grammar.ts";

function objects(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Runs a command in the relay's home, without a link. */
function arona(relay: TestRelay, ...args: string[]): Promise<Outcome> {
  return new Arona(relay.home, args).outcome();
}

async function ok(relay: TestRelay, ...args: string[]): Promise<Record<string, unknown>> {
  const outcome = await arona(relay, ...args, "--json");
  assert.equal(outcome.code, 0, `${args.join(" ")}: ${outcome.err}`);
  return objects(outcome.out)[0];
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("status, bans and limits of a running relay, from other processes", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("send", "#general", "hello", "--username", "alice");
  const status = await ok(relay, "status");
  assert.equal(status.type, "Status");
  assert.equal(status.link, relay.link);
  assert.deepEqual([status.accounts, status.groups, status.sessions], [1, 1, 0]);
  assert.match(String((status.document as { expiresAt: string }).expiresAt), /^20\d\d-.*Z$/);
  assert.ok((status.disk as { freeBytes: number }).freeBytes > 0);
  assert.deepEqual([status.publisher, status.tunnel], [null, null]);
  const told = await arona(relay, "status");
  assert.match(told.out, /people +1 accounts.*\n.*messages/);
  for (const secret of ["alice", "general"]) assert.equal(JSON.stringify(status).includes(secret), false);

  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  assert.deepEqual(await ok(relay, "admin", "kick", "@bob"), {
    type: "Kicked",
    kind: "account",
    subject: "bob",
    sessions: 1,
  });
  await relay.ok("send", "#general", "are you back?", "--username", "alice");
  await tail.until("out", /are you back/);
  assert.equal((await ok(relay, "admin", "ban", "bob")).sessions, 1);
  const { code, err } = await tail.outcome();
  assert.equal(code, 1);
  assert.match(err, /Cannot log in: the relay refused this account/);
  const bans = await ok(relay, "admin", "bans");
  assert.deepEqual([bans.kind, bans.subject], ["account", "bob"]);
  await ok(relay, "admin", "unban", "bob");
  const again = await arona(relay, "admin", "unban", "bob");
  assert.deepEqual([again.code, again.out], [1, ""]);
  assert.match(again.err, /not banned.*arona admin bans/);
  await relay.ok("send", "#general", "thank you", "--username", "bob");

  const limits = await ok(relay, "admin", "limits", "--message-burst", "500", "--registration", "closed");
  assert.deepEqual([limits.messageBurst, limits.registration, limits.messagesPerSecond], [500, "closed", 20]);
  assert.deepEqual(await ok(relay, "admin", "limits"), limits);
  const refused = await relay.run("send", "#general", "x", "--username", "carol");
  assert.equal(refused.code, 1);
  assert.equal((await arona(relay, "admin", "ban", "Not A Name")).code, 2);
});

Deno.test("drain ends the relay with exit code 0 and leaves no control file; asking then says that none runs", async () => {
  await using relay = await TestRelay.start();
  const file = `${relay.home}/relay/control.json`;
  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  if (Deno.build.os !== "windows") assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
  const drained = await ok(relay, "admin", "drain", "--timeout", "3");
  assert.equal(drained.type, "Drained");
  const { code, err } = await relay.process.outcome();
  assert.equal(code, 0);
  assert.match(err, /relay is stopping: 1 session, 0 deliveries on the way\n.*relay stopped/);
  assert.equal(await exists(file), false);
  const asked = await arona(relay, "status");
  assert.equal(asked.code, 1);
  assert.match(asked.err, /none runs in .*arona serve/);
});

Deno.test("a relay ends although somebody holds on to its metrics and to its control port", async () => {
  await using relay = await TestRelay.start({ args: ["--metrics", "0"] });
  const [line] = await relay.process.until("out", /\{"type":"Metrics".*\n/);
  const { address: control } = JSON.parse(await Deno.readTextFile(`${relay.home}/relay/control.json`));
  const held: Deno.TcpConn[] = [];
  for (const address of [JSON.parse(line).address, control]) {
    for (const text of ["GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", "GET /"]) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(address.split(":")[1]) });
      held.push(connection);
      await connection.write(new TextEncoder().encode(text));
    }
  }
  relay.process.signal("SIGTERM");
  assert.equal((await relay.process.outcome()).code, 0);
  for (const connection of held) connection.close();
});

Deno.test("SIGTERM makes a long drain short", async () => {
  await using relay = await TestRelay.start();
  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  tail.signal("SIGSTOP"); // it does not take what is sent to it
  await relay.ok("send", "#general", "hello", "--username", "alice", "--wait", "accepted");
  await using drain = new Arona(relay.home, ["admin", "drain", "--timeout", "3600"]);
  await relay.process.until("err", /relay is stopping/);
  relay.process.signal("SIGTERM");
  const { code, err } = await relay.process.outcome();
  assert.equal(code, 0);
  assert.match(err, /relay is stopping: 1 session, [1-9].*\n(.*\n)*.*relay stopped/);
  assert.equal((await drain.outcome()).code, 0);
});

Deno.test("SIGTERM drains too, and a relay that is killed leaves a file that is recognised and replaced", async () => {
  await using relay = await TestRelay.start();
  const file = `${relay.home}/relay/control.json`;
  relay.process.signal("SIGTERM");
  const { code, err } = await relay.process.outcome();
  assert.equal(code, 0);
  assert.match(err, /relay is stopping.*\n(.*\n)*.*relay stopped/);
  assert.equal(await exists(file), false);

  {
    await using killed = await TestRelay.start({ home: relay.home });
    killed.process.signal("SIGKILL");
    await killed.process.outcome();
    assert.equal(await exists(file), true);
    const asked = await arona(killed, "status");
    assert.equal(asked.code, 1);
    assert.match(asked.err, /does not answer.*may have been killed/);
    await using next = new Arona(relay.home, ["serve", "--listen", "127.0.0.1:0", "--json"]);
    await next.until("out", /^.*\n/);
    await ok(killed, "status");
  }
});

Deno.test("--metrics serves numbers that count what happened, on loopback where only a port is given", async () => {
  await using relay = await TestRelay.start({ args: ["--metrics", "0"] });
  const [line] = await relay.process.until("out", /\{"type":"Metrics".*\n/);
  const { address } = JSON.parse(line);
  assert.match(address, /^127\.0\.0\.1:\d+$/);
  const metrics = async () => {
    const response = await fetch(`http://${address}/metrics`);
    const text = await response.text();
    assert.doesNotMatch(text, /alice|bob|general|127\.0\.0\.1/);
    return parsePrometheus(text);
  };
  const value = (found: Awaited<ReturnType<typeof metrics>>, name: string, labels = "") =>
    found.get(name)?.samples.get(labels);
  const before = await metrics();
  assert.equal(value(before, "arona_messages_accepted_total"), 0);
  await relay.ok("join", "#general", "--username", "bob");
  await relay.ok("send", "#general", "hello", "--username", "alice");
  const connection = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(relay.listening.address.split(":").at(-1)),
  });
  await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  assert.equal(await connection.read(new Uint8Array(1)), null);
  connection.close();
  const after = await metrics();
  assert.ok(value(after, "arona_messages_accepted_total")! >= 1);
  assert.equal(value(after, "arona_registrations_total"), 2);
  assert.equal(value(after, "arona_accounts"), 2);
  assert.equal(value(after, "arona_handshakes_failed_total", '{reason="length"}'), 1);
  assert.ok(value(after, "process_resident_memory_bytes")! > 1e6);
  assert.ok(value(after, "process_cpu_seconds_total")! >= value(before, "process_cpu_seconds_total")!);
  assert.equal(await (await fetch(`http://${address}/healthz`)).text(), "ok\n");
  assert.equal(await (await fetch(`http://${address}/readyz`)).text(), "ready\n");
  const wrong = await new Arona(relay.home, ["serve", "--metrics", "nonsense"]).outcome();
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /--metrics "nonsense".*9464/);
});

Deno.test("SIGHUP reads the configuration again: what can be is in force, what cannot is said, a bad file changes nothing", async () => {
  const home = await Deno.makeTempDir({ prefix: "arona-e2e-" });
  const file = `${home}/config.json`;
  const write = (settings: unknown) => Deno.writeTextFile(file, JSON.stringify(settings));
  await write({ name: "Before", "log-format": "json" });
  await using relay = await TestRelay.start({ home });
  const { process } = relay;
  await write({
    name: "After",
    "message-burst": 7,
    registration: "closed",
    "public-address": ["chat.example.org:7700"],
    mailbox: "disk",
    "log-level": "debug",
    "log-format": "json",
  });
  process.signal("SIGHUP");
  const [applied] = await process.until("err", /^.*"reloaded".*$/m);
  assert.match(JSON.parse(applied).message, /name, public-address, registration, message-burst, log-level/);
  const [restart] = await process.until("err", /^.*"restart_needed".*$/m);
  assert.match(JSON.parse(restart).message, /after a restart: mailbox$/);
  const status = await ok(relay, "status");
  const limits = status.limits as { messageBurst: number; registration: string };
  assert.deepEqual([limits.messageBurst, limits.registration], [7, "closed"]);
  assert.match(String(status.link), /^arona:\/\/chat\.example\.org:7700#/);
  assert.equal((await relay.run("send", "#general", "x", "--username", "carol")).code, 1);
  await process.until("err", /"event":"session_ended","reason":"auth_failed"/); // the level counts too

  await Deno.writeTextFile(file, '{"message-burst": 9, "nonsense": 1}');
  process.signal("SIGHUP");
  const [failed] = await process.until("err", /^.*"reload_failed".*$/m);
  assert.match(JSON.parse(failed).message, /stays as it was: .*"nonsense" is not a setting/);
  await write({ name: "x".repeat(1_000), "message-burst": 9 });
  const refused = await arona(relay, "admin", "reload");
  assert.equal(refused.code, 1);
  assert.equal((await ok(relay, "admin", "limits")).messageBurst, 7);

  await ok(relay, "admin", "limits", "--message-burst", "44");
  await write({ name: "After", "message-burst": 8, "log-level": "debug", "log-format": "json" });
  const reloaded = await ok(relay, "admin", "reload");
  assert.deepEqual(reloaded.applied, ["public-address", "registration", "message-burst"]);
  const { messageBurst, registration } = await ok(relay, "admin", "limits");
  assert.deepEqual([messageBurst, registration], [8, "open"]);
  assert.match(String((await ok(relay, "status")).link), /^arona:\/\/127\.0\.0\.1:/);
  const lines = process.err.trimEnd().split("\n").filter((line) => !line.startsWith("Others join"));
  for (const line of lines) assert.ok(JSON.parse(line).time);
});

Deno.test("SIGHUP without a configuration file changes nothing for a service, and ends other commands", async () => {
  await using relay = await TestRelay.start();
  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  relay.process.signal("SIGHUP");
  await relay.process.until("err", /stays as it was: .*without a configuration file/);
  await ok(relay, "status");
  tail.signal("SIGHUP");
  assert.equal((await tail.outcome()).code, 0);
});

for (const configured of [false, true]) {
  const what = configured
    ? "has a relay with a configuration file read it again"
    : "ends a relay without a configuration file in good order";
  requireTool("script").test(`a terminal that closes ${what}`, async () => {
    await using home = await temporaryFolder();
    if (configured) await Deno.writeTextFile(`${home.path}/config.json`, "{}");
    const main = new URL("../../main.ts", import.meta.url).pathname;
    const serve = `exec ${Deno.execPath()} run -A --no-check ${main} serve --listen 127.0.0.1:0`;
    await using relay = new Arona(home.path, [], {
      program: { command: "script", args: ["-qec", serve, "/dev/null"] },
    });
    await relay.until("out", /Others join/);
    const { pid } = JSON.parse(await Deno.readTextFile(`${home.path}/relay/control.json`));
    Deno.kill(pid, "SIGHUP");
    if (configured) {
      await relay.until("out", /configuration read again: nothing has changed/);
      Deno.kill(pid, "SIGTERM");
    }
    const { code, out } = await relay.outcome();
    assert.equal(code, 0, out);
    assert.match(out, /relay stopped/);
    assert.equal(await exists(`${home.path}/relay/control.json`), false);
  });
}
