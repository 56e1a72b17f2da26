/** Endpoints: `host:port`, where a relay listens (PROTOCOL.md section 3.3). */

import { AronaError } from "./errors.ts";

/** Where a relay listens. */
export interface Endpoint {
  /** A name, an IPv4 or an IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

const MAX_HOST_CHARACTERS = 253;
const HOST_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const IPV6_PATTERN = /^[0-9A-Fa-f:.]{2,45}$/;
const HINT =
  "Copy the whole link that the relay shows. It looks like arona://host:7700#… with 43 characters after the #.";

/**
 * Reads `host:port`, `192.0.2.7:7700` or `[2001:db8::7]:7700`.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(.*):([0-9]{1,5})$/.exec(text);
  const [, host = "", portText = ""] = match ?? [];
  const hasTwoParts = match !== null && (host.startsWith("[") ? host.endsWith("]") : !host.includes(":"));
  if (!hasTwoParts) throw badEndpoint("the address is not host:port");
  const port = Number(portText);
  if (port < 1 || port > 65_535) throw badEndpoint(`the port ${portText} is not from 1 to 65535`);
  return { hostname: parseHost(host), port };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint(endpoint: Endpoint): string {
  return `${formatHost(endpoint.hostname)}:${endpoint.port}`;
}

/**
 * Reads a name, an IPv4 address, or an IPv6 address in brackets; in lower case and without brackets.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseHost(text: string): string {
  const ipv6 = /^\[([^\]]*)\]$/.exec(text)?.[1];
  const fits = ipv6 !== undefined
    ? IPV6_PATTERN.test(ipv6) && ipv6.includes(":")
    : text.length <= MAX_HOST_CHARACTERS && HOST_PATTERN.test(text);
  if (!fits) throw badEndpoint("the host is not a name or an address");
  return (ipv6 ?? text).toLowerCase();
}

/** With brackets around an IPv6 address. */
export function formatHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

/** Whether this machine alone gets there. */
export function isLoopback(hostname: string): boolean {
  return hostname === "::1" || hostname === "localhost" || hostname.startsWith("127.");
}

/** Where this machine reaches what listens at `hostname`: loopback for what listens on every address. */
export function localHost(hostname: string): string {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  return hostname === "::" ? "::1" : hostname;
}

function badEndpoint(state: string): AronaError {
  return new AronaError("USAGE", `Cannot read link: ${state}`, { hint: HINT });
}
