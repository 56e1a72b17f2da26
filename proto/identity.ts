/**
 * Identities, devices and the certificate that binds them (PROTOCOL.md section 5).
 *
 * A certificate says: identity I, known as `account`, vouches for device key D from `notBefore` to `notAfter`. It leaves the device
 * key out of its bytes, because whoever gets a certificate gets the key beside it (in AUTH, in an MLS leaf).
 */

import { ByteReader, ByteWriter, concatBytes, fromHex, fromUtf8, toHex, utf8 } from "./bytes.ts";
import type { CryptoProvider, MlDsaName } from "./crypto/provider.ts";
import { AronaError } from "./errors.ts";

/** Signature algorithm ids in certificates. */
export const SignatureAlgorithm = { ML_DSA_44: 0x44, ML_DSA_65: 0x65 } as const;
export type SignatureAlgorithm = typeof SignatureAlgorithm[keyof typeof SignatureAlgorithm];

export const IDENTITY_KEY_BYTES = 1_952;
export const IDENTITY_SIGNATURE_BYTES = 3_309;
export const DEVICE_ID_BYTES = 16;

const CERTIFICATE_VERSION = 1;
const CERTIFICATE_LABEL = "arona device certificate v1";
const ACCOUNT_PATTERN = /^[a-z0-9][a-z0-9_.-]{1,31}$/;
/** The name in a channel's `#name`: like an account's, up to 63 characters. */
const CHANNEL_PATTERN = /^#[a-z0-9][a-z0-9_.-]{0,62}$/;

/** A checked account name, `[a-z0-9][a-z0-9_.-]{1,31}`. */
export type AccountName = string & { readonly __brand: "AccountName" };
/** A checked channel name with its `#`. */
export type ChannelName = string & { readonly __brand: "ChannelName" };
/** 16 bytes as 32 hexadecimal digits. */
export type DeviceId = string & { readonly __brand: "DeviceId" };
/** SHA-256 of an identity public key as 64 hexadecimal digits: the person. */
export type Fingerprint = string & { readonly __brand: "Fingerprint" };
/** 16 bytes as 32 hexadecimal digits. */
export type GroupId = string & { readonly __brand: "GroupId" };

/** A device certificate, `P` standing for the fields that its signature covers too. */
export interface DeviceCertificate {
  readonly algorithm: SignatureAlgorithm;
  readonly account: AccountName;
  /** The same for all keys of one device. */
  readonly device: DeviceId;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly identityKey: Uint8Array; // 1,952
  readonly signature: Uint8Array; //   3,309
}

/** @throws {AronaError} `BAD_NAME` */
export function parseAccountName(text: unknown): AccountName {
  if (typeof text !== "string" || !ACCOUNT_PATTERN.test(text)) {
    throw new AronaError("BAD_NAME", `Cannot use account name: ${quote(text)} does not fit`, {
      hint: "Use 2 to 32 of a-z, 0-9, '_', '.', '-', beginning with a letter or a digit.",
    });
  }
  return text as AccountName;
}

/** @throws {AronaError} `BAD_NAME` */
export function parseChannelName(text: unknown): ChannelName {
  if (typeof text !== "string" || !CHANNEL_PATTERN.test(text)) {
    throw new AronaError("BAD_NAME", `Cannot use channel name: ${quote(text)} does not fit`, {
      hint: "Use '#' and 1 to 63 of a-z, 0-9, '_', '.', '-', beginning with a letter or a digit.",
    });
  }
  return text as ChannelName;
}

/** @throws {AronaError} `BAD_ENCODING` */
export function parseGroupId(text: unknown): GroupId {
  return parseHex16(text, "group id") as GroupId;
}

/** @throws {AronaError} `BAD_ENCODING` */
export function parseDeviceId(text: unknown): DeviceId {
  return parseHex16(text, "device id") as DeviceId;
}

/** SHA-256 of an identity public key. */
export function fingerprintOf(crypto: CryptoProvider, identityKey: Uint8Array): Fingerprint {
  return toHex(crypto.digest("SHA-256", identityKey)) as Fingerprint;
}

/** The ML-DSA parameter set of a device key. */
export function signatureName(algorithm: SignatureAlgorithm): MlDsaName {
  return algorithm === SignatureAlgorithm.ML_DSA_44 ? "ML-DSA-44" : "ML-DSA-65";
}

