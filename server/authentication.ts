/** AUTH: who a connection belongs to. Every failure but an invite's looks the same to the peer (PROTOCOL.md section 8). */

import {
  AronaError,
  checkPow,
  equalBytes,
  fingerprintOf,
  type SecureConnection,
  type VerifiedDevice,
  verifyAuth,
} from "../proto/mod.ts";
import { MAX_DEVICES_PER_ACCOUNT } from "./limits.ts";
import type { AuthRequest } from "./schema.ts";
import type { InviteFault } from "./registration.ts";
import type { Services } from "./services.ts";
import type { StoredDevice } from "./store.ts";

/** A device that may go on. */
export interface AuthenticatedDevice {
  readonly device: StoredDevice;
  /** Whether this AUTH made the account. */
  readonly registered: boolean;
  /** Whether the device was not known before. */
  readonly newDevice: boolean;
}

/**
 * Checks an AUTH, registering the account where it is new.
 *
 * @throws {AronaError} `AUTH_FAILED`
 */
export async function authenticate(
  services: Services,
  connection: SecureConnection,
  request: AuthRequest,
): Promise<AuthenticatedDevice> {
  const { account, blobs } = request;
  const verified = await verifyAuth(services.crypto, {
    connection,
    account,
    blobs,
    nowMs: services.clock.now(),
    isKnown: (certificate, certificateBytes, deviceKey) => {
      const known = services.store.device(certificate.device);
      return known !== null && equalBytes(known.certificate, certificateBytes) &&
        equalBytes(known.deviceKey, deviceKey);
    },
  });
  if (services.store.revokedAccount(verified.certificate.device) !== null) throw failed();
  // Nothing below waits: of two registrations that race for a name, an invite or a device id, one comes first.
  const fingerprint = fingerprintOf(services.crypto, verified.certificate.identityKey);
  const device: StoredDevice = {
    device: verified.certificate.device,
    account,
    // Copies: what came shares its buffer with the rest of the record.
    certificate: verified.certificateBytes.slice(),
    deviceKey: verified.deviceKey.slice(),
  };
  const known = services.store.account(account);
  if (known?.fingerprint !== fingerprint) {
    const { invite = null } = request.register ?? {};
    const fault = invite === null ? null : services.registration.inviteFault(invite);
    if (fault !== null) throw failed({ invite: fault }); // the same whether there is such a name or not
  }
  if (services.store.isBanned({ account, fingerprint })) throw failed();
  if (known === null) {
    register(services, connection, { request, verified, fingerprint, device });
    return { device, registered: true, newDevice: true };
  }
  if (known.fingerprint !== fingerprint) throw failed();
  return { device, registered: false, newDevice: admitDevice(services, device) };
}

function register(
  services: Services,
  connection: SecureConnection,
  options: { request: AuthRequest; verified: VerifiedDevice; fingerprint: string; device: StoredDevice },
): void {
  const { request, verified, fingerprint, device } = options;
  if (request.register === null) throw failed();
  const challenge = {
    exporter: connection.exporter,
    account: request.account,
    identityKey: verified.certificate.identityKey,
    bits: connection.greeting.powBits,
  };
  if (!checkPow(services.crypto, challenge, request.register.pow)) throw failed();
  const account = { account: request.account, fingerprint };
  const { invite } = request.register;
  if (!services.registration.register({ account, device, invite })) throw failed();
}

/** The identity has vouched for the device; a known one may come with a renewed certificate. @returns whether it is new */
function admitDevice({ store }: Services, device: StoredDevice): boolean {
  const known = store.device(device.device);
  if (known === null) {
    if (store.devicesOf(device.account).length >= MAX_DEVICES_PER_ACCOUNT) throw failed();
    store.saveDevice(device);
    return true;
  }
  if (known.account !== device.account) throw failed();
  if (!equalBytes(known.certificate, device.certificate) || !equalBytes(known.deviceKey, device.deviceKey)) {
    store.saveDevice(device);
  }
  return false;
}

function failed(details?: { invite: InviteFault }): AronaError {
  return new AronaError("AUTH_FAILED", "Cannot log in: the relay does not accept this device", { details });
}
