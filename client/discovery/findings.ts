/**
 * Who candidates are from, and whether they are used: signature, times, order, and the fingerprint that is expected.
 *
 * A document of another identity than the expected one is shown with the reason, and never used.
 */

import {
  AronaError,
  type Clock,
  type CryptoProvider,
  type DiscoveryDocument,
  equalBytes,
  isAronaError,
  type RelaySource,
  toBase64Url,
  verifyDocument,
} from "../../proto/base/mod.ts";
import type { Candidate, Discovery } from "./look.ts";
import type { KnownRelay } from "./relay_address.ts";

/** A document that may be used. */
export interface Found {
  readonly kind: "found";
  readonly source: RelaySource;
  readonly document: DiscoveryDocument;
  /** The document as it came. */
  readonly bytes: Uint8Array;
  /** Why: its key is the one that the profile has pinned, or that the link names; or it is the first one seen, to be pinned. */
  readonly trust: "pinned" | "link" | "first";
}

/** Something that is not used, or a place where nothing is. */
export interface Refused {
  readonly kind: "refused";
  readonly source: RelaySource;
  readonly reason: AronaError;
  /** The document, rightly signed, of the relay that is not the expected one. */
  readonly stranger?: DiscoveryDocument;
}

/** What became of one candidate, or of one source that has none. */
export type Finding = Found | Refused;

/** What is known before a candidate is looked at. */
export interface Expectation {
  /** From the link. @default anybody */
  readonly fingerprint?: Uint8Array | null;
  /** The profile's relay; its fingerprint is pinned. @default none */
  readonly known?: Pick<KnownRelay, "fingerprint" | "highestSequence"> | null;
}

/** What findings are made with. */
export interface FindOptions extends Expectation {
  readonly discovery: Discovery;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Looks at one source and judges everything there. Fails only by the signal. */
export async function find(source: RelaySource, options: FindOptions): Promise<Finding[]> {
  const { discovery, signal } = options;
  const fingerprint = options.fingerprint ?? options.known?.fingerprint;
  try {
    const candidates = await discovery.look(source, { signal, fingerprint });
    return await Promise.all(candidates.map((candidate) => judge(candidate, options)));
  } catch (error) {
    signal.throwIfAborted();
    return [{ kind: "refused", source, reason: asAronaError(error) }];
  }
}

/** Decides about one candidate. Never throws. */
export async function judge(
  candidate: Candidate,
  options: Expectation & { crypto: CryptoProvider; clock: Clock },
): Promise<Finding> {
  const { source, bytes } = candidate;
  const { crypto, clock, known } = options;
  const expected = options.fingerprint ?? known?.fingerprint;
  const verify = (fingerprint?: Uint8Array, highestSequence?: number) =>
    verifyDocument(crypto, bytes, { nowMs: clock.now(), fingerprint, highestSequence });
  try {
    const isKnown = known !== undefined && known !== null &&
      (expected === undefined || equalBytes(known.fingerprint, expected));
    const document = await verify(expected, isKnown ? known.highestSequence : undefined);
    const { announced } = candidate;
    if (announced !== undefined && announced !== toBase64Url(document.fingerprint)) {
      return { kind: "refused", source, reason: otherThanAnnounced(), stranger: document };
    }
    return {
      kind: "found",
      source,
      document,
      bytes,
      trust: isKnown ? "pinned" : expected ? "link" : "first",
    };
  } catch (error) {
    const reason = asAronaError(error);
    if (!isAronaError(reason, "WRONG_RELAY")) return { kind: "refused", source, reason };
    const stranger = await verify().catch(() => undefined);
    const isPinned = options.fingerprint === undefined || options.fingerprint === null;
    return { kind: "refused", source, reason: isPinned ? otherThanPinned(reason) : reason, stranger };
  }
}

/** One finding for each relay, its newest; in the order of the findings. */
export function distinctRelays(findings: readonly Finding[]): Found[] {
  const newest = new Map<string, Found>();
  for (const finding of findings) {
    if (finding.kind !== "found") continue;
    const key = toBase64Url(finding.document.fingerprint);
    const other = newest.get(key);
    if (other === undefined || other.document.sequence < finding.document.sequence) newest.set(key, finding);
  }
  return [...newest.values()];
}

function otherThanPinned(cause: AronaError): AronaError {
  return new AronaError(
    "WRONG_RELAY",
    "Cannot trust the relay: its identity is not the one that the profile has pinned",
    {
      cause,
      hint:
        "If it is meant to be another relay, use another profile: --profile NAME. If not, somebody may be in between.",
    },
  );
}

function otherThanAnnounced(): AronaError {
  return new AronaError("WRONG_RELAY", "Cannot trust the relay: its identity is not the one it announces", {
    hint: "Somebody on this network may be playing the relay. Ask for the relay's link.",
  });
}

function asAronaError(error: unknown): AronaError {
  if (isAronaError(error)) return error;
  return new AronaError("INTERNAL", "Cannot look for the relay: something went wrong", { cause: error });
}
