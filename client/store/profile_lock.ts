/** One process a profile: a lock on an open file, which the system releases however the process ends. */

import { join } from "node:path";
import { lockFile } from "../../proto/lock/mod.ts";
import { AronaError, fromUtf8, utf8 } from "../../proto/mod.ts";

/** A held lock. */
export interface ProfileLock {
  /** Safe to call again. */
  release(): void;
}

/**
 * Locks the profile in `folder`. The file stays behind when the lock is gone; its content says who had it.
 *
 * @throws {AronaError} `PROFILE_IN_USE` with `details.pid` where another process has it
 */
export function lockProfile(folder: string): ProfileLock {
  const path = join(folder, "profile.lock");
  const lock = lockFile(path);
  if (lock === null) throw inUse(readPid(path));
  const { file } = lock;
  try {
    file.truncateSync(0);
    file.writeSync(utf8(`${Deno.pid}\n`));
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  let released = false;
  return {
    release() {
      if (released) return;
      released = true;
      file.truncateSync(0);
      lock[Symbol.dispose]();
    },
  };
}

function inUse(pid: number | null): AronaError {
  const who = pid === null ? "another process" : `process ${pid}`;
  return new AronaError("PROFILE_IN_USE", `Cannot open profile: ${who} has it open`, {
    hint: "Close the other Arona, or choose another profile with --profile.",
    details: pid === null ? {} : { pid },
  });
}

/** Null where the owner has not written it yet, or the system does not let others read a locked file. */
function readPid(path: string): number | null {
  try {
    using file = Deno.openSync(path);
    const bytes = new Uint8Array(16);
    const text = fromUtf8(bytes.subarray(0, file.readSync(bytes) ?? 0));
    return /^\d+\n$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}
