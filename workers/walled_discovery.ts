/** Discovery for a supervisor: each place is looked at by a worker that reaches that place alone. */

import type { Browse, Candidate, Discovery, LookOptions } from "../client/discovery/mod.ts";
import {
  AronaError,
  type Clock,
  formatSource,
  GITHUB_API,
  GITHUB_RAW_HOST,
  type RelaySource,
} from "../proto/base/mod.ts";
import type { Links } from "./links.ts";
import type { SourceContract } from "./source_worker.ts";
import { type RunningWorker, spawnWorker } from "./spawn.ts";

const GITHUB_URLS = [GITHUB_API, `https://${GITHUB_RAW_HOST}`];

/** What a {@link WalledDiscovery} works with. */
export interface WalledDiscoveryOptions {
  readonly clock: Clock;
  readonly links: Links;
  /** Base of GitHub's API where it is another one. */
  readonly githubApi?: string;
  /** Listens on the local network. @default it is not looked at */
  readonly browse?: Browse;
}

/** Looks for documents. What it finds is nothing that this thread has looked into. */
export class WalledDiscovery implements Discovery, Disposable {
  readonly #options: WalledDiscoveryOptions;
  /** By the hosts that they reach. GitHub's remembers what it was told and how often it asked. */
  readonly #sources = new Map<string, Promise<RunningWorker<SourceContract>>>();
  readonly #stopped = new AbortController();

  constructor(options: WalledDiscoveryOptions) {
    this.#options = options;
  }

  get lan(): boolean {
    return this.#options.browse !== undefined;
  }

  async look(source: RelaySource, options: LookOptions): Promise<readonly Candidate[]> {
    const { signal, fingerprint } = options;
    switch (source.kind) {
      case "gist":
      case "user":
      case "web": {
        const { remote } = await this.#sourceWorker(source);
        return await remote.look(source, { fingerprint }, signal);
      }
      case "endpoint":
      case "lan": {
        const { createDiscovery } = await import("../client/discovery/mod.ts");
        const { clock, browse, links: { dial } } = this.#options;
        return await createDiscovery({ clock, fetch: noFetch, dial, browse }).look(source, options);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#stopped.abort();
    for (const worker of this.#sources.values()) worker.then((worker) => worker.terminate(), () => {});
    this.#sources.clear();
  }

  #sourceWorker(
    source: Extract<RelaySource, { kind: "gist" | "user" | "web" }>,
  ): Promise<RunningWorker<SourceContract>> {
    const { githubApi } = this.#options;
    const urls = source.kind === "web"
      ? [formatSource(source)]
      : githubApi === undefined
      ? GITHUB_URLS
      : [githubApi];
    const key = urls.join(" ");
    const known = this.#sources.get(key);
    if (known !== undefined) return known;
    const forget = () => this.#sources.delete(key);
    const worker = spawnWorker<SourceContract>("source", {
      parameters: { urls },
      init: { githubApi },
      onEnd: forget,
      signal: this.#stopped.signal,
    });
    worker.catch(forget);
    this.#sources.set(key, worker);
    return worker;
  }
}

function noFetch(): never {
  throw new AronaError("INTERNAL", "Cannot fetch: web servers are asked from workers");
}
