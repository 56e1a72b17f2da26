/**
 * The session worker: a profile's keys, groups and history, and the client that uses them. It has its profile's folder and no network:
 * what it wants to reach, the supervisor connects it with, or does not.
 */

import { type AronaClient, linkDevice, openClient } from "../client/mod.ts";
import {
  type Candidate,
  type Dial,
  type Discovery,
  type KnownRelay,
  savedRelay,
} from "../client/discovery/mod.ts";
import { openProfileStore, type ProfileStore, type Store } from "../client/store/mod.ts";
import {
  type CryptoProvider,
  type DeviceCode,
  type DeviceId,
  type Endpoint,
  type Fingerprint,
  fingerprintOf,
  formatEndpoint,
  formatSource,
  isAronaError,
  type RelaySource,
  selectProvider,
  systemClock,
} from "../proto/mod.ts";
import {
  type ClientFacts,
  type ClientMessage,
  type ClientMethods,
  type ClientState,
  MessageQueue,
  serveClient,
} from "./client_service.ts";
import { portTransport } from "./port_transport.ts";
import { type Contract, type RoleSide, runRole } from "./role.ts";
import { moved, type Remote } from "./rpc.ts";

/** How the profile is opened. */
export interface ProfileInit {
  /** The profile's folder, absolute. */
  readonly folder: string;
  /** Whether it is made where there is none. */
  readonly create: boolean;
  /** Whether the folder comes with it, and goes again where the profile was made for nothing. */
  readonly isNewFolder: boolean;
  /** How often the passphrase may be asked for. */
  readonly tries: number;
  /** Whether the supervisor looks for relays on the local network. */
  readonly lan: boolean;
}

/** What a session is started for. */
export type SessionInit =
  | ProfileInit & {
    readonly kind: "client";
    /** For a new profile, or another one than it knows. */
    readonly relay?: KnownRelay;
    readonly username?: string;
    readonly invite?: string;
  }
  /** To become a further device of somebody. */
  | ProfileInit & { readonly kind: "link"; readonly code: DeviceCode; readonly label: string };

/** What opening a profile has led to. */
export interface OpenedSession {
  /** Whether the profile is new. */
  readonly created: boolean;
  /** Whether no passphrase guards its keys. */
  readonly unprotected: boolean;
  /** Of a session that was started to link: nothing more. */
  readonly client: { readonly facts: ClientFacts; readonly state: ClientState } | null;
}

/** A device that was let in. */
export interface LinkedInfo {
  readonly account: string;
  readonly fingerprint: Fingerprint;
  readonly device: DeviceId;
  /** The device that made the identity, and what it is called. */
  readonly primary: DeviceId;
  readonly primaryLabel: string;
}

/** What a session and its supervisor say to each other. */
export interface SessionContract extends Contract {
  readonly role: "session";
  readonly init: SessionInit;
  readonly methods: ClientMethods & {
    opened(): OpenedSession;
    /** The machine's addresses, as a NetworkMonitor has them. */
    setNetwork(addresses: string): void;
    /** A connection ended with its worker. */
    linkLost(link: number): void;
    /** Closes client and profile. */
    closeProfile(): Promise<void>;
    /** Closes them, and removes the profile where this session has made it. */
    discardProfile(): Promise<void>;
  };
  readonly event: ClientMessage;
  readonly host: {
    /** @param again whether the one before was wrong @throws whatever the session shall fail with */
    passphrase(again: boolean): Promise<string>;
    /**
     * What the profile knows of its relay, once, before anything is asked of the network.
     *
     * @returns what to use instead, if anything
     */
    relayFor(known: KnownRelay): Promise<KnownRelay | undefined>;
    /** @param document the newest one, which may name the address @throws {AronaError} `FORBIDDEN`, `UNREACHABLE` */
    dial(
      link: number,
      to: { endpoint: Endpoint; document: Uint8Array | null },
      port: MessagePort,
      signal: AbortSignal,
    ): Promise<void>;
    look(
      source: RelaySource,
      options: { document: Uint8Array | null; fingerprint?: Uint8Array },
      signal: AbortSignal,
    ): Promise<readonly Candidate[]>;
    /** A device was let in; then the passphrase is asked for where the profile is new. */
    linked(info: LinkedInfo): void | Promise<void>;
  };
}

runRole<SessionContract>(async (init, side) => {
  const session = new Session(side);
  try {
    return await session.start(init);
  } catch (error) {
    await session.close({ discard: true });
    throw error;
  }
});

class Session {
  readonly #host: Remote<SessionContract["host"]>;
  readonly #side: RoleSide<SessionContract>;
  readonly #network = { text: "", addresses: () => this.#network.text };
  readonly #reach: SessionReach;
  #profile: ProfileStore | null = null;
  #client: AronaClient | null = null;
  #newFolder: string | null = null;

  constructor(side: RoleSide<SessionContract>) {
    this.#side = side;
    this.#host = side.host;
    this.#reach = new SessionReach(side.host);
  }

