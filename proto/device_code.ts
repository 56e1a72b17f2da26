/**
 * The code that lets a further device in (PROTOCOL.md section 8.1): a link with a one-time secret behind it,
 * `arona://host:port#fingerprint.SECRET`. The secret is 128 random bits as 26 characters of Crockford's base32, so that it can be read
 * aloud: any case, O for 0, I and L for 1, dashes and spaces between them.
 */

import { ByteWriter, toHex, utf8 } from "./bytes.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { AronaError } from "./errors.ts";
import { formatLink, type Link, parseLink } from "./link.ts";

/** Bytes of the one-time secret. */
export const LINK_SECRET_BYTES = 16;

/** 16 bytes as 32 hexadecimal digits: where two devices meet at the relay. Who knows it does not know the secret. */
export type RendezvousId = string & { readonly __brand: "RendezvousId" };

/** What a code holds. */
export interface DeviceCode extends Link {
  /** 16 bytes. */
  readonly secret: Uint8Array;
}

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SECRET_CHARACTERS = 26;
const SPARE_BITS = 2n;
const RENDEZVOUS_LABEL = "arona rendezvous v1";
const HINT = "Copy the whole code that `arona device add` shows, or run it again for a new one.";

/** The code as one string without spaces. */
export function formatDeviceCode(code: DeviceCode): string {
  return `${formatLink(code)}.${formatLinkSecret(code.secret).replaceAll("-", "")}`;
}

/** The secret alone, in groups for people. */
export function formatLinkSecret(secret: Uint8Array): string {
  if (secret.length !== LINK_SECRET_BYTES) {
    throw new AronaError("INTERNAL", `Cannot make code: a secret of ${secret.length} bytes`);
  }
  let bits = BigInt(`0x${toHex(secret)}`) << SPARE_BITS;
  let text = "";
  for (let i = 0; i < SECRET_CHARACTERS; i++) {
    text = ALPHABET[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return text.match(/.{1,6}/g)!.join("-");
}

/** Whether a text is meant as a code, and not as a plain link. */
export function looksLikeDeviceCode(text: string): boolean {
  return /^\s*arona:\/\/[^#]*#[^.]*\./i.test(text);
}

/** @throws {AronaError} `USAGE` with a hint */
export function parseDeviceCode(text: string): DeviceCode {
  const trimmed = text.trim();
  const dot = trimmed.indexOf(".", trimmed.indexOf("#"));
  if (!looksLikeDeviceCode(trimmed)) throw badCode("it is not a link with a secret behind it");
  return { ...parseLink(trimmed.slice(0, dot)), secret: parseLinkSecret(trimmed.slice(dot + 1)) };
}

/** @throws {AronaError} `USAGE` with a hint */
export function parseLinkSecret(text: string): Uint8Array {
  const letters = text.replaceAll(/[\s-]/g, "").toUpperCase().replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  if (letters.length !== SECRET_CHARACTERS) {
    throw badCode(`the secret has ${letters.length} characters instead of ${SECRET_CHARACTERS}`);
  }
  let bits = 0n;
  for (const letter of letters) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) throw badCode("the secret is mistyped");
    bits = (bits << 5n) | BigInt(value);
  }
  if ((bits & ((1n << SPARE_BITS) - 1n)) !== 0n) throw badCode("the secret is mistyped");
  const hex = (bits >> SPARE_BITS).toString(16).padStart(2 * LINK_SECRET_BYTES, "0");
  return Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
}

/** Where the two that know `secret` meet: the first 16 bytes of SHA-256 over a label and the secret. */
export function rendezvousOf(crypto: CryptoProvider, secret: Uint8Array): RendezvousId {
  const input = new ByteWriter().vector16(utf8(RENDEZVOUS_LABEL)).raw(secret).finish();
  return toHex(crypto.digest("SHA-256", input).subarray(0, 16)) as RendezvousId;
}

/** @throws {AronaError} `BAD_ENCODING` */
export function parseRendezvousId(text: unknown): RendezvousId {
  if (typeof text !== "string" || !/^[0-9a-f]{32}$/.test(text)) {
    throw new AronaError("BAD_ENCODING", "Cannot use rendezvous: it is not 32 hexadecimal digits");
  }
  return text as RendezvousId;
}

function badCode(state: string): AronaError {
  return new AronaError("USAGE", `Cannot read code: ${state}`, { hint: HINT });
}
