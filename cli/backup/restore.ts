/** Puts a backup back: all of it is verified before anything is changed, and what was there is kept aside. */

import { createHash } from "node:crypto";
import { lchown } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { lockFile } from "../../proto/lock/mod.ts";
import { openSqliteRelayStore } from "../../server/mod.ts";
import { CommandFailure } from "../failure.ts";
import { exists, reasonOf } from "../paths.ts";
import {
  type BackupKind,
  decodeManifest,
  type Manifest,
  MANIFEST_NAME,
  MAX_MANIFEST_BYTES,
} from "./manifest.ts";
import { checkPages } from "./snapshot.ts";
import { TarReader, writeAll } from "./tar.ts";

/** Numbers of discovery documents that may have been given out since the backup was made. */
const SKIPPED_SEQUENCES = 10_000;

/** A verified backup, unpacked beside where it shall go. */
export interface UnpackedBackup extends AsyncDisposable {
  readonly manifest: Manifest;
  readonly folder: string;
}

/** What was done. */
export interface Restored {
  /** Where what was there before is kept; null where nothing was. */
  readonly aside: string | null;
}

/** Reads no more than what a backup is. @throws {CommandFailure} where it is none */
export async function readManifest(file: string): Promise<Manifest> {
  return await inBackup(file, async (reader) => {
    for await (const { name, bytes, content } of reader.entries()) {
      return await manifestOf(name, bytes, content);
    }
    throw new Error("it is empty");
  });
}

/**
 * Unpacks a backup into a new folder in `parent` and verifies every byte.
 *
 * @throws {CommandFailure} where it is no backup, cut short or damaged; nothing is left then
 */