  async start(init: SessionInit): Promise<SessionContract["methods"]> {
    const crypto = await selectProvider();
    if (init.isNewFolder) this.#newFolder = init.folder;
    const service = init.kind === "client"
      ? await this.#openClient(init, crypto)
      : await this.#link(init, crypto);
    const { created, unprotected } = this.#profile!;
    return {
      ...service?.methods ?? {} as ClientMethods,
      opened: () => ({
        created,
        unprotected,
        client: service === null ? null : { facts: service.facts, state: service.state },
      }),
      setNetwork: (addresses) => this.#network.text = addresses,
      linkLost: (link) => this.#reach.lost(link),
      closeProfile: () => this.close({ discard: false }),
      discardProfile: () => this.close({ discard: true }),
    };
  }

  /** @param options.discard whether a profile that this session has made goes again */
  async close({ discard }: { discard: boolean }): Promise<void> {
    const profile = this.#profile;
    this.#profile = null;
    await this.#client?.close();
    profile?.close();
    if (!discard || !profile?.created || this.#newFolder === null) return;
    await Deno.remove(this.#newFolder, { recursive: true }).catch(() => {});
  }

  async #openClient(init: SessionInit & { kind: "client" }, crypto: CryptoProvider) {
    const { username, invite, lan } = init;
    const { store } = await this.#openProfile(init, crypto);
    const known = savedRelay(store);
    const relay = known === null ? init.relay : await this.#host.relayFor(known) ?? init.relay;
    const messages = new MessageQueue(this.#side);
    this.#reach.store = store;
    this.#client = await openClient({
      store,
      crypto,
      dial: this.#reach.dial,
      network: this.#network,
      relay,
      discovery: this.#reach.discovery(lan),
      username,
      invite,
      room: () => messages.sent(),
    });
    return serveClient(this.#client, messages);
  }

  /** Where the profile is there, its passphrase comes first; a new one is called like the person that is not known before. */
  async #link(init: SessionInit & { kind: "link" }, crypto: CryptoProvider): Promise<null> {
    const { code, label, create } = init;
    const existing = create ? undefined : (await this.#openProfile(init, crypto)).store;
    const linked = await linkDevice({
      crypto,
      clock: systemClock,
      dial: this.#reach.dial,
      code,
      label,
      existing,
    });
    const { account, device, identityKey, primary } = linked.identity;
    const fingerprint = fingerprintOf(crypto, identityKey);
    await this.#host.linked({ account, fingerprint, device, primary, primaryLabel: linked.primaryLabel });
    const { store } = this.#profile ?? await this.#openProfile(init, crypto);
    linked.save(store);
    return null;
  }

  async #openProfile({ folder, create, tries }: ProfileInit, crypto: CryptoProvider): Promise<ProfileStore> {
    for (let left = tries, again = false;; left--, again = true) {
      try {
        const passphrase = () => this.#host.passphrase(again);
        return this.#profile = await openProfileStore({ folder, passphrase, crypto, create });
      } catch (error) {
        if (left <= 1 || !isAronaError(error, "WRONG_PASSPHRASE")) throw error;
      }
    }
  }
}

/** The network as the session has it: through its supervisor. */
class SessionReach {
  readonly #host: Remote<SessionContract["host"]>;
  readonly #links = new Map<number, () => void>();
  /** What has been reached before needs no document to name it. */
  readonly #reached = new Set<string>();
  #lastLink = 0;
  /** Has the newest document. @default there is none */
  store: Store | null = null;

  constructor(host: Remote<SessionContract["host"]>) {
    this.#host = host;
  }

  readonly dial: Dial = async ({ hostname, port, signal }) => {
    const link = ++this.#lastLink;
    const { port1, port2 } = new MessageChannel();
    const address = formatEndpoint({ hostname, port });
    const transport = portTransport(port1, { remoteAddress: address });
    this.#links.set(link, () => transport.close());
    try {
      const to = { endpoint: { hostname, port }, document: this.#documentFor(address) };
      await this.#host.dial(link, to, moved(port2), signal ?? new AbortController().signal);
      this.#reached.add(address);
    } catch (error) {
      this.#links.delete(link);
      transport.close();
      throw error;
    }
    return {
      remoteAddress: transport.remoteAddress,
      send: (bytes) => transport.send(bytes),
      close: () => {
        this.#links.delete(link);
        transport.close();
      },
      [Symbol.asyncIterator]: () => transport[Symbol.asyncIterator](),
    };
  };

  discovery(lan: boolean): Discovery {
    return {
      lan,
      look: async (source, { fingerprint, signal }) => {
        const document = this.#documentFor(formatSource(source));
        const found = await this.#host.look(source, { document, fingerprint }, signal);
        this.#reached.add(formatSource(source));
        return found;
      },
    };
  }

  lost(link: number): void {
    this.#links.get(link)?.();
    this.#links.delete(link);
  }

  #documentFor(place: string): Uint8Array | null {
    if (this.store === null || this.#reached.has(place)) return null;
    return savedRelay(this.store)?.document ?? null;
  }
}
