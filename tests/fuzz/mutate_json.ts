/** Arbitrary JSON, and changes to valid JSON. */

import type { Random } from "./prng.ts";

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const SCALARS: readonly Json[] = [
  ...[null, true, false, 0, -0, 1, -1, 0.5, 82, 81, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)],
  ...["", " ", "a", "__proto__", "constructor", "toString", "length", "null", "0", "A".repeat(300)],
  ...["\u0000", "\u001b[2J", "\u202e", "\ud800", "\ufeff", "ａdmin", "аlice", "e\u0301", "👩‍👩‍👧", "\r\n"],
  ...["#", "#general", "alice", "00".repeat(16), "FF".repeat(16), "AAAA", "=", "-_"],
];
const NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "length", "id", "op", "", "group"];

/** Any value, nested up to `depth`. */
export function arbitraryJson(random: Random, depth = 3): Json {
  if (depth === 0 || random.below(3) > 0) {
    return random.oneIn(4) ? random.u32() - 2 ** 31 : random.pick(SCALARS);
  }
  const count = random.length(8);
  if (random.oneIn(2)) return Array.from({ length: count }, () => arbitraryJson(random, depth - 1));
  return Object.fromEntries(
    Array.from({ length: count }, () => [random.pick(NAMES), arbitraryJson(random, depth - 1)]),
  );
}

/** `value` with one change somewhere inside. */
export function changeJson(random: Random, value: Json): Json {
  if (random.oneIn(200)) return nested(1_000);
  const inside = typeof value === "object" && value !== null && Object.keys(value).length > 0;
  if (!inside || random.oneIn(6)) return changeHere(random, value);
  if (Array.isArray(value)) {
    const at = random.below(value.length);
    return value.map((item, i) => i === at ? changeJson(random, item) : item);
  }
  const name = random.pick(Object.keys(value));
  const { [name]: old, ...rest } = value;
  if (random.oneIn(6)) return rest;
  if (random.oneIn(8)) return { ...rest, [random.pick(NAMES)]: old };
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, key === name ? changeJson(random, item) : item]),
  );
}

function changeHere(random: Random, value: Json): Json {
  if (typeof value === "number" && random.oneIn(2)) {
    return random.pick([value + 1, value - 1, -value, value + 0.5, value * 1_000, String(value)]);
  }
  if (typeof value === "string" && random.oneIn(2)) return changeText(random, value);
  if (Array.isArray(value) && random.oneIn(2)) {
    return random.oneIn(2) ? [...value, ...value] : [...value, arbitraryJson(random)];
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value) && random.oneIn(2)) {
    return { ...value, [random.pick(NAMES)]: arbitraryJson(random) };
  }
  return arbitraryJson(random);
}

function changeText(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  const character = random.pick(["", "\u0000", "\u202e", "=", "A", "é", "/", text.slice(0, at)]);
  return text.slice(0, at) + character + text.slice(random.oneIn(2) ? at : at + 1);
}

function nested(depth: number): Json {
  let value: Json = [];
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}