/** Bytes of a device public key. */
export function deviceKeyBytes(algorithm: SignatureAlgorithm): number {
  return algorithm === SignatureAlgorithm.ML_DSA_44 ? 1_312 : 1_952;
}

/** Signs a certificate with the identity's private key (a 32-byte seed). */
export async function issueCertificate(
  crypto: CryptoProvider,
  options: {
    identity: { publicKey: Uint8Array; privateKey: Uint8Array };
    deviceKey: Uint8Array;
    algorithm: SignatureAlgorithm;
    account: AccountName;
    device: DeviceId;
    notBeforeMs: number;
    notAfterMs: number;
    /** For test vectors. @default false */
    deterministic?: boolean;
  },
): Promise<DeviceCertificate> {
  const unsigned = { ...options, identityKey: options.identity.publicKey, signature: new Uint8Array() };
  const signature = await crypto.sign(
    "ML-DSA-65",
    options.identity.privateKey,
    certificateStatement(unsigned, options.deviceKey),
    { deterministic: options.deterministic },
  );
  const { algorithm, account, device, notBeforeMs, notAfterMs } = options;
  return {
    algorithm,
    account,
    device,
    notBeforeMs,
    notAfterMs,
    identityKey: options.identity.publicKey,
    signature,
  };
}

/** `version u8 ‖ algorithm u8 ‖ account vector16 ‖ device 16 ‖ notBefore u64 ‖ notAfter u64 ‖ identity key ‖ signature` */
export function encodeCertificate(certificate: DeviceCertificate): Uint8Array<ArrayBuffer> {
  return concatBytes(certificateHead(certificate), certificate.signature);
}

/** @throws {AronaError} `BAD_CERTIFICATE` */
export function decodeCertificate(bytes: Uint8Array): DeviceCertificate {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    const algorithm = reader.u8();
    if (version !== CERTIFICATE_VERSION || (algorithm !== 0x44 && algorithm !== 0x65)) {
      throw new AronaError(
        "BAD_CERTIFICATE",
        `Cannot decode certificate: version ${version}, algorithm ${algorithm}`,
      );
    }
    const certificate: DeviceCertificate = {
      algorithm,
      account: parseAccountName(fromUtf8(reader.vector16(32))),
      device: toHex(reader.take(DEVICE_ID_BYTES)) as DeviceId,
      notBeforeMs: reader.u64(),
      notAfterMs: reader.u64(),
      identityKey: reader.take(IDENTITY_KEY_BYTES),
      signature: reader.take(IDENTITY_SIGNATURE_BYTES),
    };
    reader.end();
    return certificate;
  } catch (cause) {
    throw new AronaError("BAD_CERTIFICATE", "Cannot decode certificate: its layout is wrong", { cause });
  }
}

/** Whether the identity in `certificate` vouches for `deviceKey` at the time `nowMs`. */
export async function verifyCertificate(
  crypto: CryptoProvider,
  certificate: DeviceCertificate,
  options: { deviceKey: Uint8Array; nowMs: number },
): Promise<boolean> {
  if (options.deviceKey.length !== deviceKeyBytes(certificate.algorithm)) return false;
  if (options.nowMs < certificate.notBeforeMs || options.nowMs > certificate.notAfterMs) return false;
  const statement = certificateStatement(certificate, options.deviceKey);
  return await crypto.verify("ML-DSA-65", certificate.identityKey, statement, certificate.signature);
}

function certificateHead(certificate: DeviceCertificate): Uint8Array {
  return new ByteWriter().u8(CERTIFICATE_VERSION).u8(certificate.algorithm).vector16(
    utf8(certificate.account),
  )
    .raw(fromHex(certificate.device)).u64(certificate.notBeforeMs).u64(certificate.notAfterMs)
    .raw(certificate.identityKey).finish();
}

function certificateStatement(certificate: DeviceCertificate, deviceKey: Uint8Array): Uint8Array {
  return new ByteWriter().vector16(utf8(CERTIFICATE_LABEL)).raw(certificateHead(certificate)).raw(deviceKey)
    .finish();
}

function parseHex16(text: unknown, what: string): string {
  if (typeof text !== "string" || !/^[0-9a-f]{32}$/.test(text)) {
    throw new AronaError("BAD_ENCODING", `Cannot use ${what}: it is not 32 hexadecimal digits`);
  }
  return text;
}

function quote(text: unknown): string {
  return typeof text === "string" ? JSON.stringify(text.slice(0, 64)) : `a ${typeof text}`;
}
