/** Benchmark rows of starting, as whole processes: from source, and the executable where `deno task compile` has made one. */

import { fileURLToPath } from "node:url";
import { median, type Row } from "./rows.ts";

const RUNS = 9;
const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));
const EXECUTABLE = fileURLToPath(new URL("../../dist/arona", import.meta.url));

/** How the program is started. */
interface Program {
  readonly name: string;
  readonly command: string;
  readonly before: readonly string[];
  /** The most that `arona version` should take (DESIGN section 13, and for the executable the release's promise). */
  readonly versionBudgetMs: number;
}

/** Medians of some runs, after one that is not counted. */
export async function startupRows(): Promise<Row[]> {
  const programs: Program[] = [
    { name: "from source", command: Deno.execPath(), before: ["run", "-A", MAIN], versionBudgetMs: 100 },
  ];
  const size = await Deno.stat(EXECUTABLE).then((file) => file.size, () => null);
  if (size !== null) {
    programs.push({ name: "executable", command: EXECUTABLE, before: [], versionBudgetMs: 150 });
  }
  const rows: Row[] = [];
  for (const program of programs) {
    rows.push(
      {
        row: `arona version, ${program.name}`,
        value: await medianOf(() => versionMs(program)),
        unit: "ms",
        budget: program.versionBudgetMs,
      },
      {
        row: `relay ready, ${program.name}`,
        value: await medianOf(() => relayReadyMs(program)),
        unit: "ms",
        budget: 400,
      },
    );
  }
  if (size !== null) rows.push({ row: "executable", value: size / 1e6, unit: "MB", budget: 100 });
  return rows;
}

async function medianOf(measure: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const time = await measure();
    if (run > 0) times.push(time);
  }
  return median(times);
}

async function versionMs({ command, before }: Program): Promise<number> {
  const begun = performance.now();
  const { success } = await new Deno.Command(command, {
    args: [...before, "version"],
    stdout: "null",
    stderr: "null",
  }).output();
  if (!success) throw new Error("Cannot measure: `arona version` failed");
  return performance.now() - begun;
}

/** Until the line that says where it listens; the data folder is new, so the identity's keys are made as well. */
async function relayReadyMs({ command, before }: Program): Promise<number> {
  const home = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const begun = performance.now();
  const child = new Deno.Command(command, {
    args: [...before, "serve", "--listen", "127.0.0.1:0", "--json"],
    env: { ARONA_HOME: home },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  try {
    const { value } = await child.stdout.getReader().read();
    if (value === undefined) throw new Error("Cannot measure: `arona serve` ended");
    return performance.now() - begun;
  } finally {
    child.kill("SIGTERM");
    await child.status;
    await Deno.remove(home, { recursive: true });
  }
}
