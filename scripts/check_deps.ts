/**
 * Keeps the layers apart: who may import whom, through which door, and which file may use which npm package.
 *
 * Type imports count like any other. Prints one line per violation, `file:line: what, and what to do`.
 */

/** Which top-level folders a top-level folder may import. Roots (`cli`, `main.ts`) compose everything that ships. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  proto: ["proto"],
  server: ["server", "proto"],
  client: ["client", "proto"],
  workers: ["workers", "client", "server", "proto"],
  cli: ["cli", "workers", "client", "server", "proto", "deno.json"],
  "main.ts": ["cli", "workers", "client", "server", "proto", "deno.json"],
  scripts: ["scripts", "tests", "main.ts", "cli", "workers", "client", "server", "proto", "deno.json"],
  tests: ["tests", "scripts", "main.ts", "cli", "workers", "client", "server", "proto", "deno.json"],
};

/** What puts the layers together. */
const ROOTS: readonly string[] = ["main.ts", "cli", "workers", "scripts", "tests"];

/** Folders of a layer that the rest of the layer does not import: the user interfaces. */
const TOPS = ["client/tui", "client/web"];

/** Doors that everybody may use instead of the one around them: they name single files, so that their users load no more than those. */
const SMALL_DOORS = ["client/api/mod.ts", "proto/base/mod.ts", "proto/lock/mod.ts"];

/** Where each npm package may be imported; `tests/` and `scripts/` may import all of them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "ts-mls": ["client/groups/mls_library.ts"],
  "@hpke/core": ["client/groups/cipher_suite.ts"],
  "@noble/post-quantum": ["proto/crypto/", "client/store/"],
  "@noble/ciphers": ["proto/crypto/", "client/store/"],
  "@noble/curves": ["proto/crypto/", "client/store/"],
  "@noble/hashes": ["proto/crypto/", "client/store/"],
  "@clack/prompts": ["cli/"],
  "@logtape/logtape": ["cli/"],
  "commander": ["cli/"],
  "qrcode-terminal": ["cli/", "client/tui/"],
  "ink": ["client/tui/"],
  "react": ["client/tui/"],
  "ajv": [], // tests only: what ships has no use for GitHub's description
  "dns-packet": [],
  "fast-check": [],
  "jsqr": [],
};

if (import.meta.main) Deno.exit(await checkDependencies());

/** One import statement. Paths are relative to the repository and use `/`. */
export interface Import {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly specifier: string;
  /** The imported file, or null for what is not in the repository. */
  readonly target: string | null;
}

/** An import that the rules forbid. */
export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** All violations among `imports`; `doors` are the folders that have a `mod.ts`. */
export function findViolations(imports: readonly Import[], doors: ReadonlySet<string>): Violation[] {
  return imports.flatMap((one) => {
    const message = one.target === null
      ? packageViolation(one.file, one.specifier)
      : layerViolation(one.file, one.target) ?? doorViolation(one.file, one.target, doors);
    return message === null ? [] : [{ file: one.file, line: one.line, message }];
  });
}

function layerViolation(file: string, target: string): string | null {
  const allowed = LAYERS[layerOf(file)];
  if (allowed === undefined) return `${layerOf(file)} is not a known layer: add it to LAYERS`;
  if (!allowed.includes(layerOf(target))) {
    return `${layerOf(file)} must not import ${layerOf(target)} (${target}); it may import ${
      allowed.join(", ")
    }`;
  }
  const top = TOPS.find((folder) => target.startsWith(`${folder}/`));
  if (top !== undefined && layerOf(file) === "client" && !file.startsWith(`${top}/`)) {
    return `only ${top} itself and the composition roots import ${top} (${target})`;
  }
  return null;
}

/**
 * The outermost folder with a door that holds the target but not the importer has to be entered through it. Composition
 * roots pick adapters, so they may use the door of an inner folder too.
 */
