/** Looks for a relay at an address as a client does. */

import {
  type Clock,
  connectSecure,
  connectTcp,
  type CryptoProvider,
  type DiscoveryDocument,
  fetchDocument,
  parseEndpoint,
  verifyDocument,
} from "../../proto/mod.ts";

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
export async function probeRelay(endpoint: string, options: ProbeOptions): Promise<Probed> {
  const { crypto, clock, fingerprint } = options;
  const late = new AbortController();
  const cancel = clock.schedule(PROBE_TIMEOUT_MS, () => late.abort(new Error("it does not answer")));
  const signal = options.signal === undefined ? late.signal : AbortSignal.any([late.signal, options.signal]);
  try {
    const dial = () => connectTcp({ ...parseEndpoint(endpoint), signal });
    const bytes = await fetchDocument({ transport: await dial(), clock, signal });
    const document = await verifyDocument(crypto, bytes, { nowMs: clock.now(), fingerprint });
    const transport = await dial();
    const sentMs = clock.monotonic();
    const connection = await connectSecure({ transport, crypto, clock, document, signal });
    const halfWayMs = (clock.monotonic() - sentMs) / 2;
    const skewMs = connection.greeting.timeMs + halfWayMs - clock.now();
    await connection.close();
    return { document, skewMs };
  } finally {
    cancel();
  }
}
