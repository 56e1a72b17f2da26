/** An SQLite file as the relay uses it: prepared statements by their text, transactions, errors that a person understands. */

import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { AronaError } from "../proto/mod.ts";
import { migrate, RELAY_MIGRATIONS } from "./sqlite_migrations.ts";

/** A row by column name. */
export type Row = Record<string, unknown>;

/** What kind of file it is. */
export interface SqliteSchema {
  /** For errors. */
  readonly what: string;
  readonly pragmas: string;
  readonly migrations: readonly string[];
  /** What helps where SQLite refuses the file. */
  readonly hint: string;
}

const RELAY_SCHEMA: SqliteSchema = {
  what: "relay database",
  pragmas: `
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA busy_timeout = 2000;
  `,
  migrations: RELAY_MIGRATIONS,
  hint: "Check that the data folder can be written and that no other relay uses it.",
};

/**
 * An open database at the newest schema. Parameters are plain `?`: the oldest supported runtime does not bind numbered ones, nor does it
 * tell whether a database is open or in a transaction.
 */
export class SqliteDatabase {
  readonly #statements = new Map<string, StatementSync>();
  #open = true;

  private constructor(private readonly database: DatabaseSync) {}

  /**
   * @param path a file, or `:memory:`
   * @throws {AronaError} `CORRUPT_STORE`
   */
  static open(path: string, schema: SqliteSchema = RELAY_SCHEMA): SqliteDatabase {
    let database: DatabaseSync | undefined;
    try {
      // The relay database holds private keys; SQLite gives its own helper files the same mode.
      if (path !== ":memory:") Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
      database = new DatabaseSync(path);
      database.exec(schema.pragmas);
      migrate(database, schema.migrations, schema);
      return new SqliteDatabase(database);
    } catch (cause) {
      database?.close();
      if (cause instanceof AronaError) throw cause;
      throw new AronaError("CORRUPT_STORE", `Cannot open ${schema.what}: SQLite refuses the file`, {
        cause,
        hint: schema.hint,
      });
    }
  }

  /** Runs `action` as one transaction; what it throws undoes everything. */
  transaction<T>(action: () => T): T {
    this.run("BEGIN IMMEDIATE");
    try {
      const result = action();
      this.run("COMMIT");
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** The first row, or null. */
  get(sql: string, ...values: SQLInputValue[]): Row | null {
    return this.#statement(sql).get(...values) ?? null;
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  /** @returns rows changed */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  /** The column `n` of the first row. */
  count(sql: string, ...values: SQLInputValue[]): number {
    return this.get(sql, ...values)!.n as number;
  }

  /** Safe to call again. */
  close(): void {
    this.#statements.clear();
    if (this.#open) this.database.close();
    this.#open = false;
  }

  /** SQLite itself rolls back after some errors, a full disk for one; then there is nothing left to do. */
  #rollBack(): void {
    try {
      this.database.exec("ROLLBACK");
    } catch {
      // no transaction is open any more
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, statement = this.database.prepare(sql));
    return statement;
  }
}
