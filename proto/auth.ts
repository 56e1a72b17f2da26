/**
 * AUTH: how a device proves itself inside the encrypted connection, and the proof of work of a registration (PROTOCOL.md section 8).
 *
 * The device signs the handshake's exporter, so the proof is worth nothing on another connection or at another relay.
 */

import { ByteWriter, fromHex, utf8 } from "./bytes.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { ML_DSA_SIZES } from "./crypto/sizes.ts";
import type { RendezvousId } from "./device_code.ts";
import { AronaError } from "./errors.ts";
import {
  type AccountName,
  decodeCertificate,
  type DeviceCertificate,
  deviceKeyBytes,
  encodeCertificate,
  SignatureAlgorithm,
  signatureName,
  verifyCertificate,
} from "./identity.ts";
import { MAX_POW_BITS } from "./limits.ts";

/** The connection that AUTH is bound to; a SecureConnection is one. */
export interface AuthBinding {
  /** 32 bytes. */
  readonly exporter: Uint8Array;
  /** SHA-256 of the relay's identity key. */
  readonly relayFingerprint: Uint8Array;
}

/** A device that has proved itself. */
export interface VerifiedDevice {
  readonly certificate: DeviceCertificate;
  /** The certificate's bytes as they came. */
  readonly certificateBytes: Uint8Array;
  readonly deviceKey: Uint8Array; // 1,312
}

/** Bytes of a proof of work's nonce. */
export const POW_NONCE_BYTES = 8;

const AUTH_LABEL = "arona hop auth v2";
const POW_LABEL = "arona pow v1";
const LINK_POW_LABEL = "arona link pow v1";
const AUTH_BLOBS = 3;
/** Hashes between two looks at the event loop: about 50 ms. */
const POW_BATCH = 10_000;

/** Makes the blobs of an AUTH frame: certificate, device public key, signature. */
export async function createAuth(
  crypto: CryptoProvider,
  options: {
    connection: AuthBinding;
    account: AccountName;
    certificate: DeviceCertificate;
    /** ML-DSA-44. */
    devicePublicKey: Uint8Array;
    /** Its 32-byte seed. */
    devicePrivateKey: Uint8Array;
    /** For test vectors. @default false */
    deterministic?: boolean;
  },
): Promise<{ blobs: Uint8Array[] }> {
  const signature = await crypto.sign(
    signatureName(options.certificate.algorithm),
    options.devicePrivateKey,
    authStatement(options.connection, options.account),
    { deterministic: options.deterministic },
  );
  return { blobs: [encodeCertificate(options.certificate), options.devicePublicKey, signature] };
}

/**
 * Checks the blobs of an AUTH frame: layout, certificate, account, signature over this connection.
 *
 * @throws {AronaError} `AUTH_FAILED`, the same for every cause; the cause is for the relay's own log
 */
export async function verifyAuth(
  crypto: CryptoProvider,
  options: {
    connection: AuthBinding;
    account: AccountName;
    blobs: readonly Uint8Array[];
    nowMs: number;
    /** Whether these very bytes were verified before; only their time is looked at again then. @default never */
    isKnown?: (
      certificate: DeviceCertificate,
      certificateBytes: Uint8Array,
      deviceKey: Uint8Array,
    ) => boolean;
  },
): Promise<VerifiedDevice> {
  const { blobs } = options;
  if (blobs.length !== AUTH_BLOBS) throw failed(`${blobs.length} blobs`);
  const [certificateBytes, deviceKey, signature] = blobs;
  let certificate: DeviceCertificate;
  try {
    certificate = decodeCertificate(certificateBytes);
  } catch (cause) {
    throw failed("certificate", cause);
  }
  const { algorithm } = certificate;
  if (algorithm !== SignatureAlgorithm.ML_DSA_44) throw failed("algorithm");
  if (certificate.account !== options.account) throw failed("account");
  if (deviceKey.length !== deviceKeyBytes(algorithm)) throw failed("device key");
  if (signature.length !== ML_DSA_SIZES[signatureName(algorithm)].signature) throw failed("signature length");
  const { nowMs } = options;
  const valid = options.isKnown?.(certificate, certificateBytes, deviceKey) === true
    ? nowMs >= certificate.notBeforeMs && nowMs <= certificate.notAfterMs
    : await verifyCertificate(crypto, certificate, { deviceKey, nowMs });
  if (!valid) throw failed("certificate signature or time");
  const statement = authStatement(options.connection, options.account);
  if (!await crypto.verify(signatureName(algorithm), deviceKey, statement, signature)) {
    throw failed("signature");
  }
  return { certificate, certificateBytes, deviceKey };
}

