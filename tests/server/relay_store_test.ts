/** RelayStore: both adapters, and what only a file can show. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { AccountName, DeviceId } from "../../proto/mod.ts";
import { MemoryRelayStore, openSqliteRelayStore } from "../../server/mod.ts";
import { migrate, RELAY_MIGRATIONS } from "../../server/sqlite_migrations.ts";
import { relayStoreSuite } from "../suites/relay_store_suite.ts";

relayStoreSuite("MemoryRelayStore", () => new MemoryRelayStore());
relayStoreSuite("SqliteRelayStore", () => openSqliteRelayStore(":memory:"));

Deno.test("openSqliteRelayStore() finds everything again, in a file that only its owner can read", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/relay.db`;
    const store = openSqliteRelayStore(path);
    store.saveIdentity({ publicKey: Uint8Array.of(1), privateKey: Uint8Array.of(2) });
    const account = "alice" as AccountName;
    store.register({
      account: { account, fingerprint: "f" },
      device: {
        account,
        device: "d" as DeviceId,
        certificate: Uint8Array.of(3),
        deviceKey: Uint8Array.of(4),
      },
      nowMs: 0,
    });
    assert.equal(store.nextSequence(), 1);
    store.savePublishedGist({ id: "0a", login: "octocat" });
    store.close();
    if (Deno.build.os !== "windows") assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    const again = openSqliteRelayStore(path);
    assert.deepEqual(again.identity()?.publicKey, Uint8Array.of(1));
    assert.deepEqual(again.device("d" as DeviceId)?.deviceKey, Uint8Array.of(4));
    assert.equal(again.nextSequence(), 2);
    assert.deepEqual(again.publishedGist(), { id: "0a", login: "octocat" });
    again.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("openSqliteRelayStore() refuses a file that is no database", () => {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/relay.db`, "not a database, whatever its name says".repeat(100));
    assert.throws(() => openSqliteRelayStore(`${folder}/relay.db`), { code: "CORRUPT_STORE" });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("migrate() reaches the newest schema from every earlier version", () => {
  const schemaOf = (database: DatabaseSync) =>
    database.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").all();
  const newest = new DatabaseSync(":memory:");
  migrate(newest);
  for (let version = 0; version <= RELAY_MIGRATIONS.length; version++) {
    const database = new DatabaseSync(":memory:");
    migrate(database, RELAY_MIGRATIONS.slice(0, version));
    migrate(database);
    assert.deepEqual(schemaOf(database), schemaOf(newest));
    database.close();
  }
  newest.close();
});

Deno.test("migrate() counts the members of an earlier version as having accepted", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, RELAY_MIGRATIONS.slice(0, 1));
  database.exec(`
    INSERT INTO accounts VALUES ('alice', 'f');
    INSERT INTO devices VALUES ('d', 'alice', x'01', x'02');
    INSERT INTO groups VALUES ('g', 'group', 82, '', 'alice', NULL, NULL, NULL, 0, '["alice"]', '[]', 0);
    INSERT INTO members VALUES ('g', 'd', 'alice');
    INSERT INTO welcomes VALUES ('e', 'g', 0, 0, 1, x'00');
  `);
  migrate(database);
  assert.equal(database.prepare("SELECT accepted FROM members").get()!.accepted, 1);
  assert.equal(database.prepare("SELECT inviter FROM welcomes").get()!.inviter, "");
  database.close();
});

Deno.test("migrate() takes the counted logins of an earlier version for tickets", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, RELAY_MIGRATIONS.slice(0, 4));
  database.exec(`
    INSERT INTO accounts VALUES ('alice', 'f');
    INSERT INTO devices VALUES ('d', 'alice', x'01', x'02', 7), ('e', 'alice', x'01', x'02', 0);
  `);
  migrate(database);
  const rows = database.prepare("SELECT held, offered FROM devices ORDER BY device").all();
  assert.deepEqual(rows.map(({ held, offered }) => [held, offered]), [["7.", ""], ["", ""]]);
  database.close();
});

Deno.test("migrate() keeps the document's sequence of an earlier version, and knows of no Gist", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const database = new DatabaseSync(`${folder}/relay.db`);
    migrate(database, RELAY_MIGRATIONS.slice(0, 5));
    database.exec("INSERT INTO counters VALUES ('sequence', 7)");
    database.close();
    const store = openSqliteRelayStore(`${folder}/relay.db`);
    assert.equal(store.nextSequence(), 8);
    assert.equal(store.publishedGist(), null);
    store.savePublishedGist({ id: "0a", login: "" });
    assert.deepEqual(store.publishedGist(), { id: "0a", login: "" });
    store.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("migrate() refuses a database from a newer version and undoes a step that fails", () => {
  const database = new DatabaseSync(":memory:");
  assert.throws(() => migrate(database, ["CREATE TABLE a (x)", "CREATE TABLE a (y)"]));
  assert.equal(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()!.n, 0);
  database.exec("PRAGMA user_version = 99");
  assert.throws(() => migrate(database), { code: "CORRUPT_STORE" });
  database.close();
});
