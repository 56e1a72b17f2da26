/** Records: frames in are frames out, however they are packed; nothing else opens. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  concatBytes,
  type CryptoProvider,
  Direction,
  type ErrorCode,
  type Frame,
  FRAME_MORE,
  FrameType,
  isAronaError,
  KEY_LIFETIME_MS,
  MAX_FRAME_BYTES,
  MAX_FRAME_BYTES_BEFORE_AUTH,
  MAX_RECORD_BYTES,
  MIN_PADDED_BYTES,
  type OutFrame,
  padmeLength,
  RecordOpener,
  RecordSealer,
} from "../../proto/mod.ts";
import { provider } from "./fixture.ts";

const SECRET = new Uint8Array(48).fill(5);
const LENGTH_BYTES = 4;

interface Ends {
  sealer: RecordSealer;
  opener: RecordOpener;
}

function ends(
  options: { crypto?: CryptoProvider; recordsPerKey?: number; authenticated?: boolean } = {},
): Ends {
  const shared = {
    direction: Direction.CLIENT_TO_RELAY,
    secret: SECRET,
    recordsPerKey: options.recordsPerKey,
  };
  const sealer = new RecordSealer(options.crypto ?? provider, shared);
  const opener = new RecordOpener(provider, shared);
  if (options.authenticated ?? true) {
    sealer.mayFragment = true;
    opener.authenticated();
  }
  return { sealer, opener };
}

function msg(length: number, fill = 1, type: FrameType = FrameType.MSG): OutFrame {
  return { type, parts: [new Uint8Array(length).fill(fill)] };
}

function sealAll(sealer: RecordSealer, frames: readonly OutFrame[], nowMs = 0): Uint8Array[] {
  for (const frame of frames) sealer.enqueue(frame);
  const records: Uint8Array[] = [];
  for (let record = sealer.seal(nowMs); record !== null; record = sealer.seal(nowMs)) records.push(record);
  return records;
}

function openAll(opener: RecordOpener, records: readonly Uint8Array[]): Frame[] {
  return records.flatMap((record) => opener.open(record.subarray(LENGTH_BYTES)));
}

function whole(frames: readonly OutFrame[]): Frame[] {
  return frames.map(({ type, parts }) => ({ type, body: concatBytes(...parts) }));
}

/** Seals a plaintext by hand, as a peer that breaks the rules would. */
function forge(plaintext: Uint8Array): Uint8Array {
  const { sealer } = ends({
    crypto: {
      ...provider,
      seal: (aead, key, nonce, aad, _, room) => {
        const padded = new Uint8Array(padmeLength(plaintext.length));
        padded.set(plaintext);
        const header = aad.slice();
        new DataView(header.buffer).setUint32(9, padded.length + 16);
        return provider.seal(aead, key, nonce, header, padded, room);
      },
    },
  });
  const [record] = sealAll(sealer, [msg(1)]);
  return record.subarray(LENGTH_BYTES);
}

function frame(type: number, body: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(type, body.length >> 16, body.length >> 8, body.length), body);
}

function fails(action: () => unknown, code: ErrorCode): void {
  assert.throws(action, (error) => isAronaError(error, code));
}

