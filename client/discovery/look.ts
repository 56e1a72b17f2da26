/**
 * The port to the places where documents are found, and what it is made of on a machine with a network.
 *
 *     RelaySource ──► look() ──► candidates: bytes that somebody put there ──► findings.ts: who they are from, whether to use them
 */

import { AronaError, type Clock, type RelaySource } from "../../proto/base/mod.ts";
import type { Fetch } from "./bounded_fetch.ts";
import { lookAtEndpoint } from "./endpoint_source.ts";
import { GithubApi } from "./github_api.ts";
import { lookAtGist, lookAtUser } from "./github_sources.ts";
import { type Browse, lookOnLan } from "./lan_source.ts";
import type { Dial } from "./relay_address.ts";
import { lookAtWeb } from "./web_source.ts";

/** Bytes that may be a document. Nothing about them has been checked but their length. */
export interface Candidate {
  readonly bytes: Uint8Array;
  /** The narrowest source that leads to them: for a user, the Gist; on the local network, the relay's address. */
  readonly source: RelaySource;
  /** On the local network: the fingerprint that was announced, as in a link. */
  readonly announced?: string;
}

/** Options of {@link Discovery.look}. */
export interface LookOptions {
  readonly signal: AbortSignal;
  /** Whose document is wanted; announcements of others may be passed over. */
  readonly fingerprint?: Uint8Array;
}

/** Looks for documents. Everything that goes in and out is plain data, so that it can be done elsewhere. */
export interface Discovery {
  /** Whether the local network can be looked at. */
  readonly lan: boolean;
  /**
   * What there is at a source, within a bounded time.
   *
   * @throws {AronaError} why there is nothing: `NOT_FOUND`, `UNREACHABLE`, `TIMEOUT`, `RATE_LIMITED`, `TOO_LARGE` …
   */
  look(source: RelaySource, options: LookOptions): Promise<readonly Candidate[]>;
}

/** What {@link createDiscovery} works with. */
export interface DiscoveryPorts {
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly dial: Dial;
  /** Base of GitHub's API. @default GitHub itself */
  readonly githubApi?: string;
  /** Listens on the local network. @default it is not looked at */
  readonly browse?: Browse;
}

/** Discovery over the ports given. It remembers what GitHub said and how often it was asked. */
export function createDiscovery(ports: DiscoveryPorts): Discovery {
  const { clock, fetch, dial, browse } = ports;
  const github = new GithubApi({ fetch, clock, api: ports.githubApi });
  return {
    lan: browse !== undefined,
    look(source, options) {
      const { signal } = options;
      switch (source.kind) {
        case "endpoint":
          return lookAtEndpoint(source, { clock, dial, signal });
        case "gist":
          return lookAtGist(source, { github, signal });
        case "user":
          return lookAtUser(source, { github, signal });
        case "web":
          return lookAtWeb(source, { clock, fetch, signal });
        case "lan":
          if (browse === undefined) return Promise.reject(noLan());
          return lookOnLan({ clock, dial, browse, ...options });
      }
    },
  };
}

function noLan(): AronaError {
  return new AronaError(
    "UNSUPPORTED",
    "Cannot look at the local network: this program was started without it",
  );
}
