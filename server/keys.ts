/** KEYS: KeyPackages that are published and claimed, and the certificates of an account's devices. */

import { type AccountName, AronaError, type DeviceId, MAX_KEY_PACKAGES_PER_DEVICE } from "../proto/mod.ts";
import { announceDevices } from "./devices.ts";
import { KEY_PACKAGES_LOW } from "./limits.ts";
import type { Answer, Caller, Services } from "./services.ts";
import type { StoredDevice } from "./store.ts";

/** Answers `publish`. @throws {AronaError} `QUOTA`; nothing is kept then */
export function publishKeys(
  services: Services,
  caller: Caller,
  request: {
    suite: number;
    lastResort: Uint8Array | null;
    keyPackages: readonly Uint8Array[];
    replace: boolean;
  },
): Answer {
  const { suite, keyPackages, lastResort, replace } = request;
  // A device can be added to groups of a suite from its first KeyPackage on: that is when its siblings want to know.
  const isFirst = !services.store.keyPackageCounts(caller.device).has(suite);
  const added = services.store.addKeyPackages(caller.device, {
    suite,
    keyPackages,
    lastResort: lastResort ?? undefined,
    replace,
    limit: MAX_KEY_PACKAGES_PER_DEVICE,
  });
  if (!added) {
    throw new AronaError(
      "QUOTA",
      `Cannot keep key packages: a device may have ${MAX_KEY_PACKAGES_PER_DEVICE}`,
    );
  }
  if (isFirst) announceDevices(services, caller.account, caller.device);
  return { fields: { unused: services.store.keyPackageCount(caller.device, suite) } };
}

/** Answers `claim`: at most one KeyPackage for each device that is asked for. The caller's own device is left out. */
export function claimKeys(
  services: Services,
  caller: Caller,
  request: { account: AccountName; suite: number; devices: readonly DeviceId[] | null },
): Answer {
  const { account, suite } = request;
  const retryAfterMs = services.rates.claims.take(caller.account);
  if (retryAfterMs > 0) {
    throw new AronaError("RATE_LIMITED", "Cannot claim key packages: too many at once", {
      details: { retryAfterMs },
    });
  }
  const devices: string[] = [];
  const blobs: Uint8Array[] = [];
  for (const { device } of devicesOf(services, account)) {
    if (device === caller.device || request.devices?.includes(device) === false) continue;
    const keyPackage = services.store.takeKeyPackage(device, suite);
    if (keyPackage === null) continue;
    devices.push(device);
    blobs.push(keyPackage);
    const unused = services.store.keyPackageCount(device, suite);
    if (unused >= KEY_PACKAGES_LOW) continue;
    services.recipients.find(device)?.listener?.event({ type: "keys_low", suite, unused });
  }
  return { fields: { account, devices }, blobs };
}

/** Answers `lookup`; to a device of the account also which of them are connected. */
export function lookupAccount(services: Services, caller: Caller, account: AccountName): Answer {
  const devices = devicesOf(services, account);
  return {
    fields: {
      account,
      devices: devices.map(({ device }) => device),
      online: account !== caller.account ? undefined : devices.map(({ device }) => device)
        .filter((device) => (services.recipients.find(device)?.listener ?? null) !== null),
    },
    blobs: devices.flatMap(({ certificate, deviceKey }) => [certificate, deviceKey]),
  };
}

function devicesOf(services: Services, account: AccountName): StoredDevice[] {
  const devices = services.store.devicesOf(account);
  if (devices.length === 0) {
    throw new AronaError("NOT_FOUND", "Cannot find the account: this relay does not know it");
  }
  return devices;
}
