/**
 * What two people compare to be sure that nobody is between them: 60 digits to read aloud, or a text for a QR code.
 *
 *     h = SHA-384("arona safety number v1" ‖ lower fingerprint 32 ‖ higher fingerprint 32)
 *     5,199 times: h = SHA-384(h ‖ lower ‖ higher)
 *     12 groups of 5 digits: each the next 4 bytes of h, big-endian, modulo 100,000
 *
 * Both sides sort the fingerprints (SHA-256 of the identity keys) as bytes, so both see the same. 60 digits are 199 bits:
 * two identities that collide cost about 2^99 trials of 5,200 hashes.
 */

import {
  AronaError,
  concatBytes,
  type CryptoProvider,
  type Fingerprint,
  fingerprintOf,
  fromBase64Url,
  fromHex,
  toBase64Url,
  toHex,
  utf8,
} from "../../proto/base/mod.ts";

const LABEL = "arona safety number v1";
const ROUNDS = 5_200;
const GROUPS = 12;
const VERIFICATION_PREFIX = "arona-verify:1:";
const FINGERPRINT_BYTES = 32;

/** The safety number of two identity keys, in whatever order: 12 groups of 5 digits with spaces between them. */
export function safetyNumber(crypto: CryptoProvider, oneKey: Uint8Array, otherKey: Uint8Array): string {
  const [lower, higher] = [fingerprintOf(crypto, oneKey), fingerprintOf(crypto, otherKey)].sort();
  const pair = concatBytes(fromHex(lower), fromHex(higher));
  let hash: Uint8Array = utf8(LABEL);
  for (let round = 0; round < ROUNDS; round++) hash = crypto.digest("SHA-384", concatBytes(hash, pair));
  const view = new DataView(hash.buffer, hash.byteOffset, hash.byteLength);
  const groups = Array.from({ length: GROUPS }, (_, i) => view.getUint32(4 * i) % 100_000);
  return groups.map((group) => String(group).padStart(5, "0")).join(" ");
}

/**
 * The text to show as a QR code: `arona-verify:1:SHOWN:EXPECTED`, the fingerprint of whoever shows it and of whom they
 * have pinned as the one who scans it, both base64url.
 */
export function verificationText(fingerprints: { own: Fingerprint; contact: Fingerprint }): string {
  const parts = [fingerprints.own, fingerprints.contact].map((fingerprint) =>
    toBase64Url(fromHex(fingerprint))
  );
  return VERIFICATION_PREFIX + parts.join(":");
}

/**
 * Whether a scanned text fits: the contact shows the identity pinned here, and has pinned the identity used here.
 *
 * @throws {AronaError} `USAGE` where the text is not such a code at all
 */
export function verificationFits(
  text: string,
  fingerprints: { own: Fingerprint; contact: Fingerprint },
): boolean {
  const [shown, expected] = parseVerification(text.trim());
  return shown === fingerprints.contact && expected === fingerprints.own;
}

function parseVerification(text: string): string[] {
  try {
    if (!text.startsWith(VERIFICATION_PREFIX)) {
      throw new AronaError("BAD_ENCODING", "Cannot read code: wrong prefix");
    }
    const parts = text.slice(VERIFICATION_PREFIX.length).split(":").map(fromBase64Url);
    if (parts.length !== 2 || parts.some((part) => part.length !== FINGERPRINT_BYTES)) {
      throw new AronaError("BAD_ENCODING", "Cannot read code: not two fingerprints");
    }
    return parts.map(toHex);
  } catch (cause) {
    throw new AronaError("USAGE", "Cannot verify: this is not an Arona verification code", {
      cause,
      hint: "Scan the code that the other person's `arona verify` shows. It begins with arona-verify:",
    });
  }
}
