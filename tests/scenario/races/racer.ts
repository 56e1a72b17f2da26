/**
 * One device of a race: the client's own parts, put together as client.ts does it, on a line that the schedule moves. Not the whole
 * client, because a racer has to be able to give up once the aim is reached, and dials when the schedule says so.
 */

import { createHash } from "node:crypto";
import { Contacts } from "../../../client/contacts.ts";
import type { ClientContext } from "../../../client/context.ts";
import { type Conversation, loadConversations } from "../../../client/conversation.ts";
import type { ClientEvent } from "../../../client/events.ts";
import { createGroupEngine, MANDATORY_SUITE } from "../../../client/groups/mod.ts";
import { createLocalIdentity, localDevice, type LocalIdentity } from "../../../client/identity/mod.ts";
import { Inbox } from "../../../client/inbox.ts";
import { Membership } from "../../../client/membership.ts";
import { Outbox, type OutboxSession } from "../../../client/outbox.ts";
import { forgetSenders } from "../../../client/positions.ts";
import { RelayLink } from "../../../client/session/link.ts";
import { type CommitRequest, RelayApi } from "../../../client/session/relay_api.ts";
import { createMemoryStore, type Store } from "../../../client/store/mod.ts";
import {
  AronaError,
  type Clock,
  connectSecure,
  createAuth,
  type CryptoProvider,
  type DiscoveryDocument,
  encodeCertificate,
  type Fingerprint,
  fingerprintOf,
  isAronaError,
  parseAccountName,
  toHex,
} from "../../../proto/mod.ts";
import type { RelayStore } from "../../../server/mod.ts";
import { copyStore } from "../../helpers/copy_store.ts";
import type { HeldLine } from "../../helpers/held_line.ts";

/** What the racers share. */
export interface RaceGround {
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly document: DiscoveryDocument;
  readonly relayStore: RelayStore;
  /** A new line to the relay. */
  open(racer: Racer): HeldLine;
  /** What became of a commit request: its answer's code, `OK`, or why there was none. */
  onCommit(racer: Racer, outcome: { code: string; hash: string }): void;
}

/** A client's parts; a racer that crashes gets new ones. */
interface Parts {
  readonly context: ClientContext;
  readonly membership: Membership;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  api: RelayApi | null;
  session: OutboxSession | null;
}

/** One device. */
export class Racer {
  readonly events: ClientEvent[] = [];
  readonly fingerprint: Fingerprint;
  connecting = false;
  #parts: Parts;
  #store: Store = createMemoryStore();
  #line: HeldLine | null = null;
  #online = false;
  readonly #wakers = new Set<() => void>();

  private constructor(
    readonly name: string,
    private readonly ground: RaceGround,
    private readonly identity: LocalIdentity,
  ) {
    this.fingerprint = fingerprintOf(ground.crypto, identity.identityKey);
    this.#parts = this.#assemble();
  }

  /** A new person whom the relay knows. */
  static async create(name: string, ground: RaceGround): Promise<Racer> {
    const { crypto, clock, relayStore } = ground;
    const account = parseAccountName(name);
    const identity = await createLocalIdentity(crypto, { account, clock });
    const { certificate, publicKey } = identity.keys[MANDATORY_SUITE];
    const racer = new Racer(name, ground, identity);
    relayStore.register({
      account: { account, fingerprint: racer.fingerprint },
      device: {
        account,
        device: identity.device,
        certificate: encodeCertificate(certificate),
        deviceKey: publicKey,
      },
      nowMs: clock.now(),
    });
    return racer;
  }

  get device(): string {
    return this.identity.device;
  }

  get online(): boolean {
    return this.#online;
  }

  get membership(): Membership {
    return this.#parts.membership;
  }

