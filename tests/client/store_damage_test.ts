/** Damaged, swapped and foreign database files: an error or the right answer, never anything else. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type Store, Table } from "../../client/store/mod.ts";
import { createRowSealer } from "../../client/store/sealed_rows.ts";
import { createSqliteStore, openSqliteStore } from "../../client/store/sqlite_file.ts";
import { concatBytes, utf8 } from "../../proto/bytes.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { isAronaError } from "../../proto/errors.ts";

const crypto = createNativeProvider();
const storeKey = crypto.randomBytes(32);
const sealer = createRowSealer(crypto, storeKey);
const SECRETS = [
  "alice the account",
  "a message nobody else reads",
  "group-4711",
  "general chatter",
  "a contact's note",
];

/** Calls `action` with the path of a filled and closed database. */
function withDatabase(action: (path: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/profile.db`;
    const store = createSqliteStore(path, sealer);
    fill(store);
    store.close();
    action(path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function fill(store: Store): void {
  store.write((tx) => {
    tx.put(Table.PROFILE, "identity", utf8(SECRETS[0]));
    for (let i = 0; i < 20; i++) tx.put(Table.CONTACTS, `${SECRETS[2]} ${i}`, utf8(`${SECRETS[4]} ${i}`));
    tx.put(Table.GROUPS, SECRETS[2], new Uint8Array(9_000).fill(0x61));
    for (let i = 0; i < 30; i++) tx.append(SECRETS[3], utf8(`${SECRETS[1]} ${i}`));
  });
}

/** Everything in a filled store, by every way of reading. */
function readAll(store: Store): unknown {
  return {
    tables: Object.values(Table).map((table) => store.all(table)),
    single: store.all(Table.CONTACTS).map(({ id }) => store.get(Table.CONTACTS, id)),
    present: [store.get(Table.PROFILE, "identity"), store.get(Table.GROUPS, SECRETS[2])],
    log: store.readLog(SECRETS[3], { limit: 1_000 }),
    page: store.readLog(SECRETS[3], { limit: 3, before: 20 }),
  };
}

/** Reads a database whose file somebody changed. @returns the code of the error, or null where all is as stored */
function outcome(path: string, expected: unknown): string | null {
  let store: Store | undefined;
  try {
    store = openSqliteStore(path, sealer);
    assert.deepEqual(readAll(store), expected);
    return null;
  } catch (error) {
    if (!isAronaError(error)) throw error;
    return error.code;
  } finally {
    store?.close();
  }
}

function edit(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  try {
    db.exec(sql);
  } finally {
    db.close();
  }
}

Deno.test("a bit flipped anywhere in the database gives CORRUPT_STORE or the right answer", () =>
  withDatabase((path) => {
    const expected = readStored(path);
    const sound = Deno.readFileSync(path);
    const counts = new Map<string | null, number>();
    for (let at = 0; at < sound.length; at += at < 160 ? 1 : 61) {
      const flipped = sound.slice();
      flipped[at] ^= 1 << ((at * 5) % 8);
      Deno.writeFileSync(path, flipped);
      const code = outcome(path, expected);
      assert.ok(code === null || code === "CORRUPT_STORE", `byte ${at}: ${code}`);
      counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    assert.ok(counts.get("CORRUPT_STORE")! > 100);
  }));

Deno.test("a database cut short gives CORRUPT_STORE", () =>
  withDatabase((path) => {
    const expected = readStored(path);
    const sound = Deno.readFileSync(path);
    for (const length of [0, 50, 4_096, 8_192, 12_000, sound.length - 4_096, sound.length - 1]) {
      Deno.writeFileSync(path, sound.subarray(0, length));
      assert.equal(outcome(path, expected), "CORRUPT_STORE", `${length} bytes`);
    }
  }));

Deno.test("rows that were swapped, moved, copied or taken away are noticed", () =>
  withDatabase((path) => {
    const expected = readStored(path);
    const sound = Deno.readFileSync(path);
    const first = "(SELECT id FROM rows WHERE id >= x'02' ORDER BY id LIMIT 1)";
    const second = "(SELECT id FROM rows WHERE id >= x'02' ORDER BY id LIMIT 1 OFFSET 1)";
    const changes = {
      "content of one row in another":
        `UPDATE rows SET sealed = (SELECT sealed FROM rows WHERE id = ${second}) WHERE id = ${first}`,
      "a row under another id": `UPDATE rows SET id = randomblob(16) WHERE id = ${first}`,
      "a row in another table":
        `UPDATE rows SET id = CAST(x'03' || substr(id, 2) AS BLOB) WHERE id = ${first}`,
      "a row less": `DELETE FROM rows WHERE id = ${first}`,
      "a row more": `INSERT INTO rows VALUES (x'02000102030405060708090a0b0c0d0e', x'00')`,
      "a row replaced":
        `DELETE FROM rows WHERE id = ${first}; INSERT INTO rows VALUES (x'02000102030405060708090a0b0c0d0e', x'00')`,
      "two rows of the log swapped":
        "UPDATE log SET sequence = 1000 WHERE sequence = 1; UPDATE log SET sequence = 1 WHERE sequence = 2; UPDATE log SET sequence = 2 WHERE sequence = 1000",
      "a row of the log less": "DELETE FROM log WHERE sequence = 5",
      "the log's newest row less": "DELETE FROM log WHERE sequence = 30",
      "the whole log gone": "DELETE FROM log; DELETE FROM rows WHERE id < x'01'",
      "a row of a table in the log":
        `UPDATE log SET sealed = (SELECT sealed FROM rows WHERE id = ${first}) WHERE sequence = 3`,
      "no directory": "DELETE FROM meta",
      "everything gone": "DELETE FROM rows; DELETE FROM log",
      "a trigger": "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END",
      "a table less": "DROP TABLE log",
      "a newer version that was not sealed": "PRAGMA user_version = 77",
      "an older version that was not sealed": "PRAGMA user_version = 1",
      "no version": "PRAGMA user_version = 0",
    };
    for (const [name, sql] of Object.entries(changes)) {
      Deno.writeFileSync(path, sound);
      edit(path, sql);
      assert.equal(outcome(path, expected), "CORRUPT_STORE", name);
    }
  }));

Deno.test("another key does not open the database", () =>
  withDatabase((path) => {
    const other = createRowSealer(crypto, crypto.randomBytes(32));
    assert.throws(() => openSqliteStore(path, other), { code: "CORRUPT_STORE" });
  }));

Deno.test("the database file holds neither rows nor ids in clear, not even while it is open", () => {
  const folder = Deno.makeTempDirSync();
  const store = createSqliteStore(`${folder}/profile.db`, sealer);
  fill(store);
  const search = () => {
    for (const { name } of Deno.readDirSync(folder)) {
      const content = String.fromCharCode(...Deno.readFileSync(`${folder}/${name}`));
      for (const text of [...SECRETS, "identity", "aaaaaaaa"]) {
        assert.ok(!content.includes(text), `${text} in ${name}`);
      }
    }
  };
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
    "profile.db",
    "profile.db-wal",
  ]);
  search();
  store.close();
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["profile.db"]);
  search();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("the same row stored twice leaves no trace of the first ciphertext", () =>
  withDatabase((path) => {
    const before = Deno.readFileSync(path);
    const db = new DatabaseSync(path);
    const old = db.prepare("SELECT sealed FROM rows WHERE id >= x'01' AND id < x'02'").get()!
      .sealed as Uint8Array;
    db.close();
    const store = openSqliteStore(path, sealer);
    store.write((tx) => tx.put(Table.PROFILE, "identity", utf8(SECRETS[0])));
    store.close();
    const holds = (file: Uint8Array) => indexOf(file, old.subarray(0, 24)) >= 0;
    assert.ok(holds(before));
    assert.ok(!holds(Deno.readFileSync(path)));
  }));

function readStored(path: string): unknown {
  const store = openSqliteStore(path, sealer);
  try {
    return readAll(store);
  } finally {
    store.close();
  }
}

function indexOf(haystack: Uint8Array, needle: Uint8Array): number {
  const text = (bytes: Uint8Array) =>
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return text(haystack).indexOf(text(concatBytes(needle)));
}
