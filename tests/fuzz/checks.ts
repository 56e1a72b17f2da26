/** What several targets check and do. */

import assert from "node:assert/strict";
import { AronaError, concatBytes, equalBytes, type OutFrame } from "../../proto/mod.ts";
import { boundedAllocation } from "./allocation.ts";
import type { FuzzTarget } from "./runner.ts";

/** @throws where an encoding of what was decoded is not what was decoded */
export function sameBytes(encoded: Uint8Array, input: Uint8Array): void {
  assert.ok(equalBytes(encoded, input), "what decodes is encoded in another way");
}

/** The body of a frame as it goes out. */
export function bodyOf(frame: OutFrame): Uint8Array {
  return concatBytes(...frame.parts);
}

/** A refusal of what says no without throwing. */
export function refuse(why: string): never {
  throw new AronaError("BAD_ENCODING", `Cannot accept: ${why}`);
}

/** A target for a decoder whose encoding is canonical: what decodes comes out as the same bytes, and little is allocated. */
export function codecTarget<T>(
  options: {
    name: string;
    what: string;
    corpus: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
    decode: (bytes: Uint8Array) => T;
    encode: (value: T) => Uint8Array;
    /** Values that decode but have no encoding here. @default none */
    isOneWay?: (value: T) => boolean;
  },
): FuzzTarget {
  return {
    name: options.name,
    what: options.what,
    open: async () => ({
      corpus: await options.corpus(),
      run(input) {
        const value = boundedAllocation(input.length, () => options.decode(input));
        if (!(options.isOneWay?.(value) ?? false)) sameBytes(options.encode(value), input);
      },
    }),
  };
}

/** Calls `make` once, whoever asks first. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
