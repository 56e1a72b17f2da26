/** What the supervision knows of a tunnel's agent: how it is started, and what its output means. */

import type { Endpoint } from "../../proto/mod.ts";
import { MAX_AGENT_QUOTE_CHARACTERS } from "./limits.ts";

/** Why a tunnel does not work. */
export type TunnelFailureReason =
  | "not_installed" //      there is no such program here
  | "not_authenticated" //  the tunnel's server does not accept the key or the token
  | "host_key" //           the server's key is not the one that is known
  | "refused" //            the server does not forward, or not this port
  | "quota" //              the account's or the server's limit
  | "unreachable" //        no way to the tunnel's server
  | "no_address" //         the agent runs and names no address
  | "no_answer" //          the relay is not reached through the address
  | "ended"; //             the agent has ended, and nobody knows why

/** A failure in words. Plain data, so that it can be sent between workers. */
export interface TunnelFailure {
  readonly reason: TunnelFailureReason;
  /** `Cannot <action>: <state>`. */
  readonly text: string;
  /** What the person can do about it, as one sentence. */
  readonly hint?: string;
}

/** Reasons that do not pass by themselves. */
const FOR_A_PERSON: readonly TunnelFailureReason[] = [
  "not_installed",
  "not_authenticated",
  "host_key",
  "refused",
  "quota",
];

/** Whether only a person can help. */
export function needsPerson({ reason }: Pick<TunnelFailure, "reason">): boolean {
  return FOR_A_PERSON.includes(reason);
}

/** What an agent says of a failure; the supervision makes a {@link TunnelFailure} of it. */
export interface AgentFailure extends Pick<TunnelFailure, "reason" | "hint"> {
  /** What comes after `Cannot open tunnel …: `. */
  readonly state: string;
}

/** What a line of an agent's output means. */
export type AgentNews =
  /** The forwarding stands, reached at `endpoint`. */
  | { readonly kind: "address"; readonly endpoint: Endpoint }
  /** The agent answers questions at `url`. */
  | { readonly kind: "api"; readonly url: string }
  /** Something is wrong. */
  | {
    readonly kind: "failure";
    readonly failure: AgentFailure;
    /** The agent goes on trying, and this may pass. @default false */
    readonly passing?: boolean;
    /** Another port of the server may do. @default false */
    readonly otherPort?: boolean;
  };

/** One start of an agent. */
export interface AgentRun {
  /** The arguments after the program's own name. */
  readonly args: readonly string[];
  /** Where the forwarding will stand if the agent says nothing against it. */
  readonly presumed: Endpoint | null;
  /** Reads one line, without control characters. Never throws. */
  read(line: string): AgentNews | null;
}

/** One kind of agent, for one {@link TunnelSpec}. */
export interface TunnelAgent {
  /** The program's name, to be looked for in PATH. */
  readonly program: string;
  /** How to get it, as one sentence. */
  readonly howToGet: string;
  /** The environment variables that it sees where they are set, and no others. */
  readonly environment: readonly string[];
  /** The port to ask the server for at first; 0 lets it choose. */
  firstPort(local: Endpoint): number;
  /** Whether another port may be asked for when the server does not give one. */
  readonly portMayChange: boolean;
  /** @param options.local where the relay listens, as this machine reaches it */
  start(options: { local: Endpoint; port: number }): AgentRun;
  /** The agent says that all is well, and the relay is not reached at `address`. */
  unanswered(address: string, detail: string): AgentFailure;
  /** The address in an answer of the agent's interface. @default there is none */
  readAnswer?(json: unknown): Endpoint | null;
}

/** Variables that most programs need to find their files and the network. */
export const COMMON_ENVIRONMENT: readonly string[] = [
  "HOME",
  "PATH",
  "USER",
  // Windows
  "SystemRoot",
  "USERPROFILE",
];

/** What an agent said, for a sentence: one line, no control characters, not too long. */
export function quote(text: string): string {
  const line = text.replace(/\s+/g, " ").replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "\ufffd").trim().replace(
    /\.$/,
    "",
  );
  return line.length <= MAX_AGENT_QUOTE_CHARACTERS ? line : `${line.slice(0, MAX_AGENT_QUOTE_CHARACTERS)}…`;
}
