/**
 * MSG: the hot path. One encoding for all recipients, no JSON, nothing awaited; no database, or one transaction where mailboxes are kept
 * on disk.
 */

import {
  AronaError,
  ByteReader,
  decodeSubmission,
  DeliveryKind,
  encodeAccepted,
  type GroupId,
  isAronaError,
  MessageFlag,
  type OutFrame,
  type Submission,
  toHex,
} from "../proto/mod.ts";
import { shareDelivery } from "./delivery.ts";
import { ReceiptCounter } from "./receipts.ts";
import type { Caller, Services } from "./services.ts";

/** A MSG that could be decoded, or the request id to refuse it under. */
export type ParsedSubmission =
  | { readonly request: number; readonly submission: Submission; readonly error: null }
  | { readonly request: number; readonly submission: null; readonly error: AronaError };

/** @throws {AronaError} `BAD_ENCODING` for a MSG so short that it cannot be answered */
export function parseSubmission(body: Uint8Array): ParsedSubmission {
  try {
    const submission = decodeSubmission(body);
    return { request: submission.request, submission, error: null };
  } catch (error) {
    if (!isAronaError(error, "TOO_LARGE")) throw error;
    return { request: new ByteReader(body).u32(), submission: null, error };
  }
}

/**
 * Routes an application message to the group's other devices.
 *
 * @returns the ACK
 * @throws {AronaError} `RATE_LIMITED`, `FORBIDDEN`, `STALE_EPOCH`, `QUOTA`
 */
export function routeMessage(services: Services, caller: Caller, submission: Submission): OutFrame {
  const retryAfterMs = services.rates.messages.take(caller.account);
  if (retryAfterMs > 0) {
    throw new AronaError("RATE_LIMITED", "Cannot accept message: too many at once", {
      details: { retryAfterMs },
    });
  }
  const state = services.groups.find(toHex(submission.group) as GroupId);
  if (state === null || !state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot accept message: not a member of the group");
  }
  if (submission.epoch !== state.epoch) {
    throw new AronaError("STALE_EPOCH", "Cannot accept message: the group is at another epoch", {
      details: { epoch: state.epoch },
    });
  }
  const { group } = state.head;
  const receipt = (submission.flags & MessageFlag.RECEIPT) === 0
    ? null
    : new ReceiptCounter(caller, submission.envelope.slice(), state.severalDevices);
  const delivery = shareDelivery(
    {
      kind: DeliveryKind.APPLICATION,
      group: submission.group,
      epoch: submission.epoch,
      envelope: submission.envelope,
      atMs: services.clock.now(),
      payload: submission.ciphertext,
    },
    { group, sender: caller.account, ephemeral: (submission.flags & MessageFlag.EPHEMERAL) !== 0, receipt },
  );
  const { queued, full } = services.mailboxes.batch(() =>
    services.bus.publish(group, delivery, caller.device)
  );
  services.counters.queued += queued;
  services.counters.refused += full;
  services.counters.undeliverable += full;
  if (queued === 0 && full > 0) {
    throw new AronaError("QUOTA", "Cannot accept message: no mailbox has room", { details: { full } });
  }
  receipt?.expect({ queued, ofDevices: queued + full, ofPeople: state.accounts.size - 1 });
  services.counters.accepted++;
  return encodeAccepted({ request: submission.request, queued, full });
}
