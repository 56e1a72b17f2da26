/**
 * What GitHub's own OpenAPI description says of gists, and nothing else of its 13 MB.
 *
 * The description is published as npm `@octokit/openapi`, 29 MB packed and 480 MB unpacked: no dependency to install with every
 * checkout. So the one file is taken out of the package when a test first needs it, and what is used of it stays in `node_modules`.
 */

import { createHash } from "node:crypto";

const PACKAGE = "@octokit/openapi@23.0.2";
/** Of the package as it was published, hexadecimal. */
const PACKAGE_SHA512 =
  "a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386";
const DESCRIPTION_FILE = "package/generated/api.github.com.json";
const KEPT = new URL("../../node_modules/.arona-github-api-23.0.2.json", import.meta.url);
const PATHS = ["/gists", "/gists/{gist_id}", "/users/{username}/gists"];

/** As much of an OpenAPI document as is looked at here. */
export interface Description {
  readonly openapi: string;
  readonly info: { readonly version: string; readonly [field: string]: unknown };
  readonly paths: Readonly<Record<string, unknown>>;
  readonly components?: unknown;
}

/**
 * The description of gists.
 *
 * @returns null where the package cannot be had here: without npm, tar or a registry
 * @throws where the package is not the one that was published
 */
export async function githubDescription(): Promise<Description | null> {
  try {
    return JSON.parse(await Deno.readTextFile(KEPT));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const folder = await Deno.makeTempDir({ prefix: "arona-github-api-" });
  try {
    const whole = await downloadDescription(folder);
    if (whole === null) return null;
    const kept = excerpt(JSON.parse(whole), PATHS);
    await Deno.mkdir(new URL(".", KEPT), { recursive: true });
    const temporary = new URL(`${KEPT.href}.${crypto.randomUUID()}`);
    await Deno.writeTextFile(temporary, JSON.stringify(kept));
    await Deno.rename(temporary, KEPT); // half of it is never seen
    return kept;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function downloadDescription(folder: string): Promise<string | null> {
  const npm = Deno.build.os === "windows" ? "npm.cmd" : "npm";
  const packed = await outputOf(npm, ["pack", "--silent", "--pack-destination", folder, PACKAGE]);
  if (packed === null) return null;
  const path = `${folder}/${packed.trim()}`;
  const digest = createHash("sha512").update(await Deno.readFile(path)).digest("hex");
  if (digest !== PACKAGE_SHA512) throw new Error(`Cannot use ${PACKAGE}: it is not what was published`);
  return await outputOf("tar", ["-xzf", path, "-O", DESCRIPTION_FILE]);
}

/** What a command prints on stdout; null where it is not there or fails. */
async function outputOf(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The same description with only `paths`, and only the components that those refer to. */
export function excerpt(description: Description, paths: readonly string[]): Description {
  const kept: Description = {
    openapi: description.openapi,
    info: description.info,
    paths: Object.fromEntries(paths.map((path) => [path, description.paths[path]])),
    components: {},
  };
  const seen = new Set<string>();
  const follow = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { $ref } = value as { $ref?: unknown };
    if (typeof $ref === "string" && !seen.has($ref)) {
      seen.add($ref);
      const keys = $ref.slice("#/".length).split("/");
      const target = keys.reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], description);
      put(kept as unknown as Record<string, unknown>, { keys, target });
      follow(target);
    }
    Object.values(value).forEach(follow);
  };
  follow(kept.paths);
  return kept;
}

function put(root: Record<string, unknown>, { keys, target }: { keys: string[]; target: unknown }): void {
  let node = root;
  for (const key of keys.slice(0, -1)) node = (node[key] ??= {}) as Record<string, unknown>;
  node[keys.at(-1)!] = target;
}
