/** The soak's command line. */

import assert from "node:assert/strict";
import { parseSoakArguments, type SoakArguments } from "../../scripts/soak.ts";
import { SCENARIOS } from "../scenario/faults/scenarios.ts";

function parsed(...args: string[]): SoakArguments {
  const result = parseSoakArguments(args);
  assert.ok(typeof result !== "string", String(result));
  return result;
}

Deno.test("--minutes runs every scenario, with a seed of its own", () => {
  const { scenarios, seed, extent } = parsed("--minutes", "0.5");
  assert.deepEqual([scenarios.length, extent], [SCENARIOS.length, { kind: "minutes", minutes: 0.5 }]);
  assert.match(seed, /^\d+$/);
  assert.equal(parsed("--full", "--scenario", "relay-kills").scenarios.length, 1);
});

Deno.test("a part of one scenario, or its short form, is repeated with its seed", () => {
  const one = ["--scenario", "relay-kills", "--seed", "7.3"];
  assert.deepEqual(parsed(...one, "--part", "3").extent, { kind: "once", part: 3 });
  const short = parsed(...one, "--short");
  assert.deepEqual([short.seed, short.extent], ["7.3", { kind: "once", part: null }]);
});

Deno.test("an unknown scenario, part or extent is refused with a reason", () => {
  const bad = [
    [],
    ["--minutes", "many"],
    ["--minutes", "1", "--full"],
    ["--minutes", "1", "--scenario", "nothing"],
    ["--short"],
    ["--scenario", "relay-kills", "--seed", "1", "--part", "20"],
    ["--speed", "9"],
  ];
  for (const args of bad) assert.match(String(parseSoakArguments(args)), /^Cannot soak/);
});