/** What the work is bound to: the connection, and a registration's account or a further device's rendezvous. */
export type PowChallenge =
  & {
    readonly exporter: Uint8Array;
    /** Leading zero bits that are asked for, 0 to 20. */
    readonly bits: number;
  }
  & (
    | { readonly account: AccountName; readonly identityKey: Uint8Array }
    | { readonly rendezvous: RendezvousId }
  );

/**
 * Finds a nonce that {@link checkPow} accepts. At 16 bits about 65,000 hashes, a few tenths of a second. Others get their turn now and then.
 *
 * @returns 16 hexadecimal digits
 * @throws {AronaError} `TOO_LARGE` where a relay asks for more than {@link MAX_POW_BITS}; the signal's reason
 */
export async function solvePow(
  crypto: CryptoProvider,
  challenge: PowChallenge,
  options: { signal?: AbortSignal } = {},
): Promise<string> {
  if (challenge.bits > MAX_POW_BITS) {
    throw new AronaError("TOO_LARGE", `Cannot register: the relay asks for ${challenge.bits} bits of work`);
  }
  const input = powInput(crypto, challenge);
  const view = new DataView(input.buffer);
  const nonceOffset = input.length - POW_NONCE_BYTES;
  input.set(crypto.randomBytes(4), nonceOffset);
  for (let counter = 0; counter < 0x1_0000_0000; counter++) {
    if (counter % POW_BATCH === 0) {
      options.signal?.throwIfAborted();
      if (counter > 0) await nextTurn();
    }
    view.setUint32(nonceOffset + 4, counter);
    if (leadingZeroBits(crypto.digest("SHA-256", input)) >= challenge.bits) {
      return view.getBigUint64(nonceOffset).toString(16).padStart(2 * POW_NONCE_BYTES, "0");
    }
  }
  throw new AronaError("INTERNAL", "Cannot register: no proof of work was found");
}

/** Whether `nonce` (16 hexadecimal digits) does the work that was asked for on this connection. */
export function checkPow(crypto: CryptoProvider, challenge: PowChallenge, nonce: unknown): boolean {
  if (typeof nonce !== "string" || !/^[0-9a-f]{16}$/.test(nonce)) return false;
  const input = powInput(crypto, challenge);
  new DataView(input.buffer).setBigUint64(input.length - POW_NONCE_BYTES, BigInt(`0x${nonce}`));
  return leadingZeroBits(crypto.digest("SHA-256", input)) >= challenge.bits;
}

function authStatement(connection: AuthBinding, account: AccountName): Uint8Array {
  return new ByteWriter().vector16(utf8(AUTH_LABEL)).raw(connection.exporter).raw(connection.relayFingerprint)
    .vector16(utf8(account)).finish();
}

/** The hashed bytes with room for the nonce at their end. */
function powInput(crypto: CryptoProvider, challenge: PowChallenge): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  if ("rendezvous" in challenge) {
    writer.vector16(utf8(LINK_POW_LABEL)).raw(challenge.exporter).raw(fromHex(challenge.rendezvous));
  } else {
    writer.vector16(utf8(POW_LABEL)).raw(challenge.exporter).vector16(utf8(challenge.account))
      .raw(crypto.digest("SHA-256", challenge.identityKey));
  }
  return writer.raw(new Uint8Array(POW_NONCE_BYTES)).finish();
}

function leadingZeroBits(hash: Uint8Array): number {
  let bits = 0;
  for (const byte of hash) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
}

/** Lets the event loop go round once: a message to ourselves comes after what is waiting already. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      port2.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

function failed(what: string, cause?: unknown): AronaError {
  return new AronaError("AUTH_FAILED", "Cannot log in: the relay does not accept this device", {
    cause: cause ?? what,
    hint: "Is the account name right, and does it belong to this profile?",
  });
}
