/** Locks that the system releases however their process ends. Apart from the rest of proto/, which needs no files. */

export { type FileLock, lockFile } from "./file_lock.ts";
