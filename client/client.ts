/**
 * The client: typed commands in, typed events out. The terminal, the commands and bots all use this.
 *
 * command → membership | outbox → MLS → relay link, and back: relay link → inbox → MLS → store → event.
 */

import {
  AronaError,
  type Clock,
  connectSecure,
  createAuth,
  type CryptoProvider,
  type DeviceId,
  type DiscoveryDocument,
  type Fingerprint,
  fingerprintOf,
  formatSource,
  fromUtf8,
  isAronaError,
  MAX_GROUP_NAME_CHARACTERS,
  MAX_TEXT_BYTES,
  parseAccountName,
  parseChannelName,
  parseLink,
  parseSource,
  parseSourceLink,
  type SecureConnection,
  solvePow,
  systemClock,
  toHex,
  utf8,
} from "../proto/mod.ts";
import { Contacts } from "./contacts.ts";
import { type DeviceInfo, type DeviceOffer, Devices } from "./devices.ts";
import { type ClientContext, randomId } from "./context.ts";
import { type ChatClient, findConversation, groupIdOf, type MemberInfo, type Where } from "./chat_client.ts";
import { type Conversation, loadConversations } from "./conversation.ts";
import {
  type Dial,
  type Discovery,
  encodeKnownRelay,
  Follower,
  freshDocument,
  type KnownRelay,
  mergeRelays,
  relayFromLink,
  savedDocument,
  savedRelay,
  splitEndpoint,
  withDocument,
  withSource,
} from "./discovery/mod.ts";
import { type ClientEvent, type ClientEventType, EventHub, type EventOf, statusEvent } from "./events.ts";
import { type Content, createGroupEngine, MANDATORY_SUITE, type Member, type SuiteId } from "./groups/mod.ts";
import { type HistoryEntry, readHistory, readMessage, type StoredMessage } from "./history.ts";
import {
  certificatesEndMs,
  certificatesNeedRenewal,
  type Contact,
  createLocalIdentity,
  decodeIdentity,
  encodeIdentity,
  localDevice,
  type LocalIdentity,
  type PublicIdentity,
  renewCertificates,
  safetyNumber,
} from "./identity/mod.ts";
import { forgetReturns } from "./key_packages.ts";
import { Inbox } from "./inbox.ts";
import { Membership } from "./membership.ts";
import { Outbox, type OutboxSession, type Sending } from "./outbox.ts";
import { DOCUMENT_CHECK_AFTER_MS, DOCUMENT_CHECK_EVERY_MS, READ_LOOK_BACK } from "./limits.ts";
import { forgetSenders, readUpTo } from "./positions.ts";
import { boundedDial } from "./session/bounded_dial.ts";
import { type ConnectionState, Connector, type Dialled } from "./session/connector.ts";
import { type LoginResult, RelayLink } from "./session/link.ts";
import type { NetworkMonitor } from "./session/network_monitor.ts";
import { RelayApi, type RelayMember } from "./session/relay_api.ts";
import type { Store } from "./store/mod.ts";

/** What {@link openClient} needs. The ports are the caller's to choose. */
export interface ClientOptions {
  /** An open store; the client does not close it. */
  store: Store;
  crypto: CryptoProvider;
  /** Opens a byte stream to the relay. */
  dial: Dial;
  /** Notices a change of network. @default none: a dead connection is noticed by its silence alone */
  network?: NetworkMonitor;
  /** Resolves when whoever hears the events keeps up; the next delivery is handled then. @default they do */
  room?: () => Promise<void>;
  /** @default the system's clock */
  clock?: Clock;
  /** `arona://host:port#…`, with or without an invite; a new profile needs this or `relay`, and it has to fit a profile that exists. */
  link?: string;
  /** The relay as it was found in another way. @default what `link` says */
  relay?: KnownRelay;
  /** Looks for the relay where it may have moved to. @default it is looked for at its known addresses alone */
  discovery?: Discovery;
  /** Account name; needed for a new profile. */
  username?: string;
  /** Invite code, for the first login at an invite-only relay. @default the one in `link` */
  invite?: string;
}

