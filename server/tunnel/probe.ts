/** Looks for the relay at an address as a stranger would: asks for its document and compares the identity. */

import {
  type Clock,
  type CryptoProvider,
  type DiscoveryDocument,
  type Endpoint,
  fetchDocument,
  type Transport,
  verifyDocument,
} from "../../proto/mod.ts";

/** What a look works with. */
export interface ProbeOptions {
  /** @throws {AronaError} `UNREACHABLE` */
  readonly dial: (address: Endpoint & { signal?: AbortSignal }) => Promise<Transport>;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** The relay's, 32 bytes. */
  readonly fingerprint: Uint8Array;
  readonly signal?: AbortSignal;
}

/**
 * Resolves when the relay answers at `endpoint`.
 *
 * @returns its document
 * @throws {AronaError} `UNREACHABLE`, `TIMEOUT`, `BAD_DOCUMENT` where it is no relay, `WRONG_RELAY` where it is another one
 */
export async function probeRelay(endpoint: Endpoint, options: ProbeOptions): Promise<DiscoveryDocument> {
  const { dial, crypto, clock, fingerprint, signal } = options;
  const { hostname, port } = endpoint;
  const transport = await dial({ hostname, port, signal });
  const bytes = await fetchDocument({ transport, clock, signal });
  return await verifyDocument(crypto, bytes, { nowMs: clock.now(), fingerprint });
}
