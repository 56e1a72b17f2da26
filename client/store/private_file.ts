/** Files and folders that only their owner may read, and files that are replaced whole or not at all. */

import { dirname } from "node:path";

/** Makes the folder, or takes away what others may do in it. */
export async function makePrivateFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  await makePrivate(path, 0o700);
}

/** Takes away what others may do with the file. Windows has no modes: there the user's folder keeps others out. */
export async function makePrivate(path: string, mode = 0o600): Promise<void> {
  if (Deno.build.os !== "windows") await Deno.chmod(path, mode);
}

/** Replaces a file; after a crash either the old or the new content is there, whole. */
export async function replacePrivateFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await removeIfPresent(temporary);
  {
    using file = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 });
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await file.write(rest));
    await file.sync();
  }
  await renameDurably(temporary, path);
}

/** Renames a file so that the new name outlasts a power cut. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await Deno.rename(from, to);
  if (Deno.build.os === "windows") return; // folders cannot be opened there, and NTFS logs names itself
  using folder = await Deno.open(dirname(to));
  await folder.sync();
}

/** Removes a file that may not be there. */
export async function removeIfPresent(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The file's content, or null where there is none. */
export async function readIfPresent(path: string): Promise<Uint8Array | null> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
