/** People, devices and engines for the tests of groups. */

import {
  type AccountName,
  type AronaError,
  createNativeProvider,
  type CryptoProvider,
  type DeviceId,
  type ErrorCode,
  FakeClock,
  type GroupId,
  isAronaError,
  issueCertificate,
  type KeyPair,
  toHex,
} from "../../proto/mod.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";
import { probe } from "../../proto/crypto/select.ts";
import {
  createGroupEngine,
  type DeviceKeys,
  type Group,
  type GroupEngine,
  type GroupKind,
  type KeyPackagePair,
  type LocalDevice,
  MANDATORY_SUITE,
  SUITE_IDS,
  type SuiteId,
  SUITES,
  type TrustService,
} from "../../client/groups/mod.ts";
import assert from "node:assert/strict";

const YEAR_MS = 365 * 86_400_000;

export const noble: CryptoProvider = createNobleProvider();
/** The native provider, or noble where the runtime lacks it. */
export const native: CryptoProvider = await probe(createNativeProvider()) ? createNativeProvider() : noble;

/** A person with one or more devices. */
export interface Person {
  readonly account: AccountName;
  readonly identity: KeyPair;
}

/** A device and its engine. */
export interface Peer {
  readonly device: LocalDevice;
  readonly engine: GroupEngine;
}

/** Everything that a test's groups share. */
export interface World {
  readonly clock: FakeClock;
  readonly crypto: CryptoProvider;
  person(account: string): Promise<Person>;
  /** Another device of a person, or the first of a new one. */
  peer(who: string | Person, options?: PeerOptions): Promise<Peer>;
  groupId(): GroupId;
}

export interface PeerOptions {
  readonly crypto?: CryptoProvider;
  readonly trust?: TrustService;
  readonly device?: DeviceId;
  /** When the certificates end. @default a year from now */
  readonly notAfterMs?: number;
}

export function createWorld(crypto: CryptoProvider = native): World {
  const clock = new FakeClock();
  const world: World = {
    clock,
    crypto,
    async person(account) {
      return { account: account as AccountName, identity: await crypto.signatureKeyPair("ML-DSA-65") };
    },
    async peer(who, options = {}) {
      const person = typeof who === "string" ? await world.person(who) : who;
      const provider = options.crypto ?? crypto;
      const device = options.device ?? toHex(crypto.randomBytes(16)) as DeviceId;
      const keys: Partial<Record<SuiteId, DeviceKeys>> = {};
      for (const suite of SUITE_IDS) {
        const pair = await crypto.signatureKeyPair(SUITES[suite].signature);
        const certificate = await issueCertificate(crypto, {
          identity: person.identity,
          deviceKey: pair.publicKey,
          algorithm: SUITES[suite].certificate,
          account: person.account,
          device,
          notBeforeMs: clock.now(),
          notAfterMs: options.notAfterMs ?? clock.now() + YEAR_MS,
        });
        keys[suite] = { ...pair, certificate };
      }
      return {
        device: {
          account: person.account,
          device,
          identityKey: person.identity.publicKey,
          keys: keys as Record<SuiteId, DeviceKeys>,
        },
        engine: createGroupEngine({
          crypto: provider,
          clock,
          trust: options.trust ?? { check: () => "trusted" },
        }),
      };
    },
    groupId: () => toHex(crypto.randomBytes(16)) as GroupId,
  };
  return world;
}

/** Members of one group with their current values, kept in step. */
export class Room {
  readonly seats: { peer: Peer; group: Group }[] = [];

  constructor(readonly world: World) {}

  static async open(
    world: World,
    creator: Peer,
    options: { kind: GroupKind; suite?: SuiteId; name?: string },
  ): Promise<Room> {
    const { kind, suite = MANDATORY_SUITE } = options;
    const name = options.name ?? (kind === "dm" ? "" : kind === "channel" ? "#lobby" : "friends");
    const room = new Room(world);
    const group = await creator.engine.create(creator.device, { group: world.groupId(), suite, kind, name });
    room.seats.push({ peer: creator, group });
    return room;
  }

