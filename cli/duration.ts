/** Times as people write them. */

import { usageFailure } from "./failure.ts";

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * `30m`, `12h` or `7d` in milliseconds.
 *
 * @param options.option the option that it is from, for the error
 * @throws {CommandFailure} usage
 */
export function parseDuration(text: string, options: { option: string; maxMs: number }): number {
  const { option, maxMs } = options;
  const [, count, unit] = /^([1-9]\d{0,8})([mhd])$/.exec(text.trim().toLowerCase()) ?? [];
  const ms = Number(count) * UNITS[unit as keyof typeof UNITS];
  if (ms <= maxMs) return ms; // and not NaN
  throw usageFailure(
    `Cannot use ${option} ${JSON.stringify(text.slice(0, 80))}: it is not a time up to ${
      maxMs / UNITS.d
    } days`,
    "Write for example 30m, 12h or 7d.",
  );
}
