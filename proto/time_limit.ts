/** A limit on how long something may take, whatever is underneath. */

import type { Clock } from "./clock.ts";

/** Options of {@link within}. */
export interface TimeLimit {
  readonly clock: Clock;
  readonly limitMs: number;
  /** Ends it before. @default nothing does */
  readonly signal?: AbortSignal;
  /** What is thrown when time is up. */
  readonly late: () => Error;
}

/**
 * Runs `action` with a signal that aborts at the limit, or with the signal given, and does not wait for it any longer then. It aborts
 * at the end in any case, so that nothing that the action has begun goes on.
 *
 * @throws what `action` throws, `late()`, or the signal's reason
 */
export async function within<T>(limit: TimeLimit, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, limitMs, signal, late } = limit;
  signal?.throwIfAborted();
  const given = new AbortController();
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {}); // where the action is done first
  const end = (reason: unknown) => {
    given.abort(reason);
    over.reject(reason);
  };
  const onAbort = () => end(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const cancel = clock.schedule(limitMs, () => end(late()));
  try {
    const doing = action(given.signal);
    doing.catch(() => {}); // it may fail once nobody waits for it
    return await Promise.race([doing, over.promise]);
  } finally {
    given.abort();
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
