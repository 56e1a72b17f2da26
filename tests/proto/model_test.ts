/** The models of the protocol: what holds in them, that every seeded bug is found, and that a search cut short shows nothing. */

import assert from "node:assert/strict";
import { checkName, MODEL_CHECKS, readVerdict, runCheck } from "../../scripts/model.ts";
import { requirement, requireTool } from "../require.ts";

const tools = requirement(
  requireTool("spin").present && requireTool("gcc").present,
  "spin or gcc is not installed",
);

for (const check of MODEL_CHECKS) {
  const bug = check.expected === "holds" ? "" : `spin finds ${check.defines[0]}: `;
  tools.test(`model ${check.model}: ${bug}${check.shows}`, async () => {
    const { verdict, reason } = await runCheck(check);
    assert.equal(verdict, check.expected, `${checkName(check)}: ${reason}`);
  });
}

tools.test("runCheck() says that a search which did not go deep enough is inconclusive", async () => {
  const check = MODEL_CHECKS.find(({ model, expected }) => model === "mailbox" && expected === "holds")!;
  const { verdict, reason } = await runCheck(check, { maxDepth: 50 });
  assert.equal(verdict, "inconclusive");
  assert.match(reason, /max search depth/);
});

Deno.test("the models have the same seeded bugs as the list of checks", async () => {
  for (const model of ["epoch", "mailbox"]) {
    const source = await Deno.readTextFile(new URL(`../../proto/model/${model}.pml`, import.meta.url));
    const known = new Set([...source.matchAll(/#ifn?def ((?:BUG|LIMIT)_\w+)/g)].map(([, name]) => name));
    const checked = MODEL_CHECKS.filter((check) => check.model === model).flatMap(({ defines }) => defines)
      .filter((define) => /^(BUG|LIMIT)_/.test(define));
    assert.deepEqual(checked.toSorted(), [...known].toSorted());
  }
});

Deno.test("readVerdict() takes a complete search without an error for proof, and no other", () => {
  const complete =
    "State-vector 92 byte, depth reached 338, errors: 0\n   219010 states, stored (438018 visited)\n";
  assert.deepEqual(readVerdict(complete), { verdict: "holds", states: 219010, reason: "" });
  for (
    const [cut, reason] of [
      ["error: max search depth too small\n", /max search depth/],
      ["pan: out of memory\n", /out of memory/],
      ["pan: reached -DMEMLIM bound\n", /MEMLIM/],
      ["Warning: Search not completed\n", /did not end/],
    ] as const
  ) {
    const { verdict, reason: said } = readVerdict(cut + complete);
    assert.equal(verdict, "inconclusive", cut);
    assert.match(said, reason);
  }
  assert.equal(readVerdict("").verdict, "inconclusive");
  assert.equal(readVerdict("pan: error: too many processes\n").verdict, "inconclusive");
});

Deno.test("readVerdict() tells a broken assertion from a run that does not settle and from a faulty model", () => {
  const found = (line: string) =>
    readVerdict(`${line}\nWarning: Search not completed\ndepth reached 9, errors: 1\n`);
  assert.equal(found("pan:1: assertion violated shown[0] (at depth 9)").verdict, "assertion");
  assert.equal(
    found("pan:1: assertion violated shown[0] (at depth 9)").reason,
    "assertion violated shown[0]",
  );
  assert.equal(found("pan:1: acceptance cycle (at depth 9)").verdict, "run");
  assert.equal(found("pan:1: invalid array index (at depth 9)").verdict, "inconclusive");
  assert.equal(found("pan:1: invalid end state (at depth 9)").verdict, "inconclusive");
});
