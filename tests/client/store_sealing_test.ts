/** Sealed rows, the key file and the schema's history. */

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { decodeKeyFile, encodeKeyFile, MAX_SCRYPT_COST } from "../../client/store/key_file.ts";
import {
  EMPTY_DIRECTORY,
  migrate,
  MIGRATIONS,
  rowPlace,
  SCHEMA_VERSION,
  schemaVersion,
  writeDirectory,
} from "../../client/store/migrations.ts";
import { Table } from "../../client/store/mod.ts";
import { createRowSealer, openExtended, sealExtended } from "../../client/store/sealed_rows.ts";
import { createSqliteStore, openSqliteStore } from "../../client/store/sqlite_file.ts";
import { SqliteStore } from "../../client/store/sqlite_store.ts";
import { ByteWriter, fromHex, fromUtf8, toHex, utf8 } from "../../proto/bytes.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";
import { isAronaError } from "../../proto/errors.ts";

const crypto = createNativeProvider();
const noble = createNobleProvider();
const LOW_COST = { N: 16, r: 8, p: 1 };

Deno.test("sealExtended() is XChaCha20-Poly1305: the draft's example, and noble's own at other sizes", () => {
  // draft-irtf-cfrg-xchacha-03 appendix A.3.1
  const key = fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const nonce = fromHex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const associatedData = fromHex("50515253c0c1c2c3c4c5c6c7");
  const plaintext = utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = sealExtended(crypto, key, { associatedData, plaintext, nonce });
  assert.equal(toHex(sealed.subarray(24, 40)), "bd6d179d3e83d43b9576579493c0e939");
  assert.equal(toHex(sealed.subarray(-16)), "c0875924c1c7987947deafd8780acf49");
  for (const length of [0, 1, 63, 64, 65, 5_000]) {
    const text = crypto.randomBytes(length);
    const ours = sealExtended(crypto, key, { associatedData, plaintext: text });
    const theirs = xchacha20poly1305(key, ours.subarray(0, 24), associatedData).encrypt(text);
    assert.equal(toHex(ours.subarray(24)), toHex(theirs));
    assert.deepEqual(openExtended(noble, key, { associatedData, sealed: ours }), new Uint8Array(text));
  }
});

Deno.test("a sealed value opens only in its own place, whole and unchanged", () => {
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  const place = { schema: 1, table: "rows", row: utf8("a"), column: "sealed" };
  const sealed = sealer.seal(place, utf8("text"));
  assert.deepEqual(sealer.open(place, sealed), utf8("text"));
  assert.notDeepEqual(sealer.seal(place, utf8("text")), sealed, "each time another nonce");
  const elsewhere = [
    { ...place, schema: 2 },
    { ...place, table: "log" },
    { ...place, row: utf8("b") },
    { ...place, column: "id" },
    { ...place, table: "row", row: utf8("sa") },
  ];
  for (const other of elsewhere) assert.throws(() => sealer.open(other, sealed), { code: "CORRUPT_STORE" });
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => sealer.open(place, sealed.subarray(0, length)), { code: "CORRUPT_STORE" });
  }
});

Deno.test("stored ids say the table and nothing else, and the providers agree on them", () => {
  const key = crypto.randomBytes(32);
  const [native, other] = [createRowSealer(crypto, key), createRowSealer(noble, key)];
  const id = native.indexId({ code: 3, name: "groups" }, utf8("a"));
  assert.equal(id.length, 16);
  assert.equal(id[0], 3);
  assert.deepEqual(other.indexId({ code: 3, name: "groups" }, utf8("a")), id);
  assert.notDeepEqual(native.indexId({ code: 3, name: "outbox" }, utf8("a")), id);
  assert.notDeepEqual(native.indexId({ code: 3, name: "groups" }, utf8("b")), id);
});

Deno.test("presence() depends on the set of ids and not on their order", () => {
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  const [a, b, c] = [1, 2, 3].map(() => crypto.randomBytes(16));
  const sum = (...ids: Uint8Array[]) => toHex(sealer.presence(Uint8Array.from(ids.flatMap((id) => [...id]))));
  assert.equal(sum(), "00".repeat(16));
  assert.equal(sum(a, b, c), sum(c, a, b));
  assert.notEqual(sum(a, b), sum(a, c));
  assert.notEqual(sum(a), toHex(a), "the tags are secret");
});

Deno.test("a key file gives its key to the right passphrase only", async () => {
  const key = crypto.randomBytes(32);
  const bytes = await encodeKeyFile(crypto, { key, passphrase: "sky blue", cost: LOW_COST });
  const open = (passphrase: string) =>
    decodeKeyFile(crypto, { bytes, passphrase: () => Promise.resolve(passphrase) });
  assert.deepEqual(await open("sky blue"), { key: new Uint8Array(key), unprotected: false });
  for (const wrong of ["", "sky  blue", "Sky blue"]) {
    await assert.rejects(open(wrong), { code: "WRONG_PASSPHRASE" });
  }
});

Deno.test("a passphrase may be typed in another Unicode form", async () => {
  const key = crypto.randomBytes(32);
  const bytes = await encodeKeyFile(crypto, { key, passphrase: "f\u00fcr \ufb01ve", cost: LOW_COST });
  const opened = await decodeKeyFile(crypto, { bytes, passphrase: () => Promise.resolve("fu\u0308r five") });
  assert.deepEqual(opened.key, new Uint8Array(key));
});

Deno.test("an empty passphrase leaves the key in the open, says so, and never asks", async () => {
  const key = crypto.randomBytes(32);
  const bytes = await encodeKeyFile(crypto, { key, passphrase: "" });
  const opened = await decodeKeyFile(crypto, { bytes, passphrase: () => Promise.reject(new Error("asked")) });
  assert.deepEqual(opened, { key: new Uint8Array(key), unprotected: true });
});

