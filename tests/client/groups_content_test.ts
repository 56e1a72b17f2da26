/** Message content: what goes in comes out, in one form only, and says little by its length. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Content, decodeContent, encodeContent } from "../../client/groups/mod.ts";
import {
  ByteWriter,
  concatBytes,
  fromHex,
  isAronaError,
  MAX_TEXT_BYTES,
  padmeLength,
  utf8,
} from "../../proto/mod.ts";

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")
);
const text = fc.string({ unit: "grapheme", maxLength: 200 });
const head = { id, sentAtMs: fc.nat({ max: 2 ** 44 }) };
const content = fc.oneof(
  fc.record({ ...head, kind: fc.constant("text" as const), text }),
  fc.record({ ...head, kind: fc.constant("edit" as const), target: id, text }),
  fc.record({ ...head, kind: fc.constant("delete" as const), target: id }),
  fc.record({
    ...head,
    kind: fc.constant("reaction" as const),
    target: id,
    emoji: fc.string({ maxLength: 20 }),
    removed: fc.boolean(),
  }),
  fc.record({ ...head, kind: fc.constant("reply" as const), target: id, text }),
  fc.record({ ...head, kind: fc.constant("typing" as const), typing: fc.boolean() }),
  fc.record({ ...head, kind: fc.constant("read" as const), target: id }),
  fc.record({ ...head, kind: fc.constant("profile" as const), displayName: fc.string({ maxLength: 60 }) }),
);

Deno.test("decodeContent() gives back what encodeContent() got", () => {
  fc.assert(fc.property(content, (content: Content) => {
    const bytes = encodeContent(content);
    assert.deepEqual({ ...decodeContent(bytes) }, { ...content });
    assert.deepEqual(encodeContent(decodeContent(bytes)), bytes);
  }));
});

Deno.test("decodeContent() takes one form of every content: what it reads, it would write the same", () => {
  fc.assert(fc.property(content, fc.nat(), fc.integer({ min: 1, max: 255 }), (content: Content, at, flip) => {
    const bytes = encodeContent(content);
    bytes[at % bytes.length] ^= flip;
    try {
      const decoded = decodeContent(bytes);
      if (decoded.kind !== "unsupported") assert.deepEqual(encodeContent(decoded), bytes);
    } catch (error) {
      assert.ok(isAronaError(error, "BAD_ENCODING"), String(error));
    }
  }));
});

Deno.test("decodeContent() fails on arbitrary bytes with BAD_ENCODING and nothing else", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    try {
      decodeContent(bytes);
    } catch (error) {
      assert.ok(isAronaError(error, "BAD_ENCODING"), String(error));
    }
  }));
});

Deno.test("content has few lengths, the smallest 256 bytes", () => {
  const lengths = new Set<number>();
  for (let length = 0; length <= MAX_TEXT_BYTES; length += 7) {
    const bytes = encodeContent({ kind: "text", id: "00".repeat(16), sentAtMs: 0, text: "x".repeat(length) });
    assert.equal(bytes.length, padmeLength(bytes.length));
    lengths.add(bytes.length);
  }
  assert.equal(Math.min(...lengths), 256);
  assert.ok(lengths.size < 120);
});

Deno.test("a kind or a version of the future is unsupported, not an error", () => {
  const body = (version: number, kind: number) =>
    new ByteWriter().u8(version).u8(kind).raw(fromHex("ab".repeat(16))).u64(5).raw(utf8("whatever")).finish();
  for (const future of [body(1, 0x77), body(2, 0x01)]) {
    const bytes = pad(future);
    assert.deepEqual(decodeContent(bytes), { kind: "unsupported", id: "ab".repeat(16), sentAtMs: 5 });
  }
  assert.throws(() => encodeContent({ kind: "unsupported", id: "ab".repeat(16), sentAtMs: 5 }));
});

Deno.test("padding has to be all zeros and of the right length", () => {
  const bytes = encodeContent({ kind: "text", id: "00".repeat(16), sentAtMs: 0, text: "hello" });
  for (const bad of [bytes.subarray(0, -1), concatBytes(bytes, new Uint8Array(256)), bytes.with(255, 1)]) {
    assert.throws(() => decodeContent(bad), (error) => isAronaError(error, "BAD_ENCODING"));
  }
});

Deno.test("a text over 16 KiB and an id of another length are refused", () => {
  const head = { id: "00".repeat(16), sentAtMs: 0 };
  const fits = "ä".repeat(MAX_TEXT_BYTES / 2);
  assert.equal(decodeContent(encodeContent({ ...head, kind: "text", text: fits })).kind, "text");
  assert.throws(
    () => encodeContent({ ...head, kind: "text", text: `${fits}.` }),
    (error) => isAronaError(error, "TOO_LARGE"),
  );
  assert.throws(() => encodeContent({ ...head, id: "00", kind: "text", text: "" }));
});

function pad(body: Uint8Array): Uint8Array {
  const padded = new Uint8Array(padmeLength(4 + body.length));
  new DataView(padded.buffer).setUint32(0, body.length);
  padded.set(body, 4);
  return padded;
}