  get groups(): Group[] {
    return this.seats.map(({ group }) => group);
  }

  at(index: number): { peer: Peer; group: Group } {
    return this.seats.at(index)!;
  }

  seatOf(peer: Peer): { peer: Peer; group: Group } {
    return this.seats.find((seat) => seat.peer === peer)!;
  }

  /** Commits a change as the member in seat `index`, and everybody else processes it. Whoever is removed loses the seat. */
  async commit(
    index: number,
    change: Parameters<GroupEngine["commit"]>[1],
  ): Promise<{ commit: Uint8Array; welcome?: Uint8Array }> {
    const seat = this.seats[index];
    const made = await seat.peer.engine.commit(seat.group, change);
    await this.deliver(made.commit, { except: seat });
    seat.group = made.next;
    return made;
  }

  /** Everybody but `except` processes a commit. */
  async deliver(commit: Uint8Array, options: { except?: { peer: Peer } } = {}): Promise<void> {
    for (const seat of [...this.seats]) {
      if (seat === options.except) continue;
      const { next, summary } = await seat.peer.engine.process(seat.group, commit);
      seat.group = next;
      if (summary.selfRemoved) this.seats.splice(this.seats.indexOf(seat), 1);
    }
  }

  /** Adds peers by Welcome, all in one commit. */
  async add(index: number, peers: readonly Peer[]): Promise<void> {
    const { suite, id } = this.seats[index].group;
    const pairs: KeyPackagePair[] = [];
    for (const { engine, device } of peers) {
      pairs.push(await engine.keyPackage(device, suite, { lastResort: false }));
    }
    const keyPackages = pairs.map(({ publicBytes }) => publicBytes);
    const { welcome } = await this.commit(index, { kind: "add", keyPackages });
    for (const [i, peer] of peers.entries()) {
      const { group } = await peer.engine.joinFromWelcome(peer.device, {
        welcome: welcome!,
        keyPackages: [pairs[i]],
        expect: { group: id },
      });
      this.seats.push({ peer, group });
    }
  }

  /** Lets a peer in from outside. */
  async join(peer: Peer): Promise<void> {
    const host = this.seats[0];
    const groupInfo = await host.peer.engine.groupInfo(host.group);
    const { next, commit } = await peer.engine.joinFromGroupInfo(peer.device, {
      groupInfo,
      expect: { group: host.group.id, name: host.group.name },
    });
    const former = this.seats.findIndex((seat) => seat.peer.device.device === peer.device.device);
    if (former >= 0) this.seats.splice(former, 1);
    await this.deliver(commit);
    this.seats.push({ peer, group: next });
  }

  /** Everybody is in the same state and can read everybody. */
  async check(): Promise<void> {
    const [first] = this.groups;
    for (const group of this.groups) {
      assert.equal(group.epoch, first.epoch);
      assert.deepEqual(group.authenticator, first.authenticator);
      assert.equal(group.members.length, this.seats.length);
    }
    await this.say(0, "first");
    if (this.seats.length > 1) await this.say(this.seats.length - 1, "last");
  }

  /** One member says something and all others read it. */
  async say(index: number, text: string): Promise<void> {
    const seat = this.seats[index];
    const plaintext = new TextEncoder().encode(text);
    const { next, ciphertext } = await seat.peer.engine.encrypt(seat.group, plaintext);
    seat.group = next;
    for (const other of this.seats) {
      if (other === seat) continue;
      const opened = await other.peer.engine.decrypt(other.group, ciphertext);
      assert.deepEqual(opened.plaintext, plaintext);
      assert.equal(opened.sender.device, seat.peer.device.device);
      other.group = opened.next;
    }
  }
}

/** Asserts that `action` fails with an AronaError of one of `codes`. */
export async function refused(action: () => Promise<unknown>, ...codes: ErrorCode[]): Promise<AronaError> {
  try {
    await action();
  } catch (error) {
    if (isAronaError(error, ...codes)) return error;
    throw error;
  }
  assert.fail(`it was not refused with ${codes.join(" or ")}`);
}
