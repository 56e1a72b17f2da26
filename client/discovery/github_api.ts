/** The two questions that GitHub is asked, without a token, and what its refusals mean. */

import {
  AronaError,
  type Clock,
  GITHUB_API,
  GITHUB_HEADERS,
  GITHUB_RAW_HOST,
  githubLimit,
  MAX_DOCUMENT_BYTES,
} from "../../proto/base/mod.ts";
import {
  GISTS_PER_PAGE,
  MAX_API_ANSWER_BYTES,
  MAX_GIST_PAGES,
  MAX_GISTS_PER_USER,
  MAX_GITHUB_REQUESTS_PER_HOUR,
} from "../limits.ts";
import { type BoundedAnswer, boundedFetch, type Fetch } from "./bounded_fetch.ts";
import { parseGist, parseGistPage } from "./gist_answer.ts";

const RAW_HOSTS: Readonly<Record<string, readonly string[]>> = {
  [GITHUB_API]: [GITHUB_RAW_HOST],
};
const HOUR_MS = 3_600_000;
/** After a refusal that does not say how long it lasts, as GitHub asks for. */
const RETRY_AFTER_MS = 60_000;
/** Gists whose last answer is kept, to be asked for only if they have changed. */
const MAX_REMEMBERED = 16;

/** What {@link GithubApi} works with. */
export interface GithubApiOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Base of the API, without a slash at its end. @default GitHub itself */
  readonly api?: string;
}

/** Asks GitHub; counts its questions, so that an hour's share is never used up, and keeps silent until GitHub says it may ask again. */
export class GithubApi {
  readonly #options: GithubApiOptions;
  readonly #api: string;
  readonly #remembered = new Map<string, { etag: string; document: Uint8Array }>();
  #requestedMs: number[] = [];
  #silentUntilMs = -Infinity;

  constructor(options: GithubApiOptions) {
    this.#options = options;
    this.#api = options.api ?? GITHUB_API;
  }

