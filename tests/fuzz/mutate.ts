/** Changes to valid inputs that decoders meet from broken and from malicious peers. */

import { concatBytes } from "../../proto/mod.ts";
import type { Random } from "./prng.ts";

/** Bytes that mean something: ends of ranges, and the prefixes of MLS lengths. */
const TELLING_BYTES = [0x00, 0x01, 0x02, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
const LENGTH_WIDTHS = [1, 2, 3, 4, 8];
/** An input grows to no more than this, or to twice the longest valid one. */
const MAX_GROWN_BYTES = 4_096;

/**
 * An input made from the corpus: one of its entries with one to four changes, or now and then nothing but random bytes.
 */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const longest = Math.max(...corpus.map((entry) => entry.length));
  if (corpus.length === 0 || random.oneIn(32)) return random.bytes(random.length(Math.max(longest, 64)));
  let input = random.pick(corpus);
  do input = change(random, input, corpus); while (random.oneIn(3));
  return input.subarray(0, Math.max(MAX_GROWN_BYTES, 2 * longest));
}

/** One change. */
export function change(random: Random, input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const at = random.below(input.length + 1);
  const end = at + random.length(input.length - at);
  const before = input.subarray(0, at);
  const after = input.subarray(at);
  switch (random.below(11)) {
    case 0:
      return edited(input, at, (byte) => byte ^ 1 << random.below(8));
    case 1:
      return edited(input, at, () => random.oneIn(2) ? random.pick(TELLING_BYTES) : random.below(256));
    case 2:
      return before; // cut off
    case 3:
      return concatBytes(input, random.bytes(1 + random.length(64)));
    case 4:
      return concatBytes(before, random.bytes(1 + random.length(64)), after);
    case 5:
      return concatBytes(before, input.subarray(end)); // a range is missing
    case 6:
      return concatBytes(input.subarray(0, end), input.subarray(at)); // a range comes twice
    case 7:
      return concatBytes(before, random.bytes(end - at), input.subarray(end));
    case 8:
      return splice(random, before, corpus);
    default:
      return editLength(random, input, at);
  }
}

function edited(input: Uint8Array, at: number, edit: (byte: number) => number): Uint8Array {
  const copy = input.slice();
  if (copy.length > 0) copy[at % copy.length] = edit(copy[at % copy.length]);
  return copy;
}

/** The beginning of one input and the end of another. */
function splice(random: Random, beginning: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const other = random.pick(corpus);
  const from = random.oneIn(2) ? beginning.length : random.below(other.length + 1);
  return concatBytes(beginning, other.subarray(from));
}

/** Takes some bytes for a length and sets it to 0, 1, the largest, one more, one less, or what is left. */
function editLength(random: Random, input: Uint8Array, at: number): Uint8Array {
  const width = random.pick(LENGTH_WIDTHS);
  if (input.length < width) return input;
  const offset = Math.min(at, input.length - width);
  const copy = input.slice();
  let value = 0n;
  for (let i = 0; i < width; i++) value = value << 8n | BigInt(copy[offset + i]);
  const left = BigInt(input.length - offset - width);
  const most = (1n << BigInt(8 * width)) - 1n;
  const next = random.pick([0n, 1n, most, most >> 1n, value + 1n, value - 1n, left, left + 1n, left - 1n]);
  for (let i = 0; i < width; i++) copy[offset + i] = Number(next >> BigInt(8 * (width - 1 - i)) & 0xffn);
  return copy;
}
