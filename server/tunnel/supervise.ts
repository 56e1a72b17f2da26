/**
 * Keeps a tunnel working: starts the agent, learns the public address from it, looks for the relay through that address again and
 * again, and starts anew, with growing jittered pauses, whatever happens. It never gives up.
 *
 *     opening ──(the relay answers through the address)──► up ──(agent ends, or nobody answers any more)──► down, pause ──► opening …
 */

import { type Endpoint, sleep } from "../../proto/mod.ts";
import { type AgentFailure, needsPerson, quote, type TunnelAgent, type TunnelFailure } from "./agent.ts";
import { agentOf } from "./agents.ts";
import { Attempt, type Ending, inWords, isSame, messageOf } from "./attempt.ts";
import {
  TUNNEL_FIRST_PAUSE_MS,
  TUNNEL_LONGEST_PAUSE_MS,
  TUNNEL_PERSON_PAUSE_MS,
  TUNNEL_STABLE_AFTER_MS,
} from "./limits.ts";
import type { AgentProcess, RunningTunnel, TunnelOptions, TunnelStatus } from "./options.ts";
import { formatTunnelSpec } from "./spec.ts";

/** Starts a tunnel. What goes wrong is an event, not an error. */
export function startTunnel(options: TunnelOptions): RunningTunnel {
  return new Tunnel(options);
}

class Tunnel implements RunningTunnel {
  readonly #agent: TunnelAgent;
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;
  #state: StateFields;
  #endpoint: Endpoint | undefined;
  #starts = 0;
  #pauseMs = TUNNEL_FIRST_PAUSE_MS;
  /** The failure that was reported last, until the tunnel works again. */
  #failure: TunnelFailure | undefined;

  constructor(private readonly options: TunnelOptions) {
    this.#agent = agentOf(options.spec, options);
    this.#state = { state: "opening", sinceMs: options.clock.now() };
    this.#loop = this.#run();
  }

  get status(): TunnelStatus {
    return {
      spec: formatTunnelSpec(this.options.spec),
      starts: this.#starts,
      ...this.#endpoint && { endpoint: this.#endpoint },
      ...this.#failure && { failure: this.#failure },
      ...this.#state,
    };
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, local } = this.options;
    const { signal } = this.#abort;
    const firstPort = this.#agent.firstPort(local);
    let port = firstPort;
    while (!signal.aborted) {
      this.#enter({ state: "opening", sinceMs: clock.now() });
      const { failure, otherPort } = await this.#attempt(port);
      if (signal.aborted) break;
      if (otherPort && this.#agent.portMayChange && port !== 0) {
        port = 0; // the server chooses
        continue;
      }
      await this.#pause(failure);
      port = this.#agent.portMayChange ? this.#endpoint?.port ?? firstPort : firstPort;
    }
    this.#enter({ state: "stopped", sinceMs: clock.now() });
  }

  /** One start of the agent, up to its end. */
  async #attempt(port: number): Promise<Ending> {
    const { clock, local, spawn } = this.options;
    const { signal } = this.#abort;
    this.#starts++;
    const run = this.#agent.start({ local, port });
    let process: AgentProcess;
    try {
      process = spawn(run.args);
    } catch (error) {
      return { failure: this.#spawnFailure(error), otherPort: false };
    }
    const attempt = new Attempt(process, {
      ...this.options,
      agent: this.#agent,
      run,
      onFound: (endpoint) => this.#found(endpoint),
    });
    const onAbort = () => attempt.give();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const ending = await attempt.ended;
    signal.removeEventListener("abort", onAbort);
    const { state, sinceMs } = this.#state;
    if (state === "up" && clock.now() - sinceMs >= TUNNEL_STABLE_AFTER_MS) {
      this.#pauseMs = TUNNEL_FIRST_PAUSE_MS;
    }
    return ending;
  }

  /** The relay answers at `endpoint`. */
  #found(endpoint: Endpoint): void {
    const nowMs = this.options.clock.now();
    const changed = !isSame(endpoint, this.#endpoint);
    const wasUp = this.#state.state === "up" && !changed;
    this.#endpoint = endpoint;
    this.#failure = undefined;
    const sinceMs = wasUp ? this.#state.sinceMs : nowMs;
    this.#enter({ state: "up", endpoint, sinceMs, checkedAtMs: nowMs });
    if (!wasUp) this.options.onEvent({ type: "address", endpoint, changed });
  }

  async #pause(failure: TunnelFailure): Promise<void> {
    const { clock, random, onEvent } = this.options;
    const fullMs = needsPerson(failure) ? Math.max(this.#pauseMs, TUNNEL_PERSON_PAUSE_MS) : this.#pauseMs;
    const pauseMs = Math.round(fullMs * (0.5 + 0.5 * random()));
    this.#pauseMs = Math.min(this.#pauseMs * 2, TUNNEL_LONGEST_PAUSE_MS);
    const sinceMs = clock.now();
    const retryAtMs = sinceMs + pauseMs;
    this.#enter({ state: "down", failure, sinceMs, retryAtMs });
    if (failure.text !== this.#failure?.text) onEvent({ type: "lost", failure, retryAtMs });
    this.#failure = failure;
    await sleep(clock, pauseMs, this.#abort.signal).catch(() => {}); // it was stopped
  }

  #spawnFailure(error: unknown): TunnelFailure {
    const { program, howToGet } = this.#agent;
    const failure: AgentFailure = (error as Error)?.name === "NotFound"
      ? { reason: "not_installed", state: `there is no program ${program} here`, hint: howToGet }
      : { reason: "ended", state: `${program} does not start: ${quote(messageOf(error))}` };
    return inWords(failure, { ...this.options, verb: "open" });
  }

  #enter(state: StateFields): void {
    this.#state = state;
  }
}

type StateFields =
  | { readonly state: "opening" | "stopped"; readonly sinceMs: number }
  | {
    readonly state: "up";
    readonly sinceMs: number;
    readonly endpoint: Endpoint;
    readonly checkedAtMs: number;
  }
  | {
    readonly state: "down";
    readonly sinceMs: number;
    readonly failure: TunnelFailure;
    readonly retryAtMs: number;
  };
