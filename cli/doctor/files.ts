/** Checks of folders, files and disks. */

import { dirname, join } from "node:path";
import { lockFile } from "../../proto/lock/mod.ts";
import { checkPages, snapshotDatabase } from "../backup/snapshot.ts";
import { size } from "../control/status_text.ts";
import { freeBytes } from "../disk.ts";
import { exists, reasonOf } from "../paths.ts";
import type { Findings } from "./finding.ts";

/** With less than this a relay or a profile will soon stop. */
const LITTLE_ROOM_BYTES = 1_000_000_000;
const NO_ROOM_BYTES = 50_000_000;
/** Folders with copies of databases. */
const WORK_PREFIX = ".arona-doctor-";
const WORK_LOCK = "doctor.lock";

/** Whether only its owner gets at the folder and the files in it that are there. */
export async function checkAccess(found: Findings, folder: string, names: readonly string[]): Promise<void> {
  if (Deno.build.os === "windows") return found.ok("access", `${folder}, kept by the user's folder`);
  try {
    const open: string[] = [];
    if (othersMay((await Deno.stat(folder)).mode)) open.push(folder);
    for (const name of names) {
      const path = join(folder, name);
      if (await exists(path) && othersMay((await Deno.stat(path)).mode)) open.push(path);
    }
    if (open.length === 0) return found.ok("access", `${folder}, for its owner only`);
    const files = open.some((path) => path !== folder);
    const say = files ? found.problem : found.warning;
    say.call(
      found,
      "access",
      `other users of this machine can get at ${open.join(", ")}`,
      `chmod go= ${open.join(" ")}`,
    );
  } catch (error) {
    found.problem("access", `${folder}: ${reasonOf(error)}`, "Run this as the user whose folder it is.");
  }
}

/** Room where `folder` is. */
export function checkRoom(found: Findings, folder: string): void {
  const free = freeBytes(folder);
  if (free === null) {
    return found.warning("disk", "the system does not tell how much room there is", "Look yourself.");
  }
  const text = `${size(free)} free`;
  if (free < NO_ROOM_BYTES) return found.problem("disk", text, "Make room before it is full.");
  if (free < LITTLE_ROOM_BYTES) return found.warning("disk", text, "Make room.");
  found.ok("disk", text);
}

/** Whether the pages of a database fit together; works beside whoever has it open. */
export async function checkDatabase(
  found: Findings,
  path: string,
  { todo }: { readonly todo: string },
): Promise<void> {
  const folder = dirname(path);
  try {
    await sweep(folder);
    if ((freeBytes(folder) ?? Infinity) < await sizeOf(path) + await sizeOf(`${path}-wal`)) {
      return found.warning(
        "database",
        `${path}: not looked at, as there is no room for a copy`,
        "Make room.",
      );
    }
    // Its copy holds the same keys: it stays beside it, and never outlasts this for long.
    const work = await Deno.makeTempDir({ dir: folder, prefix: WORK_PREFIX });
    try {
      using _ = lockFile(join(work, WORK_LOCK));
      const copy = join(work, "copy.db");
      await snapshotDatabase(path, copy);
      checkPages(copy);
      found.ok("database", `${size(await sizeOf(copy))}, sound`);
    } finally {
      await Deno.remove(work, { recursive: true }).catch(() => {});
    }
  } catch (error) {
    found.problem("database", `${path}: ${reasonOf(error)}`, todo);
  }
}

/** Removes copies that were left behind, by whoever was killed while looking at them. */
async function sweep(folder: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory || !name.startsWith(WORK_PREFIX)) continue;
    const work = join(folder, name);
    const lock = lockFile(join(work, WORK_LOCK));
    if (lock === null) continue; // somebody looks at it now
    lock[Symbol.dispose]();
    await Deno.remove(work, { recursive: true });
  }
}

async function sizeOf(path: string): Promise<number> {
  return await exists(path) ? (await Deno.stat(path)).size : 0;
}

function othersMay(mode: number | null): boolean {
  return mode !== null && (mode & 0o077) !== 0;
}
