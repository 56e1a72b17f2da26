/** DATA/control.json: where a running relay can be asked, and the token to ask with. Only its owner can read it. */

import { join } from "node:path";

/** What the file says. */
export interface ControlFile {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** 43 characters of base64url, new at each start. */
  readonly token: string;
  readonly pid: number;
}

const NAME = "control.json";
const VERSION = 1;
const MAX_BYTES = 4_096;

/** The file's path in a data folder. */
export function controlPath(folder: string): string {
  return join(folder, NAME);
}

/** Writes the file whole or not at all. What an earlier relay left there is replaced. */
export async function writeControlFile(folder: string, file: ControlFile): Promise<void> {
  const path = controlPath(folder);
  const temporary = `${path}.new`;
  await Deno.remove(temporary).catch(() => {}); // left by a crash
  await Deno.writeTextFile(temporary, `${JSON.stringify({ version: VERSION, ...file })}\n`, {
    createNew: true,
    mode: 0o600,
  });
  await Deno.rename(temporary, path);
}

/** The file, or null where there is none or it is not one. @throws what the system says where it may not be read */
export async function readControlFile(folder: string): Promise<ControlFile | null> {
  let text: string;
  try {
    const path = controlPath(folder);
    if ((await Deno.stat(path)).size > MAX_BYTES) return null;
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
  try {
    const { version, address, token, pid } = JSON.parse(text);
    const sound = version === VERSION && /^127\.0\.0\.1:\d{1,5}$/.test(address) &&
      /^[A-Za-z0-9_-]{43}$/.test(token) && Number.isInteger(pid);
    return sound ? { address, token, pid } : null;
  } catch {
    return null;
  }
}
