/** Asks a running relay through its control port. */

import { AronaError, type Clock, isErrorCode, systemClock, within } from "../../proto/base/mod.ts";
import type { RelayLimits } from "../../server/mod.ts";
import { CommandFailure } from "../failure.ts";
import { reasonOf } from "../paths.ts";
import { controlPath, readControlFile } from "./control_file.ts";
import { CONTROL_ROOT, type RelayStatus, type ReloadReport } from "./protocol.ts";

/** How long a relay has to answer. */
const ANSWER_TIMEOUT_MS = 5_000;
/** How long it has to end by itself, beyond the time that devices get. */
const END_TIMEOUT_MS = 20_000;

/** A ban, an unban or a kick as it was carried out. */
export interface SubjectAnswer {
  readonly kind: "account" | "fingerprint";
  readonly subject: string;
  readonly changed: boolean;
  readonly sessions: number;
}

/** Options of {@link ControlClient.find}. */
export interface ControlClientOptions {
  /** Ends the asking. */
  readonly signal?: AbortSignal;
  /** @default the system's */
  readonly clock?: Clock;
}

/** A running relay, asked from another process of the same person. */
export class ControlClient {
  private constructor(
    private readonly file: { readonly address: string; readonly token: string; readonly pid: number },
    private readonly options: ControlClientOptions & { readonly folder: string },
  ) {}

  /**
   * Finds the relay of a data folder. Whether it runs shows when it is asked.
   *
   * @throws {CommandFailure} where no relay runs there
   */
  static async find(folder: string, options: ControlClientOptions = {}): Promise<ControlClient> {
    let file;
    try {
      file = await readControlFile(folder);
    } catch (cause) {
      throw new CommandFailure(`Cannot ask the relay: ${controlPath(folder)}: ${reasonOf(cause)}`, {
        cause,
        hint: "Run this as the user that the relay runs as.",
      });
    }
    if (file === null) {
      throw new CommandFailure(`Cannot ask the relay: none runs in ${folder}`, {
        hint: "Start it with `arona serve`, or name its folder with --data.",
      });
    }
    return new ControlClient(file, { ...options, folder });
  }

  get pid(): number {
    return this.file.pid;
  }

  status(): Promise<RelayStatus> {
    return this.#ask("GET", "status");
  }

  subject(action: "ban" | "unban" | "kick", subject: string): Promise<SubjectAnswer> {
    return this.#ask("POST", action, { body: { subject } });
  }

  async bans(): Promise<{ kind: string; subject: string; at: string }[]> {
    return (await this.#ask<{ bans: { kind: string; subject: string; at: string }[] }>("GET", "bans")).bans;
  }

  limits(): Promise<RelayLimits> {
    return this.#ask("GET", "limits");
  }

  setLimits(change: Partial<RelayLimits>): Promise<RelayLimits> {
    return this.#ask("POST", "limits", { body: change });
  }

  reload(): Promise<ReloadReport> {
    return this.#ask("POST", "reload", { body: {} });
  }

  /** Resolves when the relay has stopped. */
  async drain(options: { withinMs?: number } = {}): Promise<void> {
    const timeoutMs = (options.withinMs ?? ANSWER_TIMEOUT_MS) + END_TIMEOUT_MS;
    await this.#ask("POST", "drain", { body: options, timeoutMs });
  }

  async #ask<T>(
    method: "GET" | "POST",
    name: string,
    { body, timeoutMs = ANSWER_TIMEOUT_MS }: { readonly body?: object; readonly timeoutMs?: number } = {},
  ): Promise<T> {
    const { address, token } = this.file;
    const { signal, clock = systemClock } = this.options;
    const late = this.#silent(timeoutMs);
    let response: Response;
    let answer: { error?: { code: string; message: string } };
    try {
      [response, answer] = await within(
        { clock, signal, limitMs: timeoutMs, late: () => late },
        async (signal) => {
          const response = await fetch(`http://${address}${CONTROL_ROOT}${name}`, {
            method,
            headers: {
              authorization: `Bearer ${token}`,
              ...(body === undefined ? {} : { "content-type": "application/json" }),
            },
            body: body === undefined ? undefined : JSON.stringify(body),
            redirect: "error",
            signal,
          });
          return [response, await response.json()];
        },
      );
    } catch (cause) {
      signal?.throwIfAborted();
      throw cause === late ? late : this.#absent(cause);
    }
    if (response.ok) return answer as T;
    const { code = "INTERNAL", message = `the relay answered ${response.status}` } = answer.error ?? {};
    if (response.status === 401) {
      throw new CommandFailure("Cannot ask the relay: it has started anew meanwhile", { hint: "Try again." });
    }
    const text = /^Cannot /.test(message) ? message : `Cannot ask the relay: ${message}`;
    throw new AronaError(isErrorCode(code) ? code : "INTERNAL", text);
  }

  #absent(cause: unknown): CommandFailure {
    const { pid, address } = this.file;
    return new CommandFailure(`Cannot ask the relay: process ${pid} does not answer at ${address}`, {
      cause,
      hint: `It may have been killed and have left ${controlPath(this.options.folder)} behind; ` +
        "the next `arona serve` there replaces it.",
    });
  }

  #silent(timeoutMs: number): CommandFailure {
    return new CommandFailure(
      `Cannot ask the relay: process ${this.file.pid} has not answered for ${timeoutMs / 1_000} s`,
      {
        hint: "It hangs, is stopped or has too much to do: look at it, or end it and start it again.",
      },
    );
  }
}
