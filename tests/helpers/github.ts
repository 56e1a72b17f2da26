/**
 * A stand-in for GitHub's REST API on loopback, as far as gists go. Requests are held against GitHub's own description and its written
 * rules for headers; a wrong one is answered as GitHub would, and {@link GithubStandIn.close} throws. Answers are made from the
 * description's examples.
 *
 * @example
 * ```ts
 * await using github = await startGithub();
 * const token = github.addUser("octocat");
 * github.next({ kind: "status", status: 502 }); // the next request fails
 * await publish({ api: github.url, token });
 * assert.equal(github.gists.size, 1);
 * ```
 */

import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { requirement } from "../require.ts";
import { GithubDescription, type Operation } from "./github_description.ts";
import { githubDescription } from "./github_excerpt.ts";

/** Tests that use {@link startGithub}. */
export const githubApi = requirement(
  await githubDescription() !== null,
  "GitHub's OpenAPI description (npm @octokit/openapi) cannot be had here",
);

export const GITHUB_API_VERSION = "2022-11-28";
const MEDIA_TYPE = "application/vnd.github+json";
const HOUR_MS = 3_600_000;

/** A gist as it is stored. */
export interface StoredGist {
  readonly id: string;
  readonly owner: string;
  readonly public: boolean;
  readonly description: string | null;
  readonly files: ReadonlyMap<string, string>;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Grows with each change, from 1. */
  readonly revision: number;
}

/** A request that came. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Headers;
  /** The JSON body. */
  readonly body: unknown;
  /** Resolves with the answer's status; with null, when the stand-in ends, where nothing was answered. */
  readonly answered: Promise<number | null>;
}

