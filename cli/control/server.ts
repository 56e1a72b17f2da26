/** Serves control of a running relay on loopback. Only who can read control.json is listened to, and no web page ever. */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { AronaError, type Clock, toBase64Url } from "../../proto/base/mod.ts";
import type { SubjectResult } from "../../server/mod.ts";
import { oneLine } from "../failure.ts";
import { readBody, serveHttp } from "../http_server.ts";
import { CONTROL_ROOT, type ControlledRelay, MAX_CONTROL_BODY_BYTES } from "./protocol.ts";
import { parseSubject } from "./subject.ts";

const TOKEN_BYTES = 32;
/** Requests that may be under way at once. */
const MAX_REQUESTS = 16;
const MAX_DRAIN_MS = 3_600_000;

/** Control that is being served. */
export interface ControlServer {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** What has to be said with each request. */
  readonly token: string;
  /** Answers what is under way, then ends. Safe to call again. */
  stop(): Promise<void>;
}

/** Options of {@link serveControl}. */
export interface ServeControlOptions {
  readonly relay: ControlledRelay;
  /** Hears of what went wrong inside. */
  readonly onFault?: (error: unknown) => void;
  /** @default the system's */
  readonly clock?: Clock;
}

/** Begins to serve control, on a port that the system chooses. */
export function serveControl(options: ServeControlOptions): ControlServer {
  const token = toBase64Url(randomBytes(TOKEN_BYTES));
  let address = "";
  const handler = controlHandler({ ...options, token, address: () => address });
  const server = serveHttp({ hostname: "127.0.0.1", port: 0 }, { handler, clock: options.clock });
  address = `127.0.0.1:${server.port}`;
  return { address, token, stop: () => server.stop() };
}

/**
 * What answers the requests.
 *
 * @param options.address `127.0.0.1:PORT`, which requests have to name as their host: a web page that was made to point here names another
 */
export function controlHandler(
  options: Pick<ServeControlOptions, "relay" | "onFault" | "clock"> & {
    readonly token: string;
    readonly address: () => string;
  },
): (request: Request) => Promise<Response> {
  const { relay, onFault, clock } = options;
  const hash = (text: string) => createHash("sha256").update(text).digest();
  const expected = hash(`Bearer ${options.token}`);
  let underWay = 0;
  return async (request) => {
    if (request.headers.get("host") !== options.address()) {
      return failure(403, "FORBIDDEN", "this is not for web pages");
    }
    // Browsers say where a request comes from; nothing else that asks here does.
    if (request.headers.has("origin") || request.headers.has("sec-fetch-site")) {
      return failure(403, "FORBIDDEN", "this is not for web pages");
    }
    if (!timingSafeEqual(hash(request.headers.get("authorization") ?? ""), expected)) {
      return failure(401, "AUTH_FAILED", "the token is in control.json");
    }
    if (underWay >= MAX_REQUESTS) return failure(503, "QUOTA", "too many requests at once");
    underWay++;
    try {
      return await route(request, { relay, clock });
    } catch (error) {
      return refusal(error, onFault);
    } finally {
      underWay--;
    }
  };
}

async function route(
  request: Request,
  { relay, clock }: { readonly relay: ControlledRelay; readonly clock?: Clock },
): Promise<Response> {
  const body = () => readJson(request, clock);
  const { pathname } = new URL(request.url);
  const name = pathname.startsWith(CONTROL_ROOT) ? pathname.slice(CONTROL_ROOT.length) : "";
  switch (`${request.method} ${name}`) {
    case "GET status":
      return json(await relay.status());
    case "GET bans":
      return json({
        bans: (await relay.bans()).map(({ kind, subject, atMs }) => ({ kind, subject, at: iso(atMs) })),
      });
    case "GET limits":
      return json(await relay.limits());
    case "POST limits":
      return json(await relay.setLimits(await body()));
    case "POST ban":
    case "POST unban":
    case "POST kick": {
      const { subject } = await body();
      if (typeof subject !== "string") throw bad("it has no subject");
      const act = { ban: relay.ban, unban: relay.unban, kick: relay.kick }[name as "ban"];
      return json(subjectAnswer(await act.call(relay, parseSubject(subject))));
    }
    case "POST reload":
      await body();
      return json(await relay.reload());
    case "POST drain": {
      const { withinMs } = await body();
      if (withinMs !== undefined && !(Number(withinMs) >= 0 && Number(withinMs) <= MAX_DRAIN_MS)) {
        throw bad(`withinMs is from 0 to ${MAX_DRAIN_MS}`);
      }
      await relay.drain(withinMs === undefined ? {} : { withinMs: Number(withinMs) });
      return json({ drained: true });
    }
    default:
      return failure(404, "NOT_FOUND", "there is no such request");
  }
}

/** The request's JSON object; an empty body is an empty one. */
async function readJson(request: Request, clock: Clock | undefined): Promise<Record<string, unknown>> {
  const bytes = await readBody(request, { maxBytes: MAX_CONTROL_BODY_BYTES, clock });
  if (bytes.length === 0) return {};
  if (request.headers.get("content-type") !== "application/json") {
    throw bad("its type is not application/json");
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw bad("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("it is no JSON object");
  return value as Record<string, unknown>;
}

function subjectAnswer({ subject, changed, sessions }: SubjectResult) {
  return { kind: subject.kind, subject: subject.subject, changed, sessions };
}

function refusal(error: unknown, onFault: ((error: unknown) => void) | undefined): Response {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string" && /^[A-Z_]+$/.test(code) && code !== "INTERNAL") {
    const { hint } = error as { hint?: unknown };
    const text = typeof hint === "string" ? `${message}. ${hint}` : String(message);
    return failure(STATUS_OF[code] ?? 400, code, oneLine(text));
  }
  if ((error as { exitCode?: unknown }).exitCode !== undefined) { // a configuration file that does not fit
    const hint = (error as { hint?: string }).hint;
    return failure(400, "BAD_REQUEST", oneLine(hint ? `${message}. ${hint}` : String(message)));
  }
  onFault?.(error);
  return failure(500, "INTERNAL", "something went wrong; the relay's log has it");
}

const STATUS_OF: Readonly<Record<string, number>> = { TOO_LARGE: 413, TIMEOUT: 408 };

function bad(state: string): AronaError {
  return new AronaError("BAD_REQUEST", `Cannot read request: ${state}`);
}

function failure(status: number, code: string, message: string): Response {
  return json({ error: { code, message } }, status);
}

function json(value: unknown, status = 200): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    },
  });
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
