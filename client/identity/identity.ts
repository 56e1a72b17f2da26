/**
 * This installation's own identity: the person's key, the device, and the device's certified keys (PROTOCOL.md section 5).
 *
 *     row = version u8 ‖ account vector16 ‖ device 16 ‖ identity public key 1,952 ‖ origin ‖ count u8 ‖ count × key
 *     origin = identity seed 32 (version 1, the device that made the identity) | that device's id 16 (version 2, a further device)
 *     key = suite u16 ‖ public key vector16 ‖ seed 32 ‖ certificate vector16
 */

import {
  type AccountName,
  AronaError,
  ByteReader,
  ByteWriter,
  type Clock,
  type CryptoProvider,
  decodeCertificate,
  DEVICE_ID_BYTES,
  type DeviceId,
  deviceKeyBytes,
  encodeCertificate,
  equalBytes,
  fromHex,
  fromUtf8,
  IDENTITY_KEY_BYTES,
  issueCertificate,
  type KeyPair,
  parseAccountName,
  parseDeviceId,
  toHex,
  utf8,
} from "../../proto/mod.ts";
import {
  type DeviceKeys,
  type LocalDevice,
  parseSuiteId,
  SUITE_IDS,
  type SuiteId,
  SUITES,
} from "../groups/mod.ts";

/** A device's certificates begin this long before they are issued, for peers whose clocks are behind. */
export const CERTIFICATE_BACKDATE_MS = 86_400_000;
/** They are valid for so long after they are issued. */
export const CERTIFICATE_LIFETIME_MS = 400 * 86_400_000;
/** They are renewed when less than this is left. */
export const CERTIFICATE_RENEWAL_MS = 100 * 86_400_000;

const VERSIONS = { primary: 1, further: 2 } as const;
const SEED_BYTES = 32;
const MAX_CERTIFICATE_BYTES = 8_192;

/**
 * A person's identity on this device, with all its secrets. It never leaves the store. The identity's own secret is on the device that
 * made it and nowhere else: a further device has certificates only, so that one that was taken back cannot let itself in again.
 */
export interface LocalIdentity {
  readonly account: AccountName;
  readonly device: DeviceId;
  /** ML-DSA-65 public key, 1,952 B. */
  readonly identityKey: Uint8Array;
  /** Its 32-byte seed; null on a further device. */
  readonly identitySeed: Uint8Array | null;
  /** The device that made the identity: this one where it has the seed. */
  readonly primary: DeviceId;
  /** The device's keys by MLS suite; the one of the mandatory suite signs hop logins too. */
  readonly keys: Readonly<Record<SuiteId, DeviceKeys>>;
}

/** A new person on a new device. */
export async function createLocalIdentity(
  crypto: CryptoProvider,
  options: { account: AccountName; clock: Clock },
): Promise<LocalIdentity> {
  const identity = await crypto.signatureKeyPair("ML-DSA-65");
  const device = parseDeviceId(toHex(crypto.randomBytes(DEVICE_ID_BYTES)));
  const pairs = await mapSuites((suite) => crypto.signatureKeyPair(SUITES[suite].signature));
  const { account, clock } = options;
  const keys = await certifyKeys(crypto, { account, device, identity, pairs, nowMs: clock.now() });
  const { publicKey: identityKey, privateKey: identitySeed } = identity;
  return { account, device, identityKey, identitySeed, primary: device, keys };
}

/** The same identity and keys with certificates that begin now; unchanged on a further device, which cannot make any. */
export async function renewCertificates(
  crypto: CryptoProvider,
  identity: LocalIdentity,
  clock: Clock,
): Promise<LocalIdentity> {
  const { account, device, identityKey, identitySeed, keys: pairs } = identity;
  if (identitySeed === null) return identity;
  const person = { publicKey: identityKey, privateKey: identitySeed };
  const nowMs = clock.now();
  return {
    ...identity,
    keys: await certifyKeys(crypto, { account, device, identity: person, pairs, nowMs }),
  };
}

/** When the first of a device's certificates runs out, Unix milliseconds. */
export function certificatesEndMs(identity: Pick<LocalIdentity, "keys">): number {
  return Math.min(...Object.values(identity.keys).map(({ certificate }) => certificate.notAfterMs));
}

/** Whether a certificate runs out soon, or is not valid yet because the clock went back. */
export function certificatesNeedRenewal(identity: LocalIdentity, nowMs: number): boolean {
  return Object.values(identity.keys).some(({ certificate }) =>
    nowMs > certificate.notAfterMs - CERTIFICATE_RENEWAL_MS || nowMs < certificate.notBeforeMs
  );
}

