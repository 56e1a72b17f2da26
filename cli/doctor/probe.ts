/** Looks for a relay at an address as a client does. */

import {
  type Clock,
  connectSecure,
  connectTcp,
  type CryptoProvider,
  type DiscoveryDocument,
  parseEndpoint,
  within,
} from "../../proto/mod.ts";
import { probeRelay } from "../../server/tunnel/mod.ts";

/** How long an address has to answer. */
const PROBE_TIMEOUT_MS = 5_000;

/** What answered. */
export interface Probed {
  readonly document: DiscoveryDocument;
  /** By how much the relay's clock is ahead of this one, half of the way there taken off. */
  readonly skewMs: number;
}

/** What a probe works with. */
export interface ProbeOptions {
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** SHA-256 of the relay's identity key. */
  readonly fingerprint: Uint8Array;
  readonly signal?: AbortSignal;
}

/** @throws {AronaError} `UNREACHABLE`, `TIMEOUT`, `WRONG_RELAY`, `BAD_DOCUMENT` … */
export async function probeAddress(address: string, options: ProbeOptions): Promise<Probed> {
  const { crypto, clock, fingerprint, signal } = options;
  const endpoint = parseEndpoint(address);
  const late = () => new Error("it does not answer");
  return await within({ clock, signal, limitMs: PROBE_TIMEOUT_MS, late }, async (signal) => {
    const document = await probeRelay(endpoint, { dial: connectTcp, crypto, clock, fingerprint, signal });
    const transport = await connectTcp({ ...endpoint, signal });
    const sentMs = clock.monotonic();
    const connection = await connectSecure({ transport, crypto, clock, document, signal });
    const halfWayMs = (clock.monotonic() - sentMs) / 2;
    const skewMs = connection.greeting.timeMs + halfWayMs - clock.now();
    await connection.close();
    return { document, skewMs };
  });
}