Deno.test("any frames, flushed at any moments, come out the same and in order", () => {
  const types = [FrameType.MSG, FrameType.ACK, FrameType.EVENT, FrameType.OBJECT];
  const frames = fc.array(
    fc.record({
      type: fc.constantFrom(...types),
      parts: fc.array(
        fc.integer({ min: 0, max: 70_000 }).map((length) => new Uint8Array(length).fill(length)),
        {
          maxLength: 3,
        },
      ),
    }),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(fc.array(frames, { maxLength: 4 }), (batches) => {
      const { sealer, opener } = ends();
      const received = batches.flatMap((batch) => openAll(opener, sealAll(sealer, batch)));
      assert.equal(sealer.queuedBytes, 0);
      const sent = whole(batches.flat());
      assert.equal(received.length, sent.length);
      sent.forEach((expected, i) => {
        assert.equal(received[i].type, expected.type);
        assert.equal(received[i].body.length, expected.body.length);
        assert.ok(received[i].body.every((byte, position) => byte === expected.body[position]));
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("all frames that wait leave in one record", () => {
  const { sealer, opener } = ends();
  const frames = Array.from({ length: 20 }, (_, i) => msg(2_800, i));
  const records = sealAll(sealer, frames);
  assert.equal(records.length, 1);
  assert.deepEqual(openAll(opener, records), whole(frames));
});

Deno.test("records carry their length, are padded to a Padmé length and stay within the limit", () => {
  const { sealer } = ends();
  for (const length of [0, 1, 240, 252, 253, 1_000, 65_508, 65_509, 65_512, 65_513, 200_000]) {
    for (const record of sealAll(sealer, [msg(length)])) {
      const body = record.length - LENGTH_BYTES;
      assert.equal(new DataView(record.buffer).getUint32(0), body);
      assert.ok(body <= MAX_RECORD_BYTES && body >= MIN_PADDED_BYTES + 16);
      assert.ok(padmeLength(body - 16) === body - 16 || body === MAX_RECORD_BYTES);
    }
  }
});

Deno.test("an empty queue gives no record", () => {
  assert.equal(ends().sealer.seal(0), null);
});

Deno.test("a flipped bit anywhere, a repeated, swapped or left-out record does not open", () => {
  const { sealer } = ends();
  const records = [1, 2, 3].map((fill) => sealAll(sealer, [msg(10, fill)])[0]);
  const body = (i: number) => records[i].subarray(LENGTH_BYTES);
  for (let position = 0; position < body(0).length; position += 7) {
    const flipped = body(0).slice();
    flipped[position] ^= 1;
    fails(() => ends().opener.open(flipped), "BAD_RECORD");
  }
  for (const order of [[0, 0], [1], [0, 2]]) {
    const { opener } = ends();
    const last = order.pop()!;
    for (const i of order) opener.open(body(i));
    fails(() => opener.open(body(last)), "BAD_RECORD");
  }
  fails(() => ends().opener.open(concatBytes(body(0), Uint8Array.of(0))), "BAD_RECORD");
});

Deno.test("a record of the other direction does not open", () => {
  const sealer = new RecordSealer(provider, { direction: Direction.RELAY_TO_CLIENT, secret: SECRET });
  const [record] = sealAll(sealer, [msg(1)]);
  fails(() => ends().opener.open(record.subarray(LENGTH_BYTES)), "BAD_RECORD");
});

Deno.test("too short and too long bodies are refused before any key is used", () => {
  for (const length of [1, 16, 271, MAX_RECORD_BYTES + 1]) {
    fails(() => ends().opener.open(new Uint8Array(length)), "BAD_RECORD");
  }
});

Deno.test("no nonce comes twice under a key, also across key updates", () => {
  const seen = new Set<string>();
  const watching: CryptoProvider = {
    ...provider,
    seal(aead, key, nonce, aad, plaintext, room) {
      const pair = `${key.join()}|${nonce.join()}`;
      assert.ok(!seen.has(pair));
      seen.add(pair);
      return provider.seal(aead, key, nonce, aad, plaintext, room);
    },
  };
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2_000_000 }), { maxLength: 40 }), (delays) => {
      seen.clear();
      const { sealer } = ends({ crypto: watching, recordsPerKey: 5 });
      let nowMs = 0;
      for (const delay of delays) sealAll(sealer, [msg(10)], nowMs += delay);
      assert.ok(seen.size >= delays.length);
    }),
    { numRuns: 20 },
  );
});

Deno.test("the key is ratcheted after so many records, and both sides agree", () => {
  const keys = new Set<string>();
  const watching: CryptoProvider = {
    ...provider,
    seal: (aead, key, ...rest) => (keys.add(key.join()), provider.seal(aead, key, ...rest)),
  };
  const { sealer, opener } = ends({ crypto: watching, recordsPerKey: 4 });
  for (let i = 0; i < 20; i++) {
    assert.deepEqual(openAll(opener, sealAll(sealer, [msg(100, i)])), whole([msg(100, i)]));
  }
  assert.equal(keys.size, 5);
});

Deno.test("the key is ratcheted after its lifetime, with the next record", () => {
  const { sealer, opener } = ends();
  const sealedAt = (nowMs: number) => openAll(opener, sealAll(sealer, [msg(252)], nowMs));
  assert.equal(sealedAt(0).length, 1);
  const lengthBefore = sealAll(sealer, [msg(252)], KEY_LIFETIME_MS - 1)[0];
  assert.equal(opener.open(lengthBefore.subarray(LENGTH_BYTES)).length, 1);
  const update = sealAll(sealer, [msg(252)], KEY_LIFETIME_MS)[0];
  assert.ok(update.length > lengthBefore.length); // it carries KEY_UPDATE too
  assert.deepEqual(opener.open(update.subarray(LENGTH_BYTES)), whole([msg(252)]));
  assert.equal(sealedAt(KEY_LIFETIME_MS + 1).length, 1);
});

Deno.test("a peer that uses one key for too many records is refused", () => {
  const { sealer } = ends();
  const opener = new RecordOpener(provider, {
    direction: Direction.CLIENT_TO_RELAY,
    secret: SECRET,
    recordsPerKey: 3,
  });
  const records = [1, 2, 3, 4].flatMap(() => sealAll(sealer, [msg(1)]));
  openAll(opener, records.slice(0, 3));
  fails(() => openAll(opener, records.slice(3)), "BAD_RECORD");
});

Deno.test("KEY_UPDATE has to be empty, last, and after AUTH", () => {
  const update = frame(FrameType.KEY_UPDATE, new Uint8Array());
  fails(
    () => ends().opener.open(forge(concatBytes(update, frame(FrameType.MSG, new Uint8Array(1))))),
    "BAD_FRAME",
  );
  fails(() => ends().opener.open(forge(frame(FrameType.KEY_UPDATE, new Uint8Array(1)))), "BAD_FRAME");
  fails(() => ends({ authenticated: false }).opener.open(forge(update)), "BAD_FRAME");
  assert.deepEqual(ends().opener.open(forge(update)), []);
});

Deno.test("a frame that goes beyond its record is refused", () => {
  const header = (length: number) => Uint8Array.of(FrameType.MSG, length >> 16, length >> 8, length);
  fails(() => ends().opener.open(forge(header(253))), "BAD_FRAME");
  fails(
    () =>
      ends().opener.open(
        forge(concatBytes(frame(FrameType.MSG, new Uint8Array(249)), header(0).subarray(0, 3))),
      ),
    "BAD_FRAME",
  );
  assert.equal(ends().opener.open(forge(header(252))).length, 1);
});

Deno.test("nothing may follow BYE", () => {
  const bye = frame(FrameType.BYE, new Uint8Array(4));
  fails(() => ends().opener.open(forge(concatBytes(bye, bye))), "BAD_FRAME");
  const { sealer, opener } = ends();
  openAll(opener, sealAll(sealer, [msg(4, 0, FrameType.BYE)]));
  fails(() => openAll(opener, sealAll(sealer, [msg(4)])), "BAD_RECORD");
});

Deno.test("before AUTH a frame is small and in one piece", () => {
  const { sealer, opener } = ends({ authenticated: false });
  const largest = msg(MAX_FRAME_BYTES_BEFORE_AUTH);
  assert.deepEqual(openAll(opener, sealAll(sealer, [largest])), whole([largest]));
  fails(() => sealer.enqueue(msg(MAX_FRAME_BYTES_BEFORE_AUTH + 1)), "TOO_LARGE");
  const tooLarge = forge(frame(FrameType.AUTH, new Uint8Array(MAX_FRAME_BYTES_BEFORE_AUTH + 1)));
  fails(() => ends({ authenticated: false }).opener.open(tooLarge), "TOO_LARGE");
  const split = forge(frame(FrameType.AUTH | FRAME_MORE, new Uint8Array(2_000)));
  fails(() => ends({ authenticated: false }).opener.open(split), "BAD_FRAME");
});

Deno.test("AUTH_OK raises the client's limit for what follows in the same record", () => {
  const options = { direction: Direction.RELAY_TO_CLIENT, secret: SECRET };
  const sealer = new RecordSealer(provider, options);
  const opener = new RecordOpener(provider, options);
  sealer.mayFragment = true;
  const frames = [msg(10, 1, FrameType.AUTH_OK), msg(100_000, 2)];
  assert.deepEqual(openAll(opener, sealAll(sealer, frames)), whole(frames));
  assert.ok(opener.isAuthenticated);
});

Deno.test("AUTH_OK from a client raises nothing", () => {
  const { sealer, opener } = ends({ authenticated: false });
  openAll(opener, sealAll(sealer, [msg(10, 1, FrameType.AUTH_OK)]));
  assert.equal(opener.isAuthenticated, false);
});

Deno.test("endless fragments end at the cap", () => {
  const { opener } = ends();
  const piece = new Uint8Array(65_000);
  const { sealer } = ends();
  let opened = 0;
  fails(() => {
    for (let i = 0; i < 100; i++) {
      sealer.enqueue({ type: (FrameType.OBJECT | FRAME_MORE) as FrameType, parts: [piece] });
      opener.open(sealer.seal(0)!.subarray(LENGTH_BYTES));
      opened += piece.length;
    }
  }, "TOO_LARGE");
  assert.ok(opened <= MAX_FRAME_BYTES);
});

Deno.test("tiny fragments, and ones that go on as another type, are refused", () => {
  const more = FrameType.OBJECT | FRAME_MORE;
  fails(() => ends().opener.open(forge(frame(more, new Uint8Array()))), "BAD_FRAME");
  fails(() => ends().opener.open(forge(frame(more, new Uint8Array(1_023)))), "BAD_FRAME");
  fails(() => ends().opener.open(forge(frame(FRAME_MORE, new Uint8Array(2_000)))), "BAD_FRAME");
  const mixed = concatBytes(frame(more, new Uint8Array(2_000)), frame(FrameType.MSG, new Uint8Array(1)));
  fails(() => ends().opener.open(forge(mixed)), "BAD_FRAME");
});

Deno.test("unknown frame types are handed on, padding alone is no frame", () => {
  assert.deepEqual(ends().opener.open(forge(frame(0x7e, Uint8Array.of(1)))), [{
    type: 0x7e,
    body: Uint8Array.of(1),
  }]);
  assert.deepEqual(ends().opener.open(forge(new Uint8Array(256))), []);
});
