/** A moment on both clocks, and how two of them tell that the machine slept in between. */

import type { Clock } from "../../proto/mod.ts";
import { SLEPT_AFTER_MS } from "../limits.ts";

/** A reading of both clocks. */
export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** Now. */
export function momentOf(clock: Clock): Moment {
  return { wallMs: clock.now(), monotonicMs: clock.monotonic() };
}

/**
 * Whether the machine slept, or the process stood still, between two moments of which the second was expected `expectedMs` after
 * the first. Where the monotonic clock goes on during sleep the timer comes late on it; where it stands still the wall clock runs
 * ahead of it. A wall clock that is set forward looks the same; one that is set back means nothing.
 */
export function sleptBetween(before: Moment, after: Moment, expectedMs: number): boolean {
  const monotonicMs = after.monotonicMs - before.monotonicMs;
  const wallMs = after.wallMs - before.wallMs;
  return monotonicMs - expectedMs >= SLEPT_AFTER_MS || wallMs - monotonicMs >= SLEPT_AFTER_MS;
}
