/** Backups: consistent while everything runs, refused when damaged, and a way back to where one was. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { makeBackup } from "../../cli/backup/backup.ts";
import { snapshotDatabase } from "../../cli/backup/snapshot.ts";
import { TarReader, TarWriter } from "../../cli/backup/tar.ts";
import { openSqliteRelayStore } from "../../server/mod.ts";
import { Arona, type Outcome, TestRelay } from "./processes.ts";
import { run, temporaryFolder } from "./test_io.ts";

const CONTENT = new Map([["a.db", new Uint8Array(700).fill(7)], [
  "manifest.json",
  new Uint8Array(512).fill(8),
]]);

async function writeContainer(path: string): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true });
  const writer = new TarWriter(file, { mtimeMs: Date.UTC(2026, 0, 1) });
  for (const [name, bytes] of CONTENT) await writer.add({ name, bytes: bytes.length }, [bytes]);
  await writer.end();
}

async function readContainer(path: string): Promise<Map<string, Uint8Array>> {
  using file = await Deno.open(path);
  const found = new Map<string, Uint8Array>();
  for await (const { name, content } of new TarReader(file).entries()) {
    const parts: number[] = [];
    for await (const chunk of content) parts.push(...chunk);
    found.set(name, Uint8Array.from(parts));
  }
  return found;
}

Deno.test("the container comes back as it was written, and any tar can list it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/x.tar`;
  await writeContainer(path);
  assert.deepEqual(await readContainer(path), CONTENT);
  const tar = await new Deno.Command("tar", { args: ["--list", "--file", path] }).output().catch(() => null);
  if (tar === null) {
    assert.notEqual(Deno.env.get("ARONA_REQUIRE_ALL"), "1", "tar is missing");
    return console.log("skipped: tar is missing");
  }
  assert.equal(new TextDecoder().decode(tar.stdout), "a.db\nmanifest.json\n");
});

Deno.test("the container is refused when it is cut anywhere, continued, or changed outside its contents", async () => {
  await using folder = await temporaryFolder();
  await writeContainer(`${folder.path}/x.tar`);
  const whole = await Deno.readFile(`${folder.path}/x.tar`);
  const path = `${folder.path}/y.tar`;
  for (let length = 0; length < whole.length; length += 101) {
    await Deno.writeFile(path, whole.subarray(0, length));
    await assert.rejects(readContainer(path), Error, `cut at ${length}`);
  }
  await Deno.writeFile(path, Uint8Array.of(...whole, 0));
  await assert.rejects(readContainer(path), /follows its end/);
  const contents = (at: number) => (at >= 512 && at < 1_212) || (at >= 2_048 && at < 2_560);
  for (let at = 0; at < whole.length; at += 13) {
    if (contents(at)) continue; // the manifest's hashes are for those
    const changed = whole.slice();
    changed[at] ^= 0x20;
    await Deno.writeFile(path, changed);
    await assert.rejects(readContainer(path), Error, `changed at ${at}`);
  }
});

Deno.test("TarWriter refuses content of another length, and names with folders", async () => {
  await using folder = await temporaryFolder();
  using file = await Deno.open(`${folder.path}/x`, { createNew: true, write: true });
  const writer = new TarWriter(file, { mtimeMs: 0 });
  await assert.rejects(writer.add({ name: "a", bytes: 3 }, [new Uint8Array(2)]), /length/);
  await assert.rejects(writer.add({ name: "a", bytes: 3 }, [new Uint8Array(4)]), /length/);
  await assert.rejects(writer.add({ name: "../a", bytes: 0 }, []), /does not fit/);
});

Deno.test("a snapshot holds whole transactions, whatever its owner does meanwhile", async () => {
  await using folder = await temporaryFolder();
  const source = `${folder.path}/source.db`;
  const database = new DatabaseSync(source);
  database.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; CREATE TABLE t (batch INTEGER, bytes BLOB)",
  );
  let batch = 0;
  const transaction = () => {
    database.exec("BEGIN");
    batch++;
    for (let i = 0; i < 20; i++) {
      database.prepare("INSERT INTO t VALUES (?, ?)").run(batch, new Uint8Array(3_000));
    }
    database.exec("UPDATE t SET bytes = zeroblob(2000) WHERE rowid % 3 = 0");
    database.exec("COMMIT");
  };
  for (let i = 0; i < 10; i++) transaction();
  // Each of these comes between two readings: a write, a checkpoint, a log that begins anew, a log that goes.
  const events: (() => void)[] = [
    transaction,
    () => database.exec("PRAGMA wal_checkpoint(FULL)"),
    transaction,
    () => database.exec("PRAGMA wal_checkpoint(RESTART)"),
    transaction,
    () => database.exec("PRAGMA wal_checkpoint(TRUNCATE)"),
    transaction,
    () => database.exec("PRAGMA wal_checkpoint(PASSIVE)"),
    transaction,
  ];
  for (let shift = 0; shift < 3; shift++) {
    const left = [...events];
    const target = `${folder.path}/copy${shift}.db`;
    let step = 0;
    await snapshotDatabase(source, target, {
      onStep() {
        if (step++ >= shift) left.shift()?.();
      },
    });
    const copy = new DatabaseSync(target);
    const rows = copy.prepare("SELECT batch, count(*) AS n FROM t GROUP BY batch").all();
    assert.ok(rows.length >= 10 && rows.length <= batch, `${rows.length} of ${batch}`);
    for (const { n } of rows) assert.equal(n, 20);
    assert.deepEqual({ ...copy.prepare("PRAGMA integrity_check").get()! }, { integrity_check: "ok" });
    copy.close();
    await assert.rejects(Deno.stat(`${target}-wal`), Deno.errors.NotFound);
  }
  database.close();
});

Deno.test("a snapshot gives up on a file that changes all the time", async () => {
  await using folder = await temporaryFolder();
  const source = `${folder.path}/source.db`;
  await Deno.writeFile(source, new Uint8Array(4_096));
  let n = 0;
  const onStep = () => Deno.writeFileSync(source, new Uint8Array(4_096).fill(n++ % 256));
  await assert.rejects(
    snapshotDatabase(source, `${folder.path}/copy.db`, { onStep }),
    /changes all the time/,
  );
});

function objects(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function arona(home: string, ...args: string[]): Promise<Outcome> {
  return new Arona(home, args).outcome();
}

Deno.test("relay and profile are backed up while they run, put back elsewhere, and go on from there", async () => {
  await using places = await temporaryFolder();
  const [relayFile, profileFile] = ["relay", "alice"].map((name) => `${places.path}/${name}.tar`);
  let listen;
  {
    await using relay = await TestRelay.start();
    listen = relay.listening;
    await relay.ok("send", "#general", "before", "--username", "alice");
    await using tail = relay.start("tail", "#general", "--username", "alice");
    await tail.until("err", /Listening/);
    await relay.ok("send", "#general", "hello from bob", "--username", "bob");
    await tail.until("out", /hello from bob/);
    const data = `${relay.home}/relay`;
    const both = await arona(relay.home, "backup", relayFile);
    assert.equal(both.code, 2);
    assert.match(both.err, /there are the relay in .*, profile alice, profile bob.*--data or --profile/);
    const made = await arona(relay.home, "backup", relayFile, "--data", data, "--json");
    assert.equal(made.code, 0, made.err);
    assert.match(made.err, /identity keys/);
    assert.equal(objects(made.out)[0].kind, "relay");
    const own = await arona(relay.home, "backup", profileFile, "--profile", "alice");
    assert.equal(own.code, 0, own.err);
    assert.match(own.err, /has no passphrase/);
    if (Deno.build.os !== "windows") assert.equal((await Deno.stat(relayFile)).mode! & 0o777, 0o600);
    const again = await arona(relay.home, "backup", relayFile, "--data", data);
    assert.deepEqual([again.code, again.out], [1, ""]);
    assert.match(again.err, /there is a file already/);
    const busy = await arona(relay.home, "restore", relayFile, "--force");
    assert.match(busy.err, /in use.*arona admin drain/);
    assert.deepEqual([...Deno.readDirSync(places.path)].map(({ name }) => name).sort(), [
      "alice.tar",
      "relay.tar",
    ]);
    tail.signal("SIGINT");
    await tail.outcome();
  }
  const home = { path: await Deno.makeTempDir({ prefix: "arona-cli-" }) }; // goes with the relay
  for (const file of [relayFile, profileFile]) {
    const put = await arona(home.path, "restore", file);
    assert.equal(put.code, 0, put.err);
  }
  const history = await arona(home.path, "history", "#general", "--profile", "alice", "--json");
  assert.deepEqual(objects(history.out).map(({ text }) => text), ["before", "hello from bob"]);

  const full = await arona(home.path, "restore", profileFile);
  assert.equal(full.code, 1);
  assert.match(full.err, /something is there.*--force/);
  const forced = await arona(home.path, "restore", profileFile, "--force", "--json");
  assert.equal(forced.code, 0, forced.err);
  assert.match(String(objects(forced.out)[0].aside), /alice\.before-restore$/);

  const { address, fingerprint } = listen;
  await using relay = await TestRelay.start({ home: home.path, listen: address });
  assert.equal(relay.listening.fingerprint, fingerprint);
  await relay.ok("send", "#general", "after", "--profile", "alice", "--wait", "accepted");
});

Deno.test("a relay that was put back from before: who registered since registers again, channels and direct messages go on", async () => {
  await using places = await temporaryFolder();
  const file = `${places.path}/relay.tar`;
  const home = await Deno.makeTempDir({ prefix: "arona-e2e-" }); // goes with the relays
  const data = `${home}/relay`;
  {
    await using relay = await TestRelay.start({ home });
    const { address } = relay.listening;
    await relay.ok("join", "#general", "--username", "alice");
    const made = await arona(home, "backup", file, "--data", data);
    assert.equal(made.code, 0, made.err);
    await relay.ok("send", "#general", "I am new", "--username", "bob");
    await relay.ok("send", "@alice", "between us", "--username", "bob");
    await relay.ok("send", "#general", "welcome", "--username", "alice");
    relay.process.signal("SIGTERM");
    await relay.process.outcome();
    const put = await arona(home, "restore", file, "--force", "--data", data);
    assert.equal(put.code, 0, put.err);
    await using again = await TestRelay.start({ home, listen: address });
    await using tail = again.start("tail", "--username", "alice", "--json");
    await tail.until("err", /Listening/);
    await again.ok("send", "#general", "here again", "--username", "bob");
    await tail.until("out", /"group":"#general".*"from":"bob".*"here again"/);
    await again.ok("send", "@alice", "as before", "--username", "bob");
    await tail.until("out", /"kind":"dm","from":"bob".*"as before"/);
    tail.signal("SIGINT");
    await tail.outcome();
  }
});

Deno.test("a backup that is damaged or cut short is refused, and nothing is changed or left", async () => {
  await using places = await temporaryFolder();
  const file = `${places.path}/relay.tar`;
  {
    await using relay = await TestRelay.start();
    const made = await arona(relay.home, "backup", file, "--data", `${relay.home}/relay`);
    assert.equal(made.code, 0, made.err);
  }
  const whole = await Deno.readFile(file);
  await using home = await temporaryFolder();
  const flipped = whole.slice();
  flipped[whole.length - 20_000] ^= 1;
  const damages = { flipped, cut: whole.subarray(0, whole.length - 5_000), nothing: new Uint8Array() };
  for (const [name, bytes] of Object.entries(damages)) {
    const damaged = `${places.path}/${name}.tar`;
    await Deno.writeFile(damaged, bytes);
    const outcome = await arona(home.path, "restore", damaged);
    assert.deepEqual([outcome.code, outcome.out], [1, ""], name);
    assert.match(
      outcome.err,
      /Cannot restore .*(damaged|cut short|malformed|no backup).* Nothing was changed/,
      name,
    );
    assert.deepEqual([...Deno.readDirSync(home.path)].map(({ name }) => name), []);
  }
  const wrong = await arona(home.path, "restore", file, "--profile", "alice");
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /backup of a relay/);
});

Deno.test("what is put back belongs to whom its place belongs, also where root does it; a file is no place", async () => {
  await using places = await temporaryFolder();
  const from = `${places.path}/from`;
  await Deno.mkdir(from);
  openSqliteRelayStore(`${from}/relay.db`).close();
  const file = `${places.path}/relay.tar`;
  await makeBackup({ kind: "relay", folder: from, name: "relay", file, version: "0", nowMs: 0 });

  const taken = `${places.path}/taken`;
  await Deno.writeTextFile(taken, "x");
  const refused = await run(["restore", file, "--data", taken, "--force"], {
    env: { ARONA_HOME: places.path },
  });
  assert.equal(refused.code, 1);
  assert.match(
    refused.err,
    /Cannot restore the relay to .*taken: it is a file, not a folder\. Choose another/,
  );

  const isRoot = Deno.build.os !== "windows" && Deno.uid() === 0;
  const owner = isRoot ? 4_711 : (await Deno.stat(from)).uid;
  const home = `${places.path}/home`;
  await Deno.mkdir(`${home}/there`, { recursive: true });
  await Deno.writeTextFile(`${home}/there/relay.db`, "old");
  if (isRoot) { for (const path of [home, `${home}/there`]) await Deno.chown(path, 4_711, 4_711); }
  for (const name of ["there", "new", "deep/er"]) {
    const data = `${home}/${name}`;
    const put = await run(["restore", file, "--data", data, "--force"], { env: { ARONA_HOME: home } });
    assert.equal(put.code, 0, put.err);
    const paths = [data, `${data}/relay.db`, ...(name === "deep/er" ? [`${home}/deep`] : [])];
    for (const path of paths) {
      const { uid, mode } = await Deno.stat(path);
      assert.equal(uid, owner, path);
      if (Deno.build.os !== "windows") assert.equal(mode! & 0o077, 0, path);
    }
  }
});
