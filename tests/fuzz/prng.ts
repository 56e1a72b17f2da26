/** Random numbers that a seed repeats, so that every case of the fuzzer can be made again (xoshiro128**, seeded by SHA-256). */

import { createHash } from "node:crypto";

/** A stream of random numbers that depends on its seed only. Not for secrets. */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: string) {
    const digest = createHash("sha256").update(seed).digest();
    this.#state = Uint32Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i));
  }

  /** From 0 to 2^32 − 1. */
  u32(): number {
    const state = this.#state;
    const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 11);
    return result;
  }

  /** From 0 to `limit` − 1; 0 where `limit` is 0. */
  below(limit: number): number {
    return Math.floor(this.u32() / 0x1_0000_0000 * limit);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.u32() & 0xff);
  }

  /** A length up to `most`, short ones more often than long ones. */
  length(most: number): number {
    return this.below(2 ** this.below(Math.log2(most + 1) + 1)) % (most + 1);
  }
}

function rotate(value: number, by: number): number {
  return value << by | value >>> (32 - by);
}
