/**
 * MailboxStore that keeps undelivered ciphertext in an SQLite file, and nothing else.
 *
 *     a message, a commit → the memory mailboxes → journal → at the end of the batch: one transaction
 *     acknowledgements    → the memory mailboxes → journal → with the next of those, or a moment later
 *     start               → the file → the memory mailboxes
 *
 * The queues are the memory adapter's; the file is only read on start. A delivery is one row for all its recipients, which an
 * acknowledgement moves past (`mailboxes.read`) and which goes when the last of them has: a channel of a hundred costs one row, not a
 * hundred. Where the file cannot be written, it is removed rather than left behind stale, the mailboxes go on in memory, and a new file
 * is written from them later.
 */

import { AronaError, type Clock, type DeviceId } from "../proto/mod.ts";
import { restoreDelivery, type SharedDelivery, type WelcomeHead } from "./delivery.ts";
import {
  MAILBOX_DISK_ACKNOWLEDGE_MS,
  MAILBOX_DISK_RETRY_SWEEPS,
  MAILBOX_DISK_VACUUM_PAGES,
  MAX_MAILBOX_DISK_RETRY_SWEEPS,
} from "./limits.ts";
import type { RelayLog } from "./log.ts";
import type { MailboxStore } from "./mailbox.ts";
import type { JournaledMailbox, MailboxJournal } from "./mailbox_journal.ts";
import { type MailboxLimits, MemoryMailboxStore, newMailboxId } from "./memory_mailbox.ts";
import { SqliteDatabase } from "./sqlite_database.ts";
import { MAILBOX_SCHEMA } from "./sqlite_mailbox_schema.ts";

/** Rows read at once on start. */
const LOAD_ROWS = 64;
const NUMBER_BYTES = 4;

/** What a mailbox file is opened with. */
export interface SqliteMailboxOptions {
  /** Makes the delivery of a Welcome, whose payload is in the relay's store. */
  readonly welcome: (head: WelcomeHead) => SharedDelivery;
  readonly limits?: Partial<MailboxLimits>;
  /** Hears of a disk that fails, once each time, and of its return. */
  readonly log?: RelayLog;
  /**
   * This run of the machine. Where the file was left open in another one, the last transactions may be missing: every mailbox gets a new
   * id and a gap. Without it they are taken to be there.
   */
  readonly machine?: string;
  /**
   * With it acknowledgements are written together, after {@link MAILBOX_DISK_ACKNOWLEDGE_MS} at the latest: a hundred devices that
   * acknowledge one message each are one transaction then. A relay that is killed before that delivers again what was acknowledged, and
   * devices know a message that they have. Without it each ACK is written at once.
   */
  readonly clock?: Clock;
  /** @default opens the file */
  readonly open?: (path: string) => SqliteDatabase;
}

/**
 * Opens or creates the file, readable by its owner only.
 *
 * @param path a file, or `:memory:`
 * @throws {AronaError} `CORRUPT_STORE`
 */
export function openSqliteMailboxStore(path: string, options: SqliteMailboxOptions): MailboxStore {
  const journal = new SqliteMailboxJournal(path, options);
  const store = new MemoryMailboxStore(options.limits, journal);
  journal.load(store);
  journal.start();
  return store;
}

/**
 * Takes over what an earlier relay has left in the file, and removes it: the mailboxes go on in memory alone.
 *
 * @throws {AronaError} `CORRUPT_STORE`
 */
export function retireSqliteMailboxStore(path: string, options: SqliteMailboxOptions): MailboxStore {
  const journal = new SqliteMailboxJournal(path, options);
  const store = new MemoryMailboxStore(options.limits);
  journal.load(store);
  journal.remove();
  return store;
}

class SqliteMailboxJournal implements MailboxJournal {
  /** Null while the disk fails, and after the end. */
  #database: SqliteDatabase | null;
  #ended = false;
  #depth = 0;
  #lastRow = 0;
  /** Rows up to this one have been written. */
  #writtenRow = 0;
  #doubt = false;
  /** Whether something deleted may still lie in the WAL. */
  #unwiped = false;
  #cancelFlush: (() => void) | null = null;
  #sweepsToRetry = 0;
  #sweepsBetween = MAILBOX_DISK_RETRY_SWEEPS;
  // What there is to write
  readonly #changed = new Set<JournaledMailbox>();
  readonly #appended = new Map<SharedDelivery, number[]>();
  readonly #dropped: { delivery: SharedDelivery; mailbox: JournaledMailbox }[] = [];
  readonly #released: number[] = [];

  constructor(private readonly path: string, private readonly options: SqliteMailboxOptions) {
    this.#database = this.#open();
  }

  /** Fills an empty store from the file. @throws {AronaError} `CORRUPT_STORE` */
  load(store: MemoryMailboxStore): void {
    const database = this.#database!;
    try {
      this.#load(database, store);
    } catch (cause) {
      database.close();
      const { hint } = MAILBOX_SCHEMA;
      throw new AronaError("CORRUPT_STORE", "Cannot open mailbox database: it is damaged", { cause, hint });
    }
  }

