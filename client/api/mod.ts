/**
 * What a program needs of a client that runs elsewhere: its interface, and the values that stand in it. Importing it loads nothing of
 * what makes a client work, so everything here but single small files is types.
 */

export {
  type Awaitable,
  type ChatClient,
  type ConversationInfo,
  findConversation,
  groupIdOf,
  type MemberInfo,
  type Participation,
  type Where,
} from "../chat_client.ts";
export type { DeviceInfo, DeviceOffer } from "../devices.ts";
export {
  type ClientEvent,
  type ClientEventType,
  type ConversationRef,
  EventHub,
  type EventOf,
  statusEvent,
} from "../events.ts";
export type { GroupKind } from "../groups/mod.ts";
export { MANDATORY_SUITE, type SuiteId, suiteName, SUITES } from "../groups/suite.ts";
export type { HistoryEntry, StoredMessage } from "../history.ts";
export type { Contact, PublicIdentity } from "../identity/mod.ts";
export type { Sending } from "../outbox.ts";
export { sanitizeText } from "../sanitize.ts";
export type { ConnectionState } from "../session/connector.ts";
export { denoNetworkMonitor, type NetworkAddress, type NetworkMonitor } from "../session/network_monitor.ts";
