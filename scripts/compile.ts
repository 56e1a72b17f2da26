/**
 * `deno task compile`: makes executables in `dist/`, and a list of what is in them.
 *
 *     deno task compile                           dist/arona, for this machine
 *     deno task compile --target all              dist/arona-Linux-x86_64, … for every platform
 *     deno task compile --target aarch64-apple-darwin --with-deno 2.9.6 --output-dir /tmp
 *
 * The current Deno bundles; the Deno of `--with-deno` (fetched by npx) compiles, and its version is the one in the executable. Deno
 * downloads the runtime of the target; where `DENORT_BIN` names one, that is taken instead.
 */

import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../deno.json" with { type: "json" };
import { bundleProgram, MAIN_FILE } from "./bundle.ts";
import { billOfMaterials } from "./sbom.ts";

/** What Deno calls a platform, and what the executable for it is called: as `uname -s` and `uname -m` say it there. */
export const TARGETS = {
  "x86_64-unknown-linux-gnu": "arona-Linux-x86_64",
  "aarch64-unknown-linux-gnu": "arona-Linux-aarch64",
  "x86_64-apple-darwin": "arona-Darwin-x86_64",
  "aarch64-apple-darwin": "arona-Darwin-arm64",
  "x86_64-pc-windows-msvc": "arona-Windows-x86_64.exe",
  "aarch64-pc-windows-msvc": "arona-Windows-arm64.exe",
} as const;

/** A platform, as Deno calls it. */
export type Target = keyof typeof TARGETS;

/** What `deno task compile` was asked for. */
export interface CompileRequest {
  /** Empty: this machine. */
  readonly targets: readonly Target[];
  /** @default the Deno that runs this */
  readonly withDeno?: string;
  /** @default `dist` in the checkout */
  readonly outputDir?: string;
}

/** What is in the executables, beside them. */
export const BILL_FILE = "arona.cdx.json";

/**
 * The rights of the main thread; each role's worker gets its part of them (workers/permissions.ts). One by one and not `--allow-all`,
 * since rights that were given so could not be given up again before Deno 2.5.
 */
export const RUNTIME_FLAGS: readonly string[] = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-run",
  "--allow-env",
  "--allow-sys",
  "--no-prompt",
  "--unstable-worker-options",
  "--unstable-net",
];
/** As in the task `arona`: fewer and shorter collections while many messages pass. */
const V8_FLAGS = "--v8-flags=--max-semi-space-size=8";
const USAGE =
  "use: deno task compile [--target TARGET | --target all]… [--with-deno VERSION] [--output-dir DIR]";
const DIST = fileURLToPath(new URL("../dist", import.meta.url));

if (import.meta.main) {
  try {
    for (const path of await compile(parseRequest(Deno.args))) console.log(path);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}

/** Reads the arguments of the task. @throws with how it is used */
export function parseRequest(args: readonly string[]): CompileRequest {
  const fail = (why: string) => new Error(`Cannot compile: ${why}; ${USAGE}`);
  const targets = new Set<Target>();
  const request: { withDeno?: string; outputDir?: string } = {};
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = args[i].split("=", 2);
    const value = inline ?? args[++i] ?? "";
    switch (name) {
      case "--target":
        for (const target of targetsOf(value)) targets.add(target);
        break;
      case "--with-deno":
        if (!/^\d+\.\d+\.\d+$/.test(value)) throw fail(`"${value}" is not a version`);
        request.withDeno = value;
        break;
      case "--output-dir":
        if (value === "") throw fail("the folder is missing");
        request.outputDir = value;
        break;
      default:
        throw fail(`unknown argument ${name}`);
    }
  }
  return { ...request, targets: [...targets] };
}

function targetsOf(value: string): Target[] {
  const all = Object.keys(TARGETS) as Target[];
  const meant = value === "all" ? all : all.filter((target) => target === value);
  if (meant.length === 0) {
    throw new Error(`Cannot compile for "${value}": want one of all, ${all.join(", ")}`);
  }
  return meant;
}

/** Makes the executables. @returns their paths @throws where a step fails */
export async function compile(request: CompileRequest): Promise<string[]> {
  const { targets, withDeno, outputDir = DIST } = request;
  const folder = await Deno.makeTempDir({ prefix: "arona-bundle-" });
  try {
    const commit = await bundleProgram(folder);
    const bill = await billOfMaterials(folder, {
      version: project.version,
      commit,
      deno: withDeno ?? Deno.version.deno,
    });
    const outputs = targets.length === 0
      ? [{ output: resolve(outputDir, hostName()) }]
      : targets.map((target) => ({ output: resolve(outputDir, TARGETS[target]), target }));
    for (const output of outputs) await compileBundle(folder, { ...output, withDeno });
    const billPath = resolve(outputDir, BILL_FILE);
    await Deno.writeTextFile(billPath, bill);
    return [...outputs.map(({ output }) => output), billPath];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Makes one executable of the bundle in `folder`.
 *
 * @param options.main the file that starts, below `folder`
 * @param options.output where it goes
 * @param options.target @default this machine
 * @param options.withDeno @default the Deno that runs this
 * @throws where `deno compile` fails
 */
export async function compileBundle(
  folder: string,
  options: { main?: string; output: string; target?: Target; withDeno?: string },
): Promise<void> {
  const { main = MAIN_FILE, output, target, withDeno } = options;
  const [command, ...before] = withDeno === undefined ? [Deno.execPath()] : [npx(), "-y", `deno@${withDeno}`];
  const args = [
    ...before,
    "compile",
    "--quiet",
    "--no-check",
    "--no-config", // the bundle needs neither imports nor node_modules, and shall not carry them along
    ...RUNTIME_FLAGS,
    V8_FLAGS,
    ...(target === undefined ? [] : [`--target=${target}`]),
    "--include=.",
    `--output=${output}`,
    main,
  ];
  const child = new Deno.Command(command, {
    args,
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const { success, code } = await child.status;
  if (!success) {
    throw new Error(
      `Cannot compile ${output}: deno compile ended with code ${code}, see above. It needs the runtime of its own ` +
        "version: by download, or in the file that DENORT_BIN names.",
    );
  }
}

function hostName(): string {
  return Deno.build.os === "windows" ? "arona.exe" : "arona";
}

function npx(): string {
  return Deno.build.os === "windows" ? "npx.cmd" : "npx";
}
