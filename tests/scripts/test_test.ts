/** Reading what `deno test` prints. */

import assert from "node:assert/strict";
import { countTests, skippedTests } from "../../scripts/test.ts";

Deno.test("countTests() reads the last summary, colours or not", () => {
  const output =
    "a ... ok (1ms)\n\n\x1b[31mFAILED\x1b[0m | 11 passed (2 steps) | 1 failed (1 step) | 2 ignored (17ms)\n";
  assert.deepEqual(countTests(output, false), { passed: 11, failed: 1, skipped: 2 });
  assert.deepEqual(countTests("ok | 3 passed | 0 failed (1ms)", true), { passed: 3, failed: 0, skipped: 0 });
});

Deno.test("countTests() counts a run without a summary as one failure", () => {
  assert.deepEqual(countTests("error: Type checking failed.", false), { passed: 0, failed: 1, skipped: 0 });
  assert.deepEqual(countTests("ok | 3 passed | 0 failed (1ms)", false).failed, 1);
});

Deno.test("skippedTests() names each test that did not run", () => {
  const output = "a ... ok (1ms)\nb (skipped: tmux is not installed) ... \x1b[33mignored\x1b[0m (0ms)\n";
  assert.deepEqual(skippedTests(output), ["b (skipped: tmux is not installed)"]);
});
