/**
 * Keeps a tunnel working: starts the agent, learns the public address from it, looks for the relay through that address again and
 * again, and starts anew, with growing jittered pauses, whatever happens. It never gives up.
 *
 *     opening ──(the relay answers through the address)──► up ──(agent ends, or nobody answers any more)──► down, pause ──► opening …
 */

import { type Clock, type Endpoint, formatEndpoint, sleep } from "../../proto/mod.ts";
import {
  type AgentFailure,
  type AgentRun,
  needsPerson,
  quote,
  type TunnelAgent,
  type TunnelFailure,
} from "./agent.ts";
import { agentOf, type AgentOptions } from "./agents.ts";
import {
  MAX_TUNNEL_API_BYTES,
  TUNNEL_API_INTERVAL_MS,
  TUNNEL_API_TIMEOUT_MS,
  TUNNEL_DRAIN_MS,
  TUNNEL_FIRST_LOOK_MS,
  TUNNEL_FIRST_PAUSE_MS,
  TUNNEL_LONGEST_PAUSE_MS,
  TUNNEL_PERSON_PAUSE_MS,
  TUNNEL_PROBE_INTERVAL_MS,
  TUNNEL_PROBE_RETRY_MS,
  TUNNEL_PROBE_TIMEOUT_MS,
  TUNNEL_PROBE_TOLERANCE,
  TUNNEL_STABLE_AFTER_MS,
  TUNNEL_START_TIMEOUT_MS,
  TUNNEL_STOP_GRACE_MS,
} from "./limits.ts";
import { readLines } from "./lines.ts";
import { formatTunnelSpec, type TunnelSpec } from "./spec.ts";

/** The agent's process. */
export interface AgentProcess {
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Resolves when it has ended. */
  readonly ended: Promise<{ readonly code: number }>;
  /** Ends its standard input. Never throws. */
  endInput(): void;
  /** Does nothing where it has ended. Never throws. */
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** What a tunnel works with. */
export interface TunnelOptions extends AgentOptions {
  readonly spec: TunnelSpec;
  /** Where the relay listens, as this machine reaches it. */
  readonly local: Endpoint;
  /** Starts the agent's program, its standard input open. @throws where it cannot; an error named `NotFound` where there is none */
  readonly spawn: (args: readonly string[]) => AgentProcess;
  /** Asks an agent's interface on loopback. */
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  /** From 0 up to 1, for the pauses. */
  readonly random: () => number;
  /** Looks for the relay at a public address. @throws where something else answers there, or nothing */
  readonly probe: (endpoint: Endpoint, options: { signal: AbortSignal }) => Promise<void>;
  /** Must not throw. */
  readonly onEvent: (event: TunnelEvent) => void;
}

/** What happens to a tunnel. */
export type TunnelEvent =
  /** The relay is reached at `endpoint`, from now on or again. */
  | {
    readonly type: "address";
    readonly endpoint: Endpoint;
    /** Whether it is another one than before. */
    readonly changed: boolean;
  }
  /** The tunnel does not work. Said once for each failure, until it works again or fails otherwise. */
  | { readonly type: "lost"; readonly failure: TunnelFailure; readonly retryAtMs: number };

/** How a tunnel stands. Times are milliseconds since the Unix epoch. Plain data. */
export type TunnelStatus =
  & {
    /** As `--tunnel` has it. */
    readonly spec: string;
    readonly sinceMs: number;
    /** Starts of the agent so far. */
    readonly starts: number;
    /** The latest address at which the relay was found, whether it works now or not. */
    readonly endpoint?: Endpoint;
    /** What was wrong since it has last worked. */
    readonly failure?: TunnelFailure;
  }
  & (
    | { readonly state: "opening" }
    | { readonly state: "up"; readonly endpoint: Endpoint; readonly checkedAtMs: number }
    | { readonly state: "down"; readonly failure: TunnelFailure; readonly retryAtMs: number }
    | { readonly state: "stopped" }
  );

/** A tunnel that is looked after. */
export interface RunningTunnel {
  readonly status: TunnelStatus;
  /** Ends the agent, and resolves when it has ended. Safe to call again. */
  stop(): Promise<void>;
}

/** Starts a tunnel. What goes wrong is an event, not an error. */
export function startTunnel(options: TunnelOptions): RunningTunnel {
  return new Tunnel(options);
}

/** How one start of the agent has ended. */
interface Ending {
  readonly failure: TunnelFailure;
  readonly otherPort: boolean;
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

/** One process of the agent: its output is read, its address looked at, and at the end it is gone. */
class Attempt {
  readonly ended: Promise<Ending>;
  readonly #over = new AbortController();
  readonly #verdict = Promise.withResolvers<Ending | null>();
  /** The best explanation so far. */
  #noted: AgentFailure | null = null;
  #otherPort = false;
  #lastLine = "";
  #looking = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #asking = false;
  #claimed: Endpoint | null = null;
  #isUp = false;