/** How one request goes wrong. */
export type Fault =
  /** Answers this instead; nothing is changed. */
  | {
    readonly kind: "status";
    readonly status: number;
    readonly message?: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  /** The hour's requests are used up until then. @default status 403 */
  | { readonly kind: "rateLimit"; readonly resetAtMs: number; readonly status?: 403 | 429 }
  /** Too many at once. Without `retryAfterS` the header is missing. @default status 403 */
  | { readonly kind: "secondaryLimit"; readonly retryAfterS?: number; readonly status?: 403 | 429 }
  /** Does what is asked, and the answer gets lost on the way. */
  | { readonly kind: "lost"; readonly status: number }
  /** Never answers. */
  | { readonly kind: "hang" }
  /** Starts to answer and never ends. */
  | { readonly kind: "hangBody" }
  /** Starts to answer and breaks off. */
  | { readonly kind: "cut" }
  /** @default status 301 */
  | { readonly kind: "redirect"; readonly to: string; readonly status?: number }
  /** Another body with the right status. */
  | { readonly kind: "body"; readonly text: string }
  /** The right answer, changed. */
  | { readonly kind: "alter"; readonly alter: (answer: Record<string, unknown>) => unknown };

/** Which requests a fault is for. */
export interface FaultMatch {
  readonly method?: string;
  /** The operation as GitHub names it, for example `gists/update`. */
  readonly operation?: string;
  /** @default 1 */
  readonly times?: number;
}

/** Options of {@link GithubStandIn.addUser}. */
export interface UserOptions {
  /** Of a classic token; null for a fine-grained one. @default ["gist"] */
  readonly scopes?: readonly string[] | null;
  /** Whether a fine-grained token may write gists. @default true */
  readonly mayWriteGists?: boolean;
}

interface Token extends Required<UserOptions> {
  readonly login: string;
}

interface RateLimit {
  readonly limit: number;
  used: number;
  resetAtMs: number;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Options of {@link startGithub}. */
export interface GithubOptions {
  /** The hour by GitHub's clock. @default the system's */
  readonly now?: () => number;
  /** @default chosen by the system */
  readonly port?: number;
}

/** Starts one. */
export async function startGithub(options: GithubOptions = {}): Promise<GithubStandIn> {
  const description = await githubDescription();
  if (description === null) throw new Error("Cannot stand in for GitHub: its description is not here");
  return new GithubStandIn(new GithubDescription(description), options);
}

/** GitHub, on loopback. */
export class GithubStandIn implements AsyncDisposable {
  /** For `ARONA_GITHUB_API`. */
  readonly url: string;
  /** Every request, in order. */
  readonly requests: SeenRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #description: GithubDescription;
  readonly #now: () => number;
  readonly #gists = new Map<string, StoredGist>();
  readonly #tokens = new Map<string, Token>();
  readonly #limits = new Map<string, RateLimit>();
  readonly #faults: { fault: Fault; match: FaultMatch; left: number }[] = [];
  readonly #ending = new AbortController();
  #waiting: { count: number; wake: () => void }[] = [];
  #problems: string[] = [];

  constructor(description: GithubDescription, { now = Date.now, port = 0 }: GithubOptions) {
    this.#description = description;
    this.#now = now;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, signal: this.#ending.signal, onListen: () => {} },
      (request) => this.#serve(request),
    );
    this.url = `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** All gists by id. */
  get gists(): ReadonlyMap<string, StoredGist> {
    return this.#gists;
  }

  /** Makes an account, and a token of it. Called again for the same login: one more token. */
  addUser(login: string, { scopes = ["gist"], mayWriteGists = true }: UserOptions = {}): string {
    const prefix = scopes === null ? "github_pat_" : "ghp_";
    const token = prefix + Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString("hex");
    this.#tokens.set(token, { login, scopes, mayWriteGists });
    return token;
  }

  /** The token ends, as when its owner deletes it. */
  revoke(token: string): void {
    this.#tokens.delete(token);
  }

  /** Puts a gist there as its owner would on the website. @returns its id */
  putGist(
    gist: {
      readonly owner: string;
      readonly files: Readonly<Record<string, string>>;
      /** Replaces the one with this id. @default a new one */
      readonly id?: string;
      readonly public?: boolean;
      readonly description?: string | null;
    },
  ): string {
    const id = gist.id ?? Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
    const before = this.#gists.get(id);
    this.#gists.set(id, {
      id,
      owner: gist.owner,
      public: gist.public ?? before?.public ?? true,
      description: gist.description ?? before?.description ?? null,
      files: new Map(Object.entries(gist.files)),
      createdAtMs: before?.createdAtMs ?? this.#now(),
      updatedAtMs: this.#now(),
      revision: (before?.revision ?? 0) + 1,
    });
    return id;
  }

  /** Its owner deletes it on the website. */
  removeGist(id: string): void {
    this.#gists.delete(id);
  }

  /** The next request that matches goes wrong this way; faults are used up in the order they are given. */
  next(fault: Fault, match: FaultMatch = {}): void {
    this.#faults.push({ fault, match, left: match.times ?? 1 });
  }

  /** How many requests of this hour are left to a token's owner, or without one to this address. */
  setRateLimit(
    token: string | null,
    limit: { readonly remaining: number; readonly resetAtMs: number },
  ): void {
    const state = this.#limitOf(token === null ? undefined : this.#tokens.get(token));
    state.used = state.limit - limit.remaining;
    state.resetAtMs = limit.resetAtMs;
  }

  /** Resolves when that many requests have come in all. */
  seen(count: number): Promise<void> {
    if (this.requests.length >= count) return Promise.resolve();
    return new Promise((wake) => this.#waiting.push({ count, wake }));
  }

  /** The wrong requests so far; whoever takes them answers for them, and {@link close} has nothing to say. */
  takeProblems(): string[] {
    const taken = this.#problems;
    this.#problems = [];
    return taken;
  }

  /** Ends it. @throws where a request was wrong */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#server.finished;
    const problems = this.takeProblems();
    if (problems.length > 0) throw new Error(`Wrong requests to GitHub:\n${problems.join("\n")}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const text = await request.text();
    const answered = Promise.withResolvers<number | null>();
    const path = url.pathname + url.search;
    const body = parseJson(text);
    this.requests.push({
      method: request.method,
      path,
      headers: request.headers,
      body,
      answered: answered.promise,
    });
    this.#waiting = this.#waiting.filter(({ count, wake }) => {
      if (count > this.requests.length) return true;
      wake();
      return false;
    });
    const response = await this.#respond(request, { url, text, body });
    answered.resolve(response?.status ?? null);
    return response ?? new Response(null, { status: 500 });
  }

  async #respond(
    request: Request,
    { url, text, body }: { url: URL; text: string; body: unknown },
  ): Promise<Response | null> {
    const found = this.#description.find(request.method, url.pathname);
    const problems = headerProblems(request.headers);
    if (text !== "" && body === undefined) problems.push("its body is not JSON");
    if (found === null) problems.push("there is no such operation");
    else problems.push(...this.#description.requestProblems(found.operation, url.searchParams, body));
    const where = `${request.method} ${url.pathname}`;
    this.#problems.push(...problems.map((problem) => `${where}: ${problem}`));
    if (found === null) return this.#send({ status: 404, body: errorBody(404, "Not Found") });

    const fault = this.#takeFault(found.operation);
    const token = this.#tokenOf(request.headers);
    if (fault?.kind === "hang") {
      await this.#forever();
      return null;
    }
    if (fault !== undefined && fault.kind === "status") {
      const { status, message = "Something went wrong", headers } = fault;
      return this.#send({ status, headers, body: errorBody(status, message) }, { token });
    }
    if (fault?.kind === "redirect") {
      const status = fault.status ?? 301;
      const moved = { message: "Moved Permanently", url: fault.to, documentation_url: found.operation.docs };
      return this.#send({ status, headers: { location: fault.to }, body: moved }, { token });
    }
    if (fault?.kind === "rateLimit") {
      const limit = this.#limitOf(token ?? undefined);
      limit.used = limit.limit;
      limit.resetAtMs = fault.resetAtMs;
      return this.#send(rateLimited(fault.status ?? 403), { token });
    }
    if (fault?.kind === "secondaryLimit") {
      const headers = fault.retryAfterS === undefined ? undefined : { "retry-after": `${fault.retryAfterS}` };
      const message =
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
      const status = fault.status ?? 403;
      return this.#send({ status, headers, body: errorBody(status, message) }, { token });
    }
    if (token === null) {
      return this.#send({ status: 401, body: errorBody(401, "Bad credentials") }, { token });
    }
    if (!this.#countRequest(token)) return this.#send(rateLimited(403), { token });
    if (request.headers.get("user-agent") === null) {
      return this.#send({ status: 403, body: errorBody(403, "Request forbidden by administrative rules.") });
    }
    if (problems.length > 0) {
      return this.#send(
        { status: 422, body: { ...errorBody(422, "Validation Failed"), errors: problems } },
        { token },
      );
    }
    const answer = this.#answer(found.operation, { parameters: found.parameters, url, body, token });
    if (fault?.kind === "lost") {
      return this.#send({ status: fault.status, body: errorBody(fault.status, "Server Error") }, { token });
    }
    if (fault?.kind === "body") {
      return this.#send({ ...answer, body: undefined }, { token, text: fault.text });
    }
    if (fault?.kind === "alter") {
      const altered = fault.alter(structuredClone(answer.body) as Record<string, unknown>);
      return this.#send({ ...answer, body: altered }, { token });
    }
    const wrong = this.#description.answerProblems(found.operation, answer.status, answer.body);
    this.#problems.push(...wrong.map((problem) => `${where}: the stand-in's answer${problem}`));
    if (fault?.kind === "hangBody" || fault?.kind === "cut") {
      return this.#half(answer, fault.kind);
    }
    return this.#send(answer, { token, ifNoneMatch: request.headers.get("if-none-match") });
  }

  #answer(
    operation: Operation,
    { parameters, url, body, token }: {
      parameters: Record<string, string>;
      url: URL;
      body: unknown;
      token: Token | undefined;
    },
  ): Answer {
    switch (operation.id) {
      case "gists/create":
        return this.#write(operation, token, (login) => {
          const { files, description, public: isPublic = false } = body as GistRequest;
          const texts = Object.fromEntries(
            Object.entries(files ?? {}).map(([name, file]) => [name, file?.content ?? ""]),
          );
          if (Object.values(texts).length === 0 || Object.values(texts).some((content) => content === "")) {
            const errors = [{ resource: "Gist", code: "missing_field", field: "files" }];
            return {
              status: 422,
              body: { ...errorBody(422, "Validation Failed", operation.docs), errors },
            };
          }
          const id = this.putGist({
            owner: login,
            files: texts,
            description,
            public: String(isPublic) === "true",
          });
          return { status: 201, body: this.#whole(id), headers: { location: `${this.url}/gists/${id}` } };
        });
      case "gists/update":
        return this.#write(operation, token, (login) => {
          const gist = this.#gists.get(parameters.gist_id);
          if (gist === undefined || gist.owner !== login) return notFound(operation);
          const { files = {}, description } = body as GistRequest;
          const texts = new Map(gist.files);
          for (const [name, file] of Object.entries(files)) {
            texts.delete(name);
            if (file !== null) texts.set(file.filename ?? name, file.content ?? gist.files.get(name) ?? "");
          }
          this.putGist({ ...gist, files: Object.fromEntries(texts), description });
          return { status: 200, body: this.#whole(gist.id) };
        });
      case "gists/delete":
        return this.#write(operation, token, (login) => {
          if (this.#gists.get(parameters.gist_id)?.owner !== login) return notFound(operation);
          this.#gists.delete(parameters.gist_id);
          return { status: 204 };
        });
      case "gists/get":
        return this.#gists.has(parameters.gist_id)
          ? { status: 200, body: this.#whole(parameters.gist_id) }
          : notFound(operation);
      case "gists/list":
        if (token === undefined) {
          return this.#list([...this.#gists.values()].filter((gist) => gist.public), url);
        }
        return this.#list([...this.#gists.values()].filter(({ owner }) => owner === token.login), url);
      case "gists/list-for-user": {
        const login = parameters.username.toLowerCase();
        const owns = (gist: { owner: string }) => gist.owner.toLowerCase() === login;
        const known = [...this.#tokens.values()].some((one) => one.login.toLowerCase() === login);
        const theirs = [...this.#gists.values()].filter(owns);
        if (!known && theirs.length === 0) return notFound(operation);
        const own = token?.login.toLowerCase() === login;
        return this.#list(theirs.filter((gist) => own || gist.public), url);
      }
      default:
        throw new Error(`The stand-in does not know ${operation.id}`);
    }
  }

  /** What needs a token that may write gists: without the scope a classic token is told that there is no such thing. */
  #write(operation: Operation, token: Token | undefined, action: (login: string) => Answer): Answer {
    if (token === undefined) {
      return { status: 401, body: errorBody(401, "Requires authentication", operation.docs) };
    }
    if (token.scopes === null && !token.mayWriteGists) {
      return {
        status: 403,
        body: errorBody(403, "Resource not accessible by personal access token", operation.docs),
        headers: { "x-accepted-github-permissions": "gists=write" },
      };
    }
    if (token.scopes !== null && !token.scopes.includes("gist")) return notFound(operation);
    return action(token.login);
  }

  #list(gists: StoredGist[], url: URL): Answer {
    const since = url.searchParams.get("since");
    const matching = gists.filter((gist) => since === null || gist.updatedAtMs >= Date.parse(since))
      .toReversed().toSorted((a, b) => b.createdAtMs - a.createdAtMs);
    const perPage = Math.min(100, Math.max(1, Number(url.searchParams.get("per_page") ?? 30)));
    const page = Math.max(1, Number(url.searchParams.get("page") ?? 1));
    const last = Math.max(1, Math.ceil(matching.length / perPage));
    const to = (number: number, rel: string) => {
      const query = new URLSearchParams(url.searchParams);
      query.set("page", `${number}`);
      return `<${this.url}${url.pathname}?${query}>; rel="${rel}"`;
    };
    const links = [
      ...(page > 1 ? [to(page - 1, "prev")] : []),
      ...(page < last ? [to(page + 1, "next"), to(last, "last")] : []),
      ...(page > 1 ? [to(1, "first")] : []),
    ];
    return {
      status: 200,
      body: matching.slice((page - 1) * perPage, page * perPage).map((gist) => this.#listed(gist)),
      headers: links.length === 0 ? {} : { link: links.join(", ") },
    };
  }

  #whole(id: string): GistAnswer {
    const gist = this.#gists.get(id)!;
    const answer = this.#filled(this.#description.example<GistAnswer>("gists/get", 200), gist);
    const history = answer.history!.slice(0, 1).map((entry) => ({
      ...entry,
      version: versionOf(gist),
      committed_at: timeOf(gist.updatedAtMs),
      url: `${answer.url}/${versionOf(gist)}`,
    }));
    return { ...answer, history };
  }

  #listed(gist: StoredGist): GistAnswer {
    return this.#filled(this.#description.example<GistAnswer[]>("gists/list-for-user", 200)[0], gist);
  }

  /** An example with a gist's own values in it; what the example's file has beyond a name stays as far as it fits. */
  #filled(example: GistAnswer, gist: StoredGist): GistAnswer {
    const own: GistAnswer = JSON.parse(
      JSON.stringify(example)
        .replaceAll(example.id, gist.id)
        .replaceAll(`"login":"${example.owner.login}"`, `"login":${JSON.stringify(gist.owner)}`)
        .replaceAll(`/${example.owner.login}`, `/${gist.owner}`)
        .replaceAll("https://api.github.com", this.url),
    );
    const [file] = Object.values(own.files);
    const files = [...gist.files].map(([filename, content]): [string, GistFile] => [filename, {
      ...file,
      filename,
      type: filename.endsWith(".json") ? "application/json" : "text/plain",
      language: filename.endsWith(".json") ? "JSON" : "Text",
      raw_url: `https://gist.githubusercontent.com/${gist.owner}/${gist.id}/raw/${
        versionOf(gist)
      }/${filename}`,
      size: new TextEncoder().encode(content).length,
      ...(file.content === undefined ? {} : { content }),
    }]);
    return {
      ...own,
      html_url: `https://gist.github.com/${gist.owner}/${gist.id}`,
      description: gist.description,
      public: gist.public,
      created_at: timeOf(gist.createdAtMs),
      updated_at: timeOf(gist.updatedAtMs),
      files: Object.fromEntries(files),
    };
  }

  #send(
    { status, body, headers = {} }: Answer,
    { token, text, ifNoneMatch }: { token?: Token | null; text?: string; ifNoneMatch?: string | null } = {},
  ): Response {
    const content = text ?? (body === undefined ? null : JSON.stringify(body));
    const all = new Headers({ ...this.#commonHeaders(token), ...headers });
    if (content === null) return new Response(null, { status, headers: all });
    all.set("content-type", "application/json; charset=utf-8");
    if (status === 200) {
      const etag = `W/"${createHash("sha256").update(content).digest("hex")}"`;
      all.set("etag", etag);
      if (ifNoneMatch?.split(",").some((tag) => tag.trim() === etag)) {
        this.#limitOf(token ?? undefined).used--; // GitHub does not count these
        return new Response(null, { status: 304, headers: all });
      }
    }
    return new Response(content, { status, headers: all });
  }

  /** The first half of an answer, then silence or the end of the connection. */
  #half(answer: Answer, kind: "hangBody" | "cut"): Response {
    const bytes = new TextEncoder().encode(JSON.stringify(answer.body));
    const { signal } = this.#ending;
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(bytes.subarray(0, bytes.length >> 1));
        if (kind === "hangBody") {
          return signal.addEventListener("abort", () => controller.error(signal.reason));
        }
        await new Promise((turn) => setImmediate(turn)); // the half goes out first
        controller.error(new Error("broken off on purpose"));
      },
    });
    const headers = { ...this.#commonHeaders(undefined), "content-type": "application/json; charset=utf-8" };
    return new Response(body, { status: answer.status, headers });
  }

  #commonHeaders(token: Token | null | undefined): Record<string, string> {
    const { limit, used, resetAtMs } = this.#limitOf(token ?? undefined);
    return {
      date: new Date(this.#now()).toUTCString(),
      "x-github-media-type": "github.v3; format=json",
      "x-github-api-version-selected": GITHUB_API_VERSION,
      "x-ratelimit-limit": `${limit}`,
      "x-ratelimit-remaining": `${Math.max(0, limit - used)}`,
      "x-ratelimit-used": `${used}`,
      "x-ratelimit-reset": `${Math.ceil(resetAtMs / 1_000)}`,
      "x-ratelimit-resource": "core",
      ...(token?.scopes ? { "x-oauth-scopes": token.scopes.join(", "), "x-accepted-oauth-scopes": "" } : {}),
    };
  }

  #limitOf(token: Token | undefined): RateLimit {
    const key = token?.login ?? "";
    let limit = this.#limits.get(key);
    if (limit === undefined || limit.resetAtMs <= this.#now()) {
      limit = { limit: token === undefined ? 60 : 5_000, used: 0, resetAtMs: this.#now() + HOUR_MS };
      this.#limits.set(key, limit);
    }
    return limit;
  }

  /** @returns whether there was one left */
  #countRequest(token: Token | undefined): boolean {
    const limit = this.#limitOf(token);
    if (limit.used >= limit.limit) return false;
    limit.used++;
    return true;
  }

  /** Undefined without one, null for a wrong one. */
  #tokenOf(headers: Headers): Token | undefined | null {
    const header = headers.get("authorization");
    if (header === null) return undefined;
    return this.#tokens.get(/^(?:Bearer|token) (\S+)$/i.exec(header)?.[1] ?? "") ?? null;
  }

  #takeFault(operation: Operation): Fault | undefined {
    const index = this.#faults.findIndex(({ match }) =>
      (match.method ?? operation.method) === operation.method &&
      (match.operation ?? operation.id) === operation.id
    );
    if (index < 0) return undefined;
    const entry = this.#faults[index];
    if (--entry.left === 0) this.#faults.splice(index, 1);
    return entry.fault;
  }

  /** Until the stand-in ends. */
  #forever(): Promise<void> {
    const { signal } = this.#ending;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
}

