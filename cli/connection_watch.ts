/** Follows the state of a connection that is kept up: tells the person of changes once, and notices when nobody tries any more. */

import type { ClientEvent } from "../client/mod.ts";
import { CommandFailure, oneLine } from "./failure.ts";
import type { Clock } from "../proto/mod.ts";

/** The client's pauses between tries are shorter; after this much silence it has given up. */
const GIVEN_UP_AFTER_MS = 45_000;

type StatusEvent = Extract<ClientEvent, { type: "Status" }>;

/** Watches the Status events of one client. */
export class ConnectionWatch {
  /** Rejects where the connection was lost for good. */
  readonly lost: Promise<never>;
  readonly #reject: (reason: CommandFailure) => void;
  readonly #clock: Clock;
  readonly #tell: (text: string) => unknown;
  #told: string | null = null;
  #cancel: () => void = () => {};

  constructor(options: { clock: Clock; tell: (text: string) => unknown }) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // whoever waits hears of it
    this.lost = promise;
    this.#reject = reject;
    this.#clock = options.clock;
    this.#tell = options.tell;
  }

  /** Takes a Status event. */
  note({ status, reason = "no connection" }: StatusEvent): void {
    this.#cancel();
    if (status === "connecting") return;
    if (status === "online") {
      if (this.#told !== null) this.#tell("Connected again.");
      this.#told = null;
      return;
    }
    if (this.#told !== reason) this.#tell(`The relay is away, trying again … (${oneLine(reason)})`);
    this.#told = reason;
    this.#cancel = this.#clock.schedule(
      GIVEN_UP_AFTER_MS,
      () => this.#reject(new CommandFailure(reason, { hint: "Another try cannot help." })),
    );
  }

  /** Ends the watching. */
  stop(): void {
    this.#cancel();
  }
}
