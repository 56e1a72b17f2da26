/** One request to GitHub's API with the operator's token: bounded in time and size, to that one host, and what its refusals mean. */

import {
  AronaError,
  type Clock,
  fromUtf8,
  GITHUB_HEADERS,
  githubLimit,
  isAronaError,
  joinBytes,
  within,
} from "../../proto/mod.ts";
import {
  GITHUB_LIMIT_MS,
  GITHUB_TIMEOUT_MS,
  MAX_GITHUB_ANSWER_BYTES,
  MAX_GITHUB_LIMIT_MS,
  MAX_GITHUB_REDIRECTS,
} from "../limits.ts";
import { TOKEN_HINT, withoutToken } from "./github_token.ts";

const REDIRECTS: readonly number[] = [301, 302, 307, 308];
const SCOPE = "gist";

/** The port to the web. The platform's `fetch` fits. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** What a request is made with: the part of the platform's `fetch` that is used. */
export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly redirect: "manual";
  readonly signal: AbortSignal;
}

/** What {@link GithubApi} works with. */
export interface GithubApiOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Base of the API, without a slash at its end. */
  readonly api: string;
  readonly token: string;
  /** Called with what the token may do beyond what it is needed for, as GitHub says with each answer. */
  readonly onScopes?: (needless: readonly string[]) => void;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Asks GitHub. */
export class GithubApi {
  constructor(private readonly options: GithubApiOptions) {}

  /**
   * @param path from the base on, for example `/gists`
   * @returns the JSON of an answer 200 or 201
   * @throws {AronaError} `AUTH_FAILED` for a token that is wrong or has expired, `FORBIDDEN` for one that may not write Gists,
   * `RATE_LIMITED` with `details.waitMs`, `NOT_FOUND`, `CONFLICT`, `BAD_REQUEST` for what GitHub will not take, `TIMEOUT`,
   * `UNREACHABLE`, `TOO_LARGE` and `BAD_ENCODING` for an answer that cannot be used; the signal's reason
   */
  async request(
    method: "GET" | "POST" | "PATCH",
    path: string,
    { body, signal }: { body?: unknown; signal: AbortSignal },
  ): Promise<unknown> {
    const { clock } = this.options;
    const answer = await within(
      { clock, signal, limitMs: GITHUB_TIMEOUT_MS, late: tooLate },
      (signal) => this.#send(method, path, { body, signal }),
    );
    this.#lookAtScopes(answer);
    if (answer.status !== 200 && answer.status !== 201) throw this.#refusal(answer);
    try {
      return JSON.parse(answer.text);
    } catch (cause) {
      throw failure("BAD_ENCODING", "GitHub's answer is not JSON", { cause });
    }
  }

