/**
 * `deno task fuzz [--cases N] [--seed S] [--target NAME] [--case K] [--list]`: feeds every decoder valid, broken and arbitrary input.
 *
 * N cases for each target (1,000 by default; slow targets get fewer, see `--list`). What a case is depends on target, seed and number
 * only, so a failure is repeated with `--target`, `--seed` and `--case`. `--target` may be the beginning of several names.
 */

import { parseArgs } from "node:util";
import { fuzz, FuzzFailure, type FuzzTarget } from "../tests/fuzz/runner.ts";
import { TARGETS } from "../tests/fuzz/targets.ts";

if (import.meta.main) Deno.exit(await runFuzz(Deno.args));

/** Runs the targets that `args` name. @returns the exit code: 0 done, 1 a case failed, 2 bad usage */
export async function runFuzz(args: readonly string[]): Promise<number> {
  const options = parseFuzzArguments(args);
  if (typeof options === "string") {
    console.error(options);
    return 2;
  }
  const { list, seed, cases, only, targets } = options;
  if (list) {
    for (const { name, what, cost = 1 } of TARGETS) console.log(`${name.padEnd(20)} 1/${cost}\t${what}`);
    return 0;
  }
  console.log(`seed ${seed}`);
  let failures = 0;
  for (const target of targets) {
    try {
      const { cases: run, accepted, refused, elapsedMs } = await fuzz(target, { seed, cases, only });
      const perCase = (elapsedMs / run).toFixed(2);
      console.log(
        `${
          target.name.padEnd(20)
        } ${run} cases, ${accepted} accepted, ${refused} refused, ${perCase} ms each`,
      );
    } catch (error) {
      if (!(error instanceof FuzzFailure)) throw error;
      failures++;
      console.error(error.message);
    }
  }
  console.log(failures === 0 ? "no failures" : `${failures} of ${targets.length} targets failed`);
  return failures === 0 ? 0 : 1;
}

/** What to run. */
export interface FuzzArguments {
  readonly list: boolean;
  readonly seed: string;
  readonly cases: number;
  readonly only: number | undefined;
  readonly targets: readonly FuzzTarget[];
}

/** @returns what is wrong with the arguments, where something is */
export function parseFuzzArguments(args: readonly string[]): FuzzArguments | string {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        cases: { type: "string", default: "1000" },
        seed: { type: "string" },
        target: { type: "string", default: "" },
        case: { type: "string" },
        list: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return `Cannot fuzz: ${(error as Error).message}`;
  }
  const cases = Number(values.cases);
  const only = values.case === undefined ? undefined : Number(values.case);
  for (const number of [cases, only ?? 0]) {
    if (!Number.isSafeInteger(number) || number < 0) return "Cannot fuzz: a number is not a whole number";
  }
  const exact = TARGETS.filter(({ name }) => name === values.target);
  const targets = exact.length > 0 ? exact : TARGETS.filter(({ name }) => name.startsWith(values.target));
  if (targets.length === 0) {
    return `Cannot fuzz "${values.target}": there is no such target (--list shows all)`;
  }
  const seed = values.seed ?? String(crypto.getRandomValues(new Uint32Array(1))[0]);
  return { list: values.list, seed, cases, only, targets };
}
