/** A clock on which spans pass faster, so that a test need not wait as long as a person would. The date stays right. */

import { type Clock, systemClock } from "../../../proto/mod.ts";

/** @param speed 1 is the system's clock */
export function fastClock(speed: number): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * speed,
    // Never early: what a timer is early by counts `speed` times.
    schedule: (delayMs, action) => systemClock.schedule(Math.ceil(delayMs / speed) + 1, action),
  };
}
