/** Benchmark rows of starting: how long `arona version` takes as a whole process. */

import type { Row } from "./rows.ts";

const RUNS = 9;

/** The median of some runs, after one that is not counted. */
export async function startupRows(): Promise<Row[]> {
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const times: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const begun = performance.now();
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", main, "version"],
      stdout: "null",
      stderr: "null",
    }).output();
    if (!success) throw new Error("Cannot measure: `arona version` failed");
    if (run > 0) times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  return [{ row: "arona version, from source", value: times[RUNS >> 1], unit: "ms", budget: 100 }];
}
