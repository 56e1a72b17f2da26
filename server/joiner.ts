/** Who joins a channel from outside: the leaf in the commit has to be the caller's own device. */

import {
  AronaError,
  decodeCertificate,
  type DeviceCertificate,
  fingerprintOf,
  isAronaError,
  verifyCertificate,
} from "../proto/mod.ts";
import type { JoinerLeaf } from "./mls_framing.ts";
import type { Caller, Services } from "./services.ts";

/**
 * Checks that `leaf` is the caller's: account, device and the identity that the relay knows for the account, by a certificate that holds.
 *
 * @throws {AronaError} `BAD_REQUEST`
 */
export async function checkJoiner(services: Services, caller: Caller, leaf: JoinerLeaf): Promise<void> {
  const certificate = certificateIn(leaf);
  const { store, crypto, clock } = services;
  if (
    certificate === null || certificate.account !== caller.account || certificate.device !== caller.device ||
    fingerprintOf(crypto, certificate.identityKey) !== store.account(caller.account)?.fingerprint ||
    !await verifyCertificate(crypto, certificate, { deviceKey: leaf.signatureKey, nowMs: clock.now() })
  ) {
    throw new AronaError("BAD_REQUEST", "Cannot accept commit: it brings in somebody else than its sender");
  }
}

function certificateIn({ identity }: JoinerLeaf): DeviceCertificate | null {
  try {
    return decodeCertificate(identity);
  } catch (error) {
    if (isAronaError(error, "BAD_CERTIFICATE")) return null;
    throw error;
  }
}
