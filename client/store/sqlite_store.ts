/** The store in a SQLite file, every value sealed as `sealed_rows.ts` says. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { AronaError, ByteReader, ByteWriter, equalBytes, fromUtf8, isAronaError } from "../../proto/mod.ts";
import { blob, type Directory, logPlace, rowPlace, SCHEMA_VERSION, writeDirectory } from "./migrations.ts";
import { corrupt, type RowSealer } from "./sealed_rows.ts";
import { translateSqliteErrors } from "./sqlite_errors.ts";
import {
  idBytes,
  type LogEntry,
  MAX_ID_BYTES,
  type Row,
  runAction,
  type Store,
  type StoreWriter,
  Table,
  type TableEntry,
} from "./store.ts";

/** First byte of a stored id. A code once given stays. */
const TABLE_CODES: Readonly<Record<Table, number>> = {
  [Table.PROFILE]: 1,
  [Table.CONTACTS]: 2,
  [Table.GROUPS]: 3,
  [Table.KEY_PACKAGES]: 4,
  [Table.OUTBOX]: 5,
  [Table.MESSAGES]: 6,
  [Table.SEEN]: 7,
  [Table.POSITIONS]: 8,
};
/** Rows that say how long a log is. */
const LOG_HEADS = { code: 0, name: "log_heads" };

/** A store on a database that has been checked, see `sqlite_file.ts`. */
export class SqliteStore implements Store {
  readonly #db: DatabaseSync;
  readonly #sealer: RowSealer;
  readonly #sql: Statements;
  #directory: Directory;
  #inTransaction = false;
  /** What made a step of the open transaction fail half way: it is never committed, even if its action goes on. */
  #failure: unknown = null;
  #closed = false;

  constructor(db: DatabaseSync, sealer: RowSealer, directory: Directory) {
    this.#db = db;
    this.#sealer = sealer;
    this.#directory = directory;
    this.#sql = prepareStatements(db);
  }

  get(table: Table, id: string): Row | null {
    const name = idBytes(id);
    return this.#run(() => this.#read(this.#rowId(table, name), name));
  }

