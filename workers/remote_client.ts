/** A client behind a wall, as the program on this side sees it: the same interface as that of a client in this thread. */

import {
  type ChatClient,
  type ClientEvent,
  type ClientEventType,
  type ConnectionState,
  type Contact,
  type ConversationInfo,
  type DeviceInfo,
  type DeviceOffer,
  EventHub,
  type EventOf,
  findConversation,
  groupIdOf,
  type HistoryEntry,
  type MemberInfo,
  type PublicIdentity,
  type Sending,
  statusEvent,
  type StoredMessage,
  type SuiteId,
  type Where,
} from "../client/api/mod.ts";
import { AronaError, type DeviceId, type GroupId } from "../proto/base/mod.ts";
import type {
  ClientFacts,
  ClientMessage,
  ClientMethods,
  ClientState,
  PlainStatus,
  StateChange,
} from "./client_service.ts";
import { fromPlainError, type PlainError } from "./plain_error.ts";
import type { Remote } from "./rpc.ts";

interface Offer {
  readonly linked: PromiseWithResolvers<{ readonly device: DeviceId; readonly label: string }>;
  readonly onRefused: (reason: string) => void;
}

/** The near end of a client service. Give {@link take} every message of it. */
export class RemoteClient implements ChatClient {
  readonly #remote: Remote<ClientMethods>;
  readonly #facts: ClientFacts;
  readonly #hub = new EventHub();
  /** Each stays the same object, and says what its newest state says. */
  readonly #conversations = new Map<GroupId, ConversationInfo>();
  readonly #sendings = new Map<number, PromiseWithResolvers<void>>();
  readonly #offers = new Map<number, Offer>();
  #online = false;
  #status!: ConnectionState;
  #relay!: ClientState["relay"];
  #lastNumber = 0;

  constructor(remote: Remote<ClientMethods>, { facts, state }: { facts: ClientFacts; state: ClientState }) {
    this.#remote = remote;
    this.#facts = facts;
    this.#apply(state);
  }

  /** Takes what the service reports, in order. */
  take(message: ClientMessage): void {
    switch (message.kind) {
      case "state":
        return this.#apply(message.change);
      case "event":
        this.#apply(message.change);
        return this.#hub.emit(message.event);
      case "sent":
        return this.#settle(message.sending, message.failure);
      case "deviceRefused":
        return this.#offers.get(message.offer)?.onRefused(message.reason);
      case "deviceOffer": {
        const { offer, outcome } = message;
        const linked = this.#offers.get(offer)?.linked;
        this.#offers.delete(offer);
        return "device" in outcome ? linked?.resolve(outcome) : linked?.reject(fromPlainError(outcome));
      }
    }
  }

  /** The other side is gone: whatever waits fails, and the connection counts as lost for good. */
  fail(error: AronaError, nowMs: number): void {
    for (const sending of this.#sendings.values()) sending.reject(error);
    for (const { linked } of this.#offers.values()) linked.reject(error);
    this.#sendings.clear();
    this.#offers.clear();
    this.#online = false;
    const status: ConnectionState = { status: "offline", sinceMs: nowMs, reason: error, final: true };
    this.#status = status;
    this.#hub.emit(statusEvent(status));
  }

  get account(): string {
    return this.#facts.account;
  }

  get fingerprint(): ClientFacts["fingerprint"] {
    return this.#facts.fingerprint;
  }

  get deviceId(): DeviceId {
    return this.#facts.deviceId;
  }

  get isPrimary(): boolean {
    return this.#facts.isPrimary;
  }

  get certificateEndsMs(): number {
    return this.#facts.certificateEndsMs;
  }

  get relay(): ClientState["relay"] {
    return this.#relay;
  }

  get online(): boolean {
    return this.#online;
  }

  get status(): ConnectionState {
    return this.#status;
  }

  on<T extends ClientEventType>(type: T, listener: (event: EventOf<T>) => void): () => void {
    return this.#hub.listen((event) => {
      if (event.type === type) listener(event as EventOf<T>);
    });
  }

  onAny(listener: (event: ClientEvent) => void): () => void {
    return this.#hub.listen(listener);
  }

  connect(options: { patient?: boolean } = {}): Promise<void> {
    return this.#remote.connect(options);
  }

  caughtUp(): Promise<void> {
    return this.#remote.caughtUp();
  }

  close(): Promise<void> {
    return this.#remote.closeClient();
  }

