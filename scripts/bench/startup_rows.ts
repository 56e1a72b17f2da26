/** Benchmark rows of starting: how long `arona version` takes as a whole process. */

import { median, type Row } from "./rows.ts";

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
  return [{ row: "arona version, from source", value: median(times), unit: "ms", budget: 100 }];
}
