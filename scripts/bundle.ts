/** Makes plain JavaScript of the program: one file for the main thread, one for each worker, and chunks that they share. */

/** Where {@link bundleProgram} puts the main thread's file. */
export const MAIN_FILE = "main.js";

const ROOT = new URL("../", import.meta.url);
const COMMIT_SLOT = "@arona-commit@";

/**
 * Bundles `main.ts` and the workers with the Deno that runs this.
 *
 * @param folder is there and empty
 * @returns the commit's first 12 digits, with `+` where files have been changed since
 * @throws where `deno bundle` fails, or where the sources are no git checkout
 */
export async function bundleProgram(folder: string): Promise<string> {
  await bundle(folder, ["main.ts", ...await workerEntries()]);
  const commit = await currentCommit();
  let slots = 0;
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".js")) continue;
    const path = `${folder}/${name}`;
    const text = await Deno.readTextFile(path);
    if (!text.includes(COMMIT_SLOT)) continue;
    await Deno.writeTextFile(path, text.replaceAll(COMMIT_SLOT, commit));
    slots++;
  }
  if (slots === 0) throw new Error("Cannot bundle: no file has a place for the commit (cli/build.ts)");
  return commit;
}

/** Bundles modules, each to its own file at its own path below `folder`. @throws where `deno bundle` fails */
export async function bundle(folder: string, entries: readonly string[]): Promise<void> {
  await run(Deno.execPath(), [
    "bundle",
    "--quiet",
    "--platform=deno",
    "--code-splitting",
    `--outdir=${folder}`,
    ...entries,
  ]);
}

/** Workers are modules of their own: nothing imports them, so nothing else would bring them along. */
async function workerEntries(): Promise<string[]> {
  const entries: string[] = [];
  for await (const { name } of Deno.readDir(new URL("workers", ROOT))) {
    if (name.endsWith("_worker.ts")) entries.push(`workers/${name}`);
  }
  return entries.sort();
}

async function currentCommit(): Promise<string> {
  const commit = await run("git", ["rev-parse", "--short=12", "HEAD"]);
  const changes = await run("git", ["status", "--porcelain"]);
  return commit + (changes === "" ? "" : "+");
}

/** @returns what the command printed on stdout, trimmed */
async function run(command: string, args: readonly string[]): Promise<string> {
  const { success, code, stdout } = await new Deno.Command(command, {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${command} ${args[0]} ended with code ${code}, see above`);
  return new TextDecoder().decode(stdout).trim();
}
