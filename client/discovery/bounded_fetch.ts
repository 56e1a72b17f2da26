/** Requests to web servers that nobody has reason to trust: bounded in time, size and way. */

import {
  AronaError,
  type Clock,
  isAronaError,
  isLoopbackHost,
  joinBytes,
  within,
} from "../../proto/base/mod.ts";
import { DISCOVERY_TIMEOUT_MS, MAX_REDIRECTS } from "../limits.ts";

/** Of an answer that is an error no more is read than this, and what comes in one piece with it. */
const MAX_ERROR_BYTES = 16_384;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** What a request is made with: the part of the platform's `fetch` that is used. */
export interface FetchInit {
  readonly headers: Record<string, string>;
  readonly redirect: "manual";
  readonly signal: AbortSignal;
}

/** The port to the web. The platform's `fetch` fits. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** Options of {@link boundedFetch}. */
export interface BoundedFetchOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Largest body of a 200. */
  readonly maxBytes: number;
  /** @default none */
  readonly headers?: Readonly<Record<string, string>>;
  /** Hears of each request that goes out, and refuses it by throwing. */
  readonly onRequest?: () => void;
}

/** An answer as it came. */
export interface BoundedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Of a 200 all, of any other status the beginning. */
  readonly body: Uint8Array;
}

/**
 * GETs `url`, by https except on this computer, and follows redirects within its host.
 *
 * @throws {AronaError} `UNREACHABLE`, `TIMEOUT`, `TOO_LARGE`; `BAD_REQUEST` where it is sent to another host; the signal's reason
 */
export async function boundedFetch(url: string, options: BoundedFetchOptions): Promise<BoundedAnswer> {
  const { clock, signal } = options;
  const { host } = new URL(url);
  const late = () =>
    new AronaError("TIMEOUT", `Cannot ask ${host}: no answer within ${DISCOVERY_TIMEOUT_MS / 1_000} s`, {
      hint: "Check your network, or try again later.",
    });
  return await within({ clock, signal, limitMs: DISCOVERY_TIMEOUT_MS, late }, async (signal) => {
    let target = safeUrl(new URL(url));
    for (let redirects = 0;; redirects++) {
      options.onRequest?.();
      const response = await request(target, { ...options, signal });
      const { status, headers } = response;
      if (!REDIRECTS.includes(status)) {
        return { status, headers, body: await readBody(response, { ...options, host, signal }) };
      }
      await response.body?.cancel().catch(() => {});
      if (redirects >= MAX_REDIRECTS) throw refused(host, "it sends on and on");
      target = redirected(target, headers.get("location"));
    }
  });
}

async function request(url: URL, { fetch, headers, signal }: BoundedFetchOptions): Promise<Response> {
  try {
    return await fetch(url.href, { headers: { ...headers }, redirect: "manual", signal });
  } catch (cause) {
    signal.throwIfAborted();
    if (isAronaError(cause)) throw cause;
    throw new AronaError("UNREACHABLE", `Cannot ask ${url.host}: it cannot be reached`, {
      cause,
      hint: "Check your network, or try again later.",
    });
  }
}

/** @throws {AronaError} `TOO_LARGE` as soon as a 200 has more than it may; no more is read then */
async function readBody(
  response: Response,
  { maxBytes, host, signal }: BoundedFetchOptions & { host: string },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      chunks.push(chunk);
      if (response.status !== 200 && length > MAX_ERROR_BYTES) break;
      if (length > maxBytes) {
        throw new AronaError("TOO_LARGE", `Cannot ask ${host}: its answer has over ${maxBytes} bytes`, {
          hint: "There is something else than a relay's document.",
        });
      }
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (isAronaError(cause)) throw cause;
    throw new AronaError("UNREACHABLE", `Cannot ask ${host}: its answer was cut off`, { cause });
  }
  return joinBytes(chunks);
}

function redirected(from: URL, location: string | null): URL {
  const to = location !== null && URL.canParse(location, from.href) ? new URL(location, from.href) : null;
  if (to === null) throw refused(from.host, "it sends on to nowhere");
  if (to.host !== from.host || to.protocol !== from.protocol) {
    throw refused(from.host, `it sends on to another host, ${to.host}`);
  }
  return safeUrl(to);
}

function safeUrl(url: URL): URL {
  const isSafe = url.protocol === "https:" || url.protocol === "http:" && isLoopbackHost(url.host);
  if (!isSafe) throw refused(url.host, "only https is safe");
  if (url.username !== "" || url.password !== "") throw refused(url.host, "the address holds a password");
  return url;
}

function refused(host: string, state: string): AronaError {
  return new AronaError("BAD_REQUEST", `Cannot ask ${host}: ${state}`, {
    hint: "Ask whoever runs the relay for the right link.",
  });
}
