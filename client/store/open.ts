/**
 * Opening a profile: its folder, its lock, its key, its database.
 *
 * A new profile comes into being in this order, so that a crash at any point leaves something that the next start can
 * finish: `profile.key`, then the whole database under another name, then its rename to `profile.db`.
 */

import { join } from "node:path";
import { AronaError, type CryptoProvider } from "../../proto/mod.ts";
import { decodeKeyFile, encodeKeyFile, type ScryptCost, type UnlockedKey } from "./key_file.ts";
import {
  makePrivate,
  makePrivateFolder,
  readIfPresent,
  removeIfPresent,
  renameDurably,
  replacePrivateFile,
} from "./private_file.ts";
import { lockProfile } from "./profile_lock.ts";
import { corrupt, createRowSealer, STORE_KEY_BYTES } from "./sealed_rows.ts";
import { createSqliteStore, openSqliteStore } from "./sqlite_file.ts";
import type { Store } from "./store.ts";

/** Options of {@link openProfileStore}. */
export interface OpenProfileOptions {
  /** The profile's own folder. */
  folder: string;
  /** Asked at most once; at a new profile for the passphrase to be. Empty: none. */
  passphrase: () => Promise<string>;
  crypto: CryptoProvider;
  /** Whether to make the profile where there is none. */
  create: boolean;
  /** For a new key file. @default DEFAULT_SCRYPT_COST */
  cost?: ScryptCost;
}

/** An open profile; nobody else can open it until it is closed. */
export interface ProfileStore {
  readonly store: Store;
  /** True where no passphrase guards the key: tell the person. */
  readonly unprotected: boolean;
  /** True where the profile is new. */
  readonly created: boolean;
  /** Wraps the key anew; empty: no passphrase from now on. */
  changePassphrase(next: string): Promise<void>;
  /** Safe to call again. */
  close(): void;
}

/**
 * Opens the profile in a folder, or makes it.
 *
 * @throws {AronaError} `PROFILE_IN_USE`, `WRONG_PASSPHRASE`, `CORRUPT_STORE`, `NOT_FOUND` where there is none and
 *   `create` is false, `UNKNOWN_VERSION` where a newer Arona has used it, `INTERNAL` where the system does not allow it
 */
export async function openProfileStore(options: OpenProfileOptions): Promise<ProfileStore> {
  const { folder, crypto, create } = options;
  const keyPath = join(folder, "profile.key");
  const databasePath = join(folder, "profile.db");
  if (!create && !await exists(folder)) throw notFound(folder);
  await onDisk(() => makePrivateFolder(folder));
  const lock = await onDisk(() => lockProfile(folder));
  try {
    const hasDatabase = await exists(databasePath);
    const { key, unprotected } = await readOrMakeKey(options, { keyPath, hasDatabase });
    const sealer = createRowSealer(crypto, key);
    if (!hasDatabase) {
      await onDisk(() => makeDatabase(databasePath, (path) => createSqliteStore(path, sealer)));
    }
    await onDisk(() => makePrivate(databasePath));
    const store = openSqliteStore(databasePath, sealer);
    return {
      store,
      unprotected,
      created: !hasDatabase,
      async changePassphrase(next) {
        const bytes = await encodeKeyFile(crypto, { key, passphrase: next, cost: options.cost });
        await onDisk(() => replacePrivateFile(keyPath, bytes));
      },
      close() {
        store.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function readOrMakeKey(
  { crypto, passphrase, create, cost, folder }: OpenProfileOptions,
  { keyPath, hasDatabase }: { keyPath: string; hasDatabase: boolean },
): Promise<UnlockedKey> {
  const bytes = await onDisk(() => readIfPresent(keyPath));
  if (bytes === null && hasDatabase) throw corrupt("its key file profile.key is missing");
  if (!create && !hasDatabase) throw bytes === null ? notFound(folder) : corrupt("its database is missing");
  if (bytes !== null) {
    await onDisk(() => makePrivate(keyPath));
    return await decodeKeyFile(crypto, { bytes, passphrase });
  }
  const key = crypto.randomBytes(STORE_KEY_BYTES);
  const chosen = await passphrase();
  const file = await encodeKeyFile(crypto, { key, passphrase: chosen, cost });
  await onDisk(() => replacePrivateFile(keyPath, file));
  return { key, unprotected: chosen === "" };
}

async function makeDatabase(path: string, make: (path: string) => Store): Promise<void> {
  const temporary = `${path}.new`;
  for (const left of [temporary, `${temporary}-wal`, `${path}-wal`]) await removeIfPresent(left);
  make(temporary).close(); // closing brings everything from the write-ahead log into the file
  await renameDurably(temporary, path);
}

function notFound(folder: string): AronaError {
  return new AronaError("NOT_FOUND", `Cannot open profile: there is none in ${folder}`, {
    hint: "`arona connect` makes one.",
  });
}

async function exists(path: string): Promise<boolean> {
  return await onDisk(async () => {
    try {
      await Deno.stat(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
}

/** Turns what the file system throws into an error that a person can act on. */
async function onDisk<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof AronaError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new AronaError("INTERNAL", `Cannot use profile: ${reason}`, {
      cause: error,
      hint: "Check the permissions of the profile's folder and the room on the disk.",
    });
  }
}
