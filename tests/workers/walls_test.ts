/** The walls from inside: each role's rights let through what the table says, and nothing else of a long list. */

import assert from "node:assert/strict";
import { ROLE_RIGHTS } from "../../workers/mod.ts";
import { tryWalls, tryWithoutWall, type Wall, WALLS } from "./walls.ts";

const deno = Deno.execPath();

for (const wall of Object.keys(WALLS) as Wall[]) {
  Deno.test(`inside the wall of the ${wall} everything is refused but what it is for`, async () => {
    const { found, expected } = (await tryWalls({ deno, walls: [wall] }))[wall];
    assert.deepEqual(found, expected);
  });
}

Deno.test("the wall of every role is tried", () => {
  for (const role of Object.keys(ROLE_RIGHTS)) assert.ok(role in WALLS, role);
});

Deno.test("without a wall all of it succeeds, so what is refused is refused by the wall", async () => {
  const { found, expected } = await tryWithoutWall({ deno });
  assert.deepEqual(found, expected);
});
