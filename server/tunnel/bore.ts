/**
 * `bore local PORT --to HOST` (github.com/ekzhang/bore): a port of a bore server, without an account.
 *
 * It logs `2024-01-15T12:00:00.000000Z  INFO bore_cli::client: listening at bore.pub:12345` when the forwarding stands, and ends
 * with `Error: …` where it cannot. The port that a server gave is asked for again, so that the address stays.
 */

import type { Endpoint } from "../../proto/mod.ts";
import { type AgentFailure, type AgentNews, COMMON_ENVIRONMENT, quote, type TunnelAgent } from "./agent.ts";
import { publicHostOf, type TunnelSpec } from "./spec.ts";

/** The agent of `bore[:host]`. */
export function boreAgent(spec: TunnelSpec & { kind: "bore" }): TunnelAgent {
  const { host } = spec;
  return {
    program: "bore",
    howToGet: "Get it from https://github.com/ekzhang/bore/releases, or with: cargo install bore-cli",
    environment: [...COMMON_ENVIRONMENT, "BORE_SECRET"],
    portMayChange: true,
    firstPort: () => 0,
    start: ({ local, port }) => ({
      args: [
        "local",
        String(local.port),
        "--local-host",
        local.hostname,
        "--to",
        host,
        ...port === 0 ? [] : ["--port", String(port)],
      ],
      presumed: null,
      read: (line) => read(line, { host: publicHostOf(spec)!, port }),
    }),
    unanswered: (address, detail) => ({
      reason: "no_answer",
      state: `bore has connected, but the relay is not reached at ${address}: ${detail}`,
      hint: "The bore server may be busy, or a firewall is before its ports.",
    }),
  };
}

function read(line: string, run: { host: string; port: number }): AgentNews | null {
  const listening = /\blistening at \S*:(\d{1,5})$/.exec(line);
  if (listening !== null) return { kind: "address", endpoint: endpoint(run.host, Number(listening[1])) };
  const failed = /^Error: (.*)$/.exec(line);
  return failed === null ? null : failureOf(failed[1], run);
}

function endpoint(hostname: string, port: number): Endpoint {
  return { hostname, port };
}

function failureOf(detail: string, { port }: { port: number }): AgentNews {
  const otherPort = port !== 0 && /\bport\b|\bpermission denied\b/.test(detail);
  return { kind: "failure", otherPort, failure: { ...explain(detail), state: quote(detail) } };
}

function explain(detail: string): Omit<AgentFailure, "state"> {
  if (/secret|authentication|challenge/i.test(detail)) {
    return {
      reason: "not_authenticated",
      hint: "This server wants a secret: give the relay's process the environment variable BORE_SECRET.",
    };
  }
  if (/could not connect/.test(detail)) {
    return { reason: "unreachable", hint: "Is the server up, and does the network let port 7835 out?" };
  }
  if (/failed to find an available port/.test(detail)) {
    return {
      reason: "quota",
      hint: "The server has no free port; try later, or use another one with bore:HOST.",
    };
  }
  if (/^server error/.test(detail)) return { reason: "refused" };
  return { reason: "ended" };
}
