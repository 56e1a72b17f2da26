/** Token buckets: how often an account may do something. */

import type { Clock } from "../proto/mod.ts";
import { MAX_RATE_ENTRIES } from "./limits.ts";

interface Bucket {
  tokens: number;
  atMs: number;
}

/** One bucket for each key: `burst` tokens at most, `perSecond` new ones a second. */
export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #rate: { readonly perSecond: number; readonly burst: number };

  constructor(
    private readonly clock: Clock,
    private readonly options: { perSecond: number; burst: number; maxEntries?: number },
  ) {
    this.#rate = options;
  }

  /** Another rate from now on; buckets keep what they hold, up to the new burst. */
  change(rate: { perSecond: number; burst: number }): void {
    this.#rate = rate;
  }

  /** Takes one token of `key`. @returns 0, or the milliseconds until there is one */
  take(key: string): number {
    const nowMs = this.clock.monotonic();
    const { burst, perSecond } = this.#rate;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      this.#makeRoom(nowMs);
      bucket = { tokens: burst, atMs: nowMs };
      this.#buckets.set(key, bucket);
    }
    bucket.tokens = this.#tokensAt(bucket, nowMs);
    bucket.atMs = nowMs;
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 0;
    }
    return Math.ceil((1 - bucket.tokens) * 1_000 / perSecond);
  }

  #tokensAt(bucket: Bucket, nowMs: number): number {
    const { burst, perSecond } = this.#rate;
    return Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) * perSecond / 1_000);
  }

  /** Full buckets say nothing and go first; failing that the oldest goes, so that the map stays bounded. */
  #makeRoom(nowMs: number): void {
    const limit = this.options.maxEntries ?? MAX_RATE_ENTRIES;
    if (this.#buckets.size < limit) return;
    for (const [key, bucket] of this.#buckets) {
      if (this.#tokensAt(bucket, nowMs) >= this.#rate.burst) this.#buckets.delete(key);
    }
    if (this.#buckets.size < limit) return;
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
