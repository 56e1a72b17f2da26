/** The target of records: any plaintext, well sealed, so that the frames in it are reached. */

import assert from "node:assert/strict";
import {
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  ByteWriter,
  concatBytes,
  deriveSecret,
  Direction,
  FRAME_HEADER_BYTES,
  FRAME_MORE,
  FrameType,
  MAX_PLAINTEXT_BYTES,
  MIN_PADDED_BYTES,
  RecordOpener,
} from "../../proto/mod.ts";
import { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";
import { provider } from "./seeded_crypto.ts";

const random = new Random("record corpus");
const SECRET = new Uint8Array(48).fill(5);

/** The target. */
export const recordTarget: FuzzTarget = {
  name: "record",
  what: "frames of well sealed records: head u8 (authenticated, direction, records) and any plaintext",
  cost: 2,
  open() {
    const frames = (...parts: Uint8Array[]) => concatBytes(Uint8Array.of(1), ...parts);
    const corpus = [
      frames(frame(FrameType.GROUP, random.bytes(50)), frame(FrameType.PING, random.bytes(8))),
      frames(frame(FrameType.MSG, random.bytes(3_000)), frame(FrameType.KEY_UPDATE, new Uint8Array())),
      frames(frame(FrameType.ACK, random.bytes(8)), frame(FrameType.BYE, random.bytes(20))),
      concatBytes(
        Uint8Array.of(0b101),
        frame(FrameType.MSG | FRAME_MORE, random.bytes(1_200)),
        frame(FrameType.MSG, random.bytes(1_200)),
      ),
      concatBytes(Uint8Array.of(0b10), frame(FrameType.AUTH_OK, random.bytes(90))),
    ];
    return { corpus, run: openRecords };
  },
};

function openRecords(input: Uint8Array): void {
  const head = input[0] ?? 0;
  const direction = (head & 2) === 0 ? Direction.CLIENT_TO_RELAY : Direction.RELAY_TO_CLIENT;
  const plaintexts = inParts(input.subarray(1), 1 + (head >> 2 & 3));
  const opener = new RecordOpener(provider, { direction, secret: SECRET });
  if ((head & 1) !== 0) opener.authenticated();
  let bytes = 0;
  let ended = false;
  // A KEY_UPDATE changes the key, so what comes after one does not open.
  for (const [counter, plaintext] of plaintexts.entries()) {
    for (const { type, body } of opener.open(sealRecord(plaintext, { direction, counter }))) {
      assert.ok(!ended, "a frame came after BYE");
      assert.ok(type > FrameType.KEY_UPDATE && type < FRAME_MORE, `a frame of type ${type}`);
      bytes += body.length;
      ended = type === FrameType.BYE;
    }
  }
  assert.ok(bytes <= input.length + plaintexts.length * MIN_PADDED_BYTES, "frames hold more than records");
}

function inParts(bytes: Uint8Array, count: number): Uint8Array[] {
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

function frame(type: number, body: Uint8Array): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, body.length);
  header[0] = type;
  return concatBytes(header, body);
}

/** Seals as PROTOCOL.md section 5 says, whatever the plaintext is. */
function sealRecord(plaintext: Uint8Array, at: { direction: Direction; counter: number }): Uint8Array {
  const padded = new Uint8Array(Math.max(MIN_PADDED_BYTES, Math.min(plaintext.length, MAX_PLAINTEXT_BYTES)));
  padded.set(plaintext.subarray(0, padded.length));
  const key = deriveSecret(provider, SECRET, { label: "arona record key v2", length: 32 });
  const nonce = deriveSecret(provider, SECRET, { label: "arona record iv v2", length: AEAD_NONCE_BYTES });
  nonce[AEAD_NONCE_BYTES - 1] ^= at.counter;
  const data = new ByteWriter().u8(at.direction).u64(at.counter).u32(padded.length + AEAD_TAG_BYTES).finish();
  return provider.seal("ChaCha20-Poly1305", key, nonce, data, padded);
}
