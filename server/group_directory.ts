/** Groups in memory, so that no message ever waits for the database: what the store holds, kept in step with every change. */

import type { AccountName, DeviceId, GroupId } from "../proto/mod.ts";
import type { Bus, Recipient } from "./bus.ts";
import type { Recipients } from "./recipients.ts";
import type { Returner } from "./returns.ts";
import type {
  GroupHead,
  RelayStore,
  StoredCommit,
  StoredGroup,
  StoredLeaver,
  StoredMember,
} from "./store.ts";

/** A group as the relay routes it. */
export class GroupState {
  readonly members = new Map<DeviceId, Recipient>();
  readonly leavers = new Map<DeviceId, StoredLeaver>();
  /** Devices that have lost their state and wait for another leaf. */
  readonly returners = new Map<DeviceId, Returner>();
  epoch: number;
  admins: ReadonlySet<string>;
  banned: ReadonlySet<string>;

  constructor(readonly head: GroupHead, stored: StoredGroup) {
    this.epoch = stored.epoch;
    this.admins = new Set(stored.admins);
    this.banned = new Set(stored.banned);
    for (const leaver of stored.leavers) this.leavers.set(leaver.device, leaver);
  }

  isAdmin(account: AccountName): boolean {
    return this.admins.has(account);
  }
}

/** All groups, loaded when they are first needed. */
export class GroupDirectory {
  readonly #groups = new Map<GroupId, GroupState>();

  constructor(
    private readonly store: RelayStore,
    private readonly bus: Bus,
    private readonly recipients: Recipients,
  ) {}

  /** @returns null where no such group exists */
  find(group: GroupId): GroupState | null {
    return this.#groups.get(group) ?? this.#load(group);
  }

  /** Writes a new group through to the store. @returns false where it exists already */
  create(head: GroupHead, options: { member: StoredMember; groupInfo?: Uint8Array; atMs: number }): boolean {
    if (!this.store.createGroup(head, options)) return false;
    this.#load(head.group);
    return true;
  }

  /** Writes a commit through to the store. @returns false where its epoch is not the group's */
  commit(state: GroupState, commit: StoredCommit): boolean {
    if (!this.store.commit(commit)) return false;
    state.epoch = commit.epoch + 1;
    for (const device of commit.remove) this.#drop(state, device);
    for (const member of commit.add) this.#admit(state, member);
    if (commit.admins !== undefined) state.admins = new Set(commit.admins);
    if (commit.banned !== undefined) state.banned = new Set(commit.banned);
    return true;
  }

  /** Takes the newest commit back, in the store too. @returns false where it is not the one from `epoch` on */
  takeBack(state: GroupState, epoch: number): boolean {
    const { group } = state.head;
    if (!this.store.takeBack(group, epoch)) return false;
    const stored = this.store.group(group)!;
    state.epoch = stored.epoch;
    state.admins = new Set(stored.admins);
    state.banned = new Set(stored.banned);
    const members = new Set(stored.members.map(({ device }) => device));
    for (const device of [...state.members.keys()]) if (!members.has(device)) this.#drop(state, device);
    for (const member of stored.members) if (!state.members.has(member.device)) this.#admit(state, member);
    const leavers = new Set(stored.leavers.map(({ device }) => device));
    for (const device of [...state.leavers.keys()]) if (!leavers.has(device)) state.leavers.delete(device);
    for (const leaver of stored.leavers) {
      if (!state.leavers.has(leaver.device)) state.leavers.set(leaver.device, leaver);
    }
    return true;
  }

  /** Ends the membership of a device that never took part. */
  decline(state: GroupState, device: DeviceId): void {
    this.store.decline(state.head.group, device);
    this.#drop(state, device);
  }

  leave(state: GroupState, leaver: StoredLeaver): void {
    this.store.leave(state.head.group, leaver);
    this.#drop(state, leaver.device);
    state.leavers.set(leaver.device, leaver);
  }

  delete(state: GroupState): void {
    const { group } = state.head;
    this.store.deleteGroup(group);
    this.#groups.delete(group);
    this.bus.forget(group);
  }

  #load(group: GroupId): GroupState | null {
    const stored = this.store.group(group);
    if (stored === null) return null;
    const { kind, suite, name, creator, peer } = stored;
    const state = new GroupState({ group, kind, suite, name, creator, peer }, stored);
    for (const member of stored.members) this.#admit(state, member);
    this.#groups.set(group, state);
    return state;
  }

  #admit(state: GroupState, { device, account }: StoredMember): void {
    const recipient = this.recipients.get(device, account);
    state.members.set(device, recipient);
    state.leavers.delete(device);
    this.bus.subscribe(state.head.group, recipient);
  }

  #drop(state: GroupState, device: DeviceId): void {
    state.members.delete(device);
    state.leavers.delete(device);
    this.bus.unsubscribe(state.head.group, device);
  }
}
