/** Where a program is that a role will run: looked for while the main thread may still look. */

import { isAbsolute, join } from "node:path";

/**
 * The path of `name`, from the folders of PATH in their order.
 *
 * Folders that are not absolute are left out: what they mean depends on where the command was started.
 *
 * @param options.path the variable PATH
 * @param options.os as Deno names it
 * @returns null where there is none
 */
export function findProgram(name: string, options: { path: string | undefined; os: string }): string | null {
  const windows = options.os === "windows";
  for (const folder of (options.path ?? "").split(windows ? ";" : ":")) {
    if (!isAbsolute(folder)) continue;
    const path = join(folder, windows ? `${name}.exe` : name);
    if (isProgram(path, windows)) return path;
  }
  return null;
}

function isProgram(path: string, windows: boolean): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && (windows || mode === null || (mode & 0o111) !== 0);
  } catch {
    return false; // not there, or not for us
  }
}
