/**
 * How a relay shows itself on the local network: a service `_arona._tcp` of multicast DNS (RFC 6762, RFC 6763; PROTOCOL.md section 3.5).
 * Nothing of it is trusted: it says where to ask for the signed document.
 *
 *     PTR  _arona._tcp.local              → Name 1a2b3c4d._arona._tcp.local
 *     SRV  Name 1a2b3c4d._arona._tcp.local → arona-1a2b3c4d5e6f7081.local, port
 *     TXT  the same                       txtvers=1  fp=FINGERPRINT  v=2  name=Name
 *     A, AAAA  arona-1a2b3c4d5e6f7081.local
 */

import { fromBase64Url, fromUtf8, toBase64Url, toHex, utf8 } from "./bytes.ts";
import { type DnsName, MAX_DNS_LABEL_BYTES, MAX_DNS_STRING_BYTES } from "./dns.ts";
import { AronaError, isAronaError } from "./errors.ts";

/** Where multicast DNS happens. */
export const MDNS_GROUP = "224.0.0.251";
/** The port there, for questions and answers alike. */
export const MDNS_PORT = 5353;
/** What a packet may still have gone; that it arrives with this shows that nobody has passed it on (RFC 6762 section 11). */
export const MDNS_HOPS = 255;
/** The kind of service that a relay is. */
export const LAN_SERVICE: DnsName = ["_arona", "_tcp", "local"];
/** How long SRV and addresses may be believed (RFC 6762 section 10). */
export const HOST_TTL_SECONDS = 120;
/** How long the rest may. */
export const SERVICE_TTL_SECONDS = 4_500;
/** Strings of a TXT record that are looked at. */
export const MAX_TXT_STRINGS = 16;

const TXT_VERSION = "1";
const FINGERPRINT_BYTES = 32;
const MAX_NAME_CHARACTERS = 64;
const MAX_PROTOCOLS = 16;
const INSTANCE_DIGITS = 8;
const HOST_DIGITS = 16;

/** A relay that was found on the local network. Anybody there can say anything: fetch the document and verify it. */
export interface LanService {
  /** For people; not shown to a terminal as it is. */
  readonly name: string;
  /** Of the identity key that the relay says it has, as it stands in a link. */
  readonly fingerprint: string;
  /** `host:port`, addresses of the local network only. */
  readonly endpoints: readonly string[];
}

/** What a relay says in its TXT record. */
export interface LanTxt {
  /** SHA-256 of the relay's identity key, 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** Protocol versions that the relay speaks. */
  readonly protocols: readonly number[];
  /** At most 64 characters. */
  readonly name: string;
}

/** The strings of a relay's TXT record; a name that is too long for one is cut. */
export function formatLanTxt(txt: LanTxt): Uint8Array[] {
  return [
    utf8(`txtvers=${TXT_VERSION}`),
    utf8(`fp=${toBase64Url(txt.fingerprint)}`),
    utf8(`v=${txt.protocols.join(",")}`),
    utf8(cut(`name=${txt.name}`, MAX_DNS_STRING_BYTES)),
  ];
}

/**
 * Reads a relay's TXT record. Unknown keys are passed over, of one key the first counts (RFC 6763 section 6.4).
 *
 * @throws {AronaError} `BAD_ENCODING`, `UNKNOWN_VERSION` for another layout of the record
 */
export function parseLanTxt(strings: readonly Uint8Array[]): LanTxt {
  if (strings.length > MAX_TXT_STRINGS) throw bad(`it has ${strings.length} strings`);
  const values = new Map<string, string>();
  for (const string of strings) {
    const text = fromUtf8(string);
    const [key] = text.split("=", 1);
    if (key.length < text.length && !values.has(key.toLowerCase())) {
      values.set(key.toLowerCase(), text.slice(key.length + 1));
    }
  }
  if (values.get("txtvers") !== TXT_VERSION) {
    throw new AronaError("UNKNOWN_VERSION", "Cannot read announcement: it is of another version");
  }
  return {
    fingerprint: fingerprintOf(values.get("fp") ?? ""),
    protocols: protocolsOf(values.get("v") ?? ""),
    name: nameOf(values.get("name") ?? ""),
  };
}

/**
 * The name of a relay's service: its own name and the beginning of its fingerprint, so that two relays of one name are two.
 *
 * @param options.attempt how many others were found to have the name already. @default 0
 */
export function lanInstanceName(
  relay: { readonly name: string; readonly fingerprint: Uint8Array },
  options: { attempt?: number } = {},
): DnsName {
  const mark = ` ${toHex(relay.fingerprint).slice(0, INSTANCE_DIGITS)}${suffix(options.attempt)}`;
  return [cut(relay.name, MAX_DNS_LABEL_BYTES - mark.length) + mark, ...LAN_SERVICE];
}

/** The name of the host that it runs on: made from the fingerprint, so that the machine's own name stays its own. */
export function lanHostName(fingerprint: Uint8Array, options: { attempt?: number } = {}): DnsName {
  return [`arona-${toHex(fingerprint).slice(0, HOST_DIGITS)}${suffix(options.attempt)}`, "local"];
}

function suffix(attempt = 0): string {
  return attempt === 0 ? "" : `-${attempt + 1}`;
}

/** The beginning of a text, whole characters only. */
function cut(text: string, maxBytes: number): string {
  let kept = "";
  let bytes = 0;
  for (const character of text) {
    bytes += utf8(character).length;
    if (bytes > maxBytes) break;
    kept += character;
  }
  return kept;
}

function fingerprintOf(text: string): Uint8Array {
  try {
    const bytes = fromBase64Url(text);
    if (bytes.length === FINGERPRINT_BYTES) return bytes;
  } catch (error) {
    if (!isAronaError(error)) throw error;
  }
  throw bad("it has no fingerprint");
}

function protocolsOf(text: string): number[] {
  const versions = text.split(",").map((version) => /^\d{1,3}$/.test(version) ? Number(version) : NaN);
  if (versions.length > MAX_PROTOCOLS || !versions.every((version) => version <= 255)) {
    throw bad("its protocol versions are not a short list of numbers");
  }
  return versions;
}

function nameOf(text: string): string {
  if ([...text].length > MAX_NAME_CHARACTERS || /[\p{C}\p{Zl}\p{Zp}]/u.test(text)) {
    throw bad("its name is too long or not plain text");
  }
  return text;
}

function bad(state: string): AronaError {
  return new AronaError("BAD_ENCODING", `Cannot read announcement: ${state}`);
}