  all(table: Table): TableEntry[] {
    return this.#run(() => {
      const code = TABLE_CODES[table];
      const rows = this.#sql.scan.all(Uint8Array.of(code), Uint8Array.of(code + 1));
      const entries = rows.map(({ id, sealed }) => {
        const reader = new ByteReader(this.#sealer.open(rowPlace(SCHEMA_VERSION, blob(id)), blob(sealed)));
        return { id: fromUtf8(reader.vector16(MAX_ID_BYTES)), row: reader.rest() };
      });
      return entries.sort((a, b) => a.id < b.id ? -1 : 1);
    });
  }

  readLog(log: string, { before = Infinity, limit }: { before?: number; limit: number }): LogEntry[] {
    const name = idBytes(log);
    return this.#run(() => {
      const { id, length } = this.#logHead(name);
      const last = Math.min(length, before - 1);
      const first = Math.max(1, last - limit + 1);
      if (last < first) return [];
      const rows = this.#sql.readLog.all(id, first, last);
      if (rows.length !== last - first + 1) throw corrupt("rows of a log are missing");
      return rows.map((row, i) => {
        const sequence = first + i;
        return { sequence, row: this.#sealer.open(logPlace(SCHEMA_VERSION, id, sequence), blob(row.sealed)) };
      });
    });
  }

  write<T>(action: (tx: StoreWriter) => T): T {
    if (this.#inTransaction) throw new AronaError("INTERNAL", "Cannot begin transaction: one is open");
    const directory = this.#directory;
    this.#run(() => this.#db.exec("BEGIN IMMEDIATE"));
    this.#inTransaction = true;
    try {
      const result = runAction(action, this.#writer);
      if (this.#failure !== null) throw this.#failure;
      this.#run(() => {
        if (this.#directory !== directory) {
          writeDirectory(this.#db, this.#sealer, { schema: SCHEMA_VERSION, directory: this.#directory });
        }
        this.#db.exec("COMMIT");
      });
      return result;
    } catch (error) {
      this.#directory = directory;
      this.#rollBack();
      throw error;
    } finally {
      this.#inTransaction = false;
      this.#failure = null;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
  }

  readonly #writer: StoreWriter = {
    get: (table, id) => this.get(table, id),
    all: (table) => this.all(table),
    readLog: (log, options) => this.readLog(log, options),
    put: (table, id, row) => {
      const name = idBytes(id);
      this.#run(() => this.#put(this.#rowId(table, name), name, row));
    },
    delete: (table, id) => {
      const rowId = this.#rowId(table, idBytes(id));
      this.#run(() => {
        if (this.#sql.delete.run(rowId).changes === 1) this.#changeDirectory(rowId, -1);
      });
    },
    append: (log, row) => {
      const name = idBytes(log);
      return this.#run(() => {
        const { id, length } = this.#logHead(name);
        const sequence = length + 1;
        this.#sql.append.run(id, sequence, this.#sealer.seal(logPlace(SCHEMA_VERSION, id, sequence), row));
        this.#put(id, name, new ByteWriter().u64(sequence).finish());
        return sequence;
      });
    },
    replaceInLog: (log, sequence, row) => {
      const name = idBytes(log);
      this.#run(() => {
        const { id, length } = this.#logHead(name);
        if (!Number.isSafeInteger(sequence) || sequence < 1 || sequence > length) {
          throw new AronaError("NOT_FOUND", `Cannot replace row: the log has no number ${sequence}`);
        }
        const sealed = this.#sealer.seal(logPlace(SCHEMA_VERSION, id, sequence), row);
        if (this.#sql.replace.run(sealed, id, sequence).changes !== 1) {
          throw corrupt("a row of a log is missing");
        }
      });
    },
  };

  #rowId(table: Table, name: Uint8Array): Uint8Array {
    return this.#sealer.indexId({ code: TABLE_CODES[table], name: table }, name);
  }

  #logHead(name: Uint8Array): { id: Uint8Array; length: number } {
    const id = this.#sealer.indexId(LOG_HEADS, name);
    const head = this.#read(id, name);
    return { id, length: head === null ? 0 : new ByteReader(head).u64() };
  }

  #read(id: Uint8Array, name: Uint8Array): Uint8Array | null {
    const found = this.#sql.get.get(id);
    if (found === undefined) return null;
    const reader = new ByteReader(this.#sealer.open(rowPlace(SCHEMA_VERSION, id), blob(found.sealed)));
    if (!equalBytes(reader.vector16(MAX_ID_BYTES), name)) throw corrupt("a row has another id than it says");
    return reader.rest();
  }

  #put(id: Uint8Array, name: Uint8Array, row: Uint8Array): void {
    const plaintext = new ByteWriter().vector16(name).raw(row).finish();
    const sealed = this.#sealer.seal(rowPlace(SCHEMA_VERSION, id), plaintext);
    if (this.#sql.update.run(sealed, id).changes === 1) return;
    this.#sql.insert.run(id, sealed);
    this.#changeDirectory(id, 1);
  }

  #changeDirectory(id: Uint8Array, by: 1 | -1): void {
    const tag = this.#sealer.presence(id);
    const presence = this.#directory.presence.map((byte, i) => byte ^ tag[i]);
    this.#directory = { rows: this.#directory.rows + by, presence };
  }

  #rollBack(): void {
    try {
      this.#db.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself, as it does when the disk is full.
    }
  }

  #run<T>(action: () => T): T {
    if (this.#closed) throw new AronaError("CLOSED", "Cannot use store: it is closed");
    try {
      return translateSqliteErrors(action);
    } catch (error) {
      if (this.#inTransaction && !isAronaError(error, "NOT_FOUND")) this.#failure = error;
      throw error;
    }
  }
}

interface Statements {
  readonly [name: string]: StatementSync;
}

function prepareStatements(db: DatabaseSync): Statements {
  return {
    get: db.prepare("SELECT sealed FROM rows WHERE id = ?"),
    scan: db.prepare("SELECT id, sealed FROM rows WHERE id >= ? AND id < ?"),
    insert: db.prepare("INSERT INTO rows (id, sealed) VALUES (?, ?)"),
    update: db.prepare("UPDATE rows SET sealed = ? WHERE id = ?"),
    delete: db.prepare("DELETE FROM rows WHERE id = ?"),
    readLog: db.prepare(
      "SELECT sealed FROM log WHERE log = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
    ),
    append: db.prepare("INSERT INTO log (log, sequence, sealed) VALUES (?, ?, ?)"),
    replace: db.prepare("UPDATE log SET sealed = ? WHERE log = ? AND sequence = ?"),
  };
}
