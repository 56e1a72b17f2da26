/**
 * One process a file.
 *
 * Deno has a lock on open files that does not wait only since 2.5. Before, SQLite's own lock does the same: a database beside the file,
 * on which a transaction is held that nobody else may even read beside. It stays empty.
 */

import process from "node:process";

/** A held lock, until it is disposed. */
export interface FileLock extends Disposable {
  /** The locked file, open for reading and writing. */
  readonly file: Deno.FsFile;
}

/**
 * Locks the file at `path`, which is made where it is missing and stays when the lock is gone.
 *
 * @param options.native whether to use the runtime's lock. @default where it has one
 * @returns null where somebody holds it
 * @throws what the system says where the file cannot be opened
 */
export function lockFile(path: string, options: { readonly native?: boolean } = {}): FileLock | null {
  const file = Deno.openSync(path, { create: true, read: true, write: true, mode: 0o600 });
  try {
    const { native = file.tryLockSync !== undefined } = options;
    const release = native ? lockOpen(file) : lockDatabase(`${path}.db`);
    if (release === null) {
      file.close();
      return null;
    }
    let held = true;
    return {
      file,
      [Symbol.dispose]() {
        if (!held) return;
        held = false;
        file.close();
        release();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Closing the file releases it. */
function lockOpen(file: Deno.FsFile): (() => void) | null {
  return file.tryLockSync(true) ? () => {} : null;
}

function lockDatabase(path: string): (() => void) | null {
  // Made by us, for its mode. One that is there is not opened: closing it would release locks of this process.
  try {
    Deno.openSync(path, { createNew: true, write: true, mode: 0o600 }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite"); // loaded only where it is needed
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA journal_mode = MEMORY"); // no file for a journal
    database.exec("BEGIN EXCLUSIVE");
    return () => database.close();
  } catch (error) {
    database.close();
    if (/database is locked/.test((error as Error).message)) return null;
    throw error;
  }
}
