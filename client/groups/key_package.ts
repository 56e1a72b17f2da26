/** KeyPackages: made for others to claim, and checked when they come from others. */

import { AronaError, ByteReader, ByteWriter, encodeCertificate } from "../../proto/mod.ts";
import { lifetimeOf } from "./commit_view.ts";
import { CLOCK_SKEW_MS, type LeafReader, type Occupant } from "./credential.ts";
import type { KeyPackagePair, LocalDevice } from "./group.ts";
import { checkLeafSize, makeCapabilities, makeKeyPackageExtensions } from "./group_context.ts";
import { decodeKeyPackage, encodeKeyPackage, generateKeyPackage, verifyKeyPackage } from "./mls_codec.ts";
import type { KeyPackage, MlsEnvironment } from "./mls_library.ts";
import { checkLifetime, KEY_PACKAGE_LIFETIME_MS, type Lifetime } from "./policy.ts";
import type { SuiteId } from "./suite.ts";

const PRIVATE_VERSION = 1;
const MAX_SEED_BYTES = 64;

type OwnKeyPackage = Awaited<ReturnType<typeof generateKeyPackage>>;

/** A fresh KeyPackage of this device with its private keys. */
export function makeKeyPackage(
  environment: MlsEnvironment,
  device: LocalDevice,
  options: { suite: SuiteId; lastResort: boolean; nowMs: number },
): Promise<OwnKeyPackage> {
  const { publicKey, privateKey, certificate } = device.keys[options.suite];
  const seconds = (ms: number) => BigInt(Math.floor(ms / 1_000));
  return generateKeyPackage(environment, {
    identity: encodeCertificate(certificate),
    signatureKeyPair: { publicKey, signKey: privateKey },
    capabilities: makeCapabilities(),
    extensions: makeKeyPackageExtensions(options),
    lifetime: {
      notBefore: seconds(options.nowMs - CLOCK_SKEW_MS),
      notAfter: seconds(options.nowMs + KEY_PACKAGE_LIFETIME_MS),
    },
  });
}

/** Private half: `version u8 ‖ init seed vector16 ‖ encryption seed vector16`. The signature key is the device's. */
export function encodeKeyPackagePair(made: OwnKeyPackage): KeyPackagePair {
  const { initPrivateKey, hpkePrivateKey } = made.privatePackage;
  return {
    publicBytes: encodeKeyPackage(made.publicPackage),
    privateBytes: new ByteWriter().u8(PRIVATE_VERSION).vector16(initPrivateKey).vector16(hpkePrivateKey)
      .finish(),
  };
}

/** @throws {AronaError} `BAD_MLS` */
export function decodeKeyPackagePair(
  pair: KeyPackagePair,
  signaturePrivateKey: Uint8Array,
): OwnKeyPackage {
  const publicPackage = decodeKeyPackage(pair.publicBytes);
  try {
    const reader = new ByteReader(pair.privateBytes);
    if (reader.u8() !== PRIVATE_VERSION) throw new Error("another version");
    const initPrivateKey = reader.vector16(MAX_SEED_BYTES).slice();
    const hpkePrivateKey = reader.vector16(MAX_SEED_BYTES).slice();
    reader.end();
    return { publicPackage, privatePackage: { initPrivateKey, hpkePrivateKey, signaturePrivateKey } };
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot read the private half of a key package", { cause });
  }
}

/**
 * Checks a KeyPackage as if it were to be added now: form, suite, both signatures, certificate, lifetime.
 *
 * @throws {AronaError} `BAD_MLS`, `BAD_CERTIFICATE`, `POLICY`, `TOO_LARGE`
 */
export async function inspectKeyPackage(
  environment: MlsEnvironment,
  bytes: Uint8Array,
  options: { leaves: LeafReader; suite: SuiteId; nowMs: number },
): Promise<{ keyPackage: KeyPackage; occupant: Occupant; lifetime: Lifetime }> {
  const keyPackage = decodeKeyPackage(bytes);
  const { leafNode } = keyPackage;
  if (keyPackage.cipherSuite !== options.suite) {
    throw new AronaError("BAD_MLS", "Cannot use key package: it is for another cipher suite");
  }
  checkLeafSize(leafNode);
  const occupant = options.leaves.read(leafNode, -1);
  if (!await environment.authenticate(leafNode.credential, leafNode.signaturePublicKey)) {
    throw new AronaError(
      "BAD_CERTIFICATE",
      "Cannot use key package: its certificate does not vouch for its key",
    );
  }
  if (!await verifyKeyPackage(environment, keyPackage)) {
    throw new AronaError("BAD_MLS", "Cannot use key package: its signature is wrong");
  }
  const lifetime = lifetimeOf(keyPackage);
  checkLifetime({ occupant, lifetime }, { nowMs: options.nowMs, graceMs: 0 });
  return { keyPackage, occupant, lifetime };
}