  constructor(
    private readonly process: AgentProcess,
    private readonly options: TunnelOptions & {
      agent: TunnelAgent;
      run: AgentRun;
      onFound: (endpoint: Endpoint) => void;
    },
  ) {
    this.ended = this.#run();
  }

  /** Ends it. */
  give(): void {
    this.#verdict.resolve(null);
  }

  async #run(): Promise<Ending> {
    const { clock, run } = this.options;
    const { process } = this;
    const { signal } = this.#over;
    const onLine = (line: string) => this.#read(line);
    const output = Promise.all(
      [process.stdout, process.stderr].map((stream) => readLines(stream, { signal, onLine })),
    );
    const cancelTimeout = clock.schedule(TUNNEL_START_TIMEOUT_MS, () => this.#tooSlow());
    const exit = process.ended.then(async ({ code }) => {
      process.endInput();
      await this.#within(TUNNEL_DRAIN_MS, output);
      this.#verdict.resolve(this.#endedBy(code));
    });
    if (run.presumed !== null) this.#claim(run.presumed);
    const verdict = await this.#verdict.promise;
    cancelTimeout();
    this.#looking.abort();
    await this.#endProcess();
    await exit;
    this.#over.abort();
    await output;
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    return verdict ?? this.#endedBy(0);
  }

  #read(line: string): void {
    this.#lastLine = line;
    const news = this.options.run.read(line);
    switch (news?.kind) {
      case "address":
        return this.#claim(news.endpoint);
      case "api":
        return this.#track(this.#ask(news.url));
      case "failure":
        return this.#note(news.failure, news);
    }
  }

  #note(failure: AgentFailure, options: { passing?: boolean; otherPort?: boolean }): void {
    if (failure.reason !== "ended" || this.#noted === null) {
      this.#noted = failure;
      this.#otherPort = options.otherPort ?? false;
    }
    // An agent that goes on all the same, or is slow to end, is not waited for.
    if (!options.passing && needsPerson(failure)) this.#conclude(failure);
  }

  /** The agent says that the forwarding stands at `endpoint`. */
  #claim(endpoint: Endpoint): void {
    if (isSame(endpoint, this.#claimed ?? undefined) || this.#over.signal.aborted) return;
    this.#claimed = endpoint;
    this.#looking.abort();
    this.#looking = new AbortController();
    this.#track(this.#look(endpoint, this.#looking.signal));
  }

  /** Looks for the relay at `endpoint`: often until it answers, then now and then. Ends with its signal. */
  async #look(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { clock, onFound } = this.options;
    let failures = 0;
    let pauseMs = TUNNEL_FIRST_LOOK_MS;
    let isUp = false;
    while (!signal.aborted) {
      const problem = await this.#probe(endpoint, signal);
      if (signal.aborted) return;
      if (problem === null) {
        failures = 0;
        isUp = this.#isUp = true;
        this.#noted = null; // of before
        this.#otherPort = false;
        onFound(endpoint);
      } else {
        failures++;
        const failure = this.options.agent.unanswered(formatEndpoint(endpoint), problem);
        if (!isUp) this.#noted ??= failure;
        else if (failures >= TUNNEL_PROBE_TOLERANCE) return this.#conclude(failure);
      }
      await sleep(clock, failures > 0 ? pauseMs : TUNNEL_PROBE_INTERVAL_MS, signal).catch(() => {});
      pauseMs = isUp ? TUNNEL_PROBE_RETRY_MS : Math.min(pauseMs * 2, TUNNEL_PROBE_RETRY_MS);
    }
  }