  conversations(): ConversationInfo[] {
    return [...this.#conversations.values()];
  }

  find(target: string): ConversationInfo {
    return findConversation(this.conversations(), target);
  }

  async resolve(target: string, suite?: SuiteId): Promise<ConversationInfo> {
    return this.#at(await this.#remote.resolve(target, suite));
  }

  async join(channel: string, suite?: SuiteId): Promise<ConversationInfo> {
    return this.#at(await this.#remote.join(channel, suite));
  }

  async openDirect(account: string, suite?: SuiteId): Promise<ConversationInfo> {
    return this.#at(await this.#remote.openDirect(account, suite));
  }

  async createGroup(name: string, suite?: SuiteId): Promise<ConversationInfo> {
    return this.#at(await this.#remote.createGroup(name, suite));
  }

  invite(where: Where, account: string): Promise<void> {
    return this.#remote.invite(groupIdOf(where), account);
  }

  remove(where: Where, account: string): Promise<void> {
    return this.#remote.remove(groupIdOf(where), account);
  }

  ban(where: Where, account: string): Promise<void> {
    return this.#remote.ban(groupIdOf(where), account);
  }

  setAdmin(where: Where, account: string, admin: boolean): Promise<void> {
    return this.#remote.setAdmin(groupIdOf(where), account, admin);
  }

  leave(where: Where): Promise<void> {
    return this.#remote.leave(groupIdOf(where));
  }

  renewKeys(where: Where): Promise<void> {
    return this.#remote.renewKeys(groupIdOf(where));
  }

  send(where: Where, text: string, options: { replyTo?: string } = {}): Promise<Sending> {
    return this.#sending((sending) => this.#remote.send(sending, groupIdOf(where), text, options));
  }

  edit(where: Where, target: string, text: string): Promise<Sending> {
    return this.#sending((sending) => this.#remote.edit(sending, groupIdOf(where), target, text));
  }

  delete(where: Where, target: string): Promise<Sending> {
    return this.#sending((sending) => this.#remote.delete(sending, groupIdOf(where), target));
  }

  react(where: Where, target: string, emoji: string, removed = false): Promise<Sending> {
    return this.#sending((sending) => this.#remote.react(sending, groupIdOf(where), target, emoji, removed));
  }

  typing(where: Where, typing: boolean): Promise<void> {
    return this.#remote.typing(groupIdOf(where), typing);
  }

  markRead(where: Where, target: string): Promise<Sending> {
    return this.#sending((sending) => this.#remote.markRead(sending, groupIdOf(where), target));
  }

  markAllRead(where: Where): Promise<Sending | null> {
    return this.#sending((sending) => this.#remote.markAllRead(sending, groupIdOf(where)));
  }

  history(where: Where, options: { before?: number; limit: number }): Promise<HistoryEntry[]> {
    return this.#remote.history(groupIdOf(where), options);
  }

  message(where: Where, id: string): Promise<StoredMessage | null> {
    return this.#remote.message(groupIdOf(where), id);
  }

  members(where: Where): Promise<MemberInfo[]> {
    return this.#remote.members(groupIdOf(where));
  }

  channels(): Promise<{ name: string; members: number }[]> {
    return this.#remote.channels();
  }

  contact(account: string): Promise<Contact> {
    return this.#remote.contact(account);
  }

  refreshContact(account: string): Promise<Contact> {
    return this.#remote.refreshContact(account);
  }

  safetyNumber({ identityKey }: Pick<PublicIdentity, "identityKey">): Promise<string> {
    return this.#remote.safetyNumber(identityKey);
  }

  verify(account: string, options: { accept: boolean }): Promise<Contact> {
    return this.#remote.verify(account, options);
  }

  devices(): Promise<DeviceInfo[]> {
    return this.#remote.devices();
  }

  async offerDevice(
    { label, onRefused = () => {} }: { label: string; onRefused?: (reason: string) => void },
  ): Promise<DeviceOffer> {
    const offer = ++this.#lastNumber;
    const linked: Offer["linked"] = Promise.withResolvers();
    linked.promise.catch(() => {}); // whoever waits hears of it
    this.#offers.set(offer, { linked, onRefused });
    try {
      const code = await this.#remote.offerDevice(offer, label);
      const cancel = () => this.#remote.cancelOffer(offer).catch(() => {}); // gone with the client
      return { code, linked: linked.promise, cancel };
    } catch (error) {
      this.#offers.delete(offer);
      throw error;
    }
  }

  deviceEverywhere(device: DeviceId): Promise<void> {
    return this.#remote.deviceEverywhere(device);
  }

  removeDevice(device: DeviceId): Promise<void> {
    return this.#remote.removeDevice(device);
  }

  #sending<T extends string | null>(
    write: (sending: number) => Promise<T>,
  ): Promise<T extends string ? Sending : Sending | null>;
  async #sending(write: (sending: number) => Promise<string | null>): Promise<Sending | null> {
    const number = ++this.#lastNumber;
    const accepted = Promise.withResolvers<void>();
    accepted.promise.catch(() => {}); // whoever is not interested is told by MsgFailed
    this.#sendings.set(number, accepted);
    try {
      const id = await write(number);
      if (id !== null) return { id, accepted: accepted.promise };
      this.#sendings.delete(number);
      return null;
    } catch (error) {
      this.#sendings.delete(number);
      throw error;
    }
  }

  #settle(number: number, failure: PlainError | null): void {
    const sending = this.#sendings.get(number);
    this.#sendings.delete(number);
    if (failure === null) sending?.resolve();
    else sending?.reject(fromPlainError(failure));
  }

  #at(id: GroupId): ConversationInfo {
    const conversation = this.#conversations.get(id);
    if (conversation === undefined) throw new AronaError("NOT_FOUND", "Cannot find the conversation");
    return conversation;
  }

  #apply(change: StateChange | null): void {
    if (change === null) return;
    if (change.online !== undefined) this.#online = change.online;
    if (change.status !== undefined) this.#status = fromPlainStatus(change.status);
    if (change.relay !== undefined) this.#relay = change.relay;
    for (const state of change.conversations ?? []) {
      const known = this.#conversations.get(state.id);
      if (known !== undefined) Object.assign(known, state);
      else this.#conversations.set(state.id, state);
    }
  }
}

function fromPlainStatus(status: PlainStatus): ConnectionState {
  if (status.reason === undefined) return status as ConnectionState;
  return { ...status, reason: fromPlainError(status.reason) } as ConnectionState;
}
