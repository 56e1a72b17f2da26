/**
 * The database's schema, as numbered steps from an empty file to the present.
 *
 * A released step never changes; a new one is added at the end, with a test from the version before it. The version is
 * in `user_version` and is sealed into every value, so a migration seals all values anew.
 *
 *     meta(id = 1)       the directory: how many rows there are, and the XOR of their presence tags
 *     rows(id)           id = table code ‖ digest of the row's id; plaintext = vector16(id) ‖ row
 *     log(log, sequence) log = id of the log's head in rows; plaintext = row
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ByteReader, ByteWriter } from "../../proto/mod.ts";
import { corrupt, INDEX_ID_BYTES, type Place, type RowSealer } from "./sealed_rows.ts";

/** One step. */
export interface Migration {
  /** The version it leads to, one more than the step before. */
  readonly version: number;
  readonly statements: readonly string[];
}

/** All steps, in order. */
export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    statements: [
      "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT",
      "CREATE TABLE rows (id BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ],
  },
  {
    version: 2,
    statements: [
      "CREATE TABLE log (log BLOB NOT NULL, sequence INTEGER NOT NULL, sealed BLOB NOT NULL, " +
      "PRIMARY KEY (log, sequence)) STRICT, WITHOUT ROWID",
    ],
  },
];

/** The version this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/** What the directory row holds. */
export interface Directory {
  readonly rows: number;
  readonly presence: Uint8Array;
}

/** The directory of a database without rows. */
export const EMPTY_DIRECTORY: Directory = { rows: 0, presence: new Uint8Array(INDEX_ID_BYTES) };

/** The version a database says it has; 0 for an empty one. */
export function schemaVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version);
}

/**
 * Brings a database to `to` in one transaction.
 *
 * @param options.to for tests. @default SCHEMA_VERSION
 * @throws {AronaError} `CORRUPT_STORE` where a value does not open
 */
export function migrate(db: DatabaseSync, sealer: RowSealer, { to = SCHEMA_VERSION } = {}): void {
  const from = schemaVersion(db);
  if (from >= to) return;
  db.exec("BEGIN EXCLUSIVE");
  try {
    for (const migration of MIGRATIONS.slice(from, to)) migration.statements.forEach((sql) => db.exec(sql));
    if (from === 0) writeDirectory(db, sealer, { schema: to, directory: EMPTY_DIRECTORY });
    else sealAnew(db, sealer, { from, to });
    db.exec(`PRAGMA user_version = ${to}`);
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

/** @throws {AronaError} `CORRUPT_STORE` where there is none that the key opens. */
export function readDirectory(db: DatabaseSync, sealer: RowSealer, schema: number): Directory {
  const reader = new ByteReader(
    sealer.open(directoryPlace(schema), blob(db.prepare("SELECT sealed FROM meta").get()?.sealed)),
  );
  const directory = { rows: reader.u64(), presence: reader.take(INDEX_ID_BYTES) };
  reader.end();
  return directory;
}

/** Seals and stores the directory. */
export function writeDirectory(
  db: DatabaseSync,
  sealer: RowSealer,
  { schema, directory }: { schema: number; directory: Directory },
): void {
  const plaintext = new ByteWriter().u64(directory.rows).raw(directory.presence).finish();
  directoryStatement(db).run(sealer.seal(directoryPlace(schema), plaintext));
}

/** Where a value of `rows` belongs. */
export function rowPlace(schema: number, id: Uint8Array): Place {
  return { schema, table: "rows", row: id, column: "sealed" };
}

/** Where a value of `log` belongs. */
export function logPlace(schema: number, log: Uint8Array, sequence: number): Place {
  return { schema, table: "log", row: new ByteWriter().raw(log).u64(sequence).finish(), column: "sealed" };
}

/**
 * A stored value as bytes.
 *
 * @throws {AronaError} `CORRUPT_STORE` where it is something else or missing
 */
export function blob(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw corrupt("a value of the database is missing or has another type");
  return value;
}

/** The statements a sound database of this version consists of. */
export function expectedSchema(version: number): string[] {
  return MIGRATIONS.slice(0, version).flatMap((migration) => migration.statements).sort();
}

/** The statements this database consists of. */
export function actualSchema(db: DatabaseSync): string[] {
  return db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").all().map((row) => String(row.sql))
    .sort();
}

/** Kept: nearly every transaction ends with it. */
function directoryStatement(db: DatabaseSync): StatementSync {
  let statement = directoryStatements.get(db);
  if (statement === undefined) {
    statement = db.prepare("INSERT OR REPLACE INTO meta (id, sealed) VALUES (1, ?)");
    directoryStatements.set(db, statement);
  }
  return statement;
}

const directoryStatements = new WeakMap<DatabaseSync, StatementSync>();

function directoryPlace(schema: number): Place {
  return { schema, table: "meta", row: new Uint8Array(), column: "sealed" };
}

function sealAnew(db: DatabaseSync, sealer: RowSealer, { from, to }: { from: number; to: number }): void {
  writeDirectory(db, sealer, { schema: to, directory: readDirectory(db, sealer, from) });
  const readRow = db.prepare("SELECT sealed FROM rows WHERE id = ?");
  const writeRow = db.prepare("UPDATE rows SET sealed = ? WHERE id = ?");
  for (const { id } of db.prepare("SELECT id FROM rows").all()) {
    const key = blob(id);
    const plaintext = sealer.open(rowPlace(from, key), blob(readRow.get(key)?.sealed));
    writeRow.run(sealer.seal(rowPlace(to, key), plaintext), key);
  }
  if (from < 2) return; // there were no logs before version 2
  const readEntry = db.prepare("SELECT sealed FROM log WHERE log = ? AND sequence = ?");
  const writeEntry = db.prepare("UPDATE log SET sealed = ? WHERE log = ? AND sequence = ?");
  for (const { log, sequence } of db.prepare("SELECT log, sequence FROM log").all()) {
    const [key, number] = [blob(log), Number(sequence)];
    const plaintext = sealer.open(logPlace(from, key, number), blob(readEntry.get(key, number)?.sealed));
    writeEntry.run(sealer.seal(logPlace(to, key, number), plaintext), key, number);
  }
}
