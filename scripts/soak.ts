/**
 * `deno task soak --minutes N [--seed S] [--scenario NAME]`: breaks the relay, the clients and what is between and under them, in turns,
 * until the time is over; `--full` instead goes on until every part of every scenario's long form was run once (200 kills of the relay,
 * every transaction of a client). It ends with a line for each scenario.
 *
 * At the first failure it ends with exit code 1 and prints the seed and the command that runs just that again: `--scenario NAME
 * --seed S --part K` or, for the form that the tests run, `--short`. A seed decides what is done; when the processes run is the
 * system's to decide, so a failure may take several tries.
 */

import { parseArgs } from "node:util";
import { runScenario, type Scenario, SCENARIOS } from "../tests/scenario/faults/scenarios.ts";

if (import.meta.main) Deno.exit(await soak(Deno.args));

/** What to run. */
export interface SoakArguments {
  readonly scenarios: readonly Scenario[];
  readonly seed: string;
  /** `once`: just one form of one scenario; a part, or null for the short form. */
  readonly extent: { kind: "minutes"; minutes: number } | { kind: "full" } | {
    kind: "once";
    part: number | null;
  };
}

/** How often a scenario ran, and how long that took. */
interface Tally {
  runs: number;
  elapsedMs: number;
}

/** @returns the exit code: 0 done, 1 a scenario failed, 2 bad usage */
export async function soak(args: readonly string[]): Promise<number> {
  const options = parseSoakArguments(args);
  if (typeof options === "string") {
    console.error(options);
    return 2;
  }
  const { seed, scenarios } = options;
  console.log(`seed ${seed}`);
  const tallies = new Map(scenarios.map((scenario) => [scenario, { runs: 0, elapsedMs: 0 }]));
  try {
    for (const { scenario, ...run } of plan(options)) {
      const tally = tallies.get(scenario)!;
      const startMs = performance.now();
      await runScenario(scenario, run);
      tally.runs++;
      tally.elapsedMs += performance.now() - startMs;
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    for (const [scenario, tally] of tallies) console.log(summary(scenario, tally));
  }
  return 0;
}

/** @returns what is wrong with the arguments, where something is */
export function parseSoakArguments(args: readonly string[]): SoakArguments | string {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        minutes: { type: "string" },
        full: { type: "boolean", default: false },
        seed: { type: "string" },
        scenario: { type: "string" },
        part: { type: "string" },
        short: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return `Cannot soak: ${(error as Error).message}`;
  }
  const { minutes, full, scenario, part, short } = values;
  const scenarios = SCENARIOS.filter(({ name }) => scenario === undefined || name === scenario);
  if (scenarios.length === 0) {
    return `Cannot soak "${scenario}": there are ${SCENARIOS.map(({ name }) => name).join(", ")}`;
  }
  const seed = values.seed ?? String(crypto.getRandomValues(new Uint32Array(1))[0]);
  if ([minutes !== undefined, full, part !== undefined, short].filter(Boolean).length !== 1) {
    return "Cannot soak: want --minutes N, --full, --part K or --short";
  }
  if (full) return { scenarios, seed, extent: { kind: "full" } };
  if (minutes !== undefined) {
    if (!(Number(minutes) > 0)) return `Cannot soak for ${minutes} minutes`;
    return { scenarios, seed, extent: { kind: "minutes", minutes: Number(minutes) } };
  }
  if (scenario === undefined || values.seed === undefined) {
    return "Cannot soak once: want --scenario NAME and --seed S";
  }
  const number = part === undefined ? null : Number(part);
  if (number !== null && !(Number.isSafeInteger(number) && number >= 0 && number < scenarios[0].parts)) {
    return `Cannot soak part ${part}: ${scenario} has parts 0 to ${scenarios[0].parts - 1}`;
  }
  return { scenarios, seed, extent: { kind: "once", part: number } };
}

/** One run after the other, the scenarios in turn, with a seed of its own for each turn. */
function* plan({ scenarios, seed, extent }: SoakArguments) {
  const able = scenarios.filter(({ lacks }) => lacks === null);
  if (extent.kind === "once") {
    for (const scenario of able) yield { scenario, seed, part: extent.part };
    return;
  }
  const endMs = extent.kind === "minutes" ? performance.now() + extent.minutes * 60_000 : Infinity;
  const turns = extent.kind === "full" ? Math.max(...able.map(({ parts }) => parts)) : Infinity;
  for (let turn = 0; turn < turns; turn++) {
    for (const scenario of able) {
      if (performance.now() >= endMs) return;
      if (extent.kind === "full" && turn >= scenario.parts) continue;
      yield { scenario, seed: `${seed}.${turn}`, part: turn % scenario.parts };
    }
  }
}

function summary({ name, parts, lacks }: Scenario, { runs, elapsedMs }: Tally): string {
  const state = lacks === null
    ? `${runs} runs, ${Math.min(runs, parts)} of ${parts} parts, ${Math.round(elapsedMs / 1_000)} s`
    : `skipped: ${lacks}`;
  return `${name.padEnd(20)} ${state}`;
}
