/** One process of the agent: its output is read, the address that it names looked at, and at the end it is gone. */

import { type Endpoint, formatEndpoint, sleep, within } from "../../proto/mod.ts";
import {
  type AgentFailure,
  type AgentRun,
  needsPerson,
  quote,
  type TunnelAgent,
  type TunnelFailure,
} from "./agent.ts";
import { askAgent } from "./ask_agent.ts";
import {
  TUNNEL_API_INTERVAL_MS,
  TUNNEL_DRAIN_MS,
  TUNNEL_FIRST_LOOK_MS,
  TUNNEL_PROBE_INTERVAL_MS,
  TUNNEL_PROBE_RETRY_MS,
  TUNNEL_PROBE_TIMEOUT_MS,
  TUNNEL_PROBE_TOLERANCE,
  TUNNEL_START_TIMEOUT_MS,
  TUNNEL_STOP_GRACE_MS,
} from "./limits.ts";
import { readLines } from "./lines.ts";
import type { AgentProcess, TunnelOptions } from "./options.ts";
import { formatTunnelSpec, type TunnelSpec } from "./spec.ts";

/** How one start of the agent has ended. */
export interface Ending {
  readonly failure: TunnelFailure;
  /** Whether another port of the server may do. */
  readonly otherPort: boolean;
}

/** What an attempt works with. */
export interface AttemptOptions extends TunnelOptions {
  readonly agent: TunnelAgent;
  readonly run: AgentRun;
  /** The relay answers at `endpoint`; called with every look that finds it. */
  readonly onFound: (endpoint: Endpoint) => void;
}

/** The process, from its start to its end. */
export class Attempt {
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
    private readonly options: AttemptOptions,
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
    const late = () => new Error("no answer in time");
    try {
      await within(
        { clock, signal: outer, limitMs: TUNNEL_PROBE_TIMEOUT_MS, late },
        (signal) => probe(endpoint, { signal }),
      );
      return null;
    } catch (error) {
      return quote(stateOf(error));
    }
  }

  /** Asks the agent's own interface until there is an address. */
  async #ask(url: string): Promise<void> {
    const { clock, fetch, agent } = this.options;
    if (agent.readAnswer === undefined || this.#asking) return;
    this.#asking = true;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await sleep(clock, TUNNEL_API_INTERVAL_MS, signal).catch(() => {});
      if (signal.aborted || this.#claimed !== null) return;
      const endpoint = agent.readAnswer(await askAgent(url, { fetch, clock, signal }));
      if (endpoint !== null && this.#claimed === null) this.#claim(endpoint);
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

/** A failure as people read it. */
export function inWords(
  failure: AgentFailure,
  context: { spec: TunnelSpec; verb: "open" | "keep" },
): TunnelFailure {
  const { reason, state, hint } = failure;
  const text = `Cannot ${context.verb} tunnel ${formatTunnelSpec(context.spec)}: ${state}`;
  return hint === undefined ? { reason, text } : { reason, text, hint };
}

/** Whether both are the same address. */
export function isSame(one: Endpoint, other: Endpoint | undefined): boolean {
  return one.hostname === other?.hostname && one.port === other.port;
}

/** What comes after `Cannot <action>: ` in an error of ours. */
function stateOf(error: unknown): string {
  return messageOf(error).replace(/^Cannot [^:]*(?::\d+)?[^:]*: /, "");
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
