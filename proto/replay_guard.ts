/** The replay guard: an M1 is answered once (PROTOCOL.md section 4.1). */

import { toHex } from "./bytes.ts";

/**
 * Remembers the M1s that were answered, so that a replayed one is not. Bounded: two generations, the older of which is forgotten.
 * A replay that is older than both gets an M2 that only the first sender's ephemeral key opens.
 */
export class ReplayGuard {
  readonly #perGeneration: number;
  #current = new Set<string>();
  #previous = new Set<string>();

  /** @param capacity digests remembered at most. @default 32768 */
  constructor(capacity = 32_768) {
    this.#perGeneration = Math.max(1, Math.floor(capacity / 2));
  }

  has(digest: Uint8Array): boolean {
    const key = toHex(digest.subarray(0, 16));
    return this.#current.has(key) || this.#previous.has(key);
  }

  /** @returns false where the digest was there already */
  add(digest: Uint8Array): boolean {
    if (this.has(digest)) return false;
    if (this.#current.size >= this.#perGeneration) {
      this.#previous = this.#current;
      this.#current = new Set();
    }
    this.#current.add(toHex(digest.subarray(0, 16)));
    return true;
  }
}
