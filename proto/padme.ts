/** Padmé: lengths that say little, at the cost of at most 12 % (PROTOCOL.md section 5.3; Nikitin et al., PETS 2019). */

import { MIN_PADDED_BYTES } from "./limits.ts";

/**
 * The length to which `length` bytes are padded.
 *
 * @param length bytes, 0 to 2^31
 * @returns bytes; at least {@link MIN_PADDED_BYTES}, and never more than about 12 % over `length` above it
 */
export function padmeLength(length: number): number {
  if (length <= MIN_PADDED_BYTES) return MIN_PADDED_BYTES;
  const exponent = 31 - Math.clz32(length);
  const kept = 32 - Math.clz32(exponent);
  const mask = 2 ** (exponent - kept) - 1;
  return Math.floor((length + mask) / (mask + 1)) * (mask + 1);
}
