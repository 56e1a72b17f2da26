/**
 * Who a leaf is: an MLS basic credential whose identity is the device certificate (PROTOCOL.md section 5), and the
 * AuthenticationService (RFC 9420 section 5.3.1) that checks it.
 */

import {
  type AccountName,
  AronaError,
  concatBytes,
  type CryptoProvider,
  decodeCertificate,
  type DeviceCertificate,
  type DeviceId,
  type Fingerprint,
  fingerprintOf,
  type SignatureAlgorithm,
  toHex,
  verifyCertificate,
} from "../../proto/mod.ts";
import { type Credential, defaultCredentialTypes, type LeafNode } from "./mls_library.ts";

/** Verified certificates that are remembered: a few groups of 1,000. */
export const MAX_REMEMBERED_CERTIFICATES = 8_192;
/** Clocks differ by up to this. */
export const CLOCK_SKEW_MS = 3_600_000;
/** A certificate fits twice. */
const MAX_CREDENTIAL_BYTES = 16_384;

/** A leaf as the rules look at it. */
export interface Occupant {
  readonly leaf: number;
  readonly account: AccountName;
  readonly device: DeviceId;
  readonly fingerprint: Fingerprint;
  readonly certificate: DeviceCertificate;
  readonly signatureKey: Uint8Array;
  readonly encryptionKey: Uint8Array;
}

/** Reads leaves and remembers what it read. */
export interface LeafReader {
  /** @throws {AronaError} `BAD_CERTIFICATE` for another kind of credential or a malformed certificate */
  read(leafNode: LeafNode, leaf: number): Occupant;
}

export function createLeafReader(crypto: CryptoProvider): LeafReader {
  const known = new WeakMap<LeafNode, Omit<Occupant, "leaf">>();
  return {
    read(leafNode, leaf) {
      let occupant = known.get(leafNode);
      if (occupant === undefined) {
        const certificate = certificateOf(leafNode.credential);
        occupant = {
          account: certificate.account,
          device: certificate.device,
          fingerprint: fingerprintOf(crypto, certificate.identityKey),
          certificate,
          signatureKey: leafNode.signaturePublicKey,
          encryptionKey: leafNode.hpkePublicKey,
        };
        known.set(leafNode, occupant);
      }
      return { ...occupant, leaf };
    },
  };
}

/** The certificate in a credential. @throws {AronaError} `BAD_CERTIFICATE` */
export function certificateOf(credential: Credential): DeviceCertificate {
  if (credential.credentialType !== defaultCredentialTypes.basic || !("identity" in credential)) {
    throw new AronaError("BAD_CERTIFICATE", "Cannot use credential: it is not a device certificate");
  }
  if (credential.identity.length > MAX_CREDENTIAL_BYTES) {
    throw new AronaError("BAD_CERTIFICATE", "Cannot use credential: it is too long");
  }
  return decodeCertificate(credential.identity);
}

/**
 * Checks that a certificate vouches for a leaf's signature key.
 *
 * The time is not looked at here: a leaf that has been in the tree for long is not to break the group. It is looked at when a device
 * comes in.
 */
export function createAuthenticator(
  crypto: CryptoProvider,
  algorithm: SignatureAlgorithm,
): (credential: Credential, signatureKey: Uint8Array) => Promise<boolean> {
  const verified = new Set<string>();
  return async (credential, signatureKey) => {
    let certificate: DeviceCertificate;
    try {
      certificate = certificateOf(credential);
    } catch {
      return false;
    }
    if (certificate.algorithm !== algorithm || !("identity" in credential)) return false;
    const key = toHex(crypto.digest("SHA-256", concatBytes(credential.identity, signatureKey)));
    if (verified.has(key)) return true;
    const valid = await verifyCertificate(crypto, certificate, {
      deviceKey: signatureKey,
      nowMs: certificate.notBeforeMs,
    });
    if (!valid) return false;
    if (verified.size >= MAX_REMEMBERED_CERTIFICATES) verified.delete(verified.values().next().value!);
    verified.add(key);
    return true;
  };
}

/** Whether a device that comes in at `nowMs` is within its certificate's time. */
export function isCertificateCurrent(
  certificate: DeviceCertificate,
  options: { nowMs: number; graceMs: number },
): boolean {
  const { nowMs, graceMs } = options;
  return certificate.notBeforeMs - CLOCK_SKEW_MS - graceMs <= nowMs &&
    nowMs <= certificate.notAfterMs + graceMs;
}