interface GistRequest {
  readonly files?: Record<string, { content?: string; filename?: string | null } | null>;
  readonly description?: string;
  readonly public?: boolean | string;
}

interface GistFile {
  readonly filename: string;
  readonly content?: string;
  readonly [field: string]: unknown;
}

interface GistAnswer {
  readonly id: string;
  readonly url: string;
  readonly owner: { readonly login: string };
  readonly files: Record<string, GistFile>;
  readonly history?: readonly object[];
  readonly [field: string]: unknown;
}

/** What GitHub's documentation asks of every request's headers. */
function headerProblems(headers: Headers): string[] {
  const userAgent = headers.get("user-agent");
  const version = headers.get("x-github-api-version");
  const authorization = headers.get("authorization");
  return [
    ...(userAgent === null || /^(Deno|node|undici)\b/i.test(userAgent)
      ? ["its User-Agent does not name the program"]
      : []),
    ...(headers.get("accept") === MEDIA_TYPE ? [] : [`its Accept is not ${MEDIA_TYPE}`]),
    ...(version === GITHUB_API_VERSION ? [] : [`its X-GitHub-Api-Version is not ${GITHUB_API_VERSION}`]),
    ...(authorization === null || /^Bearer \S+$/.test(authorization)
      ? []
      : ["its Authorization is no Bearer token"]),
  ];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorBody(
  status: number,
  message: string,
  docs = "https://docs.github.com/rest",
): Record<string, unknown> {
  return { message, documentation_url: docs, status: `${status}` };
}

function notFound(operation: Operation): Answer {
  return { status: 404, body: errorBody(404, "Not Found", operation.docs) };
}

function rateLimited(status: 403 | 429): Answer {
  const message =
    "API rate limit exceeded for user ID 1. If you reach out to GitHub Support for help, please include" +
    " the request ID.";
  return { status, body: errorBody(status, message), headers: { "x-ratelimit-remaining": "0" } };
}

function versionOf(gist: StoredGist): string {
  return createHash("sha1").update(`${gist.id} ${gist.revision}`).digest("hex");
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
