/**
 * Knows when nothing moves any more by itself: every promise has run on and no cryptography is under way. With a clock that stands still
 * and lines that hold what they carry, everything that happens next is then the test's decision.
 */

import type { CryptoProvider } from "../../proto/mod.ts";

/** Counts what is under way. */
export class Settling {
  #underWay = 0;
  #wakeIdle = () => {};

  /** The same provider; what it works on counts as under way. */
  watch(crypto: CryptoProvider): CryptoProvider {
    return {
      ...crypto,
      kemKeyPair: (...args) => this.#count(crypto.kemKeyPair(...args)),
      encapsulate: (...args) => this.#count(crypto.encapsulate(...args)),
      decapsulate: (...args) => this.#count(crypto.decapsulate(...args)),
      signatureKeyPair: (...args) => this.#count(crypto.signatureKeyPair(...args)),
      sign: (...args) => this.#count(crypto.sign(...args)),
      verify: (...args) => this.#count(crypto.verify(...args)),
    };
  }

  /** Resolves when nothing moves. */
  async settled(): Promise<void> {
    do {
      if (this.#underWay > 0) await new Promise<void>((wake) => this.#wakeIdle = wake);
      await new Promise<void>((turn) => setImmediate(turn)); // every microtask comes before
    } while (this.#underWay > 0);
  }

  async #count<T>(work: Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await work;
    } finally {
      if (--this.#underWay === 0) this.#wakeIdle();
    }
  }
}
