/**
 * Keeps a relay's document in a public GitHub Gist, as its file `arona.json`.
 *
 *     publish(document) ─► wanted ─► one request at a time ─► published
 *                            ▲              │ failed
 *                            └── pause ─────┘   (only what may pass by itself; anything else waits for the next document)
 *
 * The newest document wins: one that comes while another is under way follows it, and those in between are never sent. A Gist that has
 * to be made is looked for first, by a description that names the relay, so that an answer that got lost does not make a second one.
 */

import {
  AronaError,
  type Clock,
  fromBase64Url,
  fromUtf8,
  GIST_FILE,
  isAronaError,
  sleep,
} from "../../proto/mod.ts";
import {
  GITHUB_LIMIT_MS,
  GITHUB_RETRY_MS,
  MAX_GITHUB_RETRY_MS,
  PUBLISH_BURST,
  PUBLISH_INTERVAL_MS,
} from "../limits.ts";
import { RateLimiter } from "../rate_limit.ts";
import { findGist, parsePublished, type PublishedGist } from "./gist_answer.ts";
import { type Fetch, GithubApi } from "./github_api.ts";
import { checkGithubToken, TOKEN_HINT, withoutToken } from "./github_token.ts";

/** What {@link startGistPublisher} works with. */
export interface GistPublisherOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** From 0 up to 1; spreads what would otherwise come at the same time. */
  readonly random: () => number;
  /** Base of GitHub's API, as `parseGithubApi()` reads it. */
  readonly api: string;
  /** Never shown and never sent to another host. */
  readonly token: string;
  /** The relay's, 43 characters of base64url; the Gist's description names it. */
  readonly fingerprint: string;
  /** The Gist to update. @default one is found or made */
  readonly gist?: {
    readonly id: string;
    /** Whether another one may take its place once it is gone. */
    readonly replaceable: boolean;
  };
  /** Takes what happens. It must not throw. */
  readonly onEvent: (event: GistPublisherEvent) => void;
}

/** What happens to a document. Texts are one plain line each. */
export type GistPublisherEvent =
  | {
    readonly type: "published";
    readonly gistId: string;
    /** The Gist's page. */
    readonly url: string;
    /** Whose Gist it is; null where GitHub does not say. */
    readonly login: string | null;
    /** Whether `@login` leads to it. */
    readonly isPublic: boolean;
    /** The document's. */
    readonly sequence: number;
  }
  | { readonly type: "warning"; readonly reason: string; readonly hint: string }
  | {
    readonly type: "failed";
    readonly reason: string;
    readonly hint?: string;
    /** When it tries again by itself. Without it: when there is another document. */
    readonly retryAtMs?: number;
  };

/** How it stands. */
export interface GistPublisherStatus {
  readonly state: "idle" | "publishing" | "published" | "waiting" | "failed";
  readonly gistId?: string;
  readonly url?: string;
  /** Of the newest document that is in the Gist. */
  readonly sequence?: number;
  readonly publishedAtMs?: number;
  /** The newest failure, until a document is published. */
  readonly failure?: Omit<Extract<GistPublisherEvent, { type: "failed" }>, "type">;
}

/** A publisher that runs. */
export interface GistPublisher {
  /** Has this document published instead of any before. Returns at once. */
  publish(document: Uint8Array): void;
  status(): GistPublisherStatus;
  /** Ends it; what is under way is given up. Safe to call again. */
  stop(): Promise<void>;
}

/** Failures that may pass by themselves. */
const PASSING = ["RATE_LIMITED", "CONFLICT", "UNREACHABLE", "TIMEOUT", "BAD_ENCODING", "TOO_LARGE"] as const;
const GISTS_LOOKED_AT = 100;

/** Starts one. @throws {AronaError} `USAGE` for what cannot be a token */
export function startGistPublisher(options: GistPublisherOptions): GistPublisher {
  checkGithubToken(options.token);
  return new Publisher(options);
}

interface Document {
  readonly text: string;
  readonly sequence: number;
}

class Publisher implements GistPublisher {
  readonly #options: GistPublisherOptions;
  readonly #api: GithubApi;
  readonly #rate: RateLimiter;
  readonly #ending = new AbortController();
  #gist: { readonly id: string; readonly replaceable: boolean } | null;
  #wanted: Document | null = null;
  #published: { document: Document; gist: PublishedGist; atMs: number } | null = null;
  #failure: GistPublisherStatus["failure"];
  #state: GistPublisherStatus["state"] = "idle";
  #active = false;
  #running: Promise<void> = Promise.resolve();
  /** The Gist that is gone; a list may still have it. */
  #gone: string | null = null;
  #warnedOfScopes = false;

