/** A relay and its people for tests: real sockets on loopback, stores in memory, everything ended at the end of the test. */

import {
  type AronaClient,
  type ClientEvent,
  type ClientEventType,
  type Conversation,
  type EventOf,
  linkDevice,
  openClient,
} from "../../client/mod.ts";
import type { Discovery, KnownRelay } from "../../client/discovery/mod.ts";
import { createMemoryStore, type Store } from "../../client/store/mod.ts";
import {
  type Clock,
  connectTcp,
  type CryptoProvider,
  parseDeviceCode,
  parseLink,
  selectProvider,
  systemClock,
} from "../../proto/mod.ts";
import {
  type MailboxStore,
  MemoryMailboxStore,
  MemoryRelayStore,
  type RelayStore,
  type RunningRelay,
  startRelay,
} from "../../server/mod.ts";

const WAIT_MS = 20_000;

/** A person with a client, and what it has reported. */
export class Person {
  readonly events: ClientEvent[] = [];
  readonly #wakers = new Set<() => void>();

  constructor(
    readonly name: string,
    readonly client: AronaClient,
    readonly store: Store,
    /** Which of the person's devices it is; the first has no name. */
    readonly device?: string,
  ) {
    client.onAny((event) => {
      this.events.push(event);
      for (const wake of [...this.#wakers]) wake();
    });
  }

  get key(): string {
    return this.device === undefined ? this.name : `${this.name}/${this.device}`;
  }

  /** Texts of the messages seen in a conversation, own ones too. */
  texts(title: string): string[] {
    return this.of("MsgCreated").filter((event) => event.group === title).map((event) => event.text);
  }

  of<T extends ClientEventType>(type: T): EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type);
  }

  hears(text: string): Promise<void> {
    return this.until(
      `to hear ${JSON.stringify(text)}`,
      () => this.of("MsgCreated").some((event) => event.text === text),
    );
  }

  /** Waits for a conversation that this device takes part in. */
  async has(title: string): Promise<Conversation> {
    const find = () =>
      this.client.conversations().find((c) => c.title === title && c.participation === "member");
    await this.until(`to be in ${title}`, () => find() !== undefined);
    return find()!;
  }

  async says(conversation: Conversation, text: string): Promise<string> {
    const sending = this.client.send(conversation, text);
    await sending.accepted;
    return sending.id;
  }

  /** Waits for an event to make `condition` true. No polling: it is looked at after each event. */
  async until(what: string, condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const wake = () => condition() && resolve();
    this.#wakers.add(wake);
    const late = setTimeout(() => {
      const seen = this.events.slice(-8).map((event) => JSON.stringify(event)).join("\n  ");
      reject(new Error(`${this.name} waited in vain ${what}; last events:\n  ${seen}`));
    }, WAIT_MS);
    await promise.finally(() => {
      clearTimeout(late);
      this.#wakers.delete(wake);
    });
  }
}

/** One relay and everybody who uses it. */
export class World {
  readonly people = new Map<string, Person>();

  private constructor(
    public relay: RunningRelay,
    readonly store: RelayStore,
    readonly crypto: CryptoProvider,
    private readonly openMailboxes: () => MailboxStore,
    private mailboxes: MailboxStore,
  ) {}

  /** @param options.mailboxes opens the mailboxes of each run of the relay. @default in memory */
  static async open(
    options: { store?: RelayStore; inviteOnly?: boolean; mailboxes?: () => MailboxStore } = {},
  ): Promise<World> {
    const crypto = await selectProvider();
    const { store = new MemoryRelayStore(), inviteOnly, mailboxes: open = () => new MemoryMailboxStore() } =
      options;
    const mailboxes = open();
    const relay = await startTestRelay(crypto, store, { port: 0, inviteOnly, mailboxes });
    return new World(relay, store, crypto, open, mailboxes);
  }

  /** A connected person; the same name again goes on with the same store. */
  async person(
    name: string,
    options: {
      store?: Store;
      link?: string;
      connect?: boolean;
      clock?: Clock;
      device?: string;
      crypto?: CryptoProvider;
      /** @default over TCP */
      dial?: typeof connectTcp;
      /** Instead of the link. */
      relay?: KnownRelay;
      discovery?: Discovery;
    } = {},
  ): Promise<Person> {
    const store = options.store ?? createMemoryStore();
    const client = await openClient({
      store,
      crypto: options.crypto ?? this.crypto,
      dial: options.dial ?? connectTcp,
      link: options.relay === undefined ? options.link ?? this.relay.link : undefined,
      relay: options.relay,
      discovery: options.discovery,
      username: name,
      clock: options.clock,
    });
    const person = new Person(name, client, store, options.device);
    this.people.set(person.key, person);
    if (options.connect !== false) await client.connect();
    return person;
  }

  /** One more device of a person, let in by the one that made the identity. */
  async furtherDevice(primary: Person, device: string, options: { connect?: boolean } = {}): Promise<Person> {
    const store = createMemoryStore();
    const offer = await primary.client.offerDevice({ label: "first" });
    const linked = await linkDevice({
      crypto: this.crypto,
      clock: systemClock,
      dial: connectTcp,
      code: parseDeviceCode(offer.code),
      label: device,
    });
    linked.save(store);
    await offer.linked;
    const person = await this.person(primary.name, { store, device, connect: options.connect });
    if (options.connect !== false) await primary.client.deviceEverywhere(linked.identity.device);
    return person;
  }

  /** Closes a person's client and opens it again from its store. */
  async restart(person: Person): Promise<Person> {
    await person.client.close();
    return await this.person(person.name, { store: person.store, device: person.device });
  }

  /**
   * Stops the relay and starts it again with the same store; memory is gone.
   *
   * @param options.port where. @default the same port as before
   */
  async restartRelay(options: { port?: number } = {}): Promise<void> {
    const { port = parseLink(this.relay.link).port } = options;
    await this.relay.stop();
    this.mailboxes.close();
    this.mailboxes = this.openMailboxes();
    this.relay = await startTestRelay(this.crypto, this.store, { port, mailboxes: this.mailboxes });
  }

  async close(): Promise<void> {
    await Promise.all([...this.people.values()].map((person) => person.client.close()));
    await this.relay.stop();
    this.mailboxes.close();
    this.store.close();
  }
}

/** Runs `story` in a fresh world and ends it whatever happens. */
export async function inWorld(
  story: (world: World) => Promise<void>,
  options: Parameters<typeof World.open>[0] = {},
) {
  const world = await World.open(options);
  try {
    await story(world);
  } finally {
    await world.close();
  }
}

function startTestRelay(
  crypto: CryptoProvider,
  store: RelayStore,
  options: { port: number; inviteOnly?: boolean; mailboxes: MailboxStore },
): Promise<RunningRelay> {
  return startRelay({
    listen: { hostname: "127.0.0.1", port: options.port },
    store,
    mailboxes: options.mailboxes,
    crypto,
    clock: systemClock,
    name: "test",
    limits: { registration: options.inviteOnly ? "invite-only" : "open" },
    log: () => {},
  });
}