  async #send(
    method: string,
    path: string,
    { body, signal }: { body?: unknown; signal: AbortSignal },
  ): Promise<Answer> {
    const { api, token } = this.options;
    let url = new URL(api + path);
    for (let redirects = 0;; redirects++) {
      const response = await this.#fetch(url, {
        method,
        headers: {
          ...GITHUB_HEADERS,
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        redirect: "manual", // the token goes nowhere else
        signal,
      });
      if (!REDIRECTS.includes(response.status)) return await readAnswer(response, signal);
      await response.body?.cancel().catch(() => {});
      if (redirects === MAX_GITHUB_REDIRECTS) throw failure("UNREACHABLE", "GitHub sends on and on");
      url = redirected(url, response.headers.get("location"));
    }
  }

  async #fetch(url: URL, init: FetchInit): Promise<Response> {
    try {
      return await this.options.fetch(url.href, init);
    } catch (cause) {
      init.signal.throwIfAborted();
      throw failure("UNREACHABLE", `${url.host} cannot be reached`, {
        cause,
        hint: "Check this computer's network.",
      });
    }
  }

  #lookAtScopes({ headers }: Answer): void {
    const needless = scopesOf(headers)?.filter((scope) => scope !== SCOPE) ?? [];
    const shown = needless.map((scope) => withoutToken(scope, this.options.token));
    if (shown.length > 0) this.options.onScopes?.(shown);
  }

  #refusal(answer: Answer): AronaError {
    const { status, headers } = answer;
    const said = this.#messageOf(answer);
    const scopes = scopesOf(headers);
    if (status === 401) {
      return failure("AUTH_FAILED", `the token is wrong or has expired${said}`, { hint: TOKEN_HINT });
    }
    if (
      status === 429 ||
      status === 403 && (headers.has("retry-after") || githubLimit(headers).isUsedUp || isSecondary(said))
    ) {
      return failure("RATE_LIMITED", `GitHub has been asked too often${said}`, {
        details: { waitMs: this.#limitMs(headers) },
      });
    }
    // A classic token without the scope is told that there is no such thing.
    if (status === 404 && scopes !== null && !scopes.includes(SCOPE)) {
      return failure("FORBIDDEN", "the token lacks the scope gist", { hint: TOKEN_HINT });
    }
    if (status === 403) {
      return failure("FORBIDDEN", `the token may not write Gists${said}`, { hint: TOKEN_HINT });
    }
    if (status === 404) return failure("NOT_FOUND", `GitHub has no such Gist for this token${said}`);
    if (status === 409) return failure("CONFLICT", `the Gist is being changed${said}`);
    if (status >= 500) return failure("UNREACHABLE", `GitHub has a fault, ${status}${said}`);
    return failure("BAD_REQUEST", `GitHub does not take it, ${status}${said}`);
  }

  /** How long a limit lasts, by GitHub's own clock. */
  #limitMs(headers: Headers): number {
    const { retryAfterS, resetS, isUsedUp } = githubLimit(headers);
    if (retryAfterS !== null) return bounded(retryAfterS * 1_000);
    if (resetS === null || !isUsedUp) return GITHUB_LIMIT_MS;
    const date = Date.parse(headers.get("date") ?? "");
    return bounded(resetS * 1_000 - (Number.isNaN(date) ? this.options.clock.now() : date));
  }

  #messageOf({ text }: Answer): string {
    let message: unknown;
    try {
      message = JSON.parse(text).message;
    } catch {
      // a page in HTML, as some faults have
    }
    if (typeof message !== "string" || message === "") return "";
    return ` (it says: ${withoutToken(message, this.options.token)})`;
  }
}

/** @throws {AronaError} `TOO_LARGE` as soon as there is more than may be; no more is read then */
async function readAnswer(response: Response, signal: AbortSignal): Promise<Answer> {
  const { status, headers } = response;
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > MAX_GITHUB_ANSWER_BYTES) {
        throw failure("TOO_LARGE", `GitHub's answer has over ${MAX_GITHUB_ANSWER_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (isAronaError(cause)) throw cause;
    throw failure("UNREACHABLE", "GitHub's answer was cut off", { cause });
  }
  try {
    return { status, headers, text: fromUtf8(joinBytes(chunks)) };
  } catch (cause) {
    throw failure("BAD_ENCODING", "GitHub's answer is not text", { cause });
  }
}

function tooLate(): AronaError {
  return failure("TIMEOUT", `GitHub has not answered within ${GITHUB_TIMEOUT_MS / 1_000} s`);
}

function redirected(from: URL, location: string | null): URL {
  const to = location !== null && URL.canParse(location, from.href) ? new URL(location, from.href) : null;
  if (to === null) throw failure("UNREACHABLE", "GitHub sends on to nowhere");
  if (to.origin !== from.origin) {
    throw failure("UNREACHABLE", `GitHub sends on to another host, ${to.host}`, {
      hint: "The token is not sent there. Check ARONA_GITHUB_API and this computer's network.",
    });
  }
  return to;
}

/** What the token may do; null for a fine-grained one, whose answers do not say. */
function scopesOf(headers: Headers): string[] | null {
  const header = headers.get("x-oauth-scopes");
  return header === null
    ? null
    : header.split(",").map((scope) => scope.trim()).filter((scope) => scope !== "");
}

function isSecondary(said: string): boolean {
  return /secondary rate limit/i.test(said);
}

function bounded(ms: number): number {
  return Math.min(Math.max(ms, 1_000), MAX_GITHUB_LIMIT_MS);
}

function failure(
  code: ConstructorParameters<typeof AronaError>[0],
  state: string,
  options?: ConstructorParameters<typeof AronaError>[2],
): AronaError {
  return new AronaError(code, `Cannot publish to GitHub: ${state}`, options);
}
