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
  /** Accounts that could not verify a commit, by its SHA-256 (hexadecimal). */
  doubts: { readonly commit: string; readonly accounts: Set<AccountName> } | null = null;
  /** How many devices of each account are members. */
  readonly accounts = new Map<AccountName, number>();
  /** Accounts with more than one. Never changed, but replaced, so that a message can keep what was true when it was sent. */
  severalDevices: ReadonlySet<AccountName> = NOBODY;
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

  /** Adds a member, or puts it in the place of the same device. */
  admit(recipient: Recipient): void {
    const { device, account } = recipient;
    if (!this.members.has(device)) this.#count(account, 1);
    this.members.set(device, recipient);
    this.leavers.delete(device);
  }

  /** Forgets a member or a leaver. */
  drop(device: DeviceId): void {
    const member = this.members.get(device);
    if (member !== undefined) this.#count(member.account, -1);
    this.members.delete(device);
    this.leavers.delete(device);
  }

  #count(account: AccountName, change: 1 | -1): void {
    const count = (this.accounts.get(account) ?? 0) + change;
    if (count === 0) this.accounts.delete(account);
    else this.accounts.set(account, count);
    if ((count > 1) === this.severalDevices.has(account)) return;
    const several = new Set(this.severalDevices);
    if (count > 1) several.add(account);
    else several.delete(account);
    this.severalDevices = several;
  }
}

const NOBODY: ReadonlySet<AccountName> = new Set();

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
    state.doubts = null;
    for (const device of commit.remove) this.#drop(state, device);
    for (const member of commit.add) this.#admit(state, member);
    if (commit.admins !== undefined) state.admins = new Set(commit.admins);
    if (commit.banned !== undefined) state.banned = new Set(commit.banned);
    return true;
  }

  /** Takes the newest commit back, in the store too. @returns false where it is not the one from `epoch` on */
  takeBack(state: GroupState, epoch: number, options: { ban: boolean }): boolean {
    const { group } = state.head;
    if (!this.store.takeBack(group, epoch, options)) return false;
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

  /** Takes a device back: it leaves every group, with the statement as its reason. @returns the groups that somebody is left in */
  revoke(leaver: StoredLeaver): GroupState[] {
    const states = this.store.groupsOfDevice(leaver.device).map((group) => this.find(group)!);
    this.store.revokeDevice(leaver);
    return states.filter((state) => {
      this.#drop(state, leaver.device);
      if (state.members.size > 0) state.leavers.set(leaver.device, leaver);
      else this.#forget(state.head.group);
      return state.members.size > 0;
    });
  }

  delete(state: GroupState): void {
    this.store.deleteGroup(state.head.group);
    this.#forget(state.head.group);
  }

  #forget(group: GroupId): void {
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
    state.admit(recipient);
    this.bus.subscribe(state.head.group, recipient);
  }

  #drop(state: GroupState, device: DeviceId): void {
    state.drop(device);
    this.bus.unsubscribe(state.head.group, device);
  }
}
