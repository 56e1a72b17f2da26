/** Runs asynchronous actions one after the other, in the order they were asked for. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Resolves with the action's result once every earlier action has ended. */
  run<T>(action: () => Promise<T> | T): Promise<T> {
    const result = this.#tail.then(action);
    this.#tail = result.catch(() => {});
    return result;
  }
}
