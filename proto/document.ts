/**
 * The discovery document: the relay's signed statement of where it is and which key it has (PROTOCOL.md section 3).
 *
 * One JSON object `{"payload": base64url, "signature": base64url}`. The signature is over the payload's bytes as they are, so nobody
 * has to serialise JSON the same way twice.
 */

import { ByteWriter, equalBytes, fromBase64Url, fromUtf8, toBase64Url, utf8 } from "./bytes.ts";
import type { CryptoProvider, KeyPair } from "./crypto/provider.ts";
import { KEM_SIZES } from "./crypto/sizes.ts";
import { parseEndpoint } from "./endpoint.ts";
import { AronaError, isAronaError } from "./errors.ts";
import { IDENTITY_KEY_BYTES, IDENTITY_SIGNATURE_BYTES } from "./identity.ts";
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_LIFETIME_MS, MAX_RELAY_KEY_LIFETIME_MS } from "./limits.ts";
import { parsePublicSource } from "./source.ts";

/** The version of the document's layout and of the protocol that this code speaks. */
export const PROTOCOL_VERSION = 2;
export const RELAY_KEY_ID_BYTES = 8;
/** How far ahead of a client's clock a document may have been made. */
export const MAX_CLOCK_SKEW_MS = 600_000;
/** A sequence number may grow by no more than this from one document to the next that a client sees. */
export const MAX_SEQUENCE_JUMP = 1_000_000;
/** Sources that a document may name. */
export const MAX_DOCUMENT_SOURCES = 4;

const SIGNATURE_LABEL = "arona discovery v1";
const MAX_NAME_CHARACTERS = 64;
const MAX_ENDPOINTS = 16;
const MAX_PROTOCOLS = 16;

/** An X-Wing key that the relay's identity vouches for. */
export interface RelayKey {
  /** The first 8 bytes of the public key's SHA-256. */
  readonly id: Uint8Array;
  readonly publicKey: Uint8Array; // 1,216
  readonly notBeforeMs: number;
  /** At most 30 days after `notBeforeMs`. */
  readonly notAfterMs: number;
}

/** What a relay says of itself. Times in milliseconds since the epoch. */
export interface DiscoveryFields {
  /** For people; at most 64 characters. */
  readonly name: string;
  /** `host:port`, best first; at most 16. */
  readonly endpoints: readonly string[];
  /** Where newer documents will be, in the form of `formatSource()`, best first; at most 4. @default none */
  readonly sources?: readonly string[];
  readonly relayKey: RelayKey;
  /** Protocol versions that the relay speaks. */
  readonly protocols: readonly number[];
  /** Grows with every document. */
  readonly sequence: number;
  readonly issuedAtMs: number;
  /** At most 7 days after `issuedAtMs`. */
  readonly expiresAtMs: number;
}

/** A document whose signature and fields have been checked. */
export interface DiscoveryDocument extends DiscoveryFields {
  readonly sources: readonly string[];
  readonly identityKey: Uint8Array; // 1,952
  /** SHA-256 of the identity key. */
  readonly fingerprint: Uint8Array;
}

/** The id of an X-Wing relay key. */
export function relayKeyId(crypto: CryptoProvider, publicKey: Uint8Array): Uint8Array {
  return crypto.digest("SHA-256", publicKey).slice(0, RELAY_KEY_ID_BYTES);
}

/**
 * Makes the bytes that are published and served.
 *
 * @param options.identity the relay's ML-DSA-65 key pair
 * @throws {AronaError} `BAD_DOCUMENT` where the fields would not verify
 */
export async function signDocument(
  crypto: CryptoProvider,
  fields: DiscoveryFields,
  options: { identity: KeyPair; deterministic?: boolean },
): Promise<Uint8Array> {
  const { relayKey } = fields;
  const payload = utf8(JSON.stringify({
    version: PROTOCOL_VERSION,
    name: fields.name,
    endpoints: fields.endpoints,
    sources: (fields.sources ?? []).length === 0 ? undefined : fields.sources,
    identityKey: toBase64Url(options.identity.publicKey),
    relayKey: {
      id: toBase64Url(relayKey.id),
      publicKey: toBase64Url(relayKey.publicKey),
      notBefore: relayKey.notBeforeMs,
      notAfter: relayKey.notAfterMs,
    },
    protocols: fields.protocols,
    sequence: fields.sequence,
    issuedAt: fields.issuedAtMs,
    expiresAt: fields.expiresAtMs,
  }));
  const signature = await crypto.sign("ML-DSA-65", options.identity.privateKey, statement(payload), {
    deterministic: options.deterministic,
  });
  parsePayload(crypto, payload);
  const bytes = utf8(JSON.stringify({ payload: toBase64Url(payload), signature: toBase64Url(signature) }));
  if (bytes.length > MAX_DOCUMENT_BYTES) throw bad(`it has ${bytes.length} bytes`);
  return bytes;
}

