/** Serves `/healthz`, `/readyz` and `/metrics`. Nobody's name is in what they say, and nothing can be changed through them. */

import { type Clock, type Endpoint, formatEndpoint } from "../../proto/base/mod.ts";
import type { RelayStatus } from "../control/protocol.ts";
import { CommandFailure } from "../failure.ts";
import { type HttpHandler, serveHttp } from "../http_server.ts";
import { reasonOf } from "../paths.ts";
import { METRICS_CONTENT_TYPE, writeMetrics } from "./exposition.ts";
import { relayMetrics } from "./relay_metrics.ts";

/** What is asked for the numbers. */
export interface MeteredRelay {
  status(): Promise<RelayStatus>;
  /** Whether new devices are let in. */
  readonly ready: boolean;
}

/** Metrics that are being served. */
export interface MetricsServer {
  /** `host:port`. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Options of {@link metricsHandler}. */
export interface MetricsOptions {
  readonly relay: MeteredRelay;
  readonly clock: Clock;
  /** Whether they are for this machine only: then no web page gets them, whatever its name was made to point at. */
  readonly local: boolean;
  readonly onFault?: (error: unknown) => void;
}

/** Begins to serve. @throws {CommandFailure} where it cannot listen there */
export function serveMetrics(listen: Endpoint, options: Omit<MetricsOptions, "local">): MetricsServer {
  const handler = metricsHandler({ ...options, local: LOOPBACK.test(formatEndpoint(listen)) });
  try {
    const server = serveHttp(listen, { handler, clock: options.clock });
    return { address: formatEndpoint(server), stop: () => server.stop() };
  } catch (cause) {
    throw new CommandFailure(`Cannot serve metrics on ${formatEndpoint(listen)}: ${reasonOf(cause)}`, {
      cause,
      hint: "Choose another port with --metrics.",
    });
  }
}

/** Hosts that no web page can have as its own. */
const LOOPBACK = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]|localhost)(:\d{1,5})?$/i;

/** What answers the requests. */
export function metricsHandler({ relay, clock, local, onFault }: MetricsOptions): HttpHandler {
  let asked: Promise<string> | null = null;
  // However many ask at once, the relay is asked once.
  const text = () => {
    asked ??= (async () => {
      const startMs = clock.monotonic();
      const status = await relay.status();
      return writeMetrics(relayMetrics(status, { answerSeconds: (clock.monotonic() - startMs) / 1_000 }));
    })().finally(() => asked = null);
    return asked;
  };
  return async ({ method, url, headers }) => {
    if (local && isWebPage(headers)) return plain("this is not for web pages\n", 403);
    if (method !== "GET" && method !== "HEAD") return plain("only GET\n", 405);
    switch (new URL(url).pathname) {
      case "/healthz":
        return plain("ok\n");
      case "/readyz":
        if (!relay.ready) return plain("stopping\n", 503);
        try {
          await text(); // the relay's thread answers
          return plain("ready\n");
        } catch {
          return plain("the relay does not answer\n", 503);
        }
      case "/metrics":
        try {
          return plain(await text(), 200, METRICS_CONTENT_TYPE);
        } catch (error) {
          onFault?.(error);
          return plain("the relay does not answer\n", 503);
        }
      default:
        return plain("there are /healthz, /readyz and /metrics\n", 404);
    }
  };
}

/** Browsers say where a request comes from: `none` is what a person typed. */
function isWebPage(headers: Headers): boolean {
  return !LOOPBACK.test(headers.get("host") ?? "") || headers.has("origin") ||
    (headers.get("sec-fetch-site") ?? "none") !== "none";
}

function plain(text: string, status = 200, type = "text/plain; charset=utf-8"): Response {
  return new Response(text, {
    status,
    headers: { "content-type": type, "cache-control": "no-store", "x-content-type-options": "nosniff" },
  });
}
