/** The fuzzer's command line. */

import assert from "node:assert/strict";
import { type FuzzArguments, parseFuzzArguments } from "../../scripts/fuzz.ts";
import { TARGETS } from "../fuzz/targets.ts";

function parsed(...args: string[]): FuzzArguments {
  const result = parseFuzzArguments(args);
  assert.ok(typeof result !== "string", String(result));
  return result;
}

Deno.test("without arguments every target runs, with a seed of its own", () => {
  const { targets, cases, seed, only } = parsed();
  assert.deepEqual([targets.length, cases, only], [TARGETS.length, 1_000, undefined]);
  assert.match(seed, /^\d+$/);
});

Deno.test("--target names one target, or all that begin alike", () => {
  const names = (target: string) => parsed("--target", target).targets.map(({ name }) => name);
  assert.deepEqual(names("document"), ["document"]);
  assert.deepEqual(names("relay"), ["relay-login", "relay-request", "relay-frame", "relay-event"]);
});

Deno.test("--seed and --case choose what is repeated", () => {
  const { seed, only } = parsed("--target", "m1", "--seed", "7", "--case", "12");
  assert.deepEqual([seed, only], ["7", 12]);
});

Deno.test("an unknown target, option or number is refused with a reason", () => {
  for (const args of [["--target", "nothing"], ["--cases", "many"], ["--case", "-1"], ["--speed", "9"]]) {
    assert.match(String(parseFuzzArguments(args)), /^Cannot fuzz/);
  }
});
