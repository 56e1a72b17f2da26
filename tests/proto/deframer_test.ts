/** The deframer: bodies come out whole however the stream is cut, and nothing is allocated on a peer's word. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AronaError, concatBytes, Deframer, isAronaError } from "../../proto/mod.ts";
import { framed } from "./fixture.ts";

function deframe(chunks: readonly Uint8Array[], limitBytes: number): Uint8Array[] {
  const deframer = new Deframer(limitBytes);
  const bodies: Uint8Array[] = [];
  for (const chunk of chunks) {
    deframer.push(chunk);
    for (let body = deframer.next(); body !== null; body = deframer.next()) bodies.push(body.slice());
  }
  return bodies;
}

function cut(stream: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let offset = 0, i = 0; offset < stream.length; i++) {
    const size = sizes.length === 0 ? stream.length : sizes[i % sizes.length];
    chunks.push(stream.subarray(offset, offset + size));
    offset += size;
  }
  return chunks;
}

Deno.test("any split or merge of the stream gives the same bodies", () => {
  fc.assert(fc.property(
    fc.array(fc.uint8Array({ minLength: 1, maxLength: 5_000 }), { maxLength: 12 }),
    fc.array(fc.integer({ min: 1, max: 6_000 }), { maxLength: 6 }),
    (bodies, sizes) => {
      const chunks = cut(concatBytes(...bodies.map(framed)), sizes);
      assert.deepEqual(deframe(chunks, 5_000), bodies.map((body) => new Uint8Array(body)));
    },
  ));
});

Deno.test("whole and byte by byte give the same bodies", () => {
  const bodies = [new Uint8Array(1).fill(9), new Uint8Array(3_000).fill(8), new Uint8Array(255).fill(7)];
  const stream = concatBytes(...bodies.map(framed));
  assert.deepEqual(deframe([stream], 3_000), bodies);
  assert.deepEqual(deframe(cut(stream, [1]), 3_000), bodies);
});

Deno.test("length 0 is refused", () => {
  assert.throws(() => deframe([new Uint8Array(4)], 100), (error) => isAronaError(error, "BAD_ENCODING"));
});

Deno.test("a length over the limit is refused before its body", () => {
  const tooLarge = (error: unknown) => isAronaError(error, "TOO_LARGE");
  assert.throws(() => deframe([Uint8Array.of(0xff, 0xff, 0xff, 0xff)], 65_536), tooLarge);
  assert.throws(() => deframe([Uint8Array.of(0, 0, 0, 101)], 100), tooLarge);
  assert.equal(deframe([framed(new Uint8Array(100))], 100).length, 1);
});

Deno.test("the limit that counts is the one when the length arrives", () => {
  const deframer = new Deframer(10);
  deframer.push(framed(new Uint8Array(10)));
  assert.equal(deframer.next()?.length, 10);
  deframer.limitBytes = 20;
  deframer.push(framed(new Uint8Array(20)));
  assert.equal(deframer.next()?.length, 20);
});

Deno.test("a body announced but not sent costs little memory", () => {
  const before = Deno.memoryUsage();
  const waiting = Array.from({ length: 500 }, () => {
    const deframer = new Deframer(65_536);
    deframer.push(concatBytes(Uint8Array.of(0, 1, 0, 0), new Uint8Array(10)));
    assert.equal(deframer.next(), null);
    return deframer;
  });
  const after = Deno.memoryUsage();
  const bytes = after.heapUsed + after.external - before.heapUsed - before.external;
  assert.ok(bytes / waiting.length < 8_192, `${bytes / waiting.length} bytes each`);
});

Deno.test("push() refuses a chunk while the one before is not used up", () => {
  const deframer = new Deframer(100);
  deframer.push(framed(new Uint8Array(2)));
  assert.throws(() => deframer.push(new Uint8Array(1)), AronaError);
});
