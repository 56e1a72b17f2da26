/**
 * Writes tests/helpers/github_api.json: what GitHub's own OpenAPI description says of gists, and nothing else of its 13 MB.
 *
 * The description is published as npm `@octokit/openapi` (MIT), 480 MB unpacked; so it is taken out once and kept:
 *
 *     npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
 *     deno run --allow-read --allow-write=tests scripts/excerpt_github_api.ts package
 */

/** Where the excerpt is. */
export const EXCERPT_URL = new URL("../tests/helpers/github_api.json", import.meta.url);

const PATHS = ["/gists", "/gists/{gist_id}", "/users/{username}/gists"];

/** As much of an OpenAPI document as is looked at here. */
export interface Description {
  readonly openapi: string;
  readonly info: { readonly version: string; readonly [field: string]: unknown };
  readonly paths: Readonly<Record<string, unknown>>;
  readonly components?: unknown;
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) {
    console.error("Cannot make the excerpt: the unpacked package's folder is missing");
    Deno.exit(2);
  }
  const description = JSON.parse(await Deno.readTextFile(`${folder}/generated/api.github.com.json`));
  description.info.license.notice = await Deno.readTextFile(`${folder}/LICENSE`);
  await Deno.writeTextFile(EXCERPT_URL, `${JSON.stringify(excerpt(description, PATHS), null, 2)}\n`);
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
