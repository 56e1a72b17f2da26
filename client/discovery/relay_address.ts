/** Where a profile's relay is: the link that let it in and the newest discovery document that was verified. */

import {
  AronaError,
  type Clock,
  type CryptoProvider,
  type DiscoveryDocument,
  fetchDocument,
  fromBase64Url,
  fromUtf8,
  isAronaError,
  parseLink,
  toBase64Url,
  type Transport,
  utf8,
  verifyDocument,
} from "../../proto/mod.ts";

const FINGERPRINT_BYTES = 32;

/** What a profile remembers of its relay. */
export interface KnownRelay {
  /** `host:port`, most recent first. */
  readonly endpoints: readonly string[];
  /** SHA-256 of the relay's identity key; pinned. */
  readonly fingerprint: Uint8Array;
  /** The newest document seen, as it came. */
  readonly document: Uint8Array | null;
  /** Its sequence number; older ones are refused. */
  readonly highestSequence: number;
  /** The relay's boot id that this device is in step with; empty while it may have missed something. */
  readonly boot: string;
}

/** Opens a byte stream to `hostname:port`. */
export type Dial = (
  address: { hostname: string; port: number; signal?: AbortSignal },
) => Promise<Transport>;

/** A relay as a link names it. @throws {AronaError} `USAGE` for a malformed link */
export function relayFromLink(link: string): KnownRelay {
  const { hostname, port, fingerprint } = parseLink(link);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { endpoints: [`${host}:${port}`], fingerprint, document: null, highestSequence: 0, boot: "" };
}

/** The saved document if it can still be used, verified again. */
export async function savedDocument(
  relay: KnownRelay,
  options: { crypto: CryptoProvider; clock: Clock },
): Promise<DiscoveryDocument | null> {
  if (relay.document === null) return null;
  try {
    return await verifyDocument(options.crypto, relay.document, {
      nowMs: options.clock.now(),
      fingerprint: relay.fingerprint,
    });
  } catch {
    return null; // expired; a fresh one is a request away
  }
}

/**
 * Asks the relay at one of its endpoints for its document and checks it.
 *
 * @throws {AronaError} `WRONG_RELAY` where somebody else answers, `BAD_DOCUMENT`, `UNREACHABLE`
 */
export async function freshDocument(
  relay: KnownRelay,
  options: { crypto: CryptoProvider; clock: Clock; dial: Dial; signal?: AbortSignal },
): Promise<{ relay: KnownRelay; document: DiscoveryDocument }> {
  let failure: unknown;
  for (const endpoint of relay.endpoints) {
    try {
      const transport = await options.dial({ ...splitEndpoint(endpoint), signal: options.signal });
      const bytes = await fetchDocument({ transport, clock: options.clock, signal: options.signal });
      const document = await verifyDocument(options.crypto, bytes, {
        nowMs: options.clock.now(),
        fingerprint: relay.fingerprint,
        highestSequence: relay.highestSequence,
      });
      const endpoints = [endpoint, ...document.endpoints.filter((other) => other !== endpoint)];
      return {
        relay: { ...relay, endpoints, document: bytes, highestSequence: document.sequence },
        document,
      };
    } catch (error) {
      if (isAronaError(error, "WRONG_RELAY")) throw wrongRelay(endpoint, error);
      failure = error;
    }
  }
  throw failure;
}

/** `host:port` or `[v6]:port` in its parts. @throws {AronaError} `USAGE` */
export function splitEndpoint(endpoint: string): { hostname: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/]+)):(\d{1,5})$/.exec(endpoint);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new AronaError(
      "USAGE",
      `Cannot use address ${JSON.stringify(endpoint.slice(0, 100))}: want HOST:PORT`,
    );
  }
  return { hostname: match[1] ?? match[2], port };
}

/** For the store. */
export function encodeKnownRelay(relay: KnownRelay): Uint8Array {
  return utf8(JSON.stringify({
    ...relay,
    fingerprint: toBase64Url(relay.fingerprint),
    document: relay.document === null ? null : toBase64Url(relay.document),
  }));
}

/** From the store. @throws {AronaError} `CORRUPT_STORE` */
export function decodeKnownRelay(row: Uint8Array): KnownRelay {
  try {
    const { endpoints, fingerprint, document, highestSequence, boot } = JSON.parse(fromUtf8(row));
    const relay: KnownRelay = {
      endpoints,
      fingerprint: fromBase64Url(String(fingerprint)),
      document: document === null ? null : fromBase64Url(String(document)),
      highestSequence,
      boot,
    };
    const fits = Array.isArray(endpoints) && endpoints.every((endpoint) => typeof endpoint === "string") &&
      relay.fingerprint.length === FINGERPRINT_BYTES &&
      Number.isSafeInteger(highestSequence) && highestSequence >= 0 && typeof boot === "string";
    if (!fits) throw new AronaError("BAD_ENCODING", "Cannot read the saved relay: a field does not fit");
    for (const endpoint of relay.endpoints) splitEndpoint(endpoint);
    return relay;
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read the saved relay: its row does not decode", { cause });
  }
}

function wrongRelay(endpoint: string, cause: unknown): AronaError {
  return new AronaError(
    "WRONG_RELAY",
    `Cannot connect to ${endpoint}: a relay answers there, but not the one this profile knows`,
    {
      cause,
      hint:
        "Its key differs from the one in your link. Ask whoever runs the relay for a new link before you trust it; " +
        "if it is meant to be another relay, use another profile (--profile NAME).",
    },
  );
}