export async function unpackBackup(file: string, parent: string): Promise<UnpackedBackup> {
  let folder: string;
  try {
    await makeFolders(parent);
    folder = await Deno.makeTempDir({ dir: parent, prefix: ".arona-restore-" });
  } catch (cause) {
    throw new CommandFailure(`Cannot restore to ${parent}: ${reasonOf(cause)}`, { cause });
  }
  const remove = () => Deno.remove(folder, { recursive: true }).catch(() => {});
  try {
    const manifest = await inBackup(file, (reader) => unpack(reader, folder));
    return { manifest, folder, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/**
 * Moves an unpacked backup to its place.
 *
 * @param options.force whether something may be there; it is renamed
 * @throws {CommandFailure} where something is there, or it is in use
 */
export async function placeBackup(
  backup: UnpackedBackup,
  options: { readonly target: string; readonly force: boolean },
): Promise<Restored> {
  const { target, force } = options;
  const { kind } = backup.manifest;
  const there = await exists(target);
  if (there && !(await Deno.stat(target)).isDirectory) {
    throw new CommandFailure(`Cannot restore the ${kind} to ${target}: it is a file, not a folder`, {
      hint: "Choose another place.",
    });
  }
  const filled = there && !await isEmpty(target);
  if (filled && !force) {
    throw new CommandFailure(`Cannot restore the ${kind} to ${target}: something is there`, {
      hint: "Choose another place, or say --force: what is there is then kept under another name beside it.",
    });
  }
  using _ = filled ? await lockAgainstUse(target, kind) : NO_LOCK;
  if (kind === "relay") prepareRelay(join(backup.folder, "relay.db"));
  const aside = filled ? await freeName(`${target}.before-restore`) : null;
  try {
    await handOver(backup.folder, there ? target : dirname(target));
    if (aside !== null) await Deno.rename(target, aside);
    else if (there) await Deno.remove(target); // an empty folder
    await Deno.rename(backup.folder, target);
  } catch (cause) {
    if (aside !== null && !await exists(target)) await Deno.rename(aside, target).catch(() => {});
    throw new CommandFailure(`Cannot restore to ${target}: ${reasonOf(cause)}`, { cause });
  }
  return { aside };
}

/** Like `mkdir -p`; new folders are the one's whose folder they are in. */
async function makeFolders(path: string): Promise<void> {
  if (await exists(path)) return;
  await makeFolders(dirname(path));
  await Deno.mkdir(path, { mode: 0o700 });
  await handOver(path, dirname(path));
}

/**
 * Gives a folder and what is in it to whom `like` belongs. Only root can do that, and only root has to: what others make is theirs,
 * but a service could not open what root puts back for it.
 */
async function handOver(folder: string, like: string): Promise<void> {
  const [{ uid, gid }, own] = [await Deno.stat(like), await Deno.stat(folder)];
  if (uid === null || gid === null || own.uid !== 0 || uid === 0) return;
  for await (const { name } of Deno.readDir(folder)) await lchown(join(folder, name), uid, gid);
  await lchown(folder, uid, gid);
}

async function unpack(reader: TarReader, folder: string): Promise<Manifest> {
  let manifest: Manifest | null = null;
  let next = 0;
  for await (const { name, bytes, content } of reader.entries()) {
    if (manifest === null) {
      manifest = await manifestOf(name, bytes, content);
      continue;
    }
    const file = manifest.files[next++];
    if (file === undefined || file.name !== name || file.bytes !== bytes) {
      throw new Error("its manifest does not fit");
    }
    const hash = createHash("sha256");
    using target = await Deno.open(join(folder, name), { createNew: true, write: true, mode: 0o600 });
    for await (const chunk of content) {
      hash.update(chunk);
      await writeAll(target, chunk);
    }
    if (hash.digest("hex") !== file.sha256) throw new Error(`${name} in it is damaged`);
    await target.sync();
  }
  if (manifest === null || next !== manifest.files.length) throw new Error("files are missing in it");
  for (const { name } of manifest.files) if (name.endsWith(".db")) checkPages(join(folder, name));
  return manifest;
}

async function manifestOf(
  name: string,
  bytes: number,
  content: AsyncIterable<Uint8Array>,
): Promise<Manifest> {
  if (name !== MANIFEST_NAME || bytes > MAX_MANIFEST_BYTES) throw new Error("it is no backup");
  const parts: number[] = [];
  for await (const chunk of content) parts.push(...chunk);
  return decodeManifest(Uint8Array.from(parts));
}

async function inBackup<T>(file: string, use: (reader: TarReader) => Promise<T>): Promise<T> {
  let source: Deno.FsFile;
  try {
    source = await Deno.open(file);
  } catch (cause) {
    throw new CommandFailure(`Cannot read backup ${file}: ${reasonOf(cause)}`, { cause });
  }
  try {
    return await use(new TarReader(source));
  } catch (cause) {
    throw new CommandFailure(`Cannot restore ${file}: ${reasonOf(cause)}`, {
      cause,
      hint: "Nothing was changed. Use another backup.",
    });
  } finally {
    source.close();
  }
}

/**
 * A relay that came back with a document's number that it had given out before would be taken for an old one by everybody, and its
 * KeyPackages may have been used since.
 */
function prepareRelay(path: string): void {
  const store = openSqliteRelayStore(path);
  try {
    store.wasRestored({ skippedSequences: SKIPPED_SEQUENCES });
  } finally {
    store.close();
  }
}

const NO_LOCK: Disposable = { [Symbol.dispose]() {} };

/** @throws {CommandFailure} where a relay or a client uses the folder */
async function lockAgainstUse(folder: string, kind: BackupKind): Promise<Disposable> {
  const path = join(folder, kind === "relay" ? "relay.lock" : "profile.lock");
  if (!await exists(path)) return NO_LOCK;
  const lock = lockFile(path);
  if (lock !== null) return lock;
  throw new CommandFailure(`Cannot restore to ${folder}: it is in use`, {
    hint: kind === "relay"
      ? "Stop the relay first: `arona admin drain`."
      : "Close the Arona that uses the profile first.",
  });
}

async function isEmpty(path: string): Promise<boolean> {
  for await (const _ of Deno.readDir(path)) return false;
  return true;
}

async function freeName(path: string): Promise<string> {
  for (let n = 1;; n++) {
    const name = join(dirname(path), n === 1 ? basename(path) : `${basename(path)}-${n}`);
    if (!await exists(name)) return name;
  }
}
