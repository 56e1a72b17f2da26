/**
 * Links, the one string that lets somebody in: `arona://host:port#fingerprint` and, where the relay's address may
 * change, `arona://gist/ID#…`, `arona://@login#…`, `arona://host#…` (PROTOCOL.md sections 3.3 and 3.4). An invite to a relay that wants
 * one stands before the `#`, `arona://host:port/invite/CODE#…`, so that there is one thing to pass on.
 */

import { fromBase64Url, toBase64Url } from "./bytes.ts";
import { type Endpoint, parseEndpoint } from "./endpoint.ts";
import { AronaError } from "./errors.ts";
import { formatSource, parseSource, parseWebSource, type RelaySource } from "./source.ts";

/** A link to a relay's address. */
export interface Link extends Endpoint {
  /** SHA-256 of the relay's identity key, 32 bytes. */
  readonly fingerprint: Uint8Array;
}

/** What a person gives to name a relay: where to look, and whom to expect there. */
export interface SourceLink {
  readonly source: RelaySource;
  /** SHA-256 of the relay's identity key, 32 bytes; null: whoever is found is pinned, and the person is told. */
  readonly fingerprint: Uint8Array | null;
  /** The code that lets a new account in, in lower case; only in an `arona:` link. @default none */
  readonly invite?: string;
}

/** A link is no longer than this as long as its host has at most 62 characters. Longer ones work, but are for copying. */
export const SHORT_LINK_CHARACTERS = 120;

const SCHEME = "arona://";
const GIST_PREFIX = "gist/";
const INVITE_PREFIX = "/invite/";
const INVITE_PATTERN = /^[a-z0-9]{1,64}$/;
const FINGERPRINT_BYTES = 32;
const FINGERPRINT_CHARACTERS = 43;
const HINT =
  "Copy the whole link that the relay shows. It looks like arona://host:7700#… with 43 characters after the #.";

/**
 * Reads a link to a relay's address. Spaces around it, as pasting brings them, are ignored, and so is an invite.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseLink(text: string): Link {
  const { place, fingerprint } = splitLink(text.trim());
  return { ...parseEndpoint(place), fingerprint };
}

/** The link to a relay's address. */
export function formatLink(link: Link): string {
  return formatSourceLink({ source: { kind: "endpoint", ...link }, fingerprint: link.fingerprint });
}

/**
 * Reads whatever names a relay: a link of any kind, or a source as `parseSource()` takes it, with or without
 * `#fingerprint` behind it. Spaces around it are ignored.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseSourceLink(text: string): SourceLink {
  const trimmed = text.trim();
  if (trimmed.toLowerCase().startsWith(SCHEME)) {
    const { place, fingerprint, invite } = splitLink(trimmed);
    return { source: linkedSource(place), fingerprint, ...(invite !== undefined && { invite }) };
  }
  const hash = trimmed.indexOf("#");
  if (hash < 0 || /^#file-/i.test(trimmed.slice(hash))) {
    return { source: parseSource(trimmed), fingerprint: null };
  }
  return {
    source: parseSource(trimmed.slice(0, hash)),
    fingerprint: parseFingerprint(trimmed.slice(hash + 1)),
  };
}

/** The shortest text that `parseSourceLink()` reads as this. */
export function formatSourceLink(link: SourceLink): string {
  const { source, fingerprint, invite } = link;
  if (fingerprint === null) return formatSource(source);
  if (fingerprint.length !== FINGERPRINT_BYTES) {
    throw new AronaError("INTERNAL", `Cannot make link: a fingerprint of ${fingerprint.length} bytes`);
  }
  const place = linkPlace(source);
  if (invite !== undefined && !(place.startsWith(SCHEME) && INVITE_PATTERN.test(invite))) {
    throw new AronaError("INTERNAL", "Cannot make link: an invite does not fit into it");
  }
  return `${place}${invite === undefined ? "" : INVITE_PREFIX + invite}#${toBase64Url(fingerprint)}`;
}

/**
 * The code in what a person gives as an invite: the code itself, with or without dashes and spaces, or a link that holds it.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseInvite(text: string): string {
  const trimmed = text.trim();
  const isLink = trimmed.toLowerCase().startsWith(SCHEME);
  const code = isLink ? parseSourceLink(trimmed).invite : trimmed.toLowerCase().replace(/[\s-]+/g, "");
  if (code === undefined) throw badInvite("the link holds none");
  if (!INVITE_PATTERN.test(code)) throw badInvite("it is neither a code nor a link");
  return code;
}

function linkedSource(place: string): RelaySource {
  if (place.toLowerCase().startsWith(GIST_PREFIX)) {
    return parseSource(`gist:${place.slice(GIST_PREFIX.length)}`);
  }
  if (place.startsWith("@")) return parseSource(place);
  const hasPort = /:\d*$/.test(place);
  if (hasPort) return { kind: "endpoint", ...parseEndpoint(place) };
  if (place.includes("/")) throw badLink("what is before the # is not a host, gist/ID or @user");
  return parseWebSource(place);
}

function linkPlace(source: RelaySource): string {
  switch (source.kind) {
    case "endpoint":
    case "user":
      return SCHEME + formatSource(source);
    case "gist":
      return SCHEME + GIST_PREFIX + source.id;
    case "web": // with a port it would be an endpoint
      return /:\d+$/.test(source.host) ? formatSource(source) : SCHEME + source.host;
    case "lan":
      return formatSource(source);
  }
}

function splitLink(text: string): { place: string; fingerprint: Uint8Array; invite?: string } {
  if (!text.toLowerCase().startsWith(SCHEME)) throw badLink("it does not begin with arona://");
  const hash = text.indexOf("#");
  if (hash < 0) throw badLink("the fingerprint after # is missing");
  const fingerprint = parseFingerprint(text.slice(hash + 1));
  const place = text.slice(SCHEME.length, hash).replace(/\/$/, "");
  const at = place.toLowerCase().indexOf(INVITE_PREFIX);
  if (at < 0) return { place, fingerprint };
  const invite = place.slice(at + INVITE_PREFIX.length).toLowerCase();
  if (!INVITE_PATTERN.test(invite)) throw badLink("the invite in it is mistyped");
  return { place: place.slice(0, at), fingerprint, invite };
}

function parseFingerprint(text: string): Uint8Array {
  if (text.includes(".")) {
    throw new AronaError("USAGE", "Cannot read link: it is a code for a further device of somebody", {
      hint: "Use it with `arona device link CODE` on the device that is to be added.",
    });
  }
  if (text.length !== FINGERPRINT_CHARACTERS) {
    throw badLink(`the fingerprint has ${text.length} characters instead of ${FINGERPRINT_CHARACTERS}`);
  }
  try {
    return fromBase64Url(text);
  } catch (cause) {
    throw badLink("the fingerprint is mistyped", cause);
  }
}

function badLink(state: string, cause?: unknown): AronaError {
  return new AronaError("USAGE", `Cannot read link: ${state}`, { cause, hint: HINT });
}

function badInvite(state: string): AronaError {
  return new AronaError("USAGE", `Cannot read invite: ${state}`, {
    hint: "Copy the whole of what `arona invite` has printed.",
  });
}
