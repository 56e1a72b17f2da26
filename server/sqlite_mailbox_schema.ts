/** The mailbox file's schema: numbered steps as in sqlite_migrations.ts, and how the file is used. */

import type { SqliteSchema } from "./sqlite_database.ts";

/**
 * - `deliveries`: what somebody has not acknowledged, once for all its recipients, in the order of queueing. `body` is the delivery as
 *   PROTOCOL.md section 7 has it (a Welcome's payload stays in the relay's store), `mailboxes` the recipients' numbers, u32 each.
 * - `mailboxes`: `next` is the number of the first delivery that is not acknowledged; rows up to `read` are done with.
 * - `dropped`: deliveries after `read` that the mailbox has given up (a collapse).
 * - `state`: `machine` is that run of the machine that has the file open, empty after a clean end; `doubt` says that a change written
 *   elsewhere has not reached the mailboxes.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), machine TEXT NOT NULL, doubt INTEGER NOT NULL) STRICT;
  CREATE TABLE mailboxes (
    number INTEGER PRIMARY KEY, device TEXT NOT NULL UNIQUE, id TEXT NOT NULL, next INTEGER NOT NULL, read INTEGER NOT NULL,
    gap INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE deliveries (row INTEGER PRIMARY KEY, sender TEXT NOT NULL, mailboxes BLOB NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE TABLE dropped (
    row INTEGER NOT NULL REFERENCES deliveries ON DELETE CASCADE, mailbox INTEGER NOT NULL, PRIMARY KEY (row, mailbox)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO state VALUES (1, '', 0);
  `,
];

/**
 * WAL with NORMAL: a transaction is in the operating system's hands when it returns, so that the end of the process, however hard, takes
 * nothing back. A power failure may; the next start sees that the machine has started anew (`state.machine`). An fsync for each message
 * would stop the whole relay for it. secure_delete overwrites what is deleted. Exclusive: the data folder belongs to one relay, and no
 * shared memory has to be kept for others.
 */
export const MAILBOX_SCHEMA: SqliteSchema = {
  what: "mailbox database",
  pragmas: `
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA secure_delete = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA busy_timeout = 2000;
  `,
  migrations: MIGRATIONS,
  hint: "Move mailbox.db out of the data folder: it holds nothing but messages that were not delivered yet.",
};
