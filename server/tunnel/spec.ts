/** What `--tunnel` names: `ssh:user@host[:port][=public[:port]]`, `bore[:host]` or `ngrok`. */

import { AronaError, type Endpoint, formatEndpoint } from "../../proto/mod.ts";

/** A tunnel that somebody asked for. No part of it can be taken for an option of the agent. */
export type TunnelSpec =
  | {
    readonly kind: "ssh";
    readonly user: string;
    /** A name, one of the user's own ssh configuration too, or an address without brackets. */
    readonly host: string;
    /** Where sshd listens; null for what ssh's configuration says. */
    readonly port: number | null;
    /** Where others reach the forwarded port, when it is not `host`. With a port, that one and no other is asked for. */
    readonly reachedAt: { readonly host: string; readonly port: number | null } | null;
  }
  | { readonly kind: "bore"; readonly host: string }
  | { readonly kind: "ngrok" };

/** The public bore server. */
export const DEFAULT_BORE_HOST = "bore.pub";

const MAX_SPEC_CHARACTERS = 400;
const MAX_HOST_CHARACTERS = 253;
const MAX_PORT = 65_535;
const USER_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$/;
const HOST_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const IPV6_PATTERN = /^[0-9A-Fa-f:.]{2,45}$/;

/**
 * Reads a tunnel as a person writes it.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseTunnelSpec(text: string): TunnelSpec {
  if (text.length > MAX_SPEC_CHARACTERS) throw refused(text, `it has ${text.length} characters`);
  if (text === "ngrok") return { kind: "ngrok" };
  if (text === "bore") return { kind: "bore", host: DEFAULT_BORE_HOST };
  if (text.startsWith("bore:")) {
    const { host, port } = hostOf(text, text.slice("bore:".length));
    if (port !== null) throw refused(text, "bore has one port for all servers, so none can be given");
    return { kind: "bore", host };
  }
  if (text.startsWith("ssh:")) return parseSsh(text, text.slice("ssh:".length));
  if (text.startsWith("ngrok:")) throw refused(text, "ngrok takes nothing behind its name");
  throw refused(text, "it is neither ssh:, bore nor ngrok");
}

/** The text that {@link parseTunnelSpec} reads back. */
export function formatTunnelSpec(spec: TunnelSpec): string {
  switch (spec.kind) {
    case "ngrok":
      return "ngrok";
    case "bore":
      return spec.host === DEFAULT_BORE_HOST ? "bore" : `bore:${formatHost(spec)}`;
    case "ssh": {
      const { user, reachedAt } = spec;
      return `ssh:${user}@${formatHost(spec)}${reachedAt === null ? "" : `=${formatHost(reachedAt)}`}`;
    }
  }
}

/** The one host at which the relay is reached through the tunnel; null where only the agent learns it. */
export function publicHostOf(spec: TunnelSpec): string | null {
  switch (spec.kind) {
    case "ssh":
      return (spec.reachedAt?.host ?? spec.host).toLowerCase();
    case "bore":
      return spec.host.toLowerCase();
    case "ngrok":
      return null;
  }
}

function parseSsh(text: string, rest: string): TunnelSpec {
  const [target, reached, ...more] = rest.split("=");
  if (more.length > 0) throw refused(text, "there is more than one =");
  const at = target.lastIndexOf("@");
  if (at < 0) throw refused(text, "the user is missing");
  const user = target.slice(0, at);
  if (!USER_PATTERN.test(user)) throw refused(text, "the user is not a plain name");
  const { host, port } = hostOf(text, target.slice(at + 1));
  return {
    kind: "ssh",
    user,
    host,
    port,
    reachedAt: reached === undefined ? null : hostOf(text, reached),
  };
}

/** `host`, `host:port`, `[v6]` or `[v6]:port`. */
function hostOf(text: string, part: string): { host: string; port: number | null } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?$/.exec(part);
  if (match === null) {
    const colons = part.split(":").length > 2 && !part.includes("[");
    throw refused(text, colons ? "an IPv6 address goes in brackets" : "the address is not HOST or HOST:PORT");
  }
  const [, ipv6, name, portText] = match;
  const fits = ipv6 !== undefined
    ? IPV6_PATTERN.test(ipv6) && ipv6.includes(":")
    : name.length <= MAX_HOST_CHARACTERS && HOST_PATTERN.test(name);
  if (!fits) throw refused(text, "the host is not a name or an address");
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && (port < 1 || port > MAX_PORT)) {
    throw refused(text, `the port ${portText} is not from 1 to ${MAX_PORT}`);
  }
  return { host: ipv6 ?? name, port }; // as it is: names in ~/.ssh/config have cases
}

function formatHost({ host, port = null }: { host: string; port?: number | null }): string {
  if (port !== null) return formatEndpoint({ hostname: host, port } satisfies Endpoint);
  return host.includes(":") ? `[${host}]` : host;
}

function refused(text: string, state: string): AronaError {
  return new AronaError("USAGE", `Cannot use tunnel ${JSON.stringify(text.slice(0, 100))}: ${state}`, {
    hint: "Write ssh:USER@HOST[:PORT], bore[:HOST] or ngrok; an IPv6 address in brackets.",
  });
}
