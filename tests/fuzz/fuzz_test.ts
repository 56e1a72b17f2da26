/** Every fuzz target for a moment, always the same cases; `deno task fuzz` goes on for as long as it is told to. */

import assert from "node:assert/strict";
import { AronaError, toHex } from "../../proto/mod.ts";
import { countAllocated } from "./allocation.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./prng.ts";
import { fuzz, FuzzFailure, type FuzzTarget } from "./runner.ts";
import { TARGETS } from "./targets.ts";

const SEED = "1";
/** Changed inputs of a fast target. */
const CASES = 1_000;

for (const target of TARGETS) {
  Deno.test(`fuzz ${target.name}: ${target.what}`, async () => {
    await fuzz(target, { seed: SEED, cases: CASES });
  });
}

Deno.test("no two fuzz targets have one name", () => {
  const names = TARGETS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
});

Deno.test("the same seed gives the same numbers, another seed others", () => {
  const numbers = (seed: string) => toHex(new Random(seed).bytes(64));
  assert.equal(numbers("a/1/0"), numbers("a/1/0"));
  assert.notEqual(numbers("a/1/0"), numbers("a/1/1"));
});

Deno.test("mutate() changes what it is given and leaves the corpus alone", () => {
  const corpus = [new Uint8Array(40).fill(1), new Uint8Array(10).fill(2)];
  const seen = new Set<string>();
  for (let i = 0; i < 1_000; i++) seen.add(toHex(mutate(new Random(String(i)), corpus)));
  assert.ok(seen.size > 700, `${seen.size} different inputs`);
  assert.deepEqual(corpus, [new Uint8Array(40).fill(1), new Uint8Array(10).fill(2)]);
});

Deno.test("a failing case is reported with all that repeats it, and repeats", async () => {
  const failure = await fail(broken((input) => input.length > 4 && input[0] === 9 ? boom() : undefined));
  const [, index] = /--case (\d+)$/.exec(failure.message)!;
  assert.match(failure.message, /TypeError: boom[^]*Input \(\d+ bytes\): 09[^]*--target broken --seed 7/);
  let inputs = 0;
  const again = await fail(
    broken(() => {
      inputs++;
      boom();
    }),
    Number(index),
  );
  assert.equal(inputs, 1);
  assert.equal(again.message.match(/Input.*/)?.[0], failure.message.match(/Input.*/)?.[0]);
});

Deno.test("an AronaError is a refusal, except for INTERNAL and for valid inputs", async () => {
  const refuse = (code: "BAD_FRAME" | "INTERNAL") => {
    throw new AronaError(code, "Cannot test: refused");
  };
  const isValid = (input: Uint8Array) => toHex(input) === "0900000000";
  const result = await fuzz(broken((input) => isValid(input) ? undefined : refuse("BAD_FRAME")), {
    seed: "7",
    cases: 50,
  });
  assert.ok(result.accepted >= 1 && result.refused > 30);
  await fail(broken((input) => isValid(input) ? undefined : refuse("INTERNAL")));
  await fail(broken(() => refuse("BAD_FRAME")));
});

Deno.test("an error that nobody waits for fails its case", async () => {
  await fail(broken(async () => {
    void Promise.reject(new TypeError("stray"));
    await new Promise((resolve) => setTimeout(resolve, 0));
  }));
});

Deno.test("countAllocated() counts arrays, not views, and reports what was thrown", () => {
  const { bytes, error } = countAllocated(() => {
    new Uint8Array(1_000).subarray(10);
    new Uint8Array(new ArrayBuffer(8));
    throw new TypeError("boom");
  });
  assert.equal(bytes, 1_000);
  assert.ok(error instanceof TypeError);
});

function broken(run: (input: Uint8Array) => void | Promise<void>): FuzzTarget {
  return { name: "broken", what: "", open: () => ({ corpus: [Uint8Array.of(9, 0, 0, 0, 0)], run }) };
}

async function fail(target: FuzzTarget, only?: number): Promise<FuzzFailure> {
  try {
    await fuzz(target, { seed: "7", cases: 2_000, only });
  } catch (error) {
    if (error instanceof FuzzFailure) return error;
    throw error;
  }
  assert.fail("nothing failed");
}

function boom(): never {
  throw new TypeError("boom");
}
