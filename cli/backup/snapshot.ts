/**
 * A copy of an SQLite database that another process may be writing to, without asking that process.
 *
 * SQLite's own ways need a lock on the file, and a profile's database is locked exclusively as long as its Arona runs. In WAL mode the
 * state at any moment is the database file and the log together, and the file changes only when a checkpoint copies pages out of the
 * log. So: read the file, read the log, read the file again. Where both readings are the same and the log still has the header that
 * it began with, no checkpoint came between, and file and log belong together; where not, once more. A transaction that was being
 * written to the log meanwhile has no valid end there and does not count.
 */

import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { fileChunks, writeAll } from "./tar.ts";

const MAX_TRIES = 20;
const WAL_HEADER_BYTES = 32;

/** What a copy is made with. */
export interface SnapshotOptions {
  /** Called after each reading; for tests that write in between. */
  readonly onStep?: (step: "first" | "log" | "second") => void;
}

/**
 * Copies the database at `source` to `target`, one file without a log, and checks its pages.
 *
 * @throws {Error} where it is damaged, or where it changes all the time
 */
export async function snapshotDatabase(
  source: string,
  target: string,
  options: SnapshotOptions = {},
): Promise<void> {
  for (let tries = 0; !await copyOnce(source, target, options); tries++) {
    if (tries === MAX_TRIES) throw new Error(`${source} changes all the time`);
  }
  finish(target);
}

/** @throws {Error} where the pages of a database do not fit together */
export function checkPages(path: string): void {
  const database = new DatabaseSync(path);
  try {
    const found = database.prepare("PRAGMA quick_check(1)").get() as Record<string, unknown>;
    const [result] = Object.values(found);
    if (result !== "ok") throw new Error(String(result));
  } finally {
    database.close();
  }
}

async function copyOnce(source: string, target: string, { onStep }: SnapshotOptions): Promise<boolean> {
  const before = await hashOf(source);
  onStep?.("first");
  const header = await walHeader(source);
  if (header === "") await Deno.remove(`${target}-wal`).catch(() => {});
  else await copy(`${source}-wal`, `${target}-wal`);
  onStep?.("log");
  const copied = await copy(source, target);
  onStep?.("second");
  return copied === before && await walHeader(source) === header;
}

/** Brings the log into the file. */
function finish(path: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    database.close();
  }
  checkPages(path);
}

async function copy(from: string, to: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(to, { create: true, write: true, truncate: true, mode: 0o600 });
  for await (const chunk of fileChunks(from)) {
    hash.update(chunk);
    await writeAll(file, chunk);
  }
  return hash.digest("hex");
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of fileChunks(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** Changes whenever the log begins anew; empty where there is none. */
async function walHeader(path: string): Promise<string> {
  try {
    using file = await Deno.open(`${path}-wal`);
    const header = new Uint8Array(WAL_HEADER_BYTES);
    return await file.read(header) === WAL_HEADER_BYTES ? header.toString() : "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
