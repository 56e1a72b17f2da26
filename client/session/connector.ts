/**
 * Keeps a client connected: dials, logs in, and after a loss dials again with growing, jittered pauses.
 *
 *     offline ──► connecting ──► online ──► (the connection ends) ──► offline, pause ──► connecting …
 *
 * A wake or a change of network has a connection that stands probed, and a pause cut short.
 */

import { AronaError, type Clock, type CryptoProvider, isAronaError } from "../../proto/mod.ts";
import { HURRY_INTERVAL_MS, RECONNECT_FIRST_MS, RECONNECT_LONGEST_MS, STABLE_AFTER_MS } from "../limits.ts";
import type { NetworkMonitor } from "./network_monitor.ts";
import { type Disturbance, watchSurroundings } from "./surroundings.ts";

/** Errors after which another try cannot help. */
const FINAL_CODES = ["AUTH_FAILED", "WRONG_RELAY", "BAD_CERTIFICATE", "UNKNOWN_VERSION"] as const;

/** A connection that stands. */
export interface Dialled {
  /** Resolves with the reason when it has ended. */
  readonly ended: Promise<AronaError>;
  /** Asks the relay for a sign of life at once; without one the connection ends. */
  probe(disturbance: Disturbance): void;
  close(): Promise<void>;
}

/** How a client stands with its relay. Times are milliseconds since the Unix epoch. */
export type ConnectionState =
  | { readonly status: "online" | "connecting"; readonly sinceMs: number }
  | {
    readonly status: "offline";
    readonly sinceMs: number;
    /** Why; not there before the first try and after the client was closed. */
    readonly reason?: AronaError;
    /** When the next try begins at the latest, where there will be one. */
    readonly retryAtMs?: number;
    /** Set where another try cannot help: the client has given up. */
    readonly final?: true;
  };

/** What a connector works with. */
export interface ConnectorOptions {
  readonly clock: Clock;
  readonly crypto: CryptoProvider;
  /** @default none: changes of network are not noticed as such */
  readonly network?: NetworkMonitor;
  /** Hears of each new state. */
  readonly onState: (state: ConnectionState) => void;
}

/** Dials until told to stop. */
export class Connector {
  readonly #abort = new AbortController();
  readonly #firstOnline = Promise.withResolvers<void>();
  #loop: Promise<void> | null = null;
  #state: ConnectionState;
  #dialled: Dialled | null = null;
  #nextPauseMs = RECONNECT_FIRST_MS;
  #hurriedMs = -Infinity;
  #endPause: () => void = () => {};
  #endWatch: () => void = () => {};

  /**
   * @param dial connects and logs in within a bounded time; the promise it resolves with settles when that connection has ended
   */
  constructor(
    private readonly dial: (signal: AbortSignal) => Promise<Dialled>,
    private readonly options: ConnectorOptions,
  ) {
    this.#state = { status: "offline", sinceMs: options.clock.now() };
    this.#firstOnline.promise.catch(() => {}); // reported to whoever called start()
  }

  get state(): ConnectionState {
    return this.#state;
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

  /**
   * Dials at once where it waits, and begins with the first pause again. Does nothing within {@link HURRY_INTERVAL_MS} of the last
   * time, so that a network that comes and goes does not make it dial without end.
   */
  hurry(): void {
    const nowMs = this.options.clock.monotonic();
    if (nowMs - this.#hurriedMs < HURRY_INTERVAL_MS) return;
    this.#hurriedMs = nowMs;
    this.#nextPauseMs = RECONNECT_FIRST_MS;
    this.#endPause();
  }

  /** Ends a pause: the relay is known to be somewhere else now. */
  retry(): void {
    this.#nextPauseMs = RECONNECT_FIRST_MS;
    this.#endPause();
  }

  /** Stops dialling; does not touch a connection that stands. */
  async stop(): Promise<void> {
    this.#abort.abort(new AronaError("CLOSED", "Cannot connect: the client was closed"));
    this.#endWatch();
    this.#endPause();
    await this.#loop?.catch(() => {});
    this.#state = { status: "offline", sinceMs: this.options.clock.now() };
  }

  async #run(patient: boolean): Promise<void> {
    const { clock, network } = this.options;
    this.#endWatch = watchSurroundings({ clock, network, onDisturbance: (what) => this.#disturbed(what) });
    try {
      await this.#dialUntilStopped(patient);
    } finally {
      this.#endWatch();
    }
  }

  async #dialUntilStopped(patient: boolean): Promise<void> {
    const { signal } = this.#abort;
    let everOnline = false;
    while (!signal.aborted) {
      this.#enter({ status: "connecting", sinceMs: this.options.clock.now() });
      let reason: AronaError;
      try {
        const dialled = await this.dial(signal);
        if (signal.aborted) return await dialled.close();
        everOnline = true;
        reason = await this.#whileOnline(dialled);
      } catch (error) {
        reason = error instanceof AronaError
          ? error
          : new AronaError("UNREACHABLE", "Cannot connect to the relay", { cause: error });
        if (signal.aborted) break;
        // Somebody else who answers for a moment must not log people out for good who were connected before.
        const final = isAronaError(reason, ...FINAL_CODES) && !(everOnline && reason.code === "WRONG_RELAY");
        if (final || (!everOnline && !patient)) {
          this.#enter({ status: "offline", sinceMs: this.options.clock.now(), reason, final: true });
          return this.#firstOnline.reject(reason);
        }
      }
      if (!signal.aborted) await this.#pause(reason);
    }
    this.#firstOnline.reject(signal.reason);
  }

  async #whileOnline(dialled: Dialled): Promise<AronaError> {
    const { clock } = this.options;
    const sinceMs = clock.monotonic();
    this.#dialled = dialled;
    this.#enter({ status: "online", sinceMs: clock.now() });
    this.#firstOnline.resolve();
    const reason = await dialled.ended;
    this.#dialled = null;
    if (clock.monotonic() - sinceMs >= STABLE_AFTER_MS) this.#nextPauseMs = RECONNECT_FIRST_MS;
    return reason;
  }

  async #pause(reason: AronaError): Promise<void> {
    const { clock } = this.options;
    const pauseMs = this.#jitter(this.#nextPauseMs);
    this.#nextPauseMs = Math.min(this.#nextPauseMs * 2, RECONNECT_LONGEST_MS);
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.schedule(pauseMs, resolve);
    this.#endPause = resolve;
    const sinceMs = clock.now();
    this.#enter({ status: "offline", sinceMs, reason, retryAtMs: sinceMs + pauseMs });
    await promise;
    cancel();
    this.#endPause = () => {};
  }

  #disturbed(disturbance: Disturbance): void {
    this.#dialled?.probe(disturbance);
    this.hurry();
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.options.onState(state);
  }

  /** Between half of `pauseMs` and all of it, in whole milliseconds. */
  #jitter(pauseMs: number): number {
    const random = new DataView(this.options.crypto.randomBytes(2).buffer).getUint16(0) / 0xffff;
    return Math.round(pauseMs * (0.5 + 0.5 * random));
  }
}
