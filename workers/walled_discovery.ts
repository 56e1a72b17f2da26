/** Discovery for a supervisor: each place is looked at by a worker that reaches that place alone. */

import type { Candidate, Discovery, LookOptions } from "../client/discovery/mod.ts";
import {
  AronaError,
  type Clock,
  formatSource,
  type LanService,
  type RelaySource,
} from "../proto/base/mod.ts";
import type { LanContract } from "./lan_worker.ts";
import type { Links } from "./links.ts";
import type { SourceContract } from "./source_worker.ts";
import { type RunningWorker, spawnWorker } from "./spawn.ts";

const GITHUB_URLS = ["https://api.github.com", "https://gist.githubusercontent.com"];

/** What a {@link WalledDiscovery} works with. */
export interface WalledDiscoveryOptions {
  readonly clock: Clock;
  readonly links: Links;
  /** Base of GitHub's API where it is another one. */
  readonly githubApi?: string;
  /** Multicast DNS' addresses on this machine, as it is now. @default the local network is not looked at */
  readonly lanAddresses?: () => readonly string[];
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
    return this.#options.lanAddresses !== undefined;
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
        const { clock, links: { dial } } = this.#options;
        const browse = this.lan ? (signal: AbortSignal) => this.#announced(signal) : undefined;
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

  /** What is announced on the local network. */
  async *#announced(signal: AbortSignal): AsyncGenerator<LanService> {
    const found: LanService[] = [];
    let wake = () => {};
    let outcome: { readonly error?: unknown } | null = null;
    const end = (error?: unknown) => {
      outcome = { error };
      wake();
    };
    const onAbort = () => end();
    signal.addEventListener("abort", onAbort, { once: true });
    using _worker = await spawnWorker<LanContract>("lan", {
      parameters: { addresses: this.#options.lanAddresses!() },
      init: { task: "browse" },
      onEvent: (event) => {
        if (event.type === "found") found.push(event.service);
        else if (event.type === "failed") end(new Error(event.reason));
        wake();
      },
      onEnd: end,
      signal,
    });
    try {
      for (;;) {
        const service = found.shift();
        if (service !== undefined) yield service;
        else if (outcome === null) await new Promise<void>((resolve) => wake = resolve);
        else if (signal.aborted || (outcome as { error?: unknown }).error === undefined) return;
        else throw (outcome as { error?: unknown }).error;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

function noFetch(): never {
  throw new AronaError("INTERNAL", "Cannot fetch: web servers are asked from workers");
}
