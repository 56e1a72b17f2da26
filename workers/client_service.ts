/**
 * The client's side of a wall: offers an AronaClient to a RemoteClient. What can be read at once is sent as it changes: before the event
 * that tells of it, and before the answer to the call that led to it.
 */

import type {
  AronaClient,
  ClientEvent,
  ConnectionState,
  Contact,
  Conversation,
  ConversationInfo,
  DeviceInfo,
  HistoryEntry,
  MemberInfo,
  Sending,
  StoredMessage,
  SuiteId,
} from "../client/mod.ts";
import type { DeviceId, GroupId } from "../proto/base/mod.ts";
import { type PlainError, toPlainError } from "./plain_error.ts";

/** The state of the connection as it crosses. */
export type PlainStatus = Omit<ConnectionState, "reason"> & { readonly reason?: PlainError };

/** What never changes about a client. */
export interface ClientFacts {
  readonly account: AronaClient["account"];
  readonly fingerprint: AronaClient["fingerprint"];
  readonly deviceId: AronaClient["deviceId"];
  readonly isPrimary: boolean;
  readonly certificateEndsMs: number;
}

/** What does. */
export interface ClientState {
  readonly online: boolean;
  readonly status: PlainStatus;
  readonly relay: AronaClient["relay"];
  readonly conversations: readonly ConversationInfo[];
}

/** What is new since the last one; of the conversations those that are. */
export type StateChange = Partial<ClientState>;

/** What a service reports by itself. */
export type ClientMessage =
  | { readonly kind: "state"; readonly change: StateChange }
  | { readonly kind: "event"; readonly event: ClientEvent; readonly change: StateChange | null }
  /** The relay has a message, or never will. */
  | { readonly kind: "sent"; readonly sending: number; readonly failure: PlainError | null }
  | { readonly kind: "deviceRefused"; readonly offer: number; readonly reason: string }
  | {
    readonly kind: "deviceOffer";
    readonly offer: number;
    readonly outcome: { readonly device: DeviceId; readonly label: string } | PlainError;
  };

/** What a RemoteClient calls; no interface, which would not fit Methods. `sending` and `offer` are numbers of its own by which messages name what it asked for. */
export type ClientMethods = {
  connect(options: { patient?: boolean }): Promise<void>;
  caughtUp(): Promise<void>;
  closeClient(): Promise<void>;
  resolve(target: string, suite?: SuiteId): Promise<GroupId>;
  join(channel: string, suite?: SuiteId): Promise<GroupId>;
  openDirect(account: string, suite?: SuiteId): Promise<GroupId>;
  createGroup(name: string, suite?: SuiteId): Promise<GroupId>;
  invite(id: GroupId, account: string): Promise<void>;
  remove(id: GroupId, account: string): Promise<void>;
  ban(id: GroupId, account: string): Promise<void>;
  setAdmin(id: GroupId, account: string, admin: boolean): Promise<void>;
  leave(id: GroupId): Promise<void>;
  renewKeys(id: GroupId): Promise<void>;
  send(sending: number, id: GroupId, text: string, options: { replyTo?: string }): string;
  edit(sending: number, id: GroupId, target: string, text: string): string;
  delete(sending: number, id: GroupId, target: string): string;
  react(sending: number, id: GroupId, target: string, emoji: string, removed: boolean): string;
  typing(id: GroupId, typing: boolean): Promise<void>;
  markRead(sending: number, id: GroupId, target: string): string;
  markAllRead(sending: number, id: GroupId): string | null;
  history(id: GroupId, options: { before?: number; limit: number }): HistoryEntry[];
  message(id: GroupId, message: string): StoredMessage | null;
  members(id: GroupId): Promise<MemberInfo[]>;
  channels(): Promise<{ name: string; members: number }[]>;
  contact(account: string): Promise<Contact>;
  refreshContact(account: string): Promise<Contact>;
  safetyNumber(identityKey: Uint8Array): string;
  verify(account: string, options: { accept: boolean }): Contact;
  devices(): Promise<DeviceInfo[]>;
  offerDevice(offer: number, label: string): Promise<string>;
  cancelOffer(offer: number): void;
  deviceEverywhere(device: DeviceId): Promise<void>;
  removeDevice(device: DeviceId): Promise<void>;
};

