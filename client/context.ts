/** What the parts of a client share: its ports, its conversations, and the way to the relay. */

import type { AccountName, Clock, CryptoProvider, Fingerprint, GroupId } from "../proto/mod.ts";
import type { Contacts } from "./contacts.ts";
import type { Conversation } from "./conversation.ts";
import type { ClientEvent } from "./events.ts";
import type { GroupEngine, LocalDevice } from "./groups/mod.ts";
import type { RelayApi } from "./session/relay_api.ts";
import type { Store, StoreWriter } from "./store/mod.ts";

/** Shared by outbox, inbox and membership. */
export interface ClientContext {
  readonly clock: Clock;
  readonly crypto: CryptoProvider;
  readonly store: Store;
  readonly engine: GroupEngine;
  readonly device: LocalDevice;
  readonly account: AccountName;
  readonly fingerprint: Fingerprint;
  readonly contacts: Contacts;
  readonly conversations: Map<GroupId, Conversation>;
  emit(event: ClientEvent): void;
  /**
   * This device comes into a conversation, perhaps again, by the transaction of `writer`.
   *
   * @returns call it once the transaction stands
   */
  entered(writer: StoreWriter, group: GroupId): () => void;
  /** A conversation that nobody has the state of any more goes on as another one: what waits in it goes out there. */
  goesOn(lost: Conversation, as: Conversation): void;
  /** Somebody's device has come into a conversation anew: what it could not open before is sent once more. */
  cameBack(group: GroupId): void;
  /** The relay, while connected. @throws {AronaError} `CLOSED` */
  relay(): RelayApi;
  readonly online: boolean;
  /** Aborted when the client is closed: what only waits then waits no longer. */
  readonly stopped: AbortSignal;
  /** Runs something that nobody waits for; its failure is kept from ending the process. */
  background(task: () => Promise<void>): void;
}

/** A random id of 16 bytes. */
export function randomId(crypto: CryptoProvider): Uint8Array<ArrayBuffer> {
  return crypto.randomBytes(16);
}