/** Opens a profile's client without connecting yet. @throws {AronaError} `USAGE`, `WRONG_RELAY`, `CORRUPT_STORE` */
export async function openClient(options: ClientOptions): Promise<AronaClient> {
  const { store, crypto } = options;
  const clock = options.clock ?? systemClock;
  const saved = store.get("profile", "identity");
  let identity: LocalIdentity;
  if (saved !== null) {
    identity = decodeIdentity(saved);
    if (options.username !== undefined && options.username !== identity.account) {
      throw new AronaError(
        "USAGE",
        `Cannot use the name ${options.username}: this profile is ${identity.account}`,
        {
          hint: "Use another profile (--profile NAME) for another name.",
        },
      );
    }
    if (certificatesNeedRenewal(identity, clock.now())) {
      identity = await renewCertificates(crypto, identity, clock);
    }
  } else {
    if (options.username === undefined) {
      throw new AronaError("USAGE", "Cannot make a profile: it needs a name", {
        hint: "Add --username NAME.",
      });
    }
    identity = await createLocalIdentity(crypto, { account: parseAccountName(options.username), clock });
  }
  const relay = chooseRelay(savedRelay(store), options);
  store.write((writer) => {
    writer.put("profile", "identity", encodeIdentity(identity));
    writer.put("profile", "relay", encodeKnownRelay(relay));
  });
  return new AronaClient({ ...options, dial: boundedDial(options.dial, clock), clock, identity, relay });
}

/** A person's client on one device, in this thread. Made by {@link openClient}. */
export class AronaClient implements ChatClient {
  readonly #options: ClientOptions & { clock: Clock; identity: LocalIdentity };
  readonly #hub = new EventHub();
  readonly #context: ClientContext;
  readonly #membership: Membership;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #devices: Devices;
  readonly #connector: Connector;
  readonly #follower: Follower | null;
  readonly #tasks = new Set<Promise<void>>();
  #relay: KnownRelay;
  #hasRegisteredAgain = false;
  #api: RelayApi | null = null;
  /** The connection, once its login is done. */
  #session: OutboxSession | null = null;
  readonly #stopped = new AbortController();
  #cancelDocumentCheck: () => void = () => {};
  #following: Promise<boolean> | null = null;
  /** Where the relay was before a source said otherwise, until it is reached. */
  #moved: { readonly from: string; readonly source: string } | null = null;
  #everOnline = false;

