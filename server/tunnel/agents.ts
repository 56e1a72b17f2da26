/** The agent that a tunnel needs, and what it may see of the environment. */

import type { TunnelAgent } from "./agent.ts";
import { boreAgent } from "./bore.ts";
import { ngrokAgent } from "./ngrok.ts";
import type { TunnelSpec } from "./spec.ts";
import { sshAgent } from "./ssh.ts";

/** What agents have to know of the machine. */
export interface AgentOptions {
  /** @default false */
  readonly windows?: boolean;
}

/** The agent for `spec`. */
export function agentOf(spec: TunnelSpec, options: AgentOptions = {}): TunnelAgent {
  switch (spec.kind) {
    case "ssh":
      return sshAgent(spec, options);
    case "bore":
      return boreAgent(spec);
    case "ngrok":
      return ngrokAgent();
  }
}

/** The environment of the agent's process: what it needs of the relay's, and nothing else. */
export function environmentOf(
  agent: TunnelAgent,
  get: (name: string) => string | undefined,
): Record<string, string> {
  const variables: Record<string, string> = { NO_COLOR: "1" };
  for (const name of agent.environment) {
    const value = get(name);
    if (value !== undefined) variables[name] = value;
  }
  return variables;
}
