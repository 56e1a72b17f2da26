/** How much a decoder allocates: counted where byte arrays are made, because a process's memory says little about one call. */

/**
 * Bytes of the `Uint8Array`s that a synchronous `action` makes with a length. Views cost nothing and are not counted.
 *
 * @returns also what the action threw, where it did
 */
export function countAllocated(action: () => void): { bytes: number; error: unknown } {
  const original = globalThis.Uint8Array;
  let bytes = 0;
  let error: unknown;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, args, newTarget) {
      const made = Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget);
      if (!(args[0] instanceof ArrayBuffer)) bytes += made.byteLength;
      return made;
    },
  });
  try {
    action();
  } catch (thrown) {
    error = thrown;
  } finally {
    globalThis.Uint8Array = original;
  }
  return { bytes, error };
}

/**
 * Runs a decoder and checks that what it allocates stays in proportion to what it was given.
 *
 * @throws what the decoder throws, or an `Error` where it allocates more
 */
export function boundedAllocation<T>(inputBytes: number, action: () => T): T {
  let result: T;
  const { bytes, error } = countAllocated(() => result = action());
  const limit = 4 * inputBytes + 4_096;
  if (bytes > limit) throw new Error(`${bytes} bytes were allocated for an input of ${inputBytes}`);
  if (error !== undefined) throw error;
  return result!;
}
