/**
 * The Store port: where a client keeps its state and its history. Rewrite it for any other database.
 *
 * Tables hold rows by id; logs hold rows by number, from 1 on without a gap. Rows are opaque bytes. Everything is
 * synchronous, so that a transaction cannot be left open across an await. Every adapter has to pass
 * `tests/suites/store_suite.ts`.
 */

import { AronaError, utf8 } from "../../proto/mod.ts";

/** The tables there are. */
export const Table = {
  PROFILE: "profile", //           the local identity, settings, the relay
  CONTACTS: "contacts", //         pinned identities
  GROUPS: "groups", //             MLS states
  KEY_PACKAGES: "key_packages", // private halves of published KeyPackages
  OUTBOX: "outbox", //             envelopes not delivered yet
  MESSAGES: "messages", //         where in its log a message is, by message id
  SEEN: "seen", //                 ids for deduplication
  POSITIONS: "positions", //       how far senders and readers are
} as const;
export type Table = typeof Table[keyof typeof Table];

/** Opaque bytes. What a store returns is the caller's own copy; what it is given it copies. */
export type Row = Uint8Array;

/** Longest row id and log name, as UTF-8. */
export const MAX_ID_BYTES = 1_024;

/** A row of a table. */
export interface TableEntry {
  readonly id: string;
  readonly row: Row;
}

/** A row of a log. */
export interface LogEntry {
  /** From 1, one more for each row appended. */
  readonly sequence: number;
  readonly row: Row;
}

/**
 * Reading. Outside a transaction it sees what is committed, inside it also what the transaction wrote.
 *
 * @throws {AronaError} from every method: `CORRUPT_STORE` where what is stored has been damaged, `CLOSED` once closed.
 */
export interface StoreReader {
  /** The row, or null where there is none. */
  get(table: Table, id: string): Row | null;
  /** All rows of a table, in the order of their ids. */
  all(table: Table): TableEntry[];
  /** The newest `limit` rows of a log (those before the number `before`), the newest last. */
  readLog(log: string, options: { before?: number; limit: number }): LogEntry[];
}

/** Reading and writing inside one transaction. It is of no use after the transaction's end. */
export interface StoreWriter extends StoreReader {
  /** Adds the row or replaces it. */
  put(table: Table, id: string, row: Row): void;
  /** Does nothing where there is no such row. */
  delete(table: Table, id: string): void;
  /** Adds a row at the end of a log. @returns its number. */
  append(log: string, row: Row): number;
  /** @throws {AronaError} `NOT_FOUND` where the log does not reach that far. */
  replaceInLog(log: string, sequence: number, row: Row): void;
}

/** A client's database. */
export interface Store extends StoreReader {
  /**
   * Runs `action` as one transaction: when this returns, everything it wrote is on the disk; when it throws, nothing is.
   *
   * @throws whatever `action` throws, after rolling back
   * @throws {AronaError} `INTERNAL` for an asynchronous action, a transaction inside a transaction, or a full disk
   */
  write<T>(action: (tx: StoreWriter) => T): T;
  /** Safe to call again. */
  close(): void;
}

/**
 * Checks a row id or log name and returns its bytes.
 *
 * @throws {AronaError} `BAD_ENCODING` where it is empty, over {@link MAX_ID_BYTES} or not well-formed.
 */
export function idBytes(id: string): Uint8Array {
  const bytes = utf8(id);
  if (bytes.length === 0 || bytes.length > MAX_ID_BYTES || !id.isWellFormed()) {
    throw new AronaError("BAD_ENCODING", `Cannot use store id: ${bytes.length} bytes, or not well-formed`);
  }
  return bytes;
}

/** Runs one transaction's body: guards the writer against use after its end and against asynchronous actions. */
export function runAction<T>(action: (tx: StoreWriter) => T, writer: StoreWriter): T {
  let ended = false;
  const guard = <A extends unknown[], R>(method: (...args: A) => R) => (...args: A): R => {
    if (ended) throw new AronaError("CLOSED", "Cannot use transaction: it has ended");
    return method(...args);
  };
  try {
    const result = action({
      get: guard(writer.get),
      all: guard(writer.all),
      readLog: guard(writer.readLog),
      put: guard(writer.put),
      delete: guard(writer.delete),
      append: guard(writer.append),
      replaceInLog: guard(writer.replaceInLog),
    });
    if (result instanceof Promise) {
      result.catch(() => {}); // its own failure is not the one to report
      throw new AronaError("INTERNAL", "Cannot run transaction: its action is asynchronous");
    }
    return result;
  } finally {
    ended = true;
  }
}
