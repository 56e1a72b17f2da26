/** `arona doctor`: what it finds in order, what it does not, and what it advises. */

import assert from "node:assert/strict";
import { checkDatabase } from "../../cli/doctor/files.ts";
import { type Finding, findingLines, Findings } from "../../cli/doctor/finding.ts";
import { checkCertificate } from "../../cli/doctor/profile_checks.ts";
import { checkTerminal } from "../../cli/doctor/program_checks.ts";
import { checkRelay, checkRoles, judgeClock } from "../../cli/doctor/relay_checks.ts";
import { writeControlFile } from "../../cli/control/control_file.ts";
import { FakeClock, selectProvider } from "../../proto/mod.ts";
import { lockFile } from "../../proto/lock/mod.ts";
import { openSqliteRelayStore } from "../../server/mod.ts";
import { Arona, type Outcome, TestRelay } from "./processes.ts";
import { temporaryFolder } from "./test_io.ts";
import { NOW, testStatus } from "./test_status.ts";

const DAY_MS = 86_400_000;

function doctor(home: string, ...args: string[]): Promise<Outcome> {
  return new Arona(home, ["doctor", "--json", ...args]).outcome();
}

function findings({ out }: Outcome): Finding[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function find(found: readonly Finding[], area: string, check: string): Finding | undefined {
  return found.find((one) => one.area === area && one.check === check);
}

/** `check state` of what a unit says. */
function said(act: (found: Findings) => void): string[] {
  const found = new Findings("x");
  act(found);
  for (const { state, todo } of found.all) assert.equal(todo === undefined, state === "ok");
  return found.all.map(({ check, state }) => `${check} ${state}`);
}

Deno.test("a relay and a profile in order: every check says so, exit code 0", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("send", "#general", "hello", "--username", "alice");
  const outcome = await doctor(relay.home);
  assert.equal(outcome.code, 0, outcome.out + outcome.err);
  const found = findings(outcome);
  for (const check of ["access", "disk", "database", "running", "version", "document", "listening"]) {
    assert.equal(find(found, "relay", check)?.state, "ok", check);
  }
  for (const check of ["access", "database", "unlocked", "certificate", "relay", "document", "clock"]) {
    assert.equal(find(found, "profile alice", check)?.state, "ok", check);
  }
  assert.equal(find(found, "profile alice", "key")?.state, "warning", "it has no passphrase");
  assert.equal(find(found, "program", "version")?.state, "ok");
  const told = await new Arona(relay.home, ["doctor", "--data", `${relay.home}/relay`]).outcome();
  assert.equal(told.code, 0);
  assert.match(told.out, /^ok {7}relay: document: number \d+, good for 6 d 23 h$/m);
  assert.doesNotMatch(told.out, /profile/);
});

Deno.test("problems: files that others can read, a relay that was killed, a profile that is damaged; exit code 1", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("send", "#general", "hello", "--username", "alice");
  relay.process.signal("SIGKILL");
  await relay.process.outcome();
  const windows = Deno.build.os === "windows";
  if (!windows) await Deno.chmod(`${relay.home}/relay/relay.db`, 0o644);
  const database = `${relay.home}/profiles/alice/profile.db`;
  const bytes = await Deno.readFile(database);
  await Deno.writeFile(database, bytes.fill(0x55, 4_096, 12_288));
  const outcome = await doctor(relay.home);
  assert.equal(outcome.code, 1);
  assert.match(outcome.err, /Cannot say that all is well: \d problems/);
  const found = findings(outcome);
  if (!windows) assert.match(find(found, "relay", "access")!.todo!, /^chmod go= .*relay\.db$/);
  assert.match(find(found, "relay", "running")!.text, /does not answer/);
  assert.equal(find(found, "profile alice", "database")?.state, "problem");
  assert.match(find(found, "profile alice", "unlocked")!.todo!, /arona restore/);
  const nobody = await doctor(relay.home, "--profile", "nobody");
  assert.equal(nobody.code, 1);
  assert.match(find(findings(nobody), "profile nobody", "data")!.text, /no profile/);
});

Deno.test("a profile whose relay is away, and one that is in use", async () => {
  await using relay = await TestRelay.start();
  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  const used = await doctor(relay.home, "--profile", "bob");
  const unlocked = find(findings(used), "profile bob", "unlocked")!;
  assert.equal(find(findings(used), "profile bob", "database")?.state, "ok");
  assert.match(unlocked.text, /process \d+ has it open/);
  tail.signal("SIGINT");
  await tail.outcome();
  relay.process.signal("SIGTERM");
  await relay.process.outcome();
  const away = await doctor(relay.home, "--profile", "bob");
  assert.equal(away.code, 1);
  assert.match(find(findings(away), "profile bob", "relay")!.todo!, /new link/);
});

