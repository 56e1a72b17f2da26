/** The relay: authenticates devices, orders group changes, passes sealed envelopes on. It cannot read them and does not keep them. */

export type { Bus, Listener as BusListener, Published, Recipient } from "./bus.ts";
export { InProcessBus } from "./bus.ts";
export type { Subject, SubjectResult } from "./administration.ts";
export type { HandshakeFailure, RelayCounters, Tally } from "./counters.ts";
export type { SharedDelivery, WelcomeHead } from "./delivery.ts";
export * from "./limits.ts";
export type { RefusalReason, RelayLog, RelayLogEvent, SessionEnd } from "./log.ts";
export type { Mailbox, MailboxState, MailboxStore } from "./mailbox.ts";
export { PushResult } from "./mailbox.ts";
export { type MailboxLimits, MemoryMailboxStore } from "./memory_mailbox.ts";
export { MemoryRelayStore } from "./memory_store.ts";
export { welcomeDelivery } from "./recipients.ts";
export { startRelay } from "./relay.ts";
export type { RelayOptions, RelayStats, RunningRelay } from "./relay_options.ts";
export { type Invite, type InviteFault, Registration } from "./registration.ts";
export {
  changeLimits,
  DEFAULT_RELAY_LIMITS,
  MAX_RELAY_LIMIT,
  REGISTRATION_POLICIES,
  type RegistrationPolicy,
  type RelayLimits,
} from "./running_limits.ts";
export {
  openSqliteMailboxStore,
  retireSqliteMailboxStore,
  type SqliteMailboxOptions,
} from "./sqlite_mailbox.ts";
export { openSqliteRelayStore } from "./sqlite_store.ts";
export type * from "./store.ts";