  /** The conversation of that name, however this device stands to it. */
  conversation(title: string): Conversation | undefined {
    const named = [...this.#parts.context.conversations.values()].filter((one) => one.title === title);
    return named.find((one) => one.isOpen) ?? named.at(-1);
  }

  /** Puts a text into the outbox. */
  say(conversation: Conversation, text: string): void {
    const { outbox, context } = this.#parts;
    const id = toHex(context.crypto.randomBytes(16));
    outbox.send(conversation, { kind: "text", text, id, sentAtMs: context.clock.now() });
  }

  /** Does something, and again after a lost connection or an answer that never came, as whoever wants it would. */
  async pursue(action: (racer: Racer) => Promise<void>): Promise<void> {
    for (;;) {
      while (!this.#online) await new Promise<void>((wake) => this.#wakers.add(wake));
      try {
        return await action(this);
      } catch (error) {
        if (!isAronaError(error, "CLOSED", "TIMEOUT")) throw error;
      }
    }
  }

  /** Begins to connect; what the schedule passes on does the rest. */
  connect(): void {
    this.connecting = true;
    const line = this.#line = this.ground.open(this);
    const parts = this.#parts;
    this.#dial(parts, line).catch((error) => {
      line.near.close();
      if (!(error instanceof AronaError)) throw error;
    }).finally(() => {
      if (this.#parts === parts) this.connecting = false;
    });
  }

  /** The line breaks. @param far whether the relay notices too, and what is under way to it is lost */
  cut(far: boolean): void {
    if (far) this.#line?.lose();
    else this.#line?.breakNear();
  }

  /** The process dies, and is started again from what was stored. */
  crash(): void {
    this.cut(true);
    this.#parts.outbox.stop();
    this.#online = this.connecting = false;
    this.#store = copyStore(this.#store); // what is left of the dead process writes into nowhere
    this.#parts = this.#assemble();
  }

  /** Ends for good. */
  stop(): void {
    this.cut(true);
    this.#parts.outbox.stop();
  }

  #assemble(): Parts {
    const { ground: { crypto, clock }, identity } = this;
    const store = this.#store;
    const emit = (event: ClientEvent) => {
      if (this.#parts !== parts) return; // of a dead process
      this.events.push(event);
      if (event.type === "GroupCreated" || event.type === "MemberLeft") parts.outbox.resume();
    };
    const contacts = new Contacts({
      ...{ store, crypto, clock, emit },
      own: identity.account,
      ownFingerprint: this.fingerprint,
    });
    const engine = createGroupEngine({ crypto, clock, trust: contacts });
    const context: ClientContext = {
      ...{ store, crypto, clock, emit, contacts, engine },
      device: localDevice(identity),
      account: identity.account,
      fingerprint: this.fingerprint,
      conversations: new Map(loadConversations(store, engine).map((one) => [one.id, one])),
      entered(writer, group) {
        forgetSenders(writer, group);
        return parts.outbox.unseal(writer, group);
      },
      goesOn: (lost, as) => parts.outbox.move(lost.id, as),
      cameBack: (group) => parts.outbox.sendAgain(group),
      relay() {
        if (!context.online) throw new AronaError("CLOSED", "Cannot do that: not connected to the relay");
        return parts.api!;
      },
      get online() {
        return parts.api !== null && !parts.api.link.closed;
      },
      stopped: new AbortController().signal,
      background(task) {
        task().catch((error) => {
          if (isAronaError(error, "CLOSED", "TIMEOUT", "CONFLICT", "FORBIDDEN")) return;
          const code = isAronaError(error) ? error.code : "INTERNAL";
          emit({ type: "Fault", code, reason: error instanceof Error ? error.message : String(error) });
        });
      },
    };
    const membership = new Membership(context, {
      settlePending: (conversation) => parts.inbox.settlePending(conversation),
      synchronize: (conversation) => parts.inbox.synchronize(conversation),
      removed: (conversation) => parts.inbox.removed(conversation),
    });
    const parts: Parts = {
      context,
      membership,
      inbox: new Inbox(context, () => membership),
      outbox: new Outbox(context, {
        onSent: (conversation) => membership.maintain(conversation),
        synchronize: (conversation) => parts.inbox.synchronize(conversation),
        session: () => parts.api === null || parts.api.link.closed ? null : parts.session,
      }),
      api: null,
      session: null,
    };
    return parts;
  }

  async #dial(parts: Parts, line: HeldLine): Promise<void> {
    const { crypto, clock, document } = this.ground;
    const { context, membership, inbox, outbox } = parts;
    const { account } = context;
    const connection = await connectSecure({ transport: line.near, crypto, clock, document });
    const ready = Promise.withResolvers<void>();
    ready.promise.catch(() => {});
    const inOrder = async <T>(action: () => Promise<T>) => {
      await ready.promise;
      return await action();
    };
    const { certificate, publicKey, privateKey } = context.device.keys[MANDATORY_SUITE];
    try {
      const { blobs } = await createAuth(crypto, {
        ...{ connection, account, certificate },
        devicePublicKey: publicKey,
        devicePrivateKey: privateKey,
      });
      const link = await RelayLink.login(connection, {
        auth: { fields: { account }, blobs },
        clock,
        handlers: {
          onDelivery: (delivery) => inOrder(() => inbox.deliver(delivery)),
          onEvent: (event) => inOrder(() => inbox.event(event)),
          onReceipt: (receipt) => inOrder(() => outbox.receipt(receipt)),
          onClosed: () => {
            if (this.#parts === parts) this.#online = false;
          },
        },
      });
      parts.session = { link, boot: "the only one" };
      parts.api = new WatchedApi(link, (outcome) => this.ground.onCommit(this, outcome));
      const conversations = () => [...context.conversations.values()];
      for (const conversation of conversations()) {
        if (conversation.participation !== "member") continue;
        if (link.login.backlog === 0) await inbox.settlePending(conversation, { waits: false });
        else context.background(() => link.caughtUp.then(() => inbox.settlePending(conversation)));
      }
      await membership.publishLastResorts({ replaceAll: false });
      ready.resolve();
      context.background(() => membership.publishKeyPackages(link.login.keyPackages));
      for (const conversation of conversations()) {
        membership.maintain(conversation);
        membership.rescue(conversation);
      }
      if (link.login.gap) {
        context.background(async () => {
          await link.caughtUp;
          for (const conversation of conversations()) {
            if (conversation.participation === "member") await inbox.synchronize(conversation);
          }
        });
      }
      outbox.resume();
      if (this.#parts !== parts || link.closed) return;
      this.#online = true;
      for (const wake of this.#wakers) wake();
      this.#wakers.clear();
    } catch (error) {
      ready.reject(error);
      connection.abort();
      throw error;
    }
  }
}

/** Tells what became of each commit. */
class WatchedApi extends RelayApi {
  constructor(
    link: RelayLink,
    private readonly onCommit: (outcome: { code: string; hash: string }) => void,
  ) {
    super(link);
  }

  override async commit(
    request: CommitRequest,
    onAnswer: (queued: number) => Promise<void>,
  ): Promise<number> {
    const hash = createHash("sha256").update(request.commit).digest("hex");
    try {
      const queued = await super.commit(request, onAnswer);
      this.onCommit({ code: "OK", hash });
      return queued;
    } catch (error) {
      this.onCommit({ code: isAronaError(error) ? error.code : "INTERNAL", hash });
      throw error;
    }
  }
}
