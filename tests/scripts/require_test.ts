/** Tests that need something from outside. */

import assert from "node:assert/strict";
import { requirement, requireTool, requireVectors } from "../require.ts";

Deno.test("requireTool() finds what is on the PATH and nothing else", () => {
  assert.equal(requireTool("no-such-tool-anywhere").present, false);
  assert.equal(requireVectors("no-such-folder").present, false);
  assert.match(requireVectors("mls").url("a.json").pathname, /\/shared\/vectors\/mls\/a\.json$/);
});

Deno.test("a requirement that is not met never runs its test", () => {
  const defined: { ignore?: boolean; name: string; fn?: unknown }[] = [];
  const original = Deno.test;
  const previous = Deno.env.get("ARONA_REQUIRE_ALL");
  const record = (test: string | { name: string }, fn?: unknown) => {
    defined.push(typeof test === "string" ? { name: test, fn } : test);
  };
  try {
    Object.assign(Deno, { test: record });
    Deno.env.delete("ARONA_REQUIRE_ALL");
    requirement(false, "tmux is not installed").test("redraws", () => {});
    Deno.env.set("ARONA_REQUIRE_ALL", "1");
    requirement(false, "tmux is not installed").test("redraws", () => {});
    requirement(true, "tmux is not installed").test("redraws", () => {});
  } finally {
    Object.assign(Deno, { test: original });
    if (previous === undefined) Deno.env.delete("ARONA_REQUIRE_ALL");
    else Deno.env.set("ARONA_REQUIRE_ALL", previous);
  }
  assert.equal(defined[0].name, "redraws (skipped: tmux is not installed)");
  assert.equal(defined[0].ignore, true);
  assert.throws(defined[1].fn as () => void, /tmux is not installed, and ARONA_REQUIRE_ALL=1/);
  assert.equal(defined[2].name, "redraws");
});
