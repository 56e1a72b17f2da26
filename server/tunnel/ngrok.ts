/**
 * `ngrok tcp` (ngrok.com): a port of ngrok's, with an account.
 *
 * Its log, one JSON object a line, says where its interface is (`"msg":"starting web service","addr":"127.0.0.1:4040"`) and which
 * address it has (`"msg":"started tunnel","url":"tcp://0.tcp.ngrok.io:12345"`). Where the second is missing, the interface is asked:
 * `GET /api/tunnels` gives `{"tunnels":[{"proto":"tcp","public_url":"tcp://…"}]}`. Errors carry a code, `ERR_NGROK_4018`.
 */

import { type Endpoint, formatEndpoint, parseEndpoint } from "../../proto/mod.ts";
import {
  type AgentFailure,
  type AgentNews,
  COMMON_ENVIRONMENT,
  quote,
  type TunnelAgent,
  type TunnelFailureReason,
} from "./agent.ts";

/** The agent of `ngrok`. */
export function ngrokAgent(): TunnelAgent {
  return {
    program: "ngrok",
    howToGet: "Get it from https://ngrok.com/download, then: ngrok config add-authtoken TOKEN",
    // Where its configuration is, on each system; the token may come from the environment instead.
    environment: [...COMMON_ENVIRONMENT, "XDG_CONFIG_HOME", "LOCALAPPDATA", "NGROK_AUTHTOKEN"],
    portMayChange: true,
    firstPort: () => 0,
    start: ({ local }) => ({
      args: ["tcp", formatEndpoint(local), "--log", "stdout", "--log-format", "json", "--log-level", "info"],
      presumed: null,
      read,
    }),
    readAnswer,
    unanswered: (address, detail) => ({
      reason: "no_answer",
      state: `ngrok has connected, but the relay is not reached at ${address}: ${detail}`,
      hint: "Look at ngrok's status page and at the account's limits.",
    }),
  };
}

function read(line: string): AgentNews | null {
  const entry = parseObject(line);
  if (entry === null) {
    // For people, over several lines, the code on one of the last; it ends then.
    const text = /^ERROR:\s*(\S.*)$/.exec(line);
    return text === null ? null : failureOf(text[1], true);
  }
  const { msg, addr, url, err, lvl } = entry;
  if (msg === "starting web service" && typeof addr === "string") {
    const api = loopbackUrl(addr);
    return api === null ? null : { kind: "api", url: `${api}/api/tunnels` };
  }
  if (msg === "started tunnel" && typeof url === "string") {
    const endpoint = tcpEndpoint(url);
    return endpoint === null ? null : { kind: "address", endpoint };
  }
  const wrong = typeof err === "string" && err !== "" && err !== "<nil>" && err !== "nil";
  if (!wrong || !["eror", "crit", "error"].includes(String(lvl))) return null;
  return failureOf(err, lvl !== "crit");
}

function readAnswer(json: unknown): Endpoint | null {
  const tunnels = (json as { tunnels?: unknown } | null)?.tunnels;
  if (!Array.isArray(tunnels)) return null;
  for (const tunnel of tunnels as { public_url?: unknown }[]) {
    const endpoint = typeof tunnel?.public_url === "string" ? tcpEndpoint(tunnel.public_url) : null;
    if (endpoint !== null) return endpoint;
  }
  return null;
}

/** `tcp://host:port`. */
function tcpEndpoint(url: string): Endpoint | null {
  if (!url.startsWith("tcp://")) return null;
  try {
    return parseEndpoint(url.slice("tcp://".length).replace(/\/$/, ""));
  } catch {
    return null;
  }
}

/** Where an interface that listens at `addr` is reached; null for anything but this machine. */
function loopbackUrl(addr: string): string | null {
  const match = /^(?:127\.0\.0\.1|0\.0\.0\.0|localhost|\[::\]|\[::1\]|):(\d{1,5})$/.exec(addr);
  return match === null ? null : `http://127.0.0.1:${match[1]}`;
}

function failureOf(detail: string, passing: boolean): AgentNews {
  const code = /\bERR_NGROK_\d+\b/.exec(detail)?.[0];
  const known = code === undefined ? undefined : ERRORS[code];
  if (known === undefined) {
    const failure: AgentFailure = {
      reason: "ended",
      state: quote(withoutToken(detail)),
      hint: code && `See https://ngrok.com/docs/errors/${code.toLowerCase()}`,
    };
    return { kind: "failure", failure, passing };
  }
  const [reason, state, hint] = known;
  return { kind: "failure", failure: { reason, state: `${state} (${code})`, hint } };
}

const TOKEN_HINT =
  "Take the token from https://dashboard.ngrok.com/get-started/your-authtoken, then: ngrok config add-authtoken TOKEN";

const ERRORS: Readonly<Record<string, readonly [TunnelFailureReason, state: string, hint: string]>> = {
  ERR_NGROK_105: ["not_authenticated", "the authtoken is not one", TOKEN_HINT],
  ERR_NGROK_106: ["not_authenticated", "the authtoken is of an older ngrok", TOKEN_HINT],
  ERR_NGROK_107: ["not_authenticated", "the authtoken is no longer valid", TOKEN_HINT],
  ERR_NGROK_108: [
    "quota",
    "the account has as many agents running as it may have",
    "Stop the other one, here or on another machine.",
  ],
  ERR_NGROK_120: ["not_installed", "this ngrok is too old", "Run: ngrok update"],
  ERR_NGROK_121: ["not_installed", "this ngrok is too old for the account", "Run: ngrok update"],
  ERR_NGROK_324: ["quota", "the account has as many endpoints as it may have", "Stop another one."],
  ERR_NGROK_334: ["quota", "the endpoint is in use by another agent", "Stop the other one."],
  ERR_NGROK_702: [
    "quota",
    "the account's limit on connections is reached",
    "Wait a minute, or use another plan.",
  ],
  ERR_NGROK_4018: ["not_authenticated", "there is no authtoken", TOKEN_HINT],
  ERR_NGROK_8013: [
    "refused",
    "TCP needs a card on a free account",
    "Add one at https://dashboard.ngrok.com/settings#id-verification, or use ssh: or bore.",
  ],
};

/** Some messages quote the token. */
function withoutToken(text: string): string {
  return text.replace(/(authtoken\W{1,3})\S+/gi, "$1…");
}

function parseObject(line: string): Record<string, unknown> | null {
  if (!line.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : null;
  } catch {
    return null;
  }
}
