/** What a tunnel is started with, what it reports, and how it stands. */

import type { Clock, Endpoint } from "../../proto/mod.ts";
import type { TunnelFailure } from "./agent.ts";
import type { AgentOptions } from "./agents.ts";
import type { TunnelSpec } from "./spec.ts";

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
  readonly probe: (endpoint: Endpoint, options: { signal: AbortSignal }) => Promise<unknown>;
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