/** The identity as the group engine wants it, without the identity's secret. */
export function localDevice(identity: LocalIdentity): LocalDevice {
  const { account, device, identityKey, keys } = identity;
  return { account, device, identityKey, keys };
}

/** The identity's row in the store. */
export function encodeIdentity(identity: LocalIdentity): Uint8Array<ArrayBuffer> {
  const { account, device, identityKey, identitySeed, primary } = identity;
  const writer = new ByteWriter().u8(identitySeed === null ? VERSIONS.further : VERSIONS.primary)
    .vector16(utf8(account)).raw(fromHex(device)).raw(identityKey).raw(identitySeed ?? fromHex(primary))
    .u8(SUITE_IDS.length);
  for (const suite of SUITE_IDS) {
    const { publicKey, privateKey, certificate } = identity.keys[suite];
    writer.u16(suite).vector16(publicKey).raw(privateKey).vector16(encodeCertificate(certificate));
  }
  return writer.finish();
}

/** @throws {AronaError} `CORRUPT_STORE` where the bytes are not what {@link encodeIdentity} made */
export function decodeIdentity(bytes: Uint8Array): LocalIdentity {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== VERSIONS.primary && version !== VERSIONS.further) {
      throw new AronaError("CORRUPT_STORE", `Cannot read identity: version ${version}`);
    }
    const account = parseAccountName(fromUtf8(reader.vector16(32)));
    const device = parseDeviceId(toHex(reader.take(DEVICE_ID_BYTES)));
    const identityKey = reader.take(IDENTITY_KEY_BYTES).slice();
    const identitySeed = version === VERSIONS.primary ? reader.take(SEED_BYTES).slice() : null;
    const primary = identitySeed === null ? parseDeviceId(toHex(reader.take(DEVICE_ID_BYTES))) : device;
    const keys: Partial<Record<SuiteId, DeviceKeys>> = {};
    for (let left = reader.u8(); left > 0; left--) {
      const suite = parseSuiteId(reader.u16());
      if (keys[suite] !== undefined) {
        throw new AronaError("BAD_ENCODING", "Cannot read identity: a suite comes twice");
      }
      keys[suite] = readKeys(reader, { suite, account, device, identityKey });
    }
    reader.end();
    if (SUITE_IDS.some((suite) => keys[suite] === undefined)) {
      throw new AronaError("BAD_ENCODING", "Cannot read identity: a suite is missing");
    }
    return { account, device, identityKey, identitySeed, primary, keys: keys as Record<SuiteId, DeviceKeys> };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read identity: its row is damaged", { cause });
  }
}

function readKeys(
  reader: ByteReader,
  { suite, account, device, identityKey }:
    & { suite: SuiteId }
    & Pick<LocalIdentity, "account" | "device" | "identityKey">,
): DeviceKeys {
  const publicKey = reader.vector16(deviceKeyBytes(SUITES[suite].certificate)).slice();
  const privateKey = reader.take(SEED_BYTES).slice();
  const certificate = decodeCertificate(reader.vector16(MAX_CERTIFICATE_BYTES).slice());
  const fits = publicKey.length === deviceKeyBytes(SUITES[suite].certificate) &&
    certificate.algorithm === SUITES[suite].certificate && certificate.account === account &&
    certificate.device === device && equalBytes(certificate.identityKey, identityKey);
  if (!fits) {
    throw new AronaError("BAD_CERTIFICATE", "Cannot read identity: a certificate is for something else");
  }
  return { publicKey, privateKey, certificate };
}

/** Certificates of an identity for a device's keys. */
export function certifyKeys(
  crypto: CryptoProvider,
  options: {
    account: AccountName;
    device: DeviceId;
    identity: KeyPair;
    pairs: Readonly<Record<SuiteId, Readonly<KeyPair>>>;
    nowMs: number;
  },
): Promise<Record<SuiteId, DeviceKeys>> {
  const { account, device, identity, pairs, nowMs } = options;
  return mapSuites(async (suite) => {
    const { publicKey, privateKey } = pairs[suite];
    const certificate = await issueCertificate(crypto, {
      identity,
      deviceKey: publicKey,
      algorithm: SUITES[suite].certificate,
      account,
      device,
      notBeforeMs: nowMs - CERTIFICATE_BACKDATE_MS,
      notAfterMs: nowMs + CERTIFICATE_LIFETIME_MS,
    });
    return { publicKey, privateKey, certificate };
  });
}

/** One of something for each suite. */
export async function mapSuites<T>(make: (suite: SuiteId) => Promise<T>): Promise<Record<SuiteId, T>> {
  const entries = await Promise.all(SUITE_IDS.map(async (suite) => [suite, await make(suite)] as const));
  return Object.fromEntries(entries) as Record<SuiteId, T>;
}