  constructor(options: GistPublisherOptions) {
    this.#options = options;
    this.#gist = options.gist ?? null;
    this.#api = new GithubApi({ ...options, onScopes: (needless) => this.#warnOfScopes(needless) });
    this.#rate = new RateLimiter(options.clock, {
      burst: PUBLISH_BURST,
      perSecond: 1_000 / PUBLISH_INTERVAL_MS,
    });
  }

  publish(bytes: Uint8Array): void {
    if (this.#ending.signal.aborted) return;
    const document = readDocument(bytes);
    if (document.sequence < (this.#wanted?.sequence ?? 0)) return; // it was overtaken on its way here
    this.#wanted = document;
    if (!this.#active) this.#running = this.#run();
  }

  status(): GistPublisherStatus {
    const { document, gist, atMs } = this.#published ?? {};
    return {
      state: this.#state,
      ...((gist ?? this.#gist) !== null && { gistId: (gist ?? this.#gist)!.id }),
      ...(gist !== undefined && { url: gist.url, sequence: document!.sequence, publishedAtMs: atMs }),
      ...(this.#failure !== undefined && { failure: this.#failure }),
    };
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  /** Until the newest document is published, or cannot be. */
  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#ending;
    let failures = 0;
    this.#active = true;
    try {
      for (let given: Document | null = null;;) {
        const document: Document = this.#wanted!;
        if (document.text === this.#published?.document.text || document === given) return;
        const waitMs = this.#rate.take("");
        if (waitMs > 0) {
          await sleep(clock, waitMs, signal);
          continue;
        }
        this.#state = "publishing";
        try {
          const gist = await this.#put(document, signal);
          failures = 0;
          this.#succeed(document, gist);
        } catch (error) {
          signal.throwIfAborted();
          const passes = isAronaError(error, ...PASSING);
          const pauseMs = passes ? this.#pauseMs(error, failures++) : null;
          this.#fail(error, pauseMs);
          if (pauseMs === null) given = document;
          else await sleep(clock, pauseMs, signal);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#active = false;
    }
  }

  async #put(document: Document, signal: AbortSignal): Promise<PublishedGist> {
    const body = { files: { [GIST_FILE]: { content: document.text } } };
    this.#gist ??= await this.#find(signal);
    if (this.#gist !== null) {
      const { id, replaceable } = this.#gist;
      try {
        const answer = await this.#api.request("PATCH", `/gists/${id}`, { body, signal });
        return parsePublished(answer, { content: document.text, id });
      } catch (error) {
        if (!isAronaError(error, "NOT_FOUND")) throw error;
        const state = "it is gone, or belongs to another account than the token";
        if (!replaceable) {
          throw new AronaError("NOT_FOUND", `Cannot publish to Gist ${id}: ${state}`, {
            hint:
              "Check --gist-id and whose token GITHUB_TOKEN is, or leave --gist-id out to have a new one made.",
          });
        }
        this.#gist = null;
        this.#gone = id;
        this.#options.onEvent({
          type: "warning",
          reason: `The Gist ${id} cannot be updated: ${state}`,
          hint: "Another one takes its place. Whoever has a link to the old one needs the new one.",
        });
        return await this.#put(document, signal);
      }
    }
    const answer = await this.#api.request("POST", "/gists", {
      body: { ...body, description: this.#description, public: true },
      signal,
    });
    return parsePublished(answer, { content: document.text });
  }

  /** One that this relay has made before, if its answer got lost or the relay has forgotten it. */
  async #find(signal: AbortSignal): Promise<{ id: string; replaceable: boolean } | null> {
    const path = `/gists?per_page=${GISTS_LOOKED_AT}`;
    const gists = await this.#api.request("GET", path, { signal }).catch((error) => {
      if (isAronaError(error, "TOO_LARGE")) return []; // somebody with very full Gists gets one more
      throw error;
    });
    const id = findGist(gists, this.#description);
    return id === null || id === this.#gone ? null : { id, replaceable: true };
  }

  get #description(): string {
    return `Where to find the Arona relay ${this.#options.fingerprint}`;
  }

  #succeed(document: Document, gist: PublishedGist): void {
    const { clock, onEvent } = this.#options;
    this.#gist = { id: gist.id, replaceable: this.#gist?.replaceable ?? true };
    this.#published = { document, gist, atMs: clock.now() };
    this.#failure = undefined;
    this.#state = "published";
    const { id, url, login, isPublic } = gist;
    onEvent({ type: "published", gistId: id, url, login, isPublic, sequence: document.sequence });
  }

  #fail(error: unknown, pauseMs: number | null): void {
    const { clock, token, onEvent } = this.#options;
    const { message, hint } = error as AronaError;
    this.#failure = {
      reason: withoutToken(message, token),
      ...(hint !== undefined && { hint: withoutToken(hint, token) }),
      ...(pauseMs !== null && { retryAtMs: clock.now() + pauseMs }),
    };
    this.#state = pauseMs === null ? "failed" : "waiting";
    onEvent({ type: "failed", ...this.#failure });
  }

  #pauseMs(error: AronaError, failures: number): number {
    const spread = this.#options.random();
    const growing = Math.min(GITHUB_RETRY_MS * 2 ** failures, MAX_GITHUB_RETRY_MS);
    if (error.code !== "RATE_LIMITED") return Math.ceil(growing * (1 + spread) / 2);
    const limitMs = Number(error.details?.waitMs ?? GITHUB_LIMIT_MS);
    return Math.ceil(Math.max(limitMs, growing) + 1_000 * (1 + spread)); // its clock counts whole seconds
  }

  #warnOfScopes(needless: readonly string[]): void {
    if (this.#warnedOfScopes) return;
    this.#warnedOfScopes = true;
    this.#options.onEvent({
      type: "warning",
      reason: `GITHUB_TOKEN may do more than it is needed for: ${needless.slice(0, 8).join(", ")}`,
      hint: TOKEN_HINT,
    });
  }
}

/** The relay's own document, so it is not verified here. */
function readDocument(bytes: Uint8Array): Document {
  const text = fromUtf8(bytes);
  const { payload } = JSON.parse(text);
  return { text, sequence: JSON.parse(fromUtf8(fromBase64Url(payload))).sequence };
}
