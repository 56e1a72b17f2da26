/**
 * What a further device and the one that lets it in say to each other through the relay, sealed under the one-time secret of the code
 * (PROTOCOL.md section 8.1).
 *
 *     box     = salt 32 ‖ Seal(key, nonce 0^12, AAD, plaintext)
 *     request = version u8 = 1 ‖ device 16 ‖ ML-DSA-44 key 1,312 ‖ ML-DSA-65 key 1,952 ‖ label vector16
 *     answer  = version u8 = 1 ‖ primary device 16 ‖ label vector16 ‖ ML-DSA-44 certificate vector16 ‖ ML-DSA-65 certificate vector16
 *
 * The answer's AAD has the hash of the request's box: it opens nothing for whoever asked something else.
 */

import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AronaError,
  ByteReader,
  ByteWriter,
  type Clock,
  type CryptoProvider,
  decodeCertificate,
  deriveSecret,
  DEVICE_ID_BYTES,
  type DeviceCertificate,
  type DeviceId,
  deviceKeyBytes,
  encodeCertificate,
  equalBytes,
  fromHex,
  fromUtf8,
  type KeyPair,
  parseDeviceId,
  rendezvousOf,
  toHex,
  utf8,
  verifyCertificate,
} from "../../proto/mod.ts";
import { type DeviceKeys, SUITE_IDS, type SuiteId, SUITES } from "../groups/mod.ts";
import { certifyKeys, type LocalIdentity, mapSuites } from "./identity.ts";

/** Where two devices meet, and what both of them know. */
export interface LinkPlace {
  /** The relay's, 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** 16 bytes. */
  readonly secret: Uint8Array;
}

/** What a further device asks with. */
export interface LinkRequest {
  readonly device: DeviceId;
  readonly publicKeys: Readonly<Record<SuiteId, Uint8Array>>;
  /** What people call it, its host name for example. */
  readonly label: string;
}

/** What it is given. */
export interface LinkAnswer {
  /** The device that made the identity, and what people call it. */
  readonly primary: DeviceId;
  readonly label: string;
  readonly certificates: Readonly<Record<SuiteId, DeviceCertificate>>;
}

/** A device's own keys before they are certified. */
export interface NewDeviceKeys {
  readonly device: DeviceId;
  readonly pairs: Readonly<Record<SuiteId, Readonly<KeyPair>>>;
}

const VERSION = 1;
const SALT_BYTES = 32;
const MAX_LABEL_BYTES = 64;
const MAX_CERTIFICATE_BYTES = 5_632;
const SALT_LABEL = "arona device link v1";
const REQUEST_LABEL = "arona link request key v1";
const ANSWER_LABEL = "arona link answer key v1";
const UNSHOWABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;
const NOTHING = new Uint8Array();

/** Keys for a device that nobody vouches for yet. */
export async function newDeviceKeys(crypto: CryptoProvider): Promise<NewDeviceKeys> {
  const device = parseDeviceId(toHex(crypto.randomBytes(DEVICE_ID_BYTES)));
  return { device, pairs: await mapSuites((suite) => crypto.signatureKeyPair(SUITES[suite].signature)) };
}

/** The request for these keys. */
export function requestFor({ device, pairs }: NewDeviceKeys, label: string): LinkRequest {
  const publicKeys = Object.fromEntries(SUITE_IDS.map((suite) => [suite, pairs[suite].publicKey]));
  return { device, publicKeys: publicKeys as LinkRequest["publicKeys"], label: cleanLabel(label) };
}

/** A label on one line that fits; never empty. */
export function cleanLabel(text: string): string {
  let label = text.replaceAll(UNSHOWABLE, "").trim();
  while (utf8(label).length > MAX_LABEL_BYTES) label = [...label].slice(0, -1).join("");
  return label.trim() === "" ? "device" : label.trim();
}

