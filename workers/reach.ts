/**
 * What a session may reach. Its supervisor decides, who holds the rights; a session that has been taken over can ask for anything.
 *
 * Allowed is what the person named, what the profile knew when it was opened, and what stands in a document that was verified here
 * against the relay's pinned fingerprint.
 */

import type { KnownRelay } from "../client/discovery/mod.ts";
import {
  AronaError,
  type Clock,
  type DiscoveryDocument,
  type Endpoint,
  equalBytes,
  formatEndpoint,
  formatSource,
  parseEndpoint,
  parseSource,
  type RelaySource,
} from "../proto/base/mod.ts";

/** Checks a document's signature, times and identity. @throws {AronaError} */
export type VerifyDocument = (
  bytes: Uint8Array,
  options: { nowMs: number; fingerprint: Uint8Array },
) => Promise<Pick<DiscoveryDocument, "endpoints" | "sources">>;

/** Options of {@link Reach}. */
export interface ReachOptions {
  readonly clock: Clock;
  /** Whether the local network may be looked at. */
  readonly lan: boolean;
  readonly verify: VerifyDocument;
}

/** One session's reach. */
export class Reach {
  readonly #endpoints = new Set<string>();
  readonly #sources = new Set<string>();
  readonly #options: ReachOptions;
  #fingerprint: Uint8Array | null = null;

  constructor(options: ReachOptions) {
    this.#options = options;
    if (options.lan) this.#sources.add("lan");
  }

  /**
   * Allows a relay that was named or saved.
   *
   * @throws {AronaError} `WRONG_RELAY` where it is another one than before
   */
  allow(relay: Pick<KnownRelay, "endpoints" | "sources" | "fingerprint">): void {
    this.#fingerprint ??= relay.fingerprint;
    if (!equalBytes(this.#fingerprint, relay.fingerprint)) {
      throw new AronaError("WRONG_RELAY", "Cannot reach a second relay: a session has one");
    }
    this.#add(relay);
  }

  /** @param document the newest that the session has, where it may name the address @throws {AronaError} `FORBIDDEN` */
  async assertEndpoint(endpoint: Endpoint, document: Uint8Array | null): Promise<void> {
    await this.#assert(formatEndpoint(endpoint), { allowed: this.#endpoints, document });
  }

  /** The same for a place where documents are. */
  async assertSource(source: RelaySource, document: Uint8Array | null): Promise<void> {
    const allowed = source.kind === "endpoint" ? this.#endpoints : this.#sources;
    await this.#assert(formatSource(source), { allowed, document });
  }

  async #assert(
    place: string,
    { allowed, document }: { allowed: ReadonlySet<string>; document: Uint8Array | null },
  ): Promise<void> {
    if (allowed.has(place)) return;
    let cause: unknown;
    try {
      if (document !== null && this.#fingerprint !== null) {
        const { clock, verify } = this.#options;
        this.#add(await verify(document, { nowMs: clock.now(), fingerprint: this.#fingerprint }));
      }
    } catch (error) {
      cause = error;
    }
    if (allowed.has(place)) return;
    throw new AronaError("FORBIDDEN", `Cannot reach ${place}: the relay's document does not name it`, {
      cause,
    });
  }

  #add({ endpoints, sources }: Pick<KnownRelay, "endpoints" | "sources">): void {
    for (const endpoint of endpoints) this.#endpoints.add(formatEndpoint(parseEndpoint(endpoint)));
    for (const source of sources) this.#sources.add(formatSource(parseSource(source)));
  }
}
