/** Where a profile's relay is: the link that let it in and the newest discovery document that was verified. */

import {
  AronaError,
  type Clock,
  type CryptoProvider,
  type DiscoveryDocument,
  equalBytes,
  fetchDocument,
  formatEndpoint,
  formatSource,
  fromBase64Url,
  fromUtf8,
  isAronaError,
  type Link,
  parseSource,
  type RelaySource,
  toBase64Url,
  type Transport,
  utf8,
  verifyDocument,
} from "../../proto/base/mod.ts";
import { MAX_KNOWN_ENDPOINTS, MAX_KNOWN_SOURCES } from "../limits.ts";
import type { Store } from "../store/mod.ts";

const FINGERPRINT_BYTES = 32;

/** What a profile remembers of its relay. */
export interface KnownRelay {
  /** `host:port`, best first. */
  readonly endpoints: readonly string[];
  /** Where newer documents may be, in the form of `formatSource()`, best first; addresses are in {@link endpoints}. */
  readonly sources: readonly string[];
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

/** A relay as a link to its address names it. */
export function relayFromLink(link: Link): KnownRelay {
  return {
    endpoints: [formatEndpoint(link)],
    sources: [],
    fingerprint: link.fingerprint,
    document: null,
    highestSequence: 0,
    boot: "",
  };
}

/** A relay as a first verified document describes it, with the sources that led there. */
export function relayFromDocument(
  verified: VerifiedDocument,
  options: { found: readonly RelaySource[] },
): KnownRelay {
  const nothing = { endpoints: [], sources: [], document: null, highestSequence: 0, boot: "" };
  const relay = withDocument({ ...nothing, fingerprint: verified.document.fingerprint }, verified);
  return options.found.reduceRight(withSource, relay);
}

/** A document that was verified for this relay, and the bytes it came as. */
export interface VerifiedDocument {
  readonly document: DiscoveryDocument;
  readonly bytes: Uint8Array;
}

/**
 * The relay with what a newer document says: its addresses and sources come first. Of the addresses before, the one that was used last
 * stays at the end: it may be one that only works from here.
 */
export function withDocument(relay: KnownRelay, { document, bytes }: VerifiedDocument): KnownRelay {
  return {
    ...relay,
    endpoints: unique([...document.endpoints, ...relay.endpoints.slice(0, 1)], MAX_KNOWN_ENDPOINTS),
    sources: unique([...document.sources, ...relay.sources], MAX_KNOWN_SOURCES),
    document: bytes,
    highestSequence: document.sequence,
  };
}

/** The relay with one more way to it, which is tried first from now on. */
export function withSource(relay: KnownRelay, source: RelaySource): KnownRelay {
  const text = formatSource(source);
  return source.kind === "endpoint"
    ? { ...relay, endpoints: unique([text, ...relay.endpoints], MAX_KNOWN_ENDPOINTS) }
    : { ...relay, sources: unique([text, ...relay.sources], MAX_KNOWN_SOURCES) };
}

/**
 * What a profile knows, with what it was given anew; that comes first.
 *
 * @throws {AronaError} `WRONG_RELAY` where it is another relay
 */
export function mergeRelays(known: KnownRelay, given: KnownRelay): KnownRelay {
  if (!equalBytes(known.fingerprint, given.fingerprint)) {
    throw new AronaError(
      "WRONG_RELAY",
      "Cannot use this link: the profile belongs to a relay with another key",
      { hint: "Use another profile for another relay: --profile NAME." },
    );
  }
  const newer = given.highestSequence > known.highestSequence ? given : known;
  return {
    ...newer,
    boot: known.boot,
    endpoints: unique([...given.endpoints, ...known.endpoints], MAX_KNOWN_ENDPOINTS),
    sources: unique([...given.sources, ...known.sources], MAX_KNOWN_SOURCES),
  };
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
  let failure: unknown = noAddress();
  for (const endpoint of relay.endpoints) {
    try {
      const transport = await options.dial({ ...splitEndpoint(endpoint), signal: options.signal });
      const bytes = await fetchDocument({ transport, clock: options.clock, signal: options.signal });
      const document = await verifyDocument(options.crypto, bytes, {
        nowMs: options.clock.now(),
        fingerprint: relay.fingerprint,
        highestSequence: relay.highestSequence,
      });
      const before = { ...relay, endpoints: [endpoint] };
      const known = withSource(withDocument(before, { document, bytes }), parseSource(endpoint));
      return { relay: known, document };
    } catch (error) {
      if (options.signal?.aborted) throw error;
      // That somebody else is at one address says more than that nobody is at another.
      if (!isAronaError(failure, "WRONG_RELAY")) {
        failure = isAronaError(error, "WRONG_RELAY") ? wrongRelay(endpoint, error) : error;
      }
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

/** What a profile has saved; null where it is new. @throws {AronaError} `CORRUPT_STORE` */
export function savedRelay(store: Pick<Store, "get">): KnownRelay | null {
  const row = store.get("profile", "relay");
  return row === null ? null : decodeKnownRelay(row);
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
    // Version 1 of a profile knows no sources.
    const { endpoints, sources = [], fingerprint, document, highestSequence, boot } = JSON.parse(
      fromUtf8(row),
    );
    const relay: KnownRelay = {
      endpoints,
      sources,
      fingerprint: fromBase64Url(String(fingerprint)),
      document: document === null ? null : fromBase64Url(String(document)),
      highestSequence,
      boot,
    };
    const areTexts = (list: unknown) => Array.isArray(list) && list.every((text) => typeof text === "string");
    const fits = areTexts(endpoints) && areTexts(sources) && sources.length <= MAX_KNOWN_SOURCES &&
      relay.fingerprint.length === FINGERPRINT_BYTES &&
      Number.isSafeInteger(highestSequence) && highestSequence >= 0 && typeof boot === "string";
    if (!fits) throw new AronaError("BAD_ENCODING", "Cannot read the saved relay: a field does not fit");
    for (const endpoint of relay.endpoints) splitEndpoint(endpoint);
    for (const source of relay.sources) parseSource(source);
    return relay;
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read the saved relay: its row does not decode", { cause });
  }
}

function unique(texts: readonly string[], limit: number): string[] {
  return [...new Set(texts)].slice(0, limit);
}

function noAddress(): AronaError {
  return new AronaError("UNREACHABLE", "Cannot connect to the relay: no address of it is known", {
    hint: "Ask whoever runs the relay for a new link.",
  });
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