  /**
   * The bytes of a Gist's `arona.json`.
   *
   * @throws {AronaError} `NOT_FOUND`, `RATE_LIMITED` with `details.retryAtMs`, `FORBIDDEN`, `UNREACHABLE`, `TIMEOUT`, `TOO_LARGE`, `BAD_DOCUMENT`
   */
  async gistDocument(id: string, signal: AbortSignal): Promise<Uint8Array> {
    const what = `gist:${id}`;
    const remembered = this.#remembered.get(id);
    const answer = await this.#get(`${this.#api}/gists/${id}`, {
      what,
      signal,
      headers: remembered === undefined ? {} : { "if-none-match": remembered.etag },
      missing: "GitHub has no such Gist; it may have been deleted",
    });
    if (answer.status === 304 && remembered !== undefined) return remembered.document;
    const file = parseGist(answer.body);
    if (file === null) throw notFound(what, "the Gist holds no arona.json");
    const document = file.kind === "content" ? file.bytes : await this.#raw(file.rawUrl, { what, signal });
    this.#remember(id, { etag: answer.headers.get("etag"), document });
    return document;
  }

  /**
   * The ids of a user's public Gists that hold an `arona.json`; the newest few.
   *
   * @throws {AronaError} like {@link gistDocument}; `NOT_FOUND` where there is none
   */
  async gistsOf(login: string, signal: AbortSignal): Promise<readonly string[]> {
    const what = `@${login}`;
    const found: string[] = [];
    for (let page = 1; page <= MAX_GIST_PAGES && found.length < MAX_GISTS_PER_USER; page++) {
      const answer = await this.#get(
        `${this.#api}/users/${login}/gists?per_page=${GISTS_PER_PAGE}&page=${page}`,
        { what, signal, headers: {}, missing: `GitHub has no user ${login}` },
      );
      const { ids, count } = parseGistPage(answer.body);
      found.push(...ids);
      if (count < GISTS_PER_PAGE) break;
    }
    if (found.length === 0) throw notFound(what, `none of ${login}'s public Gists holds an arona.json`);
    return [...new Set(found)].slice(0, MAX_GISTS_PER_USER);
  }

  async #get(
    url: string,
    options: { what: string; signal: AbortSignal; headers: Record<string, string>; missing: string },
  ): Promise<BoundedAnswer> {
    const { what, missing, signal } = options;
    const answer = await boundedFetch(url, {
      ...this.#options,
      signal,
      maxBytes: MAX_API_ANSWER_BYTES,
      headers: { ...GITHUB_HEADERS, ...options.headers },
      onRequest: () => this.#count(what),
    });
    const { status } = answer;
    if (status === 200 || status === 304 && "if-none-match" in options.headers) return answer;
    if (status === 404) throw notFound(what, missing);
    if (status === 403 || status === 429) throw this.#refused(answer, what);
    throw unusual(status, what);
  }

  async #raw(url: string, { what, signal }: { what: string; signal: AbortSignal }): Promise<Uint8Array> {
    const allowed = [new URL(this.#api).host, ...RAW_HOSTS[this.#api] ?? []];
    const host = URL.canParse(url) ? new URL(url).host : "";
    if (!allowed.includes(host)) {
      throw new AronaError(
        "BAD_DOCUMENT",
        `Cannot look at ${what}: GitHub sends on to another host, ${host}`,
      );
    }
    const { status, body } = await boundedFetch(url, {
      ...this.#options,
      signal,
      maxBytes: MAX_DOCUMENT_BYTES,
      headers: { "user-agent": GITHUB_HEADERS["user-agent"] },
    });
    if (status !== 200) throw unusual(status, what);
    return body;
  }

  #remember(id: string, { etag, document }: { etag: string | null; document: Uint8Array }): void {
    this.#remembered.delete(id);
    if (etag === null) return;
    this.#remembered.set(id, { etag, document });
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= MAX_REMEMBERED) break;
      this.#remembered.delete(oldest);
    }
  }

  /** @throws {AronaError} `RATE_LIMITED` where it may not ask now */
  #count(what: string): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonic();
    this.#requestedMs = this.#requestedMs.filter((atMs) => nowMs - atMs < HOUR_MS);
    const freeMs = this.#requestedMs.length < MAX_GITHUB_REQUESTS_PER_HOUR
      ? nowMs
      : this.#requestedMs[0] + HOUR_MS;
    const waitMs = Math.max(freeMs, this.#silentUntilMs) - nowMs;
    if (waitMs > 0) throw rateLimited(what, { clock, waitMs });
    this.#requestedMs.push(nowMs);
  }

  /** 403 and 429 are either a limit, with its end, or a plain no. */
  #refused({ status, headers, body }: BoundedAnswer, what: string): AronaError {
    const { clock } = this.#options;
    const { retryAfterS, resetS, isUsedUp } = githubLimit(headers);
    const isLimit = retryAfterS !== null || isUsedUp || /rate limit/i.test(new TextDecoder().decode(body));
    if (status === 403 && !isLimit) {
      return new AronaError("FORBIDDEN", `Cannot look at ${what}: GitHub does not allow it`);
    }
    const waitMs = retryAfterS !== null
      ? retryAfterS * 1_000
      : isUsedUp && resetS !== null
      ? resetS * 1_000 - clock.now()
      : RETRY_AFTER_MS;
    const boundedMs = Math.min(Math.max(waitMs, 1_000), HOUR_MS);
    this.#silentUntilMs = clock.monotonic() + boundedMs;
    return rateLimited(what, { clock, waitMs: boundedMs });
  }
}

function notFound(what: string, state: string): AronaError {
  return new AronaError("NOT_FOUND", `Cannot look at ${what}: ${state}`, {
    hint: "Ask whoever runs the relay for the current link.",
  });
}

function rateLimited(what: string, { clock, waitMs }: { clock: Clock; waitMs: number }): AronaError {
  const retryAtMs = Math.ceil(clock.now() + waitMs);
  const time = new Date(retryAtMs).toISOString().slice(11, 16);
  return new AronaError(
    "RATE_LIMITED",
    `Cannot look at ${what}: GitHub has been asked too often from here, until ${time} UTC`,
    { hint: `Try again in ${Math.ceil(waitMs / 60_000)} min.`, details: { retryAtMs } },
  );
}

function unusual(status: number, what: string): AronaError {
  return new AronaError(
    "UNREACHABLE",
    `Cannot look at ${what}: GitHub answers ${status}${status >= 500 ? ", it has a fault" : ""}`,
    { hint: "Try again later." },
  );
}
