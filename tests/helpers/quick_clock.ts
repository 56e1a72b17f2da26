/** The system's clock, on which some pauses take no time: whoever waits for so long gives up at once. */

import { type Clock, systemClock } from "../../proto/mod.ts";

/** @param pausesMs the pauses that take no time, by their exact length */
export function quickClock(pausesMs: readonly number[], options: { aheadMs?: number } = {}): Clock {
  const { aheadMs = 0 } = options;
  return {
    now: () => systemClock.now() + aheadMs,
    monotonic: () => systemClock.monotonic(),
    schedule: (delayMs, action) => systemClock.schedule(pausesMs.includes(delayMs) ? 0 : delayMs, action),
  };
}