  /** @returns what is wrong, in words; null where the relay answers */
  async #probe(endpoint: Endpoint, outer: AbortSignal): Promise<string | null> {
    const { clock, probe } = this.options;
    const timeout = new AbortController();
    const cancel = clock.schedule(
      TUNNEL_PROBE_TIMEOUT_MS,
      () => timeout.abort(new Error("no answer in time")),
    );
    const signal = AbortSignal.any([outer, timeout.signal]);
    try {
      await probe(endpoint, { signal });
      return null;
    } catch (error) {
      return quote(stateOf(timeout.signal.aborted ? timeout.signal.reason : error));
    } finally {
      cancel();
    }
  }

  /** Asks the agent's own interface until there is an address. */
  async #ask(url: string): Promise<void> {
    const { clock, agent } = this.options;
    if (agent.readAnswer === undefined || this.#asking) return;
    this.#asking = true;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await sleep(clock, TUNNEL_API_INTERVAL_MS, signal).catch(() => {});
      if (signal.aborted || this.#claimed !== null) return;
      const endpoint = agent.readAnswer(await this.#fetchJson(url));
      if (endpoint !== null && this.#claimed === null) this.#claim(endpoint);
    }
  }

  /** @returns null where there is no answer to make sense of */
  async #fetchJson(url: string): Promise<unknown> {
    const { clock } = this.options;
    const timeout = new AbortController();
    const cancel = clock.schedule(TUNNEL_API_TIMEOUT_MS, () => timeout.abort());
    const signal = AbortSignal.any([this.#over.signal, timeout.signal]);
    try {
      const response = await this.options.fetch(url, { signal, redirect: "manual" });
      return response.ok ? JSON.parse(await boundedText(response)) : (await response.body?.cancel(), null);
    } catch {
      return null;
    } finally {
      cancel();
    }
  }

  #tooSlow(): void {
    if (this.#isUp) return;
    const { program } = this.options.agent;
    this.#conclude(
      this.#noted ?? { reason: "no_address", state: `${program} runs and names no address${this.#said()}` },
    );
  }

  #conclude(failure: AgentFailure): void {
    this.#verdict.resolve(this.#endingFor(failure));
  }

  #endedBy(code: number): Ending {
    const noted = this.#noted?.reason === "no_answer" ? null : this.#noted;
    const { program } = this.options.agent;
    return this.#endingFor(
      noted ?? { reason: "ended", state: `${program} has ended (exit code ${code})${this.#said()}` },
    );
  }

  #endingFor(failure: AgentFailure): Ending {
    const verb = this.#isUp ? "keep" : "open";
    return { failure: inWords(failure, { ...this.options, verb }), otherPort: this.#otherPort };
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  #said(): string {
    return this.#lastLine === "" ? "" : `; it said last: ${quote(this.#lastLine)}`;
  }

  /** In good order, or else by force. */
  async #endProcess(): Promise<void> {
    const { process } = this;
    process.endInput();
    process.kill("SIGTERM");
    if (!await this.#within(TUNNEL_STOP_GRACE_MS, process.ended)) process.kill("SIGKILL");
    await process.ended;
  }

  /** Whether `work` is done within the time. */
  async #within(ms: number, work: Promise<unknown>): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const cancel = this.options.clock.schedule(ms, () => late.resolve(false));
    const inTime = await Promise.race([work.then(() => true), late.promise]);
    cancel();
    return inTime;
  }
}

function inWords(failure: AgentFailure, context: { spec: TunnelSpec; verb: "open" | "keep" }): TunnelFailure {
  const { reason, state, hint } = failure;
  const text = `Cannot ${context.verb} tunnel ${formatTunnelSpec(context.spec)}: ${state}`;
  return hint === undefined ? { reason, text } : { reason, text, hint };
}

function isSame(one: Endpoint, other: Endpoint | undefined): boolean {
  return one.hostname === other?.hostname && one.port === other.port;
}

/** What comes after `Cannot <action>: ` in an error of ours. */
function stateOf(error: unknown): string {
  return messageOf(error).replace(/^Cannot [^:]*(?::\d+)?[^:]*: /, "");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_TUNNEL_API_BYTES) throw new Error("Cannot read the answer: it is too long");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
