/** What the relay's request handlers share. */

import type { AccountName, Clock, ControlFields, CryptoProvider, DeviceId } from "../proto/mod.ts";
import type { Bus, Recipient } from "./bus.ts";
import type { RelayCounters } from "./counters.ts";
import type { GroupDirectory } from "./group_directory.ts";
import type { Leaves } from "./leaves.ts";
import type { Logins } from "./logins.ts";
import type { Linking } from "./linking.ts";
import type { RelayLog } from "./log.ts";
import type { MailboxStore } from "./mailbox.ts";
import type { RateLimiter } from "./rate_limit.ts";
import type { Recipients } from "./recipients.ts";
import type { Registration } from "./registration.ts";
import type { Returns } from "./returns.ts";
import type { RelayStore } from "./store.ts";

/** One relay's parts. */
export interface Services {
  readonly store: RelayStore;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly log: RelayLog;
  readonly bus: Bus;
  readonly mailboxes: MailboxStore;
  readonly recipients: Recipients;
  readonly groups: GroupDirectory;
  readonly leaves: Leaves;
  readonly returns: Returns;
  readonly logins: Logins;
  readonly linking: Linking;
  readonly registration: Registration;
  readonly rates: {
    readonly messages: RateLimiter;
    readonly requests: RateLimiter;
    readonly claims: RateLimiter;
    /** Of one device in one group. */
    readonly returns: RateLimiter;
  };
  readonly counters: RelayCounters;
}

/** Who asks: an authenticated device. */
export interface Caller {
  readonly device: DeviceId;
  readonly account: AccountName;
  readonly recipient: Recipient;
}

/** The OK to a request. */
export interface Answer {
  readonly fields: ControlFields;
  readonly blobs?: readonly Uint8Array[];
}
