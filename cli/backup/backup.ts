/** Makes a backup: one file that only its owner can read, of a relay or a profile that may be running. */

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { CommandFailure } from "../failure.ts";
import { exists, reasonOf } from "../paths.ts";
import { BACKUP_FILES, type BackupKind, encodeManifest, type Manifest, MANIFEST_NAME } from "./manifest.ts";
import { snapshotDatabase, type SnapshotOptions } from "./snapshot.ts";
import { fileChunks, TarWriter } from "./tar.ts";

/** What to back up, and where. */
export interface BackupOptions extends SnapshotOptions {
  readonly kind: BackupKind;
  /** The relay's data folder or the profile's. */
  readonly folder: string;
  /** The profile's name; "relay" for a relay. */
  readonly name: string;
  /** Where the backup goes. Nothing may be there. */
  readonly file: string;
  /** Arona's version. */
  readonly version: string;
  readonly nowMs: number;
}

/** A backup that was made. */
export interface MadeBackup {
  readonly manifest: Manifest;
  readonly bytes: number;
  /** A profile whose key no passphrase guards: the backup holds everything in the open. */
  readonly unprotected: boolean;
}

/** @throws {CommandFailure} where there is nothing to back up, or no way to write it */
export async function makeBackup(options: BackupOptions): Promise<MadeBackup> {
  const { kind, folder, file } = options;
  for (const name of BACKUP_FILES[kind]) {
    if (await exists(join(folder, name))) continue;
    throw new CommandFailure(`Cannot back up the ${kind}: there is no ${name} in ${folder}`, {
      hint: kind === "relay" ? "Name its folder with --data." : "Name it with --profile.",
    });
  }
  let target: Deno.FsFile;
  try {
    target = await Deno.open(file, { createNew: true, write: true, mode: 0o600 });
  } catch (cause) {
    const there = cause instanceof Deno.errors.AlreadyExists;
    throw new CommandFailure(
      `Cannot write backup ${file}: ${there ? "there is a file already" : reasonOf(cause)}`,
      {
        cause,
        hint: there ? "Nothing is ever overwritten: choose another name." : "Choose another place.",
      },
    );
  }
  let work: string | undefined;
  try {
    // Beside the backup: there is the room for it, and the permission.
    work = await Deno.makeTempDir({ dir: dirname(file), prefix: ".arona-backup-" });
    const made = await write(target, work, options);
    await target.sync();
    return made;
  } catch (cause) {
    await Deno.remove(file).catch(() => {});
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure(`Cannot back up the ${kind}: ${reasonOf(cause)}`, {
      cause,
      hint: "Nothing was written.",
    });
  } finally {
    target.close();
    if (work !== undefined) await Deno.remove(work, { recursive: true }).catch(() => {});
  }
}

async function write(target: Deno.FsFile, work: string, options: BackupOptions): Promise<MadeBackup> {
  const { kind, folder, name, version, nowMs } = options;
  const files = [];
  for (const name of BACKUP_FILES[kind]) {
    const copy = join(work, name);
    if (name.endsWith(".db")) await snapshotDatabase(join(folder, name), copy, options);
    else await Deno.writeFile(copy, await Deno.readFile(join(folder, name)), { mode: 0o600 });
    files.push({ name, ...await measure(copy) });
  }
  const manifest: Manifest = { kind, name, arona: version, atMs: nowMs, files };
  const head = encodeManifest(manifest);
  const writer = new TarWriter(target, { mtimeMs: nowMs });
  await writer.add({ name: MANIFEST_NAME, bytes: head.length }, [head]);
  for (const file of files) await writer.add(file, fileChunks(join(work, file.name)));
  await writer.end();
  const unprotected = kind === "profile" && await hasOpenKey(join(work, "profile.key"));
  return { manifest, bytes: (await target.stat()).size, unprotected };
}

/** Length and hash of a file. */
export async function measure(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of fileChunks(path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Whether a profile's key file holds its key without a passphrase. */
export async function hasOpenKey(path: string): Promise<boolean> {
  try {
    return JSON.parse(await Deno.readTextFile(path)).kdf.name === "none";
  } catch {
    return false; // damaged: `arona restore` and opening it say so
  }
}
