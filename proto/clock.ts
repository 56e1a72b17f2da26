/** The Clock port: the only way to the time and to timers, so that tests can drive both. */

/** Time source and timers. All times in milliseconds. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. */
  now(): number;
  /** Milliseconds that only ever grow; for measuring spans. */
  monotonic(): number;
  /** Calls `action` once, `delayMs` from now. @returns a function that cancels it. */
  schedule(delayMs: number, action: () => void): () => void;
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = () => {
      cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** The system's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  schedule(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A clock that stands still until {@link FakeClock.advance} or {@link FakeClock.suspend} moves it. */
export class FakeClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  #timers = new Set<{ atMs: number; action: () => void }>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  /** Timers that have neither run nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  schedule(delayMs: number, action: () => void): () => void {
    // Whole milliseconds, as a system's timers have them: now() is put on the wire as one.
    const timer = { atMs: this.#monotonicMs + Math.max(0, Math.ceil(delayMs)), action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves both times on and runs the timers that fall due, in order. */
  advance(byMs: number): void {
    const untilMs = this.#monotonicMs + byMs;
    for (;;) {
      let next: { atMs: number; action: () => void } | undefined;
      for (const timer of this.#timers) {
        if (timer.atMs <= untilMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
      }
      if (next === undefined) break;
      this.#timers.delete(next);
      const passedMs = Math.max(0, next.atMs - this.#monotonicMs); // one that is overdue runs now
      this.#nowMs += passedMs;
      this.#monotonicMs += passedMs;
      next.action();
    }
    this.#nowMs += untilMs - this.#monotonicMs;
    this.#monotonicMs = untilMs;
  }

  /**
   * Lets the machine sleep: time goes by and no timer runs. What fell due meanwhile runs, late, with the next
   * {@link FakeClock.advance}.
   *
   * @param options.monotonic whether the monotonic clock goes on while asleep, as on Windows; on Linux and macOS it stands still
   */
  suspend(byMs: number, options: { monotonic: boolean }): void {
    this.#nowMs += byMs;
    if (options.monotonic) this.#monotonicMs += byMs;
  }

  /** Sets the wall clock only, as a person or NTP would. */
  jump(toMs: number): void {
    this.#nowMs = toMs;
  }
}
