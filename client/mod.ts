/** Arona's client: for the terminal, for commands, and for bots. */

export {
  type Awaitable,
  type ChatClient,
  type ConversationInfo,
  findConversation,
  groupIdOf,
  type MemberInfo,
  type Participation,
  type Where,
} from "./chat_client.ts";
export { AronaClient, type ClientOptions, openClient } from "./client.ts";
export { type Conversation } from "./conversation.ts";
export { type ClientEvent, type ClientEventType, type ConversationRef, type EventOf } from "./events.ts";
export { type DeviceInfo, type DeviceOffer } from "./devices.ts";
export { linkDevice, type LinkedDevice } from "./link_device.ts";
export { type HistoryEntry, type StoredMessage } from "./history.ts";
export { type Dial, splitEndpoint } from "./discovery/mod.ts";
export {
  type Group,
  type GroupKind,
  MANDATORY_SUITE,
  type SuiteId,
  suiteName,
  SUITES,
} from "./groups/mod.ts";
export { type Contact } from "./identity/mod.ts";
export { type Sending } from "./outbox.ts";
export { sanitizeText } from "./sanitize.ts";
export { type ConnectionState } from "./session/connector.ts";
export { denoNetworkMonitor, type NetworkAddress, type NetworkMonitor } from "./session/network_monitor.ts";
