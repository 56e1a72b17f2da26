/** Links and endpoints: `arona://host:port#fingerprint`, the one string that lets somebody in (PROTOCOL.md section 3.3). */

import { fromBase64Url, toBase64Url } from "./bytes.ts";
import { AronaError } from "./errors.ts";

/** Where a relay listens. */
export interface Endpoint {
  /** A name, an IPv4 or an IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** A parsed link. */
export interface Link extends Endpoint {
  /** SHA-256 of the relay's identity key, 32 bytes. */
  readonly fingerprint: Uint8Array;
}

const SCHEME = "arona://";
const FINGERPRINT_BYTES = 32;
const FINGERPRINT_CHARACTERS = 43;
const MAX_HOST_CHARACTERS = 253;
const HOST_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const IPV6_PATTERN = /^[0-9A-Fa-f:.]{2,45}$/;
const HINT =
  "Copy the whole link that the relay shows. It looks like arona://host:7700#… with 43 characters after the #.";

/**
 * Reads a link. Spaces around it, as pasting brings them, are ignored.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseLink(text: string): Link {
  const trimmed = text.trim();
  if (!trimmed.toLowerCase().startsWith(SCHEME)) throw badLink("it does not begin with arona://");
  const hash = trimmed.indexOf("#");
  if (hash < 0) throw badLink("the fingerprint after # is missing");
  const fingerprintText = trimmed.slice(hash + 1);
  if (fingerprintText.includes(".")) {
    throw new AronaError("USAGE", "Cannot read link: it is a code for a further device of somebody", {
      hint: "Use it with `arona device link CODE` on the device that is to be added.",
    });
  }
  if (fingerprintText.length !== FINGERPRINT_CHARACTERS) {
    throw badLink(
      `the fingerprint has ${fingerprintText.length} characters instead of ${FINGERPRINT_CHARACTERS}`,
    );
  }
  let fingerprint: Uint8Array;
  try {
    fingerprint = fromBase64Url(fingerprintText);
  } catch (cause) {
    throw badLink("the fingerprint is mistyped", cause);
  }
  return { ...parseEndpoint(trimmed.slice(SCHEME.length, hash).replace(/\/$/, "")), fingerprint };
}

/** The link of a relay. */
export function formatLink(link: Link): string {
  if (link.fingerprint.length !== FINGERPRINT_BYTES) {
    throw new AronaError("INTERNAL", `Cannot make link: a fingerprint of ${link.fingerprint.length} bytes`);
  }
  return `${SCHEME}${formatEndpoint(link)}#${toBase64Url(link.fingerprint)}`;
}

/**
 * Reads `host:port`, `192.0.2.7:7700` or `[2001:db8::7]:7700`.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  if (match === null) throw badLink("the address is not host:port");
  const [, ipv6, name, portText] = match;
  const port = Number(portText);
  if (port < 1 || port > 65_535) throw badLink(`the port ${portText} is not from 1 to 65535`);
  const hostname = ipv6 ?? name;
  const fits = ipv6 !== undefined
    ? IPV6_PATTERN.test(ipv6) && ipv6.includes(":")
    : name.length <= MAX_HOST_CHARACTERS && HOST_PATTERN.test(name);
  if (!fits) throw badLink("the host is not a name or an address");
  return { hostname: hostname.toLowerCase(), port };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint(endpoint: Endpoint): string {
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function badLink(state: string, cause?: unknown): AronaError {
  return new AronaError("USAGE", `Cannot read link: ${state}`, { cause, hint: HINT });
}