Deno.test("a key file damaged anywhere gives CORRUPT_STORE, whatever the passphrase", async () => {
  const passphrase = "sky blue";
  for (const chosen of [passphrase, ""]) {
    const bytes = await encodeKeyFile(crypto, {
      key: crypto.randomBytes(32),
      passphrase: chosen,
      cost: LOW_COST,
    });
    const never = () => Promise.reject(new Error("asked for a damaged file"));
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at] ^= 1 << (at % 8);
      await assert.rejects(decodeKeyFile(crypto, { bytes: flipped, passphrase: never }), {
        code: "CORRUPT_STORE",
      });
    }
    for (
      const other of [
        bytes.subarray(0, -1),
        new Uint8Array(),
        new Uint8Array(5_000),
        utf8("null"),
        utf8("{}"),
      ]
    ) {
      await assert.rejects(decodeKeyFile(crypto, { bytes: other, passphrase: never }), {
        code: "CORRUPT_STORE",
      });
    }
  }
});

Deno.test("a key file that asks for too much work is refused before any is done", async () => {
  const bytes = await encodeKeyFile(crypto, { key: crypto.randomBytes(32), passphrase: "x", cost: LOW_COST });
  const file = JSON.parse(fromUtf8(bytes));
  const { N, r, p } = MAX_SCRYPT_COST;
  const costs = [
    { N: 2 * N },
    { N: 3 },
    { N: 1 },
    { N: 0 },
    { r: r + 1 },
    { r: 0 },
    { p: p + 1 },
    { p: 1.5 },
    { name: "argon2" },
  ];
  for (const cost of costs) {
    const changed = utf8(JSON.stringify({ ...file, kdf: { ...file.kdf, ...cost } }));
    await assert.rejects(
      decodeKeyFile(crypto, { bytes: changed, passphrase: () => Promise.reject(new Error("asked")) }),
      (error) => isAronaError(error, "CORRUPT_STORE") && /not allowed/.test(error.message),
    );
  }
});

Deno.test("the migrations are numbered without a gap", () => {
  assert.deepEqual(MIGRATIONS.map(({ version }) => version), MIGRATIONS.map((_, i) => i + 1));
  assert.equal(SCHEMA_VERSION, MIGRATIONS.length);
});

Deno.test("a database of version 1 opens at the present version with all its rows", () => {
  const folder = Deno.makeTempDirSync();
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  const old = new DatabaseSync(`${folder}/profile.db`);
  old.exec("PRAGMA journal_mode = WAL");
  migrate(old, sealer, { to: 1 });
  const id = sealer.indexId({ code: 2, name: Table.CONTACTS }, utf8("bob"));
  const plaintext = new ByteWriter().vector16(utf8("bob")).raw(utf8("his row")).finish();
  old.prepare("INSERT INTO rows (id, sealed) VALUES (?, ?)").run(id, sealer.seal(rowPlace(1, id), plaintext));
  const directory = { rows: 1, presence: sealer.presence(id) };
  writeDirectory(old, sealer, { schema: 1, directory });
  assert.equal(schemaVersion(old), 1);
  old.close();

  for (let opened = 0; opened < 2; opened++) {
    const store = openSqliteStore(`${folder}/profile.db`, sealer);
    assert.deepEqual(store.get(Table.CONTACTS, "bob"), utf8("his row"));
    assert.equal(store.write((tx) => tx.append("log", utf8("new"))), opened + 1);
    store.close();
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a migration that meets a damaged row changes nothing", () => {
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  using db = new DatabaseSync(":memory:");
  migrate(db, sealer, { to: 1 });
  db.exec("INSERT INTO rows VALUES (x'02000102030405060708090a0b0c0d0e', x'00')");
  assert.throws(() => migrate(db, sealer), { code: "CORRUPT_STORE" });
  assert.equal(schemaVersion(db), 1);
  assert.throws(() => db.prepare("SELECT * FROM log"), /no such table/);
});

Deno.test("a database of a later version is not touched, and the error says what to do", () => {
  const folder = Deno.makeTempDirSync();
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  createSqliteStore(`${folder}/profile.db`, sealer).close();
  const db = new DatabaseSync(`${folder}/profile.db`);
  writeDirectory(db, sealer, { schema: SCHEMA_VERSION + 1, directory: EMPTY_DIRECTORY });
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
  db.close();
  assert.throws(() => openSqliteStore(`${folder}/profile.db`, sealer), {
    code: "UNKNOWN_VERSION",
    hint: /Update Arona/,
  });
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a full disk is the system's error, and its transaction is not committed even if its action goes on", () => {
  const sealer = createRowSealer(crypto, crypto.randomBytes(32));
  const db = new DatabaseSync(":memory:");
  migrate(db, sealer);
  const store = new SqliteStore(db, sealer, EMPTY_DIRECTORY);
  db.exec("PRAGMA max_page_count = 12");
  const big = new Uint8Array(100_000);
  const goesOn = () =>
    store.write((tx) => {
      tx.put(Table.SEEN, "small", utf8("row"));
      assert.throws(() => tx.put(Table.GROUPS, "big", big), { code: "INTERNAL", message: /disk is full/ });
    });
  assert.throws(goesOn, { code: "INTERNAL", hint: /Nothing was lost/ });
  assert.equal(store.get(Table.SEEN, "small"), null);
  store.write((tx) => tx.put(Table.SEEN, "small", utf8("row")));
  assert.deepEqual(store.get(Table.SEEN, "small"), utf8("row"));
  store.close();
});
