/** Targets of the stream: where bodies begin and end, control frames, and objects in chunks. */

import assert from "node:assert/strict";
import {
  AronaError,
  ByteReader,
  ByteWriter,
  concatBytes,
  decodeControl,
  Deframer,
  encodeControl,
  FrameType,
  MAX_OBJECT_BYTES,
  MAX_RECORD_BYTES,
  ObjectAssembler,
} from "../../proto/mod.ts";
import { boundedAllocation } from "./allocation.ts";
import { bodyOf, sameBytes } from "./checks.ts";
import { mutate } from "./mutate.ts";
import { arbitraryJson, changeJson, type Json } from "./mutate_json.ts";
import { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";

const random = new Random("wire corpus");
const OBJECT_NUMBER = 7;
const OBJECT = random.bytes(5_000);

const deframer: FuzzTarget = {
  name: "deframer",
  what: "any split of the stream gives the same bodies, and they are its bytes",
  open: () => ({
    corpus: [
      stream([random.bytes(300)]),
      stream([random.bytes(1), random.bytes(65_536), random.bytes(2)]),
      stream([random.bytes(900), random.bytes(2_100), random.bytes(17)]),
      concatBytes(stream([random.bytes(40)]), Uint8Array.of(0, 0)),
    ],
    run(input, random) {
      const whole = deframe([input]);
      const cut = deframe(pieces(random, input));
      assert.equal(cut.error?.code, whole.error?.code);
      assert.equal(cut.bodies.length, whole.bodies.length);
      const again = stream(whole.bodies);
      sameBytes(stream(cut.bodies), again);
      sameBytes(again, input.subarray(0, again.length));
      if (whole.error !== null) throw whole.error;
    },
  }),
};

const control: FuzzTarget = {
  name: "control",
  what: "control frames: JSON and blobs, inline and as objects",
  open() {
    const corpus = [
      controlBody({ id: 1, op: "list" }, []),
      controlBody({ id: 2, group: "00".repeat(16), nested: [{ a: null }, 1.5, "é"] }, [random.bytes(100)]),
      controlBody({}, [new Uint8Array(), random.bytes(3)]),
      withObjectBlob({ id: 9, op: "commit" }),
    ];
    return {
      corpus,
      generate(random) {
        if (random.oneIn(2)) return mutate(random, corpus);
        const fields = changeJson(random, {
          id: 1,
          op: arbitraryJson(random, 1),
          more: arbitraryJson(random),
        });
        return controlBody(fields, random.oneIn(2) ? [] : [random.bytes(random.length(100))]);
      },
      run(input) {
        const objects = new ObjectAssembler();
        objects.add(objectBody({ number: OBJECT_NUMBER, total: OBJECT.length, offset: 0 }, OBJECT));
        const { fields, blobs } = boundedAllocation(input.length, () => decodeControl(input, objects));
        const [frame] = encodeControl(FrameType.GROUP, fields, { blobs });
        const again = decodeControl(bodyOf(frame), new ObjectAssembler());
        assert.equal(JSON.stringify(again.fields), JSON.stringify(fields));
        assert.deepEqual(again.blobs.map((blob) => [...blob]), blobs.map((blob) => [...blob]));
      },
    };
  },
};

const objects: FuzzTarget = {
  name: "objects",
  what: "OBJECT chunks in any order: what is held grows with what has arrived",
  open: () => ({
    corpus: [
      chunks([[1, 600, 0, 400], [1, 600, 400, 200]]),
      chunks([[1, 10, 0, 10], [2, 49_200, 0, 49_152], [2, 49_200, 49_152, 48], [3, 100, 0, 50]]),
      chunks([[4, MAX_OBJECT_BYTES, 0, 10]]),
      chunks(Array.from({ length: 256 }, (_, i) => [i, 65_536, 0, 0])),
    ],
    run(input) {
      const assembler = new ObjectAssembler();
      boundedAllocation(input.length, () => {
        const reader = new ByteReader(input);
        while (reader.remaining > 0) assembler.add(reader.vector16(65_535));
      });
      for (let number = 0; number < 5; number++) {
        try {
          const { length } = assembler.take(number);
          assert.ok(length <= input.length, "an object is larger than what has arrived");
        } catch (error) {
          if (!(error instanceof AronaError)) throw error;
        }
      }
    },
  }),
};

/** Targets of the stream and of what is put together from it. */
export const wireTargets: readonly FuzzTarget[] = [deframer, control, objects];

function stream(bodies: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter();
  for (const body of bodies) writer.vector32(body);
  return writer.finish();
}

function deframe(parts: readonly Uint8Array[]): { bodies: Uint8Array[]; error: AronaError | null } {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bodies: Uint8Array[] = [];
  try {
    boundedAllocation(length, () => {
      const deframer = new Deframer(MAX_RECORD_BYTES);
      for (const part of parts) {
        deframer.push(part);
        for (let body = deframer.next(); body !== null; body = deframer.next()) bodies.push(body);
      }
    });
    return { bodies, error: null };
  } catch (error) {
    if (error instanceof AronaError) return { bodies, error };
    throw error;
  }
}

function pieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  const cut: Uint8Array[] = [];
  const most = random.pick([1, 3, 100, 5_000]);
  for (let at = 0; at < bytes.length;) {
    const next = at + 1 + random.below(most);
    cut.push(bytes.subarray(at, next));
    at = next;
  }
  return cut;
}

function controlBody(fields: Json, blobs: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter().vector32(new TextEncoder().encode(JSON.stringify(fields))).u16(
    blobs.length,
  );
  for (const blob of blobs) writer.u8(0).vector32(blob);
  return writer.finish();
}

function withObjectBlob(fields: Json): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(fields));
  return new ByteWriter().vector32(json).u16(1).u8(1).u32(OBJECT_NUMBER).finish();
}

/** OBJECT bodies with their lengths: number, total, offset and length of each. */
function chunks(list: readonly number[][]): Uint8Array {
  const writer = new ByteWriter();
  for (const [number, total, offset, length] of list) {
    writer.vector16(objectBody({ number, total, offset }, random.bytes(length)));
  }
  return writer.finish();
}

/** An OBJECT frame's body. */
export function objectBody(
  head: { number: number; total: number; offset: number },
  chunk: Uint8Array,
): Uint8Array {
  return new ByteWriter().u32(head.number).u32(head.total).u32(head.offset).raw(chunk).finish();
}
