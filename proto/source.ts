/**
 * Sources: where a relay's discovery document can be found (PROTOCOL.md section 3.4).
 *
 * | text form             | the document is                                              |
 * | --------------------- | ------------------------------------------------------------ |
 * | `host:port`           | served by the relay itself                                   |
 * | `gist:ID`             | the file `arona.json` of that GitHub Gist                    |
 * | `@login`              | in one of that GitHub user's public Gists                    |
 * | `https://host[:port]` | at `/.well-known/arona.json` there                           |
 * | `lan`                 | served by a relay that announces itself on the local network |
 */

import { formatEndpoint, formatHost, parseEndpoint, parseHost } from "./endpoint.ts";
import { AronaError } from "./errors.ts";

/** The file in a Gist that holds the document. */
export const GIST_FILE = "arona.json";
/** Where a web server has the document. */
export const WELL_KNOWN_PATH = "/.well-known/arona.json";

/** A place where a relay's document can be found. */
export type RelaySource =
  | { readonly kind: "endpoint"; readonly hostname: string; readonly port: number }
  /** `id` is hexadecimal in lower case. */
  | { readonly kind: "gist"; readonly id: string }
  /** `login` is in lower case. */
  | { readonly kind: "user"; readonly login: string }
  /** `host`, or `host:port` for another port than 443. */
  | { readonly kind: "web"; readonly host: string }
  | { readonly kind: "lan" };

/** A source that a document may name: one that anybody can reach, and that is not the relay's address itself. */
export type PublicSource = Extract<RelaySource, { kind: "gist" | "user" | "web" }>;

const MAX_SOURCE_CHARACTERS = 320;
const GIST_ID_PATTERN = /^[0-9a-f]{1,64}$/;
const LOGIN_PATTERN = /^[0-9a-z](?:[0-9a-z_-]{0,37}[0-9a-z])?$/;
const GIST_URL_PATTERN =
  /^https:\/\/gist\.github\.com\/(?:[0-9a-z_-]+\/)?([0-9a-f]+)\/?(?:#file-[0-9a-z_-]*)?$/i;
const WEB_URL_PATTERN = /^(https?):\/\/([^/?#]+)(\/[^?#]*)?$/i;
const HINT =
  "A place is one of: HOST:PORT, gist:ID, https://gist.github.com/USER/ID, @USER of GitHub, https://HOST, lan.";

/**
 * Reads a source as a person types it; a Gist's or a web server's may also be pasted from the browser.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseSource(text: string): RelaySource {
  const trimmed = text.trim();
  if (trimmed.length > MAX_SOURCE_CHARACTERS) throw badSource(`it has ${trimmed.length} characters`);
  if (trimmed.toLowerCase() === "lan") return { kind: "lan" };
  if (trimmed.startsWith("@")) return { kind: "user", login: loginOf(trimmed.slice(1)) };
  const gist = /^gist:(.*)$/i.exec(trimmed) ?? GIST_URL_PATTERN.exec(trimmed);
  if (gist !== null) return { kind: "gist", id: parseGistId(gist[1]) };
  if (trimmed.includes("//")) return webSource(trimmed);
  return { kind: "endpoint", ...parseEndpoint(trimmed) };
}

/** Top-level names that lead into somebody's own network (RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN's `internal`, and what home routers use). */
const PRIVATE_DOMAINS = ["local", "localhost", "internal", "lan", "home", "arpa", "alt"];

/** The one text form of a source; `parseSource()` reads it. */
export function formatSource(source: RelaySource): string {
  switch (source.kind) {
    case "endpoint":
      return formatEndpoint(source);
    case "gist":
      return `gist:${source.id}`;
    case "user":
      return `@${source.login}`;
    case "web":
      return `${isLoopbackHost(source.host) ? "http" : "https"}://${source.host}`;
    case "lan":
      return "lan";
  }
}

/**
 * Reads a source of a document: in its one text form, and of a kind that may stand there.
 *
 * @throws {AronaError} `USAGE`
 */
export function parsePublicSource(text: string): PublicSource {
  const source = parseSource(text);
  const isPublic = source.kind === "gist" || source.kind === "user" ||
    source.kind === "web" && isPublicHost(source.host);
  if (!isPublic) throw badSource("it is not one that everybody can reach");
  if (formatSource(source) !== text) throw badSource(`it is not written as ${formatSource(source)}`);
  return source as PublicSource;
}

/**
 * The web server `host` or `host:port`.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseWebSource(authority: string): Extract<RelaySource, { kind: "web" }> {
  const hasPort = /:\d+$/.test(authority);
  if (!hasPort) return { kind: "web", host: formatHost(parseHost(authority)) };
  const endpoint = parseEndpoint(authority);
  const host = formatEndpoint(endpoint);
  const usualPort = isLoopbackHost(host) ? 80 : 443;
  return { kind: "web", host: endpoint.port === usualPort ? formatHost(endpoint.hostname) : host };
}

/** Whether `host[:port]` is this computer, which is asked without TLS. */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}

/**
 * Whether `host[:port]` names something that everybody can reach: a name with a dot that is not the local network's. Addresses are none,
 * however they are written: everybody who reads a document would ask there from inside of their own network.
 */
function isPublicHost(host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  const last = name.split(".").at(-1)!;
  return name.includes(".") && /^[a-z]/.test(last) && !PRIVATE_DOMAINS.includes(last);
}

function loginOf(text: string): string {
  const login = text.toLowerCase();
  if (!LOGIN_PATTERN.test(login)) throw badSource("what is behind the @ is not a GitHub user's name");
  return login;
}

/** Reads a Gist's id, in lower case. @throws {AronaError} `USAGE` */
export function parseGistId(text: string): string {
  const id = text.toLowerCase();
  if (!GIST_ID_PATTERN.test(id)) throw badSource("the Gist's id is not hexadecimal");
  return id;
}

function webSource(text: string): RelaySource {
  const match = WEB_URL_PATTERN.exec(text);
  if (match === null) throw badSource("it is not https://host");
  const [, scheme, authority, path] = match;
  if (path !== undefined && path !== "/" && path !== WELL_KNOWN_PATH) {
    throw badSource(`a web server has it at ${WELL_KNOWN_PATH}, not at ${path.slice(0, 60)}`);
  }
  const source = parseWebSource(authority);
  if (source.host === "gist.github.com") throw badSource("the Gist's id is missing or mistyped");
  const expected = isLoopbackHost(source.host) ? "http" : "https";
  if (scheme.toLowerCase() !== expected) {
    throw badSource(`${source.host} is asked by ${expected}, not by ${scheme.toLowerCase()}`);
  }
  return source;
}

function badSource(state: string): AronaError {
  return new AronaError("USAGE", `Cannot read place to look for a relay: ${state}`, { hint: HINT });
}
