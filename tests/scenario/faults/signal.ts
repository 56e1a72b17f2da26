/** Waiting for conditions that lines from other processes make true. Time only ends what would never end. */

/** After this a wait fails; generous, since it never decides a test that passes. */
const DEADLINE_MS = 90_000;

/** Wakes whoever waits for something to become true. */
export class Signal {
  readonly #wakers = new Set<() => void>();

  /** Something has happened. */
  notify(): void {
    for (const wake of [...this.#wakers]) wake();
  }

  /**
   * Resolves when `condition` holds; it is looked at after each {@link notify}.
   *
   * @param describe what to say where it never does
   * @throws whatever `condition` throws
   */
  async until(condition: () => boolean, describe: () => string): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const wake = () => {
      try {
        if (condition()) resolve();
      } catch (error) {
        reject(error);
      }
    };
    this.#wakers.add(wake);
    const late = setTimeout(() => reject(new Error(describe())), DEADLINE_MS);
    try {
      await promise;
    } finally {
      clearTimeout(late);
      this.#wakers.delete(wake);
    }
  }
}
