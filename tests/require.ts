/**
 * Tests that need something from outside: without it they are skipped by name, or fail where `ARONA_REQUIRE_ALL=1`.
 *
 * @example
 * ```ts
 * const tmux = requireTool("tmux");
 * tmux.test("the terminal client redraws after a resize", async () => {});
 *
 * const xwing = requireVectors("xwing");
 * xwing.test("both providers agree with the draft", () => Deno.readTextFileSync(xwing.url("vectors.json")));
 * ```
 */

const VECTORS = new URL("../../shared/vectors/", import.meta.url);

/** Something that a test cannot run without. */
export interface Requirement {
  readonly present: boolean;
  /** Defines a test that runs where the requirement is met. */
  test(name: string, action: (context: Deno.TestContext) => void | Promise<void>): void;
}

/** A folder of shared test vectors. */
export interface VectorRequirement extends Requirement {
  /** The address of a file in the folder. */
  url(path: string): URL;
}

/** A program on the PATH. */
export function requireTool(tool: string): Requirement {
  return requirement(findOnPath(tool) !== null, `${tool} is not installed`);
}

/** The folder `name` of the shared vectors beside the repository. */
export function requireVectors(name: string): VectorRequirement {
  const folder = new URL(`${name}/`, VECTORS);
  return {
    ...requirement(exists(folder), `the test vectors ${name} are not in ../shared/vectors`),
    url: (path) => new URL(path, folder),
  };
}

/** Whatever `present` says, with `missing` telling a person what is not there. */
export function requirement(present: boolean, missing: string): Requirement {
  return {
    present,
    test(name, action) {
      if (present) return Deno.test(name, action);
      if (Deno.env.get("ARONA_REQUIRE_ALL") === "1") {
        return Deno.test(name, () => {
          throw new Error(`Cannot run test: ${missing}, and ARONA_REQUIRE_ALL=1 forbids to skip it`);
        });
      }
      Deno.test({ name: `${name} (skipped: ${missing})`, ignore: true, fn: action });
    },
  };
}

function findOnPath(tool: string): string | null {
  const windows = Deno.build.os === "windows";
  const names = windows ? [`${tool}.exe`, `${tool}.cmd`, tool] : [tool];
  for (const folder of (Deno.env.get("PATH") ?? "").split(windows ? ";" : ":")) {
    for (const name of names) {
      if (folder !== "" && exists(`${folder}/${name}`)) return `${folder}/${name}`;
    }
  }
  return null;
}

function exists(path: string | URL): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