  constructor(options: ClientOptions & { clock: Clock; identity: LocalIdentity; relay: KnownRelay }) {
    this.#options = options;
    this.#relay = options.relay;
    const { store, crypto, clock, identity } = options;
    const emit = (event: ClientEvent) => {
      this.#hub.emit(event);
      if (event.type === "GroupCreated" || event.type === "MemberLeft") this.#outbox.resume();
      // A direct message is complete only when the other side has come.
      if (event.type === "GroupCreated" || (event.type === "MemberJoined" && event.kind === "dm")) {
        const conversation = conversations.get(event.groupId);
        if (conversation !== undefined) this.#devices.complete(conversation);
      }
    };
    const fingerprint = fingerprintOf(crypto, identity.identityKey);
    const contacts = new Contacts({
      store,
      crypto,
      clock,
      own: identity.account,
      ownFingerprint: fingerprint,
      emit,
    });
    const engine = createGroupEngine({ crypto, clock, trust: contacts });
    const conversations = new Map(
      loadConversations(store, engine).map((conversation) => [conversation.id, conversation]),
    );
    // deno-lint-ignore no-this-alias -- the context's getters have to see the client's present state
    const client = this;
    this.#context = {
      clock,
      crypto,
      store,
      engine,
      contacts,
      conversations,
      emit,
      device: localDevice(identity),
      account: identity.account,
      fingerprint,
      entered: (writer, group) => {
        forgetSenders(writer, group);
        return this.#outbox.unseal(writer, group);
      },
      goesOn: (lost, as) => this.#outbox.move(lost.id, as),
      cameBack: (group) => this.#outbox.sendAgain(group),
      relay: () => this.#connectedApi(),
      get online() {
        return client.#api !== null && !client.#api.link.closed;
      },
      stopped: this.#stopped.signal,
      background: (task) => this.#background(task),
    };
    this.#membership = new Membership(
      this.#context,
      {
        settlePending: (conversation) => this.#inbox.settlePending(conversation),
        synchronize: (conversation) => this.#inbox.synchronize(conversation),
        removed: (conversation) => this.#inbox.removed(conversation),
      },
    );
    this.#inbox = new Inbox(this.#context, () => this.#membership);
    this.#outbox = new Outbox(this.#context, {
      onSent: (conversation) => this.#membership.maintain(conversation),
      synchronize: (conversation) => this.#inbox.synchronize(conversation),
      session: () => this.#session?.link.closed === false ? this.#session : null,
    });
    this.#devices = new Devices(this.#context, {
      identity,
      change: (conversation, decide) => this.#membership.change(conversation, decide),
    });
    this.#follower = options.discovery === undefined ? null : new Follower({
      discovery: options.discovery,
      crypto,
      clock,
      onRefused: (source, { code, message }) =>
        emit({ type: "SourceRefused", source: formatSource(source), code, reason: message }),
    });
    this.#connector = new Connector((signal) => this.#dial(signal), {
      clock,
      crypto,
      network: options.network,
      onState: (state) => {
        if (!this.#stopped.signal.aborted) emit(statusEvent(state));
      },
    });
  }

  get account(): string {
    return this.#context.account;
  }

  /** SHA-256 of the identity key, hexadecimal. */
  get fingerprint(): Fingerprint {
    return this.#context.fingerprint;
  }

  get deviceId(): DeviceId {
    return this.#context.device.device;
  }

  get online(): boolean {
    return this.#context.online;
  }

  /** How this client stands with its relay, since when, why, and when it will try again. */
  get status(): ConnectionState {
    return this.#connector.state;
  }

  /** Whether this device made the identity; only that one adds and removes devices. */
  get isPrimary(): boolean {
    return this.#options.identity.identitySeed !== null;
  }

  /** When this device's certificate runs out, Unix milliseconds; a further device cannot renew it by itself. */
  get certificateEndsMs(): number {
    return certificatesEndMs(this.#options.identity);
  }

  /** The relay's fingerprint and where it is. */
  get relay(): { fingerprint: string; endpoints: readonly string[] } {
    return { fingerprint: toHex(this.#relay.fingerprint), endpoints: this.#relay.endpoints };
  }

  /** Calls `listener` for each event of one type. @returns a function that ends it */
  on<T extends ClientEventType>(type: T, listener: (event: EventOf<T>) => void): () => void {
    return this.#hub.listen((event) => {
      if (event.type === type) listener(event as EventOf<T>);
    });
  }

  /** Calls `listener` for every event. @returns a function that ends it */
  onAny(listener: (event: ClientEvent) => void): () => void {
    return this.#hub.listen(listener);
  }

  /**
   * Connects, and stays connected until {@link close}.
   *
   * @param options.patient keep trying where the first try finds no relay. @default false
   * @throws {AronaError} `UNREACHABLE`, `WRONG_RELAY`, `AUTH_FAILED` …
   */
  connect(options: { patient?: boolean } = {}): Promise<void> {
    return this.#connector.start({ patient: options.patient ?? false });
  }

  /** Resolves when everything has been handled that waited at the relay when this connection began; at once while offline. */
  async caughtUp(): Promise<void> {
    await this.#api?.link.caughtUp;
  }

  /** Ends in good order: what is stored is acknowledged, nothing is lost by it. */
  async close(): Promise<void> {
    this.#stopped.abort(new AronaError("CLOSED", "Cannot go on: the client was closed"));
    this.#cancelDocumentCheck();
    this.#devices.stop();
    const settled = Promise.allSettled([...this.#tasks]);
    if (this.online) await this.#withTimeout(settled, 5_000);
    this.#outbox.stop();
    const stopped = this.#connector.stop();
    await this.#api?.link.close();
    this.#api = null;
    await stopped;
    await Promise.allSettled([...this.#tasks]);
  }

  /** The conversations of this device, those it has left too. */
  conversations(): Conversation[] {
    return [...this.#context.conversations.values()];
  }

  /**
   * The conversation that people call `target`: `#channel`, `@account`, or a group's name or id.
   *
   * @throws {AronaError} `NOT_FOUND`; `CONFLICT` where two groups have the name
   */
  find(target: string): Conversation {
    return findConversation(this.conversations(), target);
  }

  /** Finds the conversation, joins the channel or opens the direct message. @throws {AronaError} */
  async resolve(target: string, suite: SuiteId = MANDATORY_SUITE): Promise<Conversation> {
    if (target.startsWith("#")) return await this.join(target, suite);
    if (target.startsWith("@")) return await this.openDirect(target.slice(1), suite);
    return this.find(target);
  }

  /** Joins a channel, opening it where nobody has. @throws {AronaError} `BAD_NAME`, `FORBIDDEN` */
  join(channel: string, suite: SuiteId = MANDATORY_SUITE): Promise<Conversation> {
    return this.#membership.joinChannel(parseChannelName(channel), suite);
  }

  /** Opens the direct message with an account. @throws {AronaError} `NOT_FOUND`, `IDENTITY_CHANGED` */
  openDirect(account: string, suite: SuiteId = MANDATORY_SUITE): Promise<Conversation> {
    return this.#membership.openDirect(parseAccountName(account), suite);
  }

  /** Makes a private group. @param name 1 to 64 characters */
  async createGroup(name: string, suite: SuiteId = MANDATORY_SUITE): Promise<Conversation> {
    const length = [...name].length;
    if (length < 1 || length > MAX_GROUP_NAME_CHARACTERS || /^[#@]|^[0-9a-f]{32}$|[[\]\p{C}]/u.test(name)) {
      throw new AronaError("BAD_NAME", `Cannot use group name ${JSON.stringify(name.slice(0, 80))}`, {
        hint: `Use 1 to ${MAX_GROUP_NAME_CHARACTERS} printable characters that do not begin with '#' or '@'.`,
      });
    }
    return await this.#membership.createGroup(name, suite);
  }

  /** Adds an account to a group. @throws {AronaError} `NOT_FOUND`, `POLICY`, `IDENTITY_CHANGED` */
  invite(where: Where, account: string): Promise<void> {
    return this.#membership.invite(this.#at(where), parseAccountName(account));
  }

  /** Removes an account; needs to be an admin. @throws {AronaError} `POLICY`, `NOT_FOUND` */
  remove(where: Where, account: string): Promise<void> {
    return this.#membership.remove(this.#at(where), account, { ban: false });
  }

  /** Removes an account and keeps it out; needs to be an admin. */
  ban(where: Where, account: string): Promise<void> {
    return this.#membership.remove(this.#at(where), account, { ban: true });
  }

  /** Makes an account an admin, or takes that away; needs to be an admin. */
  setAdmin(where: Where, account: string, admin: boolean): Promise<void> {
    return this.#membership.setAdmin(this.#at(where), account, admin);
  }

  /** Leaves a group or channel. */
  leave(where: Where): Promise<void> {
    return this.#membership.leave(this.#at(where));
  }

  /** Renews this device's keys in a group (post-compromise security). */
  renewKeys(where: Where): Promise<void> {
    return this.#membership.change(this.#at(where), () => Promise.resolve({ change: { kind: "update" } }));
  }

  /** Sends text. @throws {AronaError} `TOO_LARGE` over 16 KiB, `IDENTITY_CHANGED`, `FORBIDDEN`, `QUOTA` */
  send(where: Where, text: string, options: { replyTo?: string } = {}): Sending {
    assertText(text);
    const { replyTo } = options;
    return this.#outbox.send(
      this.#at(where),
      this.#content(
        replyTo === undefined ? { kind: "text", text } : { kind: "reply", text, target: replyTo },
      ),
    );
  }

  /** Replaces the text of an own message. */
  edit(where: Where, target: string, text: string): Sending {
    assertText(text);
    return this.#outbox.send(this.#at(where), this.#content({ kind: "edit", target, text }));
  }

  /** Takes back an own message. */
  delete(where: Where, target: string): Sending {
    return this.#outbox.send(this.#at(where), this.#content({ kind: "delete", target }));
  }

  /** Adds a reaction to a message, or takes it back. */
  react(where: Where, target: string, emoji: string, removed = false): Sending {
    return this.#outbox.send(this.#at(where), this.#content({ kind: "reaction", target, emoji, removed }));
  }

  /** Tells who is connected now that this person types, or no longer does. */
  typing(where: Where, typing: boolean): Promise<void> {
    return this.#outbox.sendEphemeral(this.#at(where), this.#content({ kind: "typing", typing }));
  }

  /** Tells the others up to which message this person has read. */
  markRead(where: Where, target: string): Sending {
    return this.#outbox.send(this.#at(where), this.#content({ kind: "read", target }));
  }

  /** The same up to the newest message of somebody else. @returns null where they know already */
  markAllRead(where: Where): Sending | null {
    const { store, fingerprint } = this.#context;
    const newest = this.history(where, { limit: READ_LOOK_BACK }).findLast(({ message }) =>
      message.gap === undefined && message.fingerprint !== fingerprint
    );
    if (newest === undefined) return null;
    if (newest.sequence <= readUpTo(store, groupIdOf(where), fingerprint)) return null;
    return this.markRead(where, newest.message.id);
  }

  /** The newest `limit` messages before the sequence number `before`, oldest first. */
  history(where: Where, options: { before?: number; limit: number }): HistoryEntry[] {
    return readHistory(this.#context.store, groupIdOf(where), options);
  }

  /** One message as it is kept; null where it is not. */
  message(where: Where, id: string): StoredMessage | null {
    return readMessage(this.#context.store, groupIdOf(where), id);
  }

  /** The members as MLS has them, with what the relay says of their presence. */
  async members(where: Where): Promise<MemberInfo[]> {
    const conversation = this.#at(where);
    const present: RelayMember[] | null = this.online
      ? await this.#connectedApi().members(conversation.id).catch(() => null)
      : null;
    return conversation.group.members.map((member: Member) => ({
      account: this.#context.contacts.nameOf(member),
      fingerprint: member.fingerprint,
      device: member.device,
      admin: member.admin,
      verified: this.#context.contacts.get(member.account)?.verified ?? false,
      identityChanged: this.#context.contacts.check(member.account, member.fingerprint) === "changed",
      online: present?.find((other) => other.device === member.device)?.online ?? null,
    }));
  }

  /** This person's devices. @throws {AronaError} */
  devices(): Promise<DeviceInfo[]> {
    return this.#devices.list();
  }

  /**
   * Makes a one-time code that lets a further device in; it waits until that has come, or the offer is cancelled.
   *
   * @param options.label what this device is called
   * @throws {AronaError} `FORBIDDEN` on a device that did not make the identity
   */
  offerDevice(options: { label: string; onRefused?: (reason: string) => void }): Promise<DeviceOffer> {
    const { endpoints: [endpoint], fingerprint } = this.#relay;
    return this.#devices.offer({ ...options, relay: { ...splitEndpoint(endpoint), fingerprint } });
  }

  /** Resolves when a further device is in every conversation of this one. */
  deviceEverywhere(device: DeviceInfo["device"]): Promise<void> {
    return this.#devices.untilEverywhere(device);
  }

  /** Takes a device back, for good. @throws {AronaError} `FORBIDDEN`, `NOT_FOUND`, `BAD_REQUEST` for this device */
  removeDevice(device: DeviceInfo["device"]): Promise<void> {
    return this.#devices.remove(device);
  }

  /** All channels of the relay. */
  channels(): Promise<{ name: string; members: number }[]> {
    return this.#connectedApi().channels();
  }

  /** A person this profile knows, or, while connected, one that the relay knows. */
  async contact(account: string): Promise<Contact> {
    const name = parseAccountName(account);
    return this.#context.contacts.get(name) ??
      await this.#context.contacts.lookUp(name, this.#connectedApi());
  }

  /** Asks the relay for a person anew; a changed identity is noted and waits to be accepted. */
  refreshContact(account: string): Promise<Contact> {
    return this.#context.contacts.lookUp(parseAccountName(account), this.#connectedApi());
  }

  /** 60 digits that both people see alike when nobody is between them. */
  safetyNumber({ identityKey }: Pick<PublicIdentity, "identityKey">): string {
    const { crypto } = this.#context;
    return safetyNumber(crypto, this.#options.identity.identityKey, identityKey);
  }

  /** Marks a person as verified, or accepts an identity that has changed. */
  verify(account: string, options: { accept: boolean }): Contact {
    const contact = this.#context.contacts.verify(parseAccountName(account), options);
    this.#outbox.resume(); // what had waited for this decision
    return contact;
  }

  /** @throws {AronaError} `NOT_FOUND` */
  #at(where: Where): Conversation {
    const conversation = this.#context.conversations.get(groupIdOf(where));
    if (conversation !== undefined) return conversation;
    throw new AronaError("NOT_FOUND", "Cannot find the conversation: this device was never in it", {
      hint: "See `arona groups`.",
    });
  }

  #content<T extends Omit<Content, "id" | "sentAtMs">>(content: T): Content {
    const { crypto, clock } = this.#context;
    return { ...content, id: toHex(randomId(crypto)), sentAtMs: clock.now() } as unknown as Content;
  }

  #connectedApi(): RelayApi {
    if (this.#api === null || this.#api.link.closed) {
      throw new AronaError("CLOSED", "Cannot do that: not connected to the relay");
    }
    return this.#api;
  }

  #background(task: () => Promise<void>): void {
    const running = task().catch((error) => {
      // Lost connections are met by reconnecting; whatever else fails is told, never thrown into the void.
      if (this.#stopped.signal.aborted || isAronaError(error, "CLOSED", "TIMEOUT", "CONFLICT", "FORBIDDEN")) {
        return;
      }
      const code = isAronaError(error) ? error.code : "INTERNAL";
      this.#hub.emit({ type: "Fault", code, reason: error instanceof Error ? error.message : String(error) });
    }).finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  async #dial(signal: AbortSignal): Promise<Dialled> {
    try {
      return await this.#dialOnce(signal, {
        register: this.#context.store.get("profile", "registered") === null,
      });
    } catch (error) {
      if (this.#hasRegisteredAgain || !this.isPrimary || !isAronaError(error, "AUTH_FAILED")) throw error;
      // A relay that was put back from a backup may have forgotten the account; to one that knows it this is a login like any other.
      this.#hasRegisteredAgain = true;
      return await this.#dialOnce(signal, { register: true });
    }
  }

  async #dialOnce(signal: AbortSignal, { register }: { register: boolean }): Promise<Dialled> {
    const connection = await this.#openConnection(signal);
    const ended = Promise.withResolvers<AronaError>();
    const ready = Promise.withResolvers<void>();
    ready.promise.catch(() => {}); // told through `ended`
    const inOrder = async <T>(action: () => Promise<T>) => {
      await ready.promise;
      return await action();
    };
    try {
      const link = await RelayLink.login(connection, {
        auth: await this.#authFields(connection, { register, signal }),
        clock: this.#context.clock,
        signal,
        handlers: {
          onDelivery: (delivery) =>
            inOrder(async () => {
              await this.#options.room?.();
              return await this.#inbox.deliver(delivery);
            }),
          onEvent: (event) =>
            inOrder(() => this.#devices.event(event) ? Promise.resolve() : this.#inbox.event(event)),
          onReceipt: (receipt) => inOrder(() => this.#outbox.receipt(receipt)),
          onClosed: (reason) => {
            this.#cancelDocumentCheck();
            ended.resolve(reason);
          },
        },
      });
      const isHealing = this.#noteLogin(link.login);
      this.#api = new RelayApi(link);
      const session = { link, boot: connection.greeting.boot };
      const isBehind = await this.#catchUp(session);
      await this.#membership.publishLastResorts({ replaceAll: isHealing });
      this.#session = session;
      this.#everOnline = true;
      ready.resolve();
      this.#afterLogin(session, { isBehind, isHealing });
      return {
        ended: ended.promise,
        probe: (disturbance) => link.probe(disturbance),
        close: () => link.close(),
      };
    } catch (error) {
      ready.reject(error);
      connection.abort();
      throw this.#explainRefusal(error);
    }
  }

  /** A further device that is refused has been taken back, or its certificates have run out. */
  #explainRefusal(error: unknown): unknown {
    const { clock, account } = this.#context;
    if (this.isPrimary || !isAronaError(error, "AUTH_FAILED")) return error;
    const isOver = clock.now() > this.certificateEndsMs;
    return new AronaError(
      "AUTH_FAILED",
      isOver
        ? "Cannot log in: this device's certificate has run out"
        : `Cannot log in: this is no longer a device of ${account}`,
      {
        cause: error,
        hint: isOver
          ? "Run `arona device add` on the device that made the identity, and `arona device link CODE` with this profile here."
          : "It was removed from another device. To use this machine again, link it as a new profile.",
      },
    );
  }

  /** What goes on by itself once a connection stands. */
  #afterLogin(
    session: OutboxSession,
    { isBehind, isHealing }: { isBehind: boolean; isHealing: boolean },
  ): void {
    const { conversations } = this.#context;
    const { link } = session;
    this.#background(() => this.#membership.publishKeyPackages(link.login.keyPackages));
    for (const conversation of conversations.values()) {
      this.#membership.maintain(conversation);
      this.#membership.rescue(conversation);
    }
    if (isHealing) {
      this.#background(async () => {
        await this.#membership.enterUnknown();
        this.#context.store.write((writer) => writer.delete("profile", "healing"));
      });
    }
    if (isBehind) {
      // Only now: what waits in the mailbox belongs to earlier epochs than what a sync would bring.
      this.#background(async () => {
        await link.caughtUp;
        for (const conversation of conversations.values()) {
          if (conversation.participation === "member") await this.#inbox.synchronize(conversation);
        }
        if (this.#session === session) this.#saveRelay({ ...this.#relay, boot: session.boot });
      });
    }
    this.#devices.start(link.caughtUp);
    this.#outbox.resume();
    this.#watchDocument(link);
  }

  /** Where the relay is known to be; else where its sources say that it is now. */
  async #openConnection(signal: AbortSignal): Promise<SecureConnection> {
    let connection: SecureConnection;
    try {
      connection = await this.#reach(signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const following = this.#follow(signal);
      // Who was connected before may well find the relay where it was, and does not wait for what others say.
      if (this.#everOnline) {
        this.#background(async () => {
          if (await following) this.#connector.retry();
        });
        throw error;
      }
      if (!await following) throw error;
      connection = await this.#reach(signal);
    }
    const [address] = this.#relay.endpoints;
    if (this.#moved !== null && this.#moved.from !== address) {
      this.#hub.emit({ type: "RelayMoved", address, source: this.#moved.source });
    }
    this.#moved = null;
    return connection;
  }

  /** Asks the relay's sources, one time after the other. @returns whether they know anything new */
  #follow(signal: AbortSignal): Promise<boolean> {
    return this.#following ??= (async () => {
      try {
        const followed = await this.#follower?.follow(this.#relay, signal) ?? null;
        if (followed === null || followed.document.sequence < this.#relay.highestSequence) return false;
        const from = this.#moved?.from ?? this.#relay.endpoints[0];
        this.#moved = { from, source: formatSource(followed.source) };
        this.#saveRelay(withDocument(this.#relay, followed));
        return true;
      } finally {
        this.#following = null;
      }
    })();
  }

  /** With the saved document where it works, else with a fresh one. */
  async #reach(signal: AbortSignal): Promise<SecureConnection> {
    const { crypto, clock } = this.#context;
    const { dial } = this.#options;
    const saved = await savedDocument(this.#relay, { crypto, clock });
    if (saved !== null) {
      try {
        return await this.#connectWith(saved, signal);
      } catch (error) {
        // Where nobody answers nobody has a document. Else: somebody else is there, or the relay's key was rotated.
        if (signal.aborted || isAronaError(error, "UNREACHABLE")) throw error;
      }
    }
    const fresh = await freshDocument(this.#relay, { crypto, clock, dial, signal });
    // A source may have had a newer one meanwhile.
    if (fresh.document.sequence >= this.#relay.highestSequence) this.#saveRelay(fresh.relay);
    return await this.#connectWith(fresh.document, signal);
  }

  async #connectWith(document: DiscoveryDocument, signal: AbortSignal): Promise<SecureConnection> {
    const { crypto, clock } = this.#context;
    let failure: unknown;
    for (const endpoint of this.#relay.endpoints) {
      try {
        const transport = await this.#options.dial({ ...splitEndpoint(endpoint), signal });
        const connection = await connectSecure({ transport, crypto, clock, document, signal });
        this.#reachedAt(endpoint);
        return connection;
      } catch (error) {
        if (signal.aborted) throw error;
        if (failure === undefined || !isAronaError(error, "UNREACHABLE")) failure = error;
      }
    }
    throw failure;
  }

  /** The address that works is tried first from now on. */
  #reachedAt(endpoint: string): void {
    this.#follower?.found();
    if (this.#relay.endpoints[0] !== endpoint) {
      this.#saveRelay(withSource(this.#relay, parseSource(endpoint)));
    }
  }

  /** While a connection stands its relay is asked now and then what is new: addresses, and where to look when it has moved. */
  #watchDocument(link: RelayLink): void {
    const { crypto, clock } = this.#context;
    const check = async () => {
      const [endpoint] = this.#relay.endpoints;
      const asked = { ...this.#relay, endpoints: [endpoint] };
      const { signal } = this.#stopped;
      const fresh = await freshDocument(asked, { crypto, clock, dial: this.#options.dial, signal });
      if (fresh.document.sequence === this.#relay.highestSequence) return;
      const relay = withDocument(this.#relay, { document: fresh.document, bytes: fresh.relay.document! });
      this.#saveRelay(withSource(relay, parseSource(endpoint)));
    };
    const again = (delayMs: number) => {
      if (link.closed) return;
      this.#cancelDocumentCheck();
      this.#cancelDocumentCheck = clock.schedule(delayMs, () => {
        this.#background(() => check().catch(() => {})); // the connection stands whatever became of it
        again(DOCUMENT_CHECK_EVERY_MS);
      });
    };
    again(DOCUMENT_CHECK_AFTER_MS * (0.5 + randomFraction(crypto) / 2));
  }

  async #authFields(
    connection: SecureConnection,
    { register, signal }: { register: boolean; signal: AbortSignal },
  ): Promise<{ fields: Record<string, unknown>; blobs: Uint8Array[] }> {
    const { crypto, account, device } = this.#context;
    const key = device.keys[MANDATORY_SUITE];
    const { blobs } = await createAuth(crypto, {
      connection,
      account,
      certificate: key.certificate,
      devicePublicKey: key.publicKey,
      devicePrivateKey: key.privateKey,
    });
    const ticket = this.#ticket();
    if (!register) return { fields: { account, ticket }, blobs };
    const { identityKey } = this.#options.identity;
    const bits = connection.greeting.powBits;
    const { exporter } = connection;
    const pow = await solvePow(crypto, { exporter, account, identityKey, bits }, { signal });
    return { fields: { account, ticket, register: { pow, invite: inviteOf(this.#options) } }, blobs };
  }

  /** What shows the relay how old these files are. An earlier version counted its logins, and so did the relay. */
  #ticket(): string {
    const { store } = this.#context;
    const ticket = store.get("profile", "ticket");
    if (ticket !== null) return fromUtf8(ticket);
    const logins = store.get("profile", "logins");
    return logins === null ? "" : `${fromUtf8(logins)}.`;
  }

  /**
   * Writes down what the relay has said of these files, before anything else is sent: from here on they count as the newest. Where they
   * are an older copy, every conversation's state is given up by the same transaction; what is left to do then is on the disk until it is
   * done.
   *
   * @returns whether they were an older copy, now or before, and something is left to do
   */
  #noteLogin({ stale, ticket }: LoginResult): boolean {
    const { store } = this.#context;
    let report = () => {};
    store.write((writer) => {
      if (ticket !== null) writer.put("profile", "ticket", utf8(ticket));
      writer.delete("profile", "logins");
      if (!stale) return;
      writer.put("profile", "healing", utf8("yes"));
      forgetReturns(writer);
      report = this.#inbox.restored(writer);
    });
    report();
    return store.get("profile", "healing") !== null;
  }

  /**
   * Puts the state in order that a connection begins with: after a restart of the relay, or a commit of unknown fate.
   *
   * @returns whether the relay's log has to be looked at once what waits there is handled. That this is so is on the disk until it is
   * done: the relay forgets it with the first acknowledgement
   */
  async #catchUp({ link: { login }, boot }: OutboxSession): Promise<boolean> {
    const { store, conversations } = this.#context;
    const mayMiss = login.gap || boot !== this.#relay.boot;
    if (mayMiss) this.#saveRelay({ ...this.#relay, boot: "" });
    const isEmpty = login.backlog === 0;
    const now = mayMiss && isEmpty;
    let isInDoubt = false;
    for (const conversation of conversations.values()) {
      if (conversation.participation !== "member") continue;
      // What was refused on the connection before is looked at once more, and the relay hears of it again.
      isInDoubt ||= conversation.refused !== null;
      conversation.refused = null;
      if (now) await this.#inbox.synchronizeNow(conversation);
      else if (isEmpty) await this.#inbox.settlePending(conversation, { waits: false });
      else isInDoubt ||= conversation.pending !== null; // what waits is from before it, and comes first
    }
    store.write((writer) => writer.put("profile", "registered", utf8("yes")));
    if (now) this.#saveRelay({ ...this.#relay, boot });
    return (mayMiss || isInDoubt) && !now;
  }

  #saveRelay(relay: KnownRelay): void {
    this.#relay = relay;
    this.#context.store.write((writer) => writer.put("profile", "relay", encodeKnownRelay(relay)));
  }

  async #withTimeout(promise: Promise<unknown>, timeoutMs: number): Promise<void> {
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const cancel = this.#context.clock.schedule(timeoutMs, resolve);
    await Promise.race([promise, timeout]);
    cancel();
  }
}