function doorViolation(file: string, target: string, doors: ReadonlySet<string>): string | null {
  if (SMALL_DOORS.includes(file) || SMALL_DOORS.includes(target)) return null;
  if (layerOf(file) === "tests" || (ROOTS.includes(layerOf(file)) && target.endsWith("/mod.ts"))) return null;
  const parts = target.split("/");
  for (let depth = 1; depth < parts.length; depth++) {
    const folder = parts.slice(0, depth).join("/");
    if (file.startsWith(`${folder}/`) || !doors.has(folder)) continue;
    return target === `${folder}/mod.ts` ? null : `import ${folder}/mod.ts instead of ${target}`;
  }
  return null;
}

function packageViolation(file: string, specifier: string): string | null {
  if (specifier.startsWith("node:")) return null;
  if (/^(https?|jsr|npm|file|data):/.test(specifier) || specifier.startsWith("/")) {
    return `"${specifier}" is not an import of this project: list the package in deno.json and use its bare name`;
  }
  const name = specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
  const places = PACKAGES[name];
  if (places === undefined) {
    return `the package ${name} is not allowed anywhere: add it to PACKAGES with a reason`;
  }
  if (["tests", "scripts"].includes(layerOf(file))) return null;
  if (places.some((place) => place.endsWith("/") ? file.startsWith(place) : file === place)) return null;
  return `the package ${name} may only be imported in ${places.join(", ") || "tests/ and scripts/"}`;
}

function layerOf(path: string): string {
  return path.split("/")[0];
}

async function checkDependencies(): Promise<number> {
  const root = new URL("../", import.meta.url);
  const files = [...sourceFiles(root, "")];
  const doors = new Set(
    files.filter((file) => file.endsWith("/mod.ts")).map((file) => file.slice(0, -"/mod.ts".length)),
  );
  const imports = await readImports(root, files);
  const violations = findViolations(imports, doors);
  for (const { file, line, message } of violations) console.error(`${file}:${line}: ${message}`);
  console.log(`${files.length} files, ${imports.length} imports, ${violations.length} violations`);
  return violations.length === 0 ? 0 : 1;
}

function* sourceFiles(root: URL, folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder || ".", root))) {
    const path = folder + entry.name;
    if (
      entry.isDirectory && !entry.name.startsWith(".") &&
      !["node_modules", "dist", "coverage"].includes(entry.name)
    ) {
      yield* sourceFiles(root, `${path}/`);
    } else if (entry.isFile && /\.tsx?$/.test(entry.name)) yield path;
  }
}

/** Asks `deno info` for every import, so that the compiler's own parser finds them. */
async function readImports(root: URL, files: readonly string[]): Promise<Import[]> {
  const entry = files.map((file) => `import ${JSON.stringify(new URL(file, root).href)};`).join("");
  const info = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", `data:application/typescript,${encodeURIComponent(entry)}`],
    cwd: root,
    stderr: "inherit",
  }).output();
  if (!info.success) throw new Error("Cannot read the imports: `deno info` failed");
  const { modules } = JSON.parse(new TextDecoder().decode(info.stdout)) as { modules: InfoModule[] };
  const read = new Map(modules.map((module) => [relativePath(root, module.specifier), module]));
  return files.flatMap((file) => {
    const module = read.get(file);
    if (module === undefined || module.error) {
      throw new Error(`Cannot read the imports of ${file}: ${module?.error}`);
    }
    return (module.dependencies ?? []).map((dependency) => toImport(root, file, dependency));
  });
}

interface InfoModule {
  specifier: string;
  error?: string;
  dependencies?: InfoDependency[];
}

interface InfoDependency {
  specifier: string;
  code?: InfoResolution;
  type?: InfoResolution;
}

interface InfoResolution {
  specifier?: string;
  span: { start: { line: number } };
}

function toImport(root: URL, file: string, dependency: InfoDependency): Import {
  const resolution = dependency.code ?? dependency.type;
  const target = relativePath(root, resolution?.specifier ?? "");
  return { file, line: (resolution?.span.start.line ?? 0) + 1, specifier: dependency.specifier, target };
}

function relativePath(root: URL, specifier: string): string | null {
  if (!specifier.startsWith(root.href)) return null;
  const path = decodeURIComponent(specifier.slice(root.href.length));
  return path.startsWith("node_modules/") ? null : path;
}