/** Where a service's messages go. */
export interface MessageSink {
  /** @returns whether there was room */
  emit(message: ClientMessage): boolean;
  /** Resolves when there is. @throws where nobody takes them any more */
  room(): Promise<void>;
}

/** A client that is offered. */
export interface ClientService {
  readonly facts: ClientFacts;
  /** As it is at the beginning. */
  readonly state: ClientState;
  readonly methods: ClientMethods;
}

/** Offers `client` to whoever takes the messages. Call it before the client connects. */
export function serveClient(client: AronaClient, messages: MessageQueue): ClientService {
  const tracker = new StateTracker(client);
  const { account, fingerprint, deviceId, isPrimary, certificateEndsMs } = client;
  const state = tracker.change() as ClientState;
  client.onAny((event) => messages.push({ kind: "event", event, change: tracker.change() }));
  const report = (sending: number, { id, accepted }: Sending): string => {
    accepted.then(
      () => messages.push({ kind: "sent", sending, failure: null }),
      (error) => messages.push({ kind: "sent", sending, failure: toPlainError(error) }),
    );
    return id;
  };
  const offers = new Map<number, () => void>();
  const methods: ClientMethods = {
    connect: (options) => client.connect(options),
    caughtUp: () => client.caughtUp(),
    closeClient: () => client.close(),
    resolve: async (target, suite) => (await client.resolve(target, suite)).id,
    join: async (channel, suite) => (await client.join(channel, suite)).id,
    openDirect: async (other, suite) => (await client.openDirect(other, suite)).id,
    createGroup: async (name, suite) => (await client.createGroup(name, suite)).id,
    invite: (id, other) => client.invite({ id }, other),
    remove: (id, other) => client.remove({ id }, other),
    ban: (id, other) => client.ban({ id }, other),
    setAdmin: (id, other, admin) => client.setAdmin({ id }, other, admin),
    leave: (id) => client.leave({ id }),
    renewKeys: (id) => client.renewKeys({ id }),
    send: (sending, id, text, options) => report(sending, client.send({ id }, text, options)),
    edit: (sending, id, target, text) => report(sending, client.edit({ id }, target, text)),
    delete: (sending, id, target) => report(sending, client.delete({ id }, target)),
    react: (sending, id, target, emoji, removed) =>
      report(sending, client.react({ id }, target, emoji, removed)),
    typing: (id, typing) => client.typing({ id }, typing),
    markRead: (sending, id, target) => report(sending, client.markRead({ id }, target)),
    markAllRead(sending, id) {
      const marking = client.markAllRead({ id });
      return marking === null ? null : report(sending, marking);
    },
    history: (id, options) => client.history({ id }, options),
    message: (id, message) => client.message({ id }, message),
    members: (id) => client.members({ id }),
    channels: () => client.channels(),
    contact: (other) => client.contact(other),
    refreshContact: (other) => client.refreshContact(other),
    safetyNumber: (identityKey) => client.safetyNumber({ identityKey }),
    verify: (other, options) => client.verify(other, options),
    devices: () => client.devices(),
    async offerDevice(offer, label) {
      const onRefused = (reason: string) => messages.push({ kind: "deviceRefused", offer, reason });
      const { code, linked, cancel } = await client.offerDevice({ label, onRefused });
      offers.set(offer, cancel);
      linked.catch(toPlainError).then((outcome) => messages.push({ kind: "deviceOffer", offer, outcome }));
      return code;
    },
    cancelOffer: (offer) => offers.get(offer)?.(),
    deviceEverywhere: (device) => client.deviceEverywhere(device),
    removeDevice: (device) => client.removeDevice(device),
  };
  const after = async () => {
    const change = tracker.change();
    if (change !== null) messages.push({ kind: "state", change });
    await messages.sent();
  };
  return {
    facts: { account, fingerprint, deviceId, isPrimary, certificateEndsMs },
    state,
    methods: followedBy(after, methods),
  };
}

