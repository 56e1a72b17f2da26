/** An account's devices: they hear when the set changes, and one that is taken back is gone from everywhere at once. */

import {
  type AccountName,
  AronaError,
  decodeCertificate,
  decodeStatement,
  type DeviceId,
  isAronaError,
  revokeContent,
  type Statement,
} from "../proto/mod.ts";
import { MAX_REVOKED_PER_ACCOUNT } from "./limits.ts";
import type { Answer, Caller, Services } from "./services.ts";

/** Tells the account's connected devices that the set of them, or what they can be added by, has changed. */
export function announceDevices(services: Services, account: AccountName, except: DeviceId | null): void {
  for (const { device } of services.store.devicesOf(account)) {
    if (device !== except) services.recipients.find(device)?.listener?.event({ type: "devices" });
  }
}

/**
 * Answers KEYS `revoke`: the device is forgotten and can never log in again; the leaves that it has in groups are like those of a leaver
 * whose statement this is.
 *
 * @returns what does it, once the signature is verified
 * @throws {AronaError} `BAD_REQUEST`, `NOT_FOUND`, `QUOTA`
 */
export async function revokeDevice(
  services: Services,
  caller: Caller,
  bytes: Uint8Array,
): Promise<() => { answer: Answer; afterwards?: () => void }> {
  const { store, crypto } = services;
  const { account } = caller;
  const statement = decoded(bytes);
  const own = store.device(caller.device);
  if (statement?.kind !== "revoke" || statement.device === caller.device || own === null) throw malformed();
  const { device } = statement;
  const { identityKey } = decodeCertificate(own.certificate);
  const content = revokeContent({ account, device });
  if (!await crypto.verify("ML-DSA-65", identityKey, content, statement.signature)) throw malformed();
  return () => {
    if (store.revokedAccount(device) === account) return { answer: { fields: {} } }; // asked again
    if (store.device(device)?.account !== account) {
      throw new AronaError("NOT_FOUND", "Cannot take the device back: this account has no such device");
    }
    if (store.revokedCount(account) >= MAX_REVOKED_PER_ACCOUNT) {
      throw new AronaError("QUOTA", "Cannot take the device back: too many were before it");
    }
    const leaver = { device, account, statement: bytes.slice() };
    const left = services.groups.revoke(leaver);
    services.linking.close(device);
    const recipient = services.recipients.find(device);
    recipient?.listener?.revoked();
    services.recipients.forget(device);
    return {
      answer: { fields: {} },
      afterwards() {
        for (const state of left) services.leaves.ask(state, leaver);
        announceDevices(services, account, null);
      },
    };
  };
}

function decoded(bytes: Uint8Array): Statement | null {
  try {
    return decodeStatement(bytes);
  } catch (error) {
    if (isAronaError(error, "BAD_ENCODING")) return null;
    throw error;
  }
}

function malformed(): AronaError {
  return new AronaError("BAD_REQUEST", "Cannot take the device back: the statement is not valid");
}