function inviteOf({ invite, link }: Pick<ClientOptions, "invite" | "link">): string | undefined {
  return invite ?? (link === undefined ? undefined : parseSourceLink(link).invite);
}

function chooseRelay(
  known: KnownRelay | null,
  { link, relay }: Pick<ClientOptions, "link" | "relay">,
): KnownRelay {
  const given = relay ?? (link === undefined ? null : relayFromLink(parseLink(link)));
  if (known !== null) return given === null ? known : mergeRelays(known, given);
  if (given !== null) return given;
  throw new AronaError("USAGE", "Cannot connect: this profile does not know a relay yet", {
    hint: "Give the link that the relay printed: --relay arona://…",
  });
}

/** From 0 to 1. */
function randomFraction(crypto: CryptoProvider): number {
  return new DataView(crypto.randomBytes(2).buffer).getUint16(0) / 0xffff;
}

function assertText(text: string): void {
  const { length } = utf8(text);
  if (length > MAX_TEXT_BYTES) {
    throw new AronaError("TOO_LARGE", `Cannot send: ${length} bytes of text, ${MAX_TEXT_BYTES} are allowed`, {
      hint: "Send it as several messages.",
    });
  }
  if (length === 0) throw new AronaError("BAD_REQUEST", "Cannot send: the text is empty");
}
