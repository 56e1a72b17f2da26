/**
 * `deno task setup`: installs the pinned dependencies and mends them; does nothing where both are done already.
 *
 * Every task begins with it, so it is quick and may run in several terminals at once. The installation puts published files back in
 * place of mended ones; therefore it runs only where a stamp in `node_modules` does not fit what is wanted, and under a lock. It
 * imports no npm package, and says what it has to say on stderr: stdout is the task's.
 */

import { createHash } from "node:crypto";
import { applyPatch, type Patch, PATCHES, patchState } from "./patch_dependencies.ts";

const STAMP = ".arona-setup";
const LOCK = ".arona-setup.lock";

/** What {@link setUp} works on. */
export interface SetupOptions {
  /** The checkout, ending in `/`: holds `deno.json` and `deno.lock`, and `node_modules` once it is set up. */
  readonly root: URL;
  readonly patches: readonly Patch[];
  /** Fills `node_modules` with the published packages. @throws where it cannot */
  readonly install: (root: URL) => Promise<void>;
}

if (import.meta.main) {
  try {
    await setUp({ root: new URL("../", import.meta.url), patches: PATCHES, install: installPackages });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}

/**
 * Installs and mends what is not installed and mended yet.
 *
 * @returns whether there was anything to do
 * @throws where the installation fails or a patch does not fit
 */
export async function setUp(options: SetupOptions): Promise<boolean> {
  const { root, patches, install } = options;
  const folder = new URL("node_modules/", root);
  const stamp = stampOf(root, patches);
  if (isDone(folder, { stamp, patches })) return false;
  Deno.mkdirSync(folder, { recursive: true });
  using lock = Deno.openSync(new URL(LOCK, folder), { create: true, write: true });
  await lock.lock(true);
  if (isDone(folder, { stamp, patches })) return false; // by whoever had the lock
  removeIfPresent(new URL(STAMP, folder));
  await install(root);
  for (const patch of patches) applyPatch(folder, patch);
  writeWhole(new URL(STAMP, folder), stamp);
  return true;
}

/** What the state of `node_modules` follows from: SHA-256 over the lock file, the imports, the patches and the runtime. */
function stampOf(root: URL, patches: readonly Patch[]): string {
  const { imports } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));
  const lock = Deno.readTextFileSync(new URL("deno.lock", root));
  const parts = JSON.stringify([lock, imports, patches, Deno.version.deno]);
  return `${createHash("sha256").update(parts).digest("hex")}\n`;
}

/** The files themselves are looked at too: an installation by hand puts published ones back. */
function isDone(folder: URL, wanted: { stamp: string; patches: readonly Patch[] }): boolean {
  if (readIfPresent(new URL(STAMP, folder)) !== wanted.stamp) return false;
  return wanted.patches.every((patch) => {
    const text = readIfPresent(new URL(patch.file, folder));
    return text !== null && patchState(text, patch) === "patched";
  });
}

async function installPackages(root: URL): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: root,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
  const { success, code } = await child.status;
  if (!success) throw new Error(`Cannot set up: \`deno install\` ended with code ${code}, see above`);
}

/** Half a stamp is never seen. */
function writeWhole(target: URL, text: string): void {
  const temporary = new URL(`${target.href}.${crypto.randomUUID()}.tmp`);
  Deno.writeTextFileSync(temporary, text, { createNew: true });
  Deno.renameSync(temporary, target);
}

function readIfPresent(path: URL): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function removeIfPresent(path: URL): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
