/** A store that forgets everything when it is closed: for tests and for bots that keep nothing. */

import { AronaError } from "../../proto/mod.ts";
import {
  idBytes,
  type LogEntry,
  type Row,
  runAction,
  type Store,
  type StoreWriter,
  type Table,
  type TableEntry,
} from "./store.ts";

/** An empty store. */
export function createMemoryStore(): Store {
  return new MemoryStore();
}

class MemoryStore implements Store {
  #tables = new Map<Table, Map<string, Row>>();
  #logs = new Map<string, Row[]>();
  /** How to take back what the open transaction did, oldest first; null outside a transaction. */
  #undo: (() => void)[] | null = null;
  #closed = false;

  get(table: Table, id: string): Row | null {
    this.#check(id);
    return this.#tables.get(table)?.get(id)?.slice() ?? null;
  }

  all(table: Table): TableEntry[] {
    this.#check();
    const entries = [...this.#tables.get(table) ?? []];
    return entries.sort(([a], [b]) => a < b ? -1 : 1).map(([id, row]) => ({ id, row: row.slice() }));
  }

  readLog(log: string, { before = Infinity, limit }: { before?: number; limit: number }): LogEntry[] {
    this.#check(log);
    const rows = this.#logs.get(log) ?? [];
    const end = Math.max(0, Math.min(rows.length, before - 1));
    const start = Math.max(0, end - limit);
    return rows.slice(start, end).map((row, i) => ({ sequence: start + i + 1, row: row.slice() }));
  }

  write<T>(action: (tx: StoreWriter) => T): T {
    this.#check();
    if (this.#undo !== null) throw new AronaError("INTERNAL", "Cannot begin transaction: one is open");
    const undo: (() => void)[] = this.#undo = [];
    try {
      return runAction(action, this.#writer);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    } finally {
      this.#undo = null;
    }
  }

  close(): void {
    this.#closed = true;
    this.#tables.clear();
    this.#logs.clear();
  }

  readonly #writer: StoreWriter = {
    get: (table, id) => this.get(table, id),
    all: (table) => this.all(table),
    readLog: (log, options) => this.readLog(log, options),
    put: (table, id, row) => {
      this.#check(id);
      const rows = this.#table(table);
      this.#restoreLater(rows, id);
      rows.set(id, row.slice());
    },
    delete: (table, id) => {
      this.#check(id);
      const rows = this.#table(table);
      this.#restoreLater(rows, id);
      rows.delete(id);
    },
    append: (log, row) => {
      this.#check(log);
      const rows = this.#logs.get(log) ?? [];
      this.#logs.set(log, rows);
      this.#undo?.push(() => rows.pop());
      return rows.push(row.slice());
    },
    replaceInLog: (log, sequence, row) => {
      this.#check(log);
      const rows = this.#logs.get(log) ?? [];
      const old = rows[sequence - 1];
      if (old === undefined) {
        throw new AronaError("NOT_FOUND", `Cannot replace row: the log has no number ${sequence}`);
      }
      this.#undo?.push(() => rows[sequence - 1] = old);
      rows[sequence - 1] = row.slice();
    },
  };

  #table(table: Table): Map<string, Row> {
    const rows = this.#tables.get(table) ?? new Map<string, Row>();
    this.#tables.set(table, rows);
    return rows;
  }

  #restoreLater(rows: Map<string, Row>, id: string): void {
    const old = rows.get(id);
    this.#undo?.push(() => old === undefined ? rows.delete(id) : rows.set(id, old));
  }

  #check(id?: string): void {
    if (this.#closed) throw new AronaError("CLOSED", "Cannot use store: it is closed");
    if (id !== undefined) idBytes(id);
  }
}
