/** Keeps a client connected: dials, logs in, and after a loss dials again with growing, jittered pauses. */

import { AronaError, type Clock, type CryptoProvider, isAronaError, sleep } from "../../proto/mod.ts";
import { RECONNECT_FIRST_MS, RECONNECT_LONGEST_MS } from "../limits.ts";

/** Errors after which another try cannot help. */
const FINAL_CODES = ["AUTH_FAILED", "WRONG_RELAY", "BAD_CERTIFICATE", "UNKNOWN_VERSION"] as const;
/** A connection that lasted so long has the next pause begin small again. */
const STABLE_AFTER_MS = 60_000;

/** A connection that stands. */
export interface Dialled {
  /** Resolves with the reason when it has ended. */
  readonly ended: Promise<AronaError>;
  close(): Promise<void>;
}

/** What a connector reports. */
export interface ConnectorHandlers {
  /** @param options.final whether no further try will be made */
  onStatus(
    status: "online" | "connecting" | "offline",
    options?: { reason: AronaError; final: boolean },
  ): void;
}

/** Dials until told to stop. */
export class Connector {
  readonly #abort = new AbortController();
  #loop: Promise<void> | null = null;
  #firstOnline = Promise.withResolvers<void>();

  /**
   * @param dial connects and logs in; the promise it resolves with settles when that connection has ended
   */
  constructor(
    private readonly dial: (signal: AbortSignal) => Promise<Dialled>,
    private readonly options: { clock: Clock; crypto: CryptoProvider; handlers: ConnectorHandlers },
  ) {
    this.#firstOnline.promise.catch(() => {}); // reported to whoever called start()
  }

  /**
   * Begins to dial.
   *
   * @returns when the first connection stands
   * @throws {AronaError} where the first try fails and `patient` is false, or fails for good
   */
  start(options: { patient: boolean }): Promise<void> {
    this.#loop ??= this.#run(options.patient);
    return this.#firstOnline.promise;
  }

  /** Stops dialling; does not touch a connection that stands. */
  async stop(): Promise<void> {
    this.#abort.abort(new AronaError("CLOSED", "Cannot connect: the client was closed"));
    await this.#loop?.catch(() => {});
  }

  async #run(patient: boolean): Promise<void> {
    const { handlers, clock } = this.options;
    let everOnline = false;
    let pauseMs = RECONNECT_FIRST_MS;
    while (!this.#abort.signal.aborted) {
      handlers.onStatus("connecting");
      let reason: AronaError;
      try {
        const dialled = await this.dial(this.#abort.signal);
        if (this.#abort.signal.aborted) return await dialled.close();
        everOnline = true;
        const sinceMs = clock.monotonic();
        handlers.onStatus("online");
        this.#firstOnline.resolve();
        reason = await dialled.ended;
        if (clock.monotonic() - sinceMs >= STABLE_AFTER_MS) pauseMs = RECONNECT_FIRST_MS;
      } catch (error) {
        reason = error instanceof AronaError
          ? error
          : new AronaError("UNREACHABLE", "Cannot connect to the relay", { cause: error });
        // Somebody else who answers for a moment must not log people out for good who were connected before.
        const final = isAronaError(reason, ...FINAL_CODES) && !(everOnline && reason.code === "WRONG_RELAY");
        if (final || (!everOnline && !patient)) {
          handlers.onStatus("offline", { reason, final: true });
          this.#firstOnline.reject(reason);
          return;
        }
      }
      if (this.#abort.signal.aborted) break;
      handlers.onStatus("offline", { reason, final: false });
      await sleep(clock, this.#jitter(pauseMs), this.#abort.signal).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, RECONNECT_LONGEST_MS);
    }
    this.#firstOnline.reject(this.#abort.signal.reason);
  }

  /** Between half of `pauseMs` and all of it. */
  #jitter(pauseMs: number): number {
    const random = new DataView(this.options.crypto.randomBytes(2).buffer).getUint16(0) / 0xffff;
    return pauseMs * (0.5 + 0.5 * random);
  }
}
