/** The source worker: fetches what may be discovery documents from one web server, or from GitHub. It decides nothing about them. */

import { type Candidate, createDiscovery } from "../client/discovery/mod.ts";
import { AronaError, type RelaySource, systemClock } from "../proto/base/mod.ts";
import { type Contract, runRole } from "./role.ts";

/** What a source worker and its supervisor say to each other. */
export interface SourceContract extends Contract {
  readonly role: "source";
  /** Base of GitHub's API where it is another one. */
  readonly init: { readonly githubApi?: string };
  readonly methods: {
    /** What is there. @throws {AronaError} why there is nothing */
    look(
      source: RelaySource,
      options: { fingerprint?: Uint8Array },
      signal: AbortSignal,
    ): Promise<readonly Candidate[]>;
  };
  readonly event: never;
  readonly host: Record<never, never>;
}

runRole<SourceContract>(({ githubApi }) => {
  const dial = () => {
    throw new AronaError("FORBIDDEN", "Cannot connect: only web servers are asked from here");
  };
  const discovery = createDiscovery({ clock: systemClock, fetch, dial, githubApi });
  return {
    look: (source, options, signal) => discovery.look(source, { ...options, signal }),
  };
});