  #load(database: SqliteDatabase, store: MemoryMailboxStore): void {
    const state = database.get("SELECT machine, doubt FROM state")!;
    const cut = state.machine !== "" && state.machine !== this.#machine;
    const doubt = cut || state.doubt === 1;
    const mailboxes = new Map(
      database.all("SELECT * FROM mailboxes").map((row) => {
        const mailbox = store.restore({
          number: row.number as number,
          device: row.device as DeviceId,
          id: cut ? newMailboxId() : row.id as string,
          next: row.next as number,
          gap: row.gap === 1 || doubt,
          lastRow: row.read as number,
        });
        this.#lastRow = Math.max(this.#lastRow, mailbox.lastRow);
        if (doubt) this.#changed.add(mailbox);
        return [mailbox.number, mailbox];
      }),
    );
    const dropped = new Set(
      database.all("SELECT row, mailbox FROM dropped").map(({ row, mailbox }) => `${row} ${mailbox}`),
    );
    for (let after = 0;;) {
      const rows = database.all(
        "SELECT * FROM deliveries WHERE row > ? ORDER BY row LIMIT ?",
        after,
        LOAD_ROWS,
      );
      for (const { row, sender, mailboxes: numbers, body } of rows) {
        const delivery = restoreDelivery(body as Uint8Array, {
          sender: sender as string,
          welcome: this.options.welcome,
        });
        delivery.row = after = row as number;
        const fits = store.bytes + delivery.size <= store.limits.totalBytes;
        for (const number of decodeNumbers(numbers as Uint8Array)) {
          const mailbox = mailboxes.get(number);
          if (mailbox === undefined || mailbox.lastRow >= after || dropped.has(`${row} ${number}`)) continue;
          if (fits) mailbox.restore(delivery);
          else this.#changed.add(mailbox.lose());
        }
        if (delivery.holders === 0) this.#released.push(after);
      }
      if (rows.length < LOAD_ROWS) break;
    }
    this.#lastRow = this.#writtenRow = Math.max(
      this.#lastRow,
      database.count("SELECT coalesce(max(row), 0) AS n FROM deliveries"),
    );
  }

  /** Says in the file that it is in use, on the disk itself: a power failure must not bring the end of the run before back. */
  start(): void {
    this.flush();
    this.#try((database) => {
      database.run("UPDATE state SET machine = ?, doubt = 0", this.#machine);
      database.get("PRAGMA wal_checkpoint(TRUNCATE)");
    });
  }

  batch<T>(action: () => T): T {
    this.#depth++;
    try {
      return action();
    } finally {
      if (--this.#depth === 0) this.#batchEnded();
    }
  }

  announce(): void {
    this.#doubt = true;
    this.#try((database) => database.run("UPDATE state SET doubt = 1"));
  }

  created(mailbox: JournaledMailbox): void {
    this.#changed.add(mailbox);
  }

  changed(mailbox: JournaledMailbox): void {
    this.batch(() => this.#changed.add(mailbox));
  }

  appended(mailbox: JournaledMailbox, delivery: SharedDelivery): void {
    if (delivery.row === 0) delivery.row = ++this.#lastRow;
    const numbers = this.#appended.get(delivery);
    if (numbers === undefined) this.#appended.set(delivery, [mailbox.number]);
    else numbers.push(mailbox.number);
  }

  dropped(mailbox: JournaledMailbox, delivery: SharedDelivery): void {
    this.#dropped.push({ delivery, mailbox });
  }

  released(delivery: SharedDelivery): void {
    this.#appended.delete(delivery);
    this.#released.push(delivery.row);
    delivery.row = 0;
  }

  tidy(mailboxes: Iterable<JournaledMailbox>): void {
    if (this.#ended) return;
    this.flush();
    if (this.#database === null) return this.#retry(mailboxes);
    if (!this.#unwiped) return;
    this.#try((database) => {
      database.all(`PRAGMA incremental_vacuum(${MAILBOX_DISK_VACUUM_PAGES})`);
      database.get("PRAGMA wal_checkpoint(TRUNCATE)");
      this.#unwiped = false;
    });
  }

  close(): void {
    if (this.#ended) return;
    this.flush();
    this.#ended = true;
    try {
      this.#database?.run("UPDATE state SET machine = ''");
      this.#database?.get("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // all that was written before is in the file; it only does not say that this was the end
    }
    this.#database?.close();
    this.#database = null;
  }

  get #machine(): string {
    return this.options.machine ?? "unknown";
  }

  #open(): SqliteDatabase {
    const { open = (path: string) => SqliteDatabase.open(path, MAILBOX_SCHEMA) } = this.options;
    return open(this.path);
  }

  #batchEnded(): void {
    const { clock } = this.options;
    const urgent = this.#appended.size + this.#dropped.length > 0 || this.#doubt;
    if (urgent || clock === undefined || this.#ended) return this.flush();
    if (this.#changed.size + this.#released.length === 0) return;
    this.#cancelFlush ??= clock.schedule(MAILBOX_DISK_ACKNOWLEDGE_MS, () => this.flush());
  }

  flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = null;
    const work = this.#changed.size + this.#appended.size + this.#dropped.length + this.#released.length;
    if (work > 0 || this.#doubt) {
      this.#try((database) => database.transaction(() => this.#write(database)));
      this.#unwiped ||= this.#released.length > 0;
    }
    this.#writtenRow = this.#lastRow;
    this.#doubt = false;
    this.#changed.clear();
    this.#appended.clear();
    this.#dropped.length = 0;
    this.#released.length = 0;
  }

  #write(database: SqliteDatabase): void {
    for (const mailbox of this.#changed) writeMailbox(database, mailbox);
    for (const [delivery, numbers] of this.#appended) {
      if (delivery.row > this.#writtenRow) writeDelivery(database, delivery, numbers);
      else {
        database.run(
          "UPDATE deliveries SET mailboxes = CAST(mailboxes || ? AS BLOB) WHERE row = ?",
          encodeNumbers(numbers),
          delivery.row,
        );
      }
    }
    for (const { delivery, mailbox } of this.#dropped) {
      if (delivery.row === 0) continue; // nobody has it: the row goes
      database.run("INSERT OR IGNORE INTO dropped VALUES (?, ?)", delivery.row, mailbox.number);
    }
    for (const row of this.#released) database.run("DELETE FROM deliveries WHERE row = ?", row);
    if (this.#doubt) database.run("UPDATE state SET doubt = 0");
  }

  /** Runs `action` where there is a file; what it throws means that the disk fails. */
  #try(action: (database: SqliteDatabase) => void): void {
    if (this.#database === null) return;
    try {
      action(this.#database);
    } catch (error) {
      this.remove();
      this.#sweepsToRetry = this.#sweepsBetween = MAILBOX_DISK_RETRY_SWEEPS;
      this.options.log?.({ type: "mailbox_disk_failed", error });
    }
  }

  #retry(mailboxes: Iterable<JournaledMailbox>): void {
    if (--this.#sweepsToRetry > 0) return;
    try {
      const database = this.#database = this.#open();
      database.transaction(() => {
        writeAll(database, mailboxes);
        database.run("UPDATE state SET machine = ?", this.#machine);
      });
      database.get("PRAGMA wal_checkpoint(TRUNCATE)");
      this.options.log?.({ type: "mailbox_disk_restored" });
    } catch {
      this.remove();
      this.#sweepsBetween = Math.min(this.#sweepsBetween * 2, MAX_MAILBOX_DISK_RETRY_SWEEPS);
      this.#sweepsToRetry = this.#sweepsBetween;
    }
  }

  /** Closes the file and removes it. Nothing stale may be left for the next start, and this needs no room on a full disk. */
  remove(): void {
    try {
      this.#database?.close();
    } catch {
      // its file goes in any case
    }
    this.#database = null;
    if (this.path === ":memory:") return;
    for (const suffix of ["", "-wal", "-shm"]) {
      try {
        Deno.removeSync(this.path + suffix);
      } catch {
        // it is not there, or the disk takes nothing at all
      }
    }
  }
}

function writeAll(database: SqliteDatabase, mailboxes: Iterable<JournaledMailbox>): void {
  const deliveries = new Map<SharedDelivery, number[]>();
  for (const mailbox of mailboxes) {
    writeMailbox(database, mailbox);
    for (const delivery of mailbox.kept()) {
      const numbers = deliveries.get(delivery);
      if (numbers === undefined) deliveries.set(delivery, [mailbox.number]);
      else numbers.push(mailbox.number);
    }
  }
  for (const [delivery, numbers] of deliveries) writeDelivery(database, delivery, numbers);
}

function writeMailbox(database: SqliteDatabase, mailbox: JournaledMailbox): void {
  const { number, device, id, next, gap } = mailbox;
  let read = mailbox.lastRow;
  for (const { row } of mailbox.kept()) {
    read = row - 1;
    break;
  }
  database.run(
    `INSERT INTO mailboxes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET
     id = excluded.id, next = excluded.next, read = excluded.read, gap = excluded.gap`,
    number,
    device,
    id,
    next,
    read,
    gap ? 1 : 0,
  );
}

function writeDelivery(
  database: SqliteDatabase,
  delivery: SharedDelivery,
  mailboxes: readonly number[],
): void {
  database.run(
    "INSERT INTO deliveries VALUES (?, ?, ?, ?)",
    delivery.row,
    delivery.sender,
    encodeNumbers(mailboxes),
    delivery.stored(),
  );
}

function encodeNumbers(numbers: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(numbers.length * NUMBER_BYTES));
  for (let i = 0; i < numbers.length; i++) view.setUint32(i * NUMBER_BYTES, numbers[i]);
  return new Uint8Array(view.buffer);
}

function decodeNumbers(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / NUMBER_BYTES }, (_, i) => view.getUint32(i * NUMBER_BYTES));
}