/** Options of {@link verifyDocument}. */
export interface VerifyDocumentOptions {
  readonly nowMs: number;
  /** The relay that is expected: 32 bytes, from the link or the pin. Without it any relay is accepted, to be pinned. */
  readonly fingerprint?: Uint8Array;
  /** The highest sequence number seen from this relay. */
  readonly highestSequence?: number;
}

/**
 * Checks everything about a document.
 *
 * @throws {AronaError} `BAD_DOCUMENT` with the reason, `WRONG_RELAY` for another identity, `UNKNOWN_VERSION`
 */
export async function verifyDocument(
  crypto: CryptoProvider,
  bytes: Uint8Array,
  options: VerifyDocumentOptions,
): Promise<DiscoveryDocument> {
  const { payload, signature } = parseEnvelope(bytes);
  const document = parsePayload(crypto, payload);
  if (options.fingerprint !== undefined && !equalBytes(document.fingerprint, options.fingerprint)) {
    throw new AronaError("WRONG_RELAY", "Cannot trust the relay: its identity is not the one in the link", {
      hint:
        "Ask whoever runs the relay for the current link. If it should be the same relay, somebody may be in between.",
    });
  }
  if (!await crypto.verify("ML-DSA-65", document.identityKey, statement(payload), signature)) {
    throw bad("its signature is wrong");
  }
  if (!document.protocols.includes(PROTOCOL_VERSION)) {
    throw new AronaError(
      "UNKNOWN_VERSION",
      `Cannot talk to the relay: it speaks versions ${document.protocols.join()}`,
      {
        hint: "One of the two programs is too old: update it.",
      },
    );
  }
  checkTimes(document, options.nowMs);
  const highest = options.highestSequence;
  if (highest !== undefined && document.sequence < highest) {
    throw bad(`it is older (number ${document.sequence}) than one seen before (${highest})`);
  }
  if (highest !== undefined && document.sequence > highest + MAX_SEQUENCE_JUMP) {
    throw bad(`its number ${document.sequence} is too far ahead of ${highest}`);
  }
  return document;
}

function checkTimes(document: DiscoveryDocument, nowMs: number): void {
  const { relayKey } = document;
  if (document.issuedAtMs > nowMs + MAX_CLOCK_SKEW_MS || relayKey.notBeforeMs > nowMs + MAX_CLOCK_SKEW_MS) {
    throw bad("it is from the future", "Check this computer's clock.");
  }
  if (nowMs > document.expiresAtMs || nowMs > relayKey.notAfterMs) {
    throw bad(
      "it has expired",
      "Ask the relay itself or its publisher for a new one, and check this computer's clock.",
    );
  }
}

function statement(payload: Uint8Array): Uint8Array {
  return new ByteWriter().vector16(utf8(SIGNATURE_LABEL)).raw(payload).finish();
}

function parseEnvelope(bytes: Uint8Array): { payload: Uint8Array; signature: Uint8Array } {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw bad(`it has ${bytes.length} bytes, over ${MAX_DOCUMENT_BYTES}`);
  }
  const envelope = parseJsonObject(bytes);
  return {
    payload: bytesOf(envelope, "payload"),
    signature: bytesOf(envelope, "signature", IDENTITY_SIGNATURE_BYTES),
  };
}

