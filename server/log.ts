/** What the relay reports about itself: typed events that name no account, no key and no group. */

import type { ErrorCode } from "../proto/mod.ts";
import type { RelayLimits } from "./running_limits.ts";

/** Why a connection was turned away before a session began. */
export type RefusalReason =
  | "too_many_connections"
  | "too_many_from_address"
  | "too_many_pending"
  | "stopping";

/** Why a session ended. */
export type SessionEnd =
  | "bye" //            the peer said goodbye
  | "cut" //            the stream ended without a goodbye, or a record did not open
  | "protocol" //       the peer broke the protocol
  | "auth_timeout"
  | "auth_failed"
  | "linked" //         a further device was passed its certificates
  | "revoked" //        its account has taken the device back
  | "replaced" //       a newer connection of the same device
  | "banned" //         the relay keeps its account out from now on
  | "kicked" //         the operator has ended it
  | "stalled" //        it did not read or did not acknowledge
  | "silent"
  | "flood"
  | "stopping"
  | "internal";

/** One event of the relay's log. */
export type RelayLogEvent =
  | { readonly type: "started"; readonly address: string; readonly fingerprint: string }
  | { readonly type: "stopped" }
  | { readonly type: "connection_refused"; readonly reason: RefusalReason }
  | { readonly type: "session_started"; readonly registered: boolean }
  | { readonly type: "session_ended"; readonly reason: SessionEnd; readonly code?: ErrorCode }
  | { readonly type: "banned"; readonly kind: "account" | "fingerprint"; readonly sessions: number }
  | { readonly type: "unbanned"; readonly kind: "account" | "fingerprint" }
  | { readonly type: "kicked"; readonly sessions: number }
  | { readonly type: "limits_changed"; readonly limits: RelayLimits }
  | { readonly type: "draining"; readonly sessions: number; readonly waiting: number }
  | { readonly type: "drained"; readonly waiting: number }
  | { readonly type: "relay_key_rotated" }
  | { readonly type: "document_signed"; readonly sequence: number }
  | { readonly type: "mailbox_collapsed" }
  | { readonly type: "mailbox_disk_failed"; readonly error: unknown }
  | { readonly type: "mailbox_disk_restored" }
  | { readonly type: "internal_error"; readonly where: string; readonly error: unknown };

/** Takes the relay's log events. It must not throw. */
export type RelayLog = (event: RelayLogEvent) => void;