Deno.test("a relay that hangs is a problem, not a reason to hang too", async () => {
  await using folder = await temporaryFolder();
  openSqliteRelayStore(`${folder.path}/relay.db`).close();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${listener.addr.port}`;
  await writeControlFile(folder.path, { address, token: "t".repeat(43), pid: 4_711 });
  const [clock, { signal }] = [new FakeClock(), new AbortController()];
  const checking = checkRelay(folder.path, { crypto: await selectProvider(), clock, signal });
  using _ = await listener.accept();
  clock.advance(5_000);
  const running = find(await checking, "relay", "running")!;
  assert.equal(running.state, "problem");
  assert.match(running.text, /process 4711 has not answered for 5 s/);
  assert.match(running.todo!, /start it again/);
});

Deno.test("a database is looked at where it is, and copies that a killed doctor has left are removed", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/relay.db`;
  openSqliteRelayStore(path).close();
  for (const name of ["left", "empty", "used"]) await Deno.mkdir(`${folder.path}/.arona-doctor-${name}`);
  await Deno.writeTextFile(`${folder.path}/.arona-doctor-left/copy.db`, "keys");
  using _ = lockFile(`${folder.path}/.arona-doctor-used/doctor.lock`);
  const temporary = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", `${folder.path}/nowhere`);
  const found = new Findings("relay");
  try {
    await checkDatabase(found, path, { todo: "x" });
  } finally {
    if (temporary === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", temporary);
  }
  assert.deepEqual(found.all.map(({ state }) => state), ["ok"], found.all[0].text);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
    ".arona-doctor-used",
    "relay.db",
  ]);
});

Deno.test("publisher, tunnel and document as they stand", () => {
  assert.deepEqual(said((found) => checkRoles(found, testStatus())), ["document ok"]);
  const publisher = { state: "published", source: "gist:a" };
  const tunnel = { up: true, address: "tunnel.test:7" };
  assert.deepEqual(said((found) => checkRoles(found, testStatus({ publisher, tunnel }))), [
    "document ok",
    "publisher ok",
    "tunnel ok",
  ]);
  const broken = testStatus({ publisher: { state: "waiting", reason: "401" }, tunnel: { up: false } });
  assert.deepEqual(said((found) => checkRoles(found, { ...broken, nowMs: NOW + 6 * DAY_MS })), [
    "document warning",
    "publisher problem",
    "tunnel problem",
  ]);
  assert.equal(
    said((found) => checkRoles(found, { ...broken, nowMs: NOW + 8 * DAY_MS }))[0],
    "document problem",
  );
});

Deno.test("clocks, certificates and terminals are judged", () => {
  assert.deepEqual(said((found) => judgeClock(found, 59_000, "x")), ["clock ok"]);
  const found = new Findings("x");
  judgeClock(found, 7_200_000, "the relay");
  judgeClock(found, -90_000, "the relay");
  assert.deepEqual(found.all.map(({ text }) => text), [
    "this machine's clock is 2 h behind that of the relay",
    "this machine's clock is 1 min 30 s ahead of that of the relay",
  ]);
  const certificate = (isPrimary: boolean, days: number) =>
    said((found) => checkCertificate(found, { isPrimary, certificateEndsMs: NOW + days * DAY_MS }, NOW));
  assert.deepEqual(certificate(false, 31), ["certificate ok"]);
  assert.deepEqual(certificate(false, 29), ["certificate warning"]);
  assert.deepEqual(certificate(true, 29), ["certificate ok"]);
  assert.deepEqual(certificate(false, 0), ["certificate problem"]);
  const terminal = (columns: number, env: Record<string, string>, isTerminal = true) =>
    said((found) =>
      checkTerminal(found, {
        env: (name) => env[name],
        stdout: { isTerminal, columns, write: () => Promise.resolve() },
        os: "linux",
      })
    );
  const LANG = "de_DE.UTF-8";
  assert.deepEqual(terminal(80, { LANG }), ["terminal ok"]);
  assert.deepEqual(terminal(80, { LANG, TERM: "dumb" }), ["terminal warning"]);
  assert.deepEqual(terminal(80, { LANG, LC_ALL: "C" }), ["terminal warning"]);
  assert.deepEqual(terminal(20, { LANG }), ["terminal warning"]);
  assert.deepEqual(terminal(80, {}, false), ["terminal ok"]);
});

Deno.test("findingLines() puts what to do under what was found", () => {
  const found = new Findings("relay");
  found.problem("disk", "full", "Make room.");
  assert.deepEqual(findingLines(found.all[0]), ["problem  relay: disk: full", "         → Make room."]);
});