/** The certificates that the identity gives to whoever asked. @throws {AronaError} `FORBIDDEN` on a device without the identity's secret */
export async function answerFor(
  crypto: CryptoProvider,
  options: { identity: LocalIdentity; request: LinkRequest; label: string; clock: Clock },
): Promise<LinkAnswer> {
  const { account, identityKey, identitySeed, device: primary } = options.identity;
  const { device, publicKeys } = options.request;
  if (identitySeed === null) throw new AronaError("FORBIDDEN", "Cannot vouch for a device from this one");
  const keys = await certifyKeys(crypto, {
    account,
    device,
    identity: { publicKey: identityKey, privateKey: identitySeed },
    pairs: await mapSuites((suite) => Promise.resolve({ publicKey: publicKeys[suite], privateKey: NOTHING })),
    nowMs: options.clock.now(),
  });
  const certificates = await mapSuites((suite) => Promise.resolve(keys[suite].certificate));
  return { primary, label: cleanLabel(options.label), certificates };
}

/**
 * The identity of a further device, once the answer holds: certificates for its very keys and id, by one identity, valid now.
 *
 * @throws {AronaError} `BAD_CERTIFICATE`
 */
export async function acceptAnswer(
  crypto: CryptoProvider,
  options: { own: NewDeviceKeys; answer: LinkAnswer; clock: Clock },
): Promise<LocalIdentity> {
  const { own, answer, clock } = options;
  const { account, identityKey } = answer.certificates[SUITE_IDS[0]];
  if (answer.primary === own.device) throw wrongCertificate();
  const keys = await mapSuites(async (suite): Promise<DeviceKeys> => {
    const certificate = answer.certificates[suite];
    const { publicKey, privateKey } = own.pairs[suite];
    const fits = certificate.algorithm === SUITES[suite].certificate && certificate.account === account &&
      certificate.device === own.device && equalBytes(certificate.identityKey, identityKey) &&
      await verifyCertificate(crypto, certificate, { deviceKey: publicKey, nowMs: clock.now() });
    if (!fits) throw wrongCertificate();
    return { publicKey, privateKey, certificate };
  });
  return {
    account,
    device: own.device,
    identityKey: identityKey.slice(),
    identitySeed: null,
    primary: answer.primary,
    keys,
  };
}

/** Seals a request. */
export function sealRequest(crypto: CryptoProvider, place: LinkPlace, request: LinkRequest): Uint8Array {
  return seal(crypto, place, { label: REQUEST_LABEL, bound: NOTHING }, encodeRequest(request));
}

/** @throws {AronaError} `BAD_ENCODING` where it does not open, or holds anything else */
export function openRequest(crypto: CryptoProvider, place: LinkPlace, box: Uint8Array): LinkRequest {
  return decodeRequest(open(crypto, place, { label: REQUEST_LABEL, bound: NOTHING }, box));
}

/** Seals the answer to the request that came in `requestBox`. */
export function sealAnswer(
  crypto: CryptoProvider,
  place: LinkPlace,
  options: { requestBox: Uint8Array; answer: LinkAnswer },
): Uint8Array {
  const bound = crypto.digest("SHA-256", options.requestBox);
  return seal(crypto, place, { label: ANSWER_LABEL, bound }, encodeAnswer(options.answer));
}

/** @throws {AronaError} `BAD_ENCODING`, `BAD_CERTIFICATE` */
export function openAnswer(
  crypto: CryptoProvider,
  place: LinkPlace,
  options: { requestBox: Uint8Array; box: Uint8Array },
): LinkAnswer {
  const bound = crypto.digest("SHA-256", options.requestBox);
  return decodeAnswer(open(crypto, place, { label: ANSWER_LABEL, bound }, options.box));
}