/** Messages in order; those that there is no room for yet wait here. */
export class MessageQueue {
  readonly #sink: MessageSink;
  readonly #waiting: ClientMessage[] = [];
  #sending: Promise<void> | null = null;

  constructor(sink: MessageSink) {
    this.#sink = sink;
  }

  push(message: ClientMessage): void {
    if (this.#sending === null && this.#sink.emit(message)) return;
    this.#waiting.push(message);
    this.#sending ??= this.#send();
  }

  /** Resolves when every message so far is on its way. Who waits for it before the next message cannot fill the queue. */
  async sent(): Promise<void> {
    while (this.#sending !== null) await this.#sending;
  }

  async #send(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        await this.#sink.room();
        while (this.#waiting.length > 0 && this.#sink.emit(this.#waiting[0])) this.#waiting.shift();
      }
    } catch {
      this.#waiting.length = 0; // nobody listens any more
    }
    this.#sending = null;
  }
}

/** Finds out what is new about a client. */
class StateTracker {
  readonly #client: AronaClient;
  readonly #conversations = new Map<GroupId, { conversation: Conversation; mark: string }>();
  #status: ConnectionState | null = null;
  #online: boolean | null = null;
  #relay = "";

  constructor(client: AronaClient) {
    this.#client = client;
  }

  /** What has changed since the last call; null for nothing. At first it is everything. */
  change(): StateChange | null {
    const { status, online, relay } = this.#client;
    const change: { -readonly [K in keyof ClientState]?: ClientState[K] } = {};
    if (online !== this.#online) change.online = this.#online = online;
    if (status !== this.#status) change.status = plainStatus(this.#status = status);
    const relayText = relay.endpoints.join(" ");
    if (relayText !== this.#relay) {
      this.#relay = relayText;
      change.relay = relay;
    }
    const isFirst = this.#conversations.size === 0;
    const changed = this.#client.conversations().filter((conversation) => this.#isNew(conversation));
    if (changed.length > 0 || isFirst) change.conversations = changed.map(conversationState);
    return Object.keys(change).length === 0 ? null : change;
  }

  /** Whatever is shown of a conversation changes with its epoch or the own part in it only. */
  #isNew(conversation: Conversation): boolean {
    const mark = `${conversation.epoch} ${conversation.participation} ${conversation.title}`;
    const known = this.#conversations.get(conversation.id);
    if (known?.conversation === conversation && known.mark === mark) return false;
    this.#conversations.set(conversation.id, { conversation, mark });
    return true;
  }
}

/** What people see of a conversation, as plain data. */
function conversationState(conversation: Conversation): ConversationInfo {
  const { id, title, kind, ref, participation, isOpen, suite, epoch, people, isAdmin } = conversation;
  return { id, title, kind, ref, participation, isOpen, suite, epoch, people, isAdmin };
}

function plainStatus(status: ConnectionState): PlainStatus {
  if (status.status !== "offline" || status.reason === undefined) return status as PlainStatus;
  return { ...status, reason: toPlainError(status.reason) } as PlainStatus;
}

/** The same functions, each of which waits for `after` before it returns or throws. */
function followedBy<M extends object>(after: () => Promise<void>, methods: M): M {
  // deno-lint-ignore no-explicit-any -- each keeps its own type
  const follow = (method: (...args: any[]) => unknown) => async (...args: unknown[]) => {
    try {
      return await method(...args);
    } finally {
      await after();
    }
  };
  return Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, follow(method)])) as M;
}
