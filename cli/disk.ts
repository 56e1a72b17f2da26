/** Room on a disk. */

import { statfsSync } from "node:fs";

/** Bytes that the person may still write where `path` is; null where the system does not say. */
export function freeBytes(path: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(path);
    return Number(bavail) * Number(bsize);
  } catch {
    return null;
  }
}
