/** Follows the state of a connection that is kept up: tells the person of changes once, and when nobody tries any more. */

import type { ClientEvent } from "../client/mod.ts";
import { CommandFailure, oneLine } from "./failure.ts";

type StatusEvent = Extract<ClientEvent, { type: "Status" }>;

/** Watches the Status events of one client. */
export class ConnectionWatch {
  /** Rejects where the connection was lost for good. */
  readonly lost: Promise<never>;
  readonly #reject: (reason: CommandFailure) => void;
  readonly #tell: (text: string) => unknown;
  #told: string | null = null;
  #warned = false;

  constructor(tell: (text: string) => unknown) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // whoever waits hears of it
    this.lost = promise;
    this.#reject = reject;
    this.#tell = tell;
  }

  /** Takes a Status event. */
  note({ status, reason = "no connection", final }: StatusEvent): void {
    if (final) return this.#reject(new CommandFailure(reason, { hint: "Another try cannot help." }));
    if (status === "connecting") return;
    if (status === "online") {
      if (this.#told !== null) this.#tell("Connected again.");
      this.#told = null;
      this.#warned = false;
      return;
    }
    if (isAnotherRelay(reason)) {
      if (!this.#warned) {
        this.#tell(
          `WARNING: something else answers where your relay was. It has been told nothing, and the connection is tried again ` +
            `until your relay is back. Ask whoever runs it. (${oneLine(reason)})`,
        );
      }
      this.#warned = true;
      this.#told = reason;
      return;
    }
    if (this.#told !== reason) this.#tell(`The relay is away, trying again … (${oneLine(reason)})`);
    this.#told = reason;
  }
}

/** The event has no code: both texts of `WRONG_RELAY` say it so. */
function isAnotherRelay(reason: string): boolean {
  return reason.includes("not the one");
}
