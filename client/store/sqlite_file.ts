/** Making and opening the database file: the connection's settings, and the checks that nothing in it is missing. */

import { DatabaseSync } from "node:sqlite";
import { AronaError, equalBytes } from "../../proto/mod.ts";
import {
  actualSchema,
  blob,
  type Directory,
  expectedSchema,
  migrate,
  readDirectory,
  SCHEMA_VERSION,
  schemaVersion,
} from "./migrations.ts";
import { corrupt, INDEX_ID_BYTES, type RowSealer } from "./sealed_rows.ts";
import { translateSqliteErrors } from "./sqlite_errors.ts";
import { SqliteStore } from "./sqlite_store.ts";
import type { Store } from "./store.ts";

/** SQLite file header (fileformat2 section 1.3): magic, and at 18 and 19 the versions, 2 for WAL. */
const MAGIC = "SQLite format 3\0";
const HEADER_BYTES = 100;
const PAGE_BYTES = 4_096;

/** Makes a database file; the caller has made sure that none is there. */
export function createSqliteStore(path: string, sealer: RowSealer): Store {
  Deno.openSync(path, { createNew: true, write: true, mode: 0o600 }).close();
  return open(path, (db) => {
    db.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
    return start(db, sealer);
  });
}

/**
 * Opens a database file and checks that nothing is missing in it.
 *
 * @throws {AronaError} `CORRUPT_STORE`; `UNKNOWN_VERSION` where a newer Arona has written it; `INTERNAL` where the
 *   system does not let it be read or written
 */
export function openSqliteStore(path: string, sealer: RowSealer): Store {
  checkHeader(path);
  return open(path, (db) => {
    checkSchema(db, sealer);
    return start(db, sealer);
  });
}

function open(path: string, use: (db: DatabaseSync) => Store): Store {
  return translateSqliteErrors(() => {
    const db = new DatabaseSync(path);
    try {
      return use(db);
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** Sets the connection up, brings the schema to the present and checks that no row is missing. */
function start(db: DatabaseSync, sealer: RowSealer): Store {
  db.exec("PRAGMA locking_mode = EXCLUSIVE"); // one process per profile, so no shared-memory file
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  db.exec("PRAGMA secure_delete = ON");
  db.exec("PRAGMA temp_store = MEMORY");
  db.exec("PRAGMA trusted_schema = OFF");
  db.exec("PRAGMA cell_size_check = ON");
  migrate(db, sealer);
  const directory = readDirectory(db, sealer, SCHEMA_VERSION);
  checkPresence(db, sealer, directory);
  return new SqliteStore(db, sealer, directory);
}

/** SQLite would take some damaged headers for a reason to open the file read-only, and a torn page for a bad disk. */
function checkHeader(path: string): void {
  using file = Deno.openSync(path);
  const header = new Uint8Array(HEADER_BYTES);
  if (file.readSync(header) !== HEADER_BYTES) throw corrupt("the database is shorter than its header");
  const magic = String.fromCharCode(...header.subarray(0, MAGIC.length));
  if (magic !== MAGIC || header[18] !== 2 || header[19] !== 2) {
    throw corrupt("the database's header is damaged");
  }
  // After a crash the write-ahead log may complete a torn page.
  if (!exists(`${path}-wal`) && file.statSync().size % PAGE_BYTES !== 0) {
    throw corrupt("the database has been cut short");
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function checkSchema(db: DatabaseSync, sealer: RowSealer): void {
  const version = schemaVersion(db);
  if (version === 0) throw corrupt("the database has no version");
  readDirectory(db, sealer, version); // fails where the version is not the one that was sealed
  if (version > SCHEMA_VERSION) {
    throw new AronaError(
      "UNKNOWN_VERSION",
      `Cannot open profile: its version ${version} is newer than this program`,
      {
        hint: "A newer Arona has used this profile. Update Arona.",
      },
    );
  }
  if (actualSchema(db).join("\n") !== expectedSchema(version).join("\n")) {
    throw corrupt("the database's tables differ");
  }
}

function checkPresence(db: DatabaseSync, sealer: RowSealer, directory: Directory): void {
  const ids = db.prepare("SELECT id FROM rows").all().map((row) => blob(row.id));
  if (ids.length !== directory.rows || ids.some((id) => id.length !== INDEX_ID_BYTES)) {
    throw corrupt("rows are missing");
  }
  const all = new Uint8Array(ids.length * INDEX_ID_BYTES);
  ids.forEach((id, i) => all.set(id, i * INDEX_ID_BYTES));
  if (!equalBytes(sealer.presence(all), directory.presence)) throw corrupt("rows are missing");
}
