/** Padmé: what lengths become. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { MIN_PADDED_BYTES, padmeLength } from "../../proto/mod.ts";

Deno.test("padmeLength() matches the paper's rule at known lengths", () => {
  const known = [[0, 256], [1, 256], [256, 256], [257, 272], [272, 272], [273, 288], [1_000, 1_024], [
    2_800,
    2_816,
  ], [
    10_000,
    10_240,
  ], [65_520, 65_536]];
  for (const [length, padded] of known) assert.equal(padmeLength(length), padded, `${length}`);
});

Deno.test("padmeLength() never shrinks, is stable, grows with the length, and costs at most 12 %", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (length) => {
    const padded = padmeLength(length);
    assert.ok(padded >= length && padded >= MIN_PADDED_BYTES);
    assert.equal(padmeLength(padded), padded);
    assert.ok(padmeLength(length + 1) >= padded);
    if (length > MIN_PADDED_BYTES) assert.ok(padded <= length * 1.12);
  }));
});