function parsePayload(crypto: CryptoProvider, payload: Uint8Array): DiscoveryDocument {
  const fields = parseJsonObject(payload);
  if (fields.version !== PROTOCOL_VERSION) {
    throw new AronaError(
      "UNKNOWN_VERSION",
      `Cannot use discovery document: its version is ${describe(fields.version)}`,
    );
  }
  const identityKey = bytesOf(fields, "identityKey", IDENTITY_KEY_BYTES);
  const document: DiscoveryDocument = {
    name: nameOf(fields.name),
    endpoints: endpointsOf(fields.endpoints),
    sources: sourcesOf(fields.sources),
    relayKey: relayKeyOf(crypto, fields.relayKey),
    protocols: protocolsOf(fields.protocols),
    sequence: countOf(fields, "sequence"),
    issuedAtMs: countOf(fields, "issuedAt"),
    expiresAtMs: countOf(fields, "expiresAt"),
    identityKey,
    fingerprint: crypto.digest("SHA-256", identityKey),
  };
  requireSpan(document.issuedAtMs, document.expiresAtMs, MAX_DOCUMENT_LIFETIME_MS, "document");
  return document;
}

function relayKeyOf(crypto: CryptoProvider, value: unknown): RelayKey {
  const fields = asObject(value, "relayKey");
  const key: RelayKey = {
    id: bytesOf(fields, "id", RELAY_KEY_ID_BYTES),
    publicKey: bytesOf(fields, "publicKey", KEM_SIZES["X-Wing"].publicKey),
    notBeforeMs: countOf(fields, "notBefore"),
    notAfterMs: countOf(fields, "notAfter"),
  };
  if (!equalBytes(key.id, relayKeyId(crypto, key.publicKey))) {
    throw bad("the relay key's id is not its key's");
  }
  requireSpan(key.notBeforeMs, key.notAfterMs, MAX_RELAY_KEY_LIFETIME_MS, "relay key");
  return key;
}

function requireSpan(fromMs: number, untilMs: number, limitMs: number, what: string): void {
  if (untilMs <= fromMs || untilMs - fromMs > limitMs) {
    throw bad(`the ${what}'s lifetime is not within its limit`);
  }
}

function nameOf(value: unknown): string {
  const fits = typeof value === "string" && [...value].length <= MAX_NAME_CHARACTERS &&
    !/[\p{C}\p{Zl}\p{Zp}]/u.test(value);
  if (!fits) throw bad("its name is too long or not plain text");
  return value as string;
}

function endpointsOf(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MAX_ENDPOINTS) throw bad("its endpoints are not a short list");
  return value.map((endpoint: unknown) => {
    if (typeof endpoint !== "string") throw bad("an endpoint is not text");
    try {
      parseEndpoint(endpoint);
    } catch (cause) {
      throw bad("an endpoint is not host:port", undefined, cause);
    }
    return endpoint;
  });
}

function sourcesOf(value: unknown): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_DOCUMENT_SOURCES) {
    throw bad("its sources are not a short list");
  }
  return value.map((source: unknown) => {
    if (typeof source !== "string") throw bad("a source is not text");
    try {
      parsePublicSource(source);
    } catch (cause) {
      throw bad("a source is not gist:ID, @login or https://host", undefined, cause);
    }
    return source;
  });
}

function protocolsOf(value: unknown): number[] {
  const fits = Array.isArray(value) && value.length > 0 && value.length <= MAX_PROTOCOLS &&
    value.every((version) => Number.isInteger(version) && version >= 0 && version <= 255);
  if (!fits) throw bad("its protocols are not a short list of numbers");
  return value as number[];
}

function countOf(fields: Record<string, unknown>, name: string): number {
  const value = fields[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw bad(`${name} is ${describe(value)}`);
  return value as number;
}

function bytesOf(fields: Record<string, unknown>, name: string, length?: number): Uint8Array {
  const value = fields[name];
  if (typeof value !== "string") throw bad(`${name} is ${describe(value)}`);
  let bytes: Uint8Array;
  try {
    bytes = fromBase64Url(value);
  } catch (cause) {
    throw bad(`${name} is not canonical base64url`, undefined, cause);
  }
  if (length !== undefined && bytes.length !== length) {
    throw bad(`${name} has ${bytes.length} bytes, not ${length}`);
  }
  return bytes;
}

function parseJsonObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw bad(isAronaError(cause) ? "it is not UTF-8" : "it is not JSON", undefined, cause);
  }
  return asObject(value, "it");
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what} is not a JSON object`);
  }
  return value as Record<string, unknown>;
}

function describe(value: unknown): string {
  return typeof value === "number" ? String(value) : value === undefined ? "missing" : `a ${typeof value}`;
}

function bad(state: string, hint?: string, cause?: unknown): AronaError {
  return new AronaError("BAD_DOCUMENT", `Cannot use discovery document: ${state}`, { hint, cause });
}
