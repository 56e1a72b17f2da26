/** Runs what takes its time one after the other, in the order in which it was asked for. */

/** A line of tasks. */
export class InTurn {
  #last: Promise<void> = Promise.resolve();

  /** @param task must not reject; what it throws is nobody's to hear */
  add(task: () => Promise<void> | void): void {
    this.#last = this.#last.then(task);
  }

  /** Resolves when everything is done that was added before. */
  settled(): Promise<void> {
    return this.#last;
  }
}
