/**
 * Finds a relay again that has moved: while it is away its sources are asked for a newer document, each with growing pauses.
 *
 *     every address fails ──► the sources that are due ──► a newer document of this very relay ──► its addresses
 */

import {
  type AronaError,
  type Clock,
  type CryptoProvider,
  formatSource,
  isAronaError,
  parseSource,
  type RelaySource,
} from "../../proto/base/mod.ts";
import { FOLLOW_FIRST_MS, FOLLOW_LONGEST_MS, FOLLOW_UNREACHABLE_MS } from "../limits.ts";
import { find, type Finding, type Found } from "./findings.ts";
import type { Discovery } from "./look.ts";
import type { KnownRelay } from "./relay_address.ts";

/** What a {@link Follower} works with. */
export interface FollowerOptions {
  readonly discovery: Discovery;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** Hears why what stands at a source is not used; once for each new reason. @default nobody does */
  readonly onRefused?: (source: RelaySource, reason: AronaError) => void;
}

/** A source that is asked now and then. Times of the monotonic clock. */
interface Watched {
  dueMs: number;
  pauseMs: number;
  lastMs: number;
  told: string;
}

/** Asks the sources of one relay. */
export class Follower {
  readonly #watched = new Map<string, Watched>();

  constructor(private readonly options: FollowerOptions) {}

  /**
   * Asks every source that is due.
   *
   * @returns null where none is due, or none knows anything new
   * @throws the signal's reason
   */
  async follow(relay: KnownRelay, signal: AbortSignal): Promise<Found | null> {
    const nowMs = this.options.clock.monotonic();
    const due = this.#sources(relay).filter((source) => this.#state(source).dueMs <= nowMs);
    const findings = await Promise.all(due.map((source) => this.#ask(source, { relay, signal })));
    let newest: Found | null = null;
    for (const finding of findings.flat()) {
      if (finding.kind !== "found" || !isNews(finding, relay)) continue;
      if (newest === null || finding.document.sequence > newest.document.sequence) newest = finding;
    }
    return newest;
  }

  /** The relay is there: when it is lost the next time, its sources are asked soon. */
  found(): void {
    for (const state of this.#watched.values()) {
      state.pauseMs = FOLLOW_FIRST_MS;
      state.dueMs = Math.min(state.dueMs, state.lastMs + FOLLOW_FIRST_MS);
    }
  }

  #sources(relay: KnownRelay): RelaySource[] {
    const texts = this.options.discovery.lan ? [...relay.sources, "lan"] : relay.sources;
    const sources = [...new Set(texts)].map(parseSource);
    return this.options.discovery.lan ? sources : sources.filter(({ kind }) => kind !== "lan");
  }

  async #ask(
    source: RelaySource,
    { relay, signal }: { relay: KnownRelay; signal: AbortSignal },
  ): Promise<Finding[]> {
    const { clock } = this.options;
    const findings = await find(source, { ...this.options, known: relay, signal });
    const state = this.#state(source);
    const refusal = findings.find((finding) => finding.kind === "refused");
    const reason = refusal?.kind === "refused" ? refusal.reason : null;
    state.lastMs = clock.monotonic();
    state.dueMs = state.lastMs + pauseAfter(reason, { pauseMs: state.pauseMs, nowMs: clock.now() });
    state.pauseMs = Math.min(state.pauseMs * 2, FOLLOW_LONGEST_MS);
    if (reason !== null && isWorthTelling(reason, source) && state.told !== reason.message) {
      state.told = reason.message;
      this.options.onRefused?.(source, reason);
    }
    return findings;
  }

  #state(source: RelaySource): Watched {
    const key = formatSource(source);
    const before = this.#watched.get(key);
    if (before !== undefined) return before;
    const state = { dueMs: -Infinity, pauseMs: FOLLOW_FIRST_MS, lastMs: -Infinity, told: "" };
    this.#watched.set(key, state);
    return state;
  }
}

/** A source that cannot be reached costs nobody anything: the network may be back soon. One that names a time is not asked before. */
function pauseAfter(
  reason: AronaError | null,
  { pauseMs, nowMs }: { pauseMs: number; nowMs: number },
): number {
  const retryAtMs = reason?.details?.retryAtMs;
  if (typeof retryAtMs === "number") return Math.max(pauseMs, retryAtMs - nowMs);
  return reason !== null && isAway(reason) ? Math.min(pauseMs, FOLLOW_UNREACHABLE_MS) : pauseMs;
}

/** Not that there is no network, nor that the relay is not on this one. */
function isWorthTelling(reason: AronaError, source: RelaySource): boolean {
  return !isAway(reason) && !(source.kind === "lan" && reason.code === "NOT_FOUND");
}

function isAway(reason: AronaError): boolean {
  return isAronaError(reason, "UNREACHABLE", "TIMEOUT");
}

/** A later document, or the same with an address that has not been tried. */
function isNews({ document }: Found, relay: KnownRelay): boolean {
  return document.sequence > relay.highestSequence ||
    document.endpoints.some((endpoint) => !relay.endpoints.includes(endpoint));
}