/** What is sealed in a request. */
export function encodeRequest({ device, publicKeys, label }: LinkRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(VERSION).raw(fromHex(device));
  for (const suite of SUITE_IDS) writer.raw(publicKeys[suite]);
  return writer.vector16(utf8(label)).finish();
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeRequest(bytes: Uint8Array): LinkRequest {
  const reader = readerOf(bytes);
  const device = readDevice(reader);
  const publicKeys = Object.fromEntries(
    SUITE_IDS.map((suite) => [suite, reader.take(deviceKeyBytes(SUITES[suite].certificate)).slice()]),
  );
  const label = readLabel(reader);
  reader.end();
  return { device, publicKeys: publicKeys as LinkRequest["publicKeys"], label };
}

/** What is sealed in an answer. */
export function encodeAnswer({ primary, label, certificates }: LinkAnswer): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(VERSION).raw(fromHex(primary)).vector16(utf8(label));
  for (const suite of SUITE_IDS) writer.vector16(encodeCertificate(certificates[suite]));
  return writer.finish();
}

/** @throws {AronaError} `BAD_ENCODING`, `BAD_CERTIFICATE` */
export function decodeAnswer(bytes: Uint8Array): LinkAnswer {
  const reader = readerOf(bytes);
  const primary = readDevice(reader);
  const label = readLabel(reader);
  const certificates = Object.fromEntries(
    SUITE_IDS.map((suite) => [suite, decodeCertificate(reader.vector16(MAX_CERTIFICATE_BYTES).slice())]),
  );
  reader.end();
  return { primary, label, certificates: certificates as LinkAnswer["certificates"] };
}

function seal(
  crypto: CryptoProvider,
  place: LinkPlace,
  use: { label: string; bound: Uint8Array },
  plaintext: Uint8Array,
): Uint8Array {
  const salt = crypto.randomBytes(SALT_BYTES);
  const { key, aad } = keyOf(crypto, place, { ...use, salt });
  const nonce = new Uint8Array(AEAD_NONCE_BYTES); // the salt makes a key for every box
  const box = crypto.seal("ChaCha20-Poly1305", key, nonce, aad, plaintext, SALT_BYTES);
  box.set(salt);
  return box;
}

/** @throws {AronaError} `BAD_ENCODING` */
function open(
  crypto: CryptoProvider,
  place: LinkPlace,
  use: { label: string; bound: Uint8Array },
  box: Uint8Array,
): Uint8Array {
  const outer = new ByteReader(box);
  const { key, aad } = keyOf(crypto, place, { ...use, salt: outer.take(SALT_BYTES) });
  const nonce = new Uint8Array(AEAD_NONCE_BYTES);
  const plaintext = crypto.open("ChaCha20-Poly1305", key, nonce, aad, outer.rest());
  if (plaintext === null) throw new AronaError("BAD_ENCODING", "Cannot open box: it is not for this code");
  return plaintext;
}

/** Behind the version. @throws {AronaError} `BAD_ENCODING` */
function readerOf(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== VERSION) throw new AronaError("BAD_ENCODING", `Cannot read box: version ${version}`);
  return reader;
}

function keyOf(
  crypto: CryptoProvider,
  { fingerprint, secret }: LinkPlace,
  use: { label: string; bound: Uint8Array; salt: Uint8Array },
): { key: Uint8Array; aad: Uint8Array } {
  const salt = new ByteWriter().vector16(utf8(SALT_LABEL)).raw(fingerprint).raw(use.salt).finish();
  const prk = crypto.hkdfExtract("SHA-384", salt, secret);
  const key = deriveSecret(crypto, prk, { label: use.label, length: AEAD_KEY_BYTES });
  const rendezvous = fromHex(rendezvousOf(crypto, secret));
  return { key, aad: new ByteWriter().raw(rendezvous).raw(fingerprint).raw(use.bound).finish() };
}

function readDevice(reader: ByteReader): DeviceId {
  return parseDeviceId(toHex(reader.take(DEVICE_ID_BYTES)));
}

/** One line, as {@link cleanLabel} makes it: it is shown on the other device. */
function readLabel(reader: ByteReader): string {
  const label = fromUtf8(reader.vector16(MAX_LABEL_BYTES));
  if (cleanLabel(label) !== label) {
    throw new AronaError("BAD_ENCODING", "Cannot read box: its label does not fit");
  }
  return label;
}

function wrongCertificate(): AronaError {
  return new AronaError("BAD_CERTIFICATE", "Cannot use the answer: its certificates are not for this device");
}
