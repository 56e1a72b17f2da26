/** Looks for the relay through its public address, as a stranger would. It reaches that address, nothing else. */

import { connectTcp, type Endpoint, selectProvider, systemClock } from "../proto/mod.ts";
import { probeRelay } from "../server/tunnel/mod.ts";
import { type Contract, runRole } from "./role.ts";

/** What the supervisor and the probe say to each other. */
export interface ProbeContract extends Contract {
  readonly role: "probe";
  readonly init: {
    /** The relay's, 32 bytes. */
    readonly fingerprint: Uint8Array;
  };
  readonly methods: {
    /** @throws {AronaError} what is wrong at the address */
    probe(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
  };
  readonly event: never;
  readonly host: Record<never, never>;
}

runRole<ProbeContract>(async ({ fingerprint }) => {
  const crypto = await selectProvider();
  return {
    async probe(endpoint, signal) {
      await probeRelay(endpoint, { dial: connectTcp, clock: systemClock, crypto, fingerprint, signal });
    },
  };
});
