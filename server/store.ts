/**
 * The RelayStore port: what the relay keeps on disk. Never an application message.
 *
 * Calls are synchronous and each is one transaction: it has happened completely, and durably, when it returns, or it throws and
 * nothing has changed. Adapters: sqlite_store.ts, memory_store.ts; tests/suites/relay_store_suite.ts says what all of them do.
 */

import type { AccountName, DeviceId, GroupId } from "../proto/mod.ts";

/** The three kinds of group. */
export type GroupKind = "dm" | "group" | "channel";

/** The relay's long-term identity (ML-DSA-65), or one of its X-Wing keys; the private key is a seed. */
export interface StoredKeyPair {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

/** A relay key and its validity, milliseconds since the epoch. */
export interface StoredRelayKey extends StoredKeyPair {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** An account is a name and the identity that took it first. */
export interface StoredAccount {
  readonly account: AccountName;
  /** SHA-256 of the identity key, 64 hexadecimal digits. */
  readonly fingerprint: string;
}

/** Whom the relay keeps out: a name, or an identity under whatever name. */
export interface StoredBan {
  readonly kind: "account" | "fingerprint";
  /** The account's name, or 64 hexadecimal digits. */
  readonly subject: string;
  readonly atMs: number;
}

/** A code that lets one account in, or has let one in. */
export interface StoredInvite {
  /** SHA-256 of the code. */
  readonly hash: Uint8Array;
  /** 0 where an earlier version has made it. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** When it was used or revoked; null before that. */
  readonly endedAtMs: number | null;
  /** The account that it let in; empty where it has let nobody in. */
  readonly usedBy: string;
}

/** The Gist that holds the relay's document. */
export interface StoredGist {
  readonly id: string;
  /** Whose it is; empty where that leads nobody to it: it is not known, or the Gist is not public. */
  readonly login: string;
}

/** A device of an account. */
export interface StoredDevice {
  readonly device: DeviceId;
  readonly account: AccountName;
  readonly certificate: Uint8Array;
  readonly deviceKey: Uint8Array;
}

/** Login tickets of a device (logins.ts); empty for none. */
export interface StoredTickets {
  /** The newest one that it has for sure. */
  readonly held: string;
  /** Given out since. */
  readonly offered: string;
}

/** A member's device. */
export interface StoredMember {
  readonly device: DeviceId;
  readonly account: AccountName;
}

/** A device that has left and whose leaf no commit has removed yet. */
export interface StoredLeaver extends StoredMember {
  readonly statement: Uint8Array;
}

/** What is fixed when a group is created. */
export interface GroupHead {
  readonly group: GroupId;
  readonly kind: GroupKind;
  readonly suite: number;
  /** `#name` of a channel; otherwise what its creator called it, or empty. */
  readonly name: string;
  readonly creator: AccountName;
  /** The other account of a dm. */
  readonly peer: AccountName | null;
}

/** A group as it stands. */
export interface StoredGroup extends GroupHead {
  readonly epoch: number;
  readonly admins: readonly string[];
  readonly banned: readonly string[];
  readonly members: readonly StoredMember[];
  readonly leavers: readonly StoredLeaver[];
}

/** One accepted commit and everything that changes with it. */
export interface StoredCommit {
  readonly group: GroupId;
  /** The epoch before the commit. */
  readonly epoch: number;
  /** SHA-256 of the commit. */
  readonly hash: Uint8Array;
  readonly commit: Uint8Array;
  readonly add: readonly StoredMember[];
  readonly remove: readonly DeviceId[];
  readonly admins?: readonly string[];
  readonly banned?: readonly string[];
  readonly groupInfo?: Uint8Array;
  /** Who made it. Without one it cannot be taken back. */
  readonly committer?: StoredMember;
  /** Kept for each of `devices`, which count as invited until they have it: all of `add` but an external committer. */
  readonly welcome?: {
    readonly envelope: string;
    readonly payload: Uint8Array;
    readonly devices: readonly DeviceId[];
  };
  readonly atMs: number;
}

/** The commit that brought a group to its epoch. */
export interface NewestCommit {
  /** The epoch before the commit. */
  readonly epoch: number;
  /** SHA-256 of the commit. */
  readonly hash: Uint8Array;
  readonly committer: StoredMember;
}

/** A Welcome that waits for a device, without its bytes. */
export interface StoredWelcome {
  /** 32 hexadecimal digits. */
  readonly envelope: string;
  /** The account that invites; empty where it is not known. */
  readonly inviter: string;
  readonly group: GroupId;
  /** The epoch that it lets into. */
  readonly epoch: number;
  readonly atMs: number;
  readonly bytes: number;
}

/** The log of a group from an epoch on. */
export interface CommitRange {
  /** Epoch of the first of `commits`; the one asked for where there are none. */
  readonly from: number;
  readonly commits: readonly Uint8Array[];
  /** Whether the log no longer reaches back to the epoch asked for. */
  readonly gone: boolean;
}

/** How a registration ended. */
export type RegistrationResult = "registered" | "taken" | "bad_invite";

/** Everything that survives a restart of the relay. */
export interface RelayStore {
  identity(): StoredKeyPair | null;
  saveIdentity(keys: StoredKeyPair): void;
  relayKeys(): StoredRelayKey[];
  saveRelayKey(key: StoredRelayKey): void;
  /** Forgets the keys whose certificate ended before `nowMs`. */
  expireRelayKeys(nowMs: number): void;
  /** The next sequence number of the discovery document: 1, 2, 3 … over all starts. */
  nextSequence(): number;
  /**
   * The store was put back from a backup: `count` of the document's numbers are left out, so that none comes twice, and all KeyPackages are
   * forgotten, since some of them have been used. Their devices publish new ones when they connect.
   */
  wasRestored(options: { skippedSequences: number }): void;
  /** As it was saved last; null before that. */
  publishedGist(): StoredGist | null;
  savePublishedGist(gist: StoredGist): void;

  account(account: string): StoredAccount | null;
  accountCount(): number;
  /** Every account of the same identity, the one asked about among them. */
  namesOf(account: string): string[];
  /** Takes the name, uses the invite up where one is given, adds the first device: all or nothing. */
  register(options: {
    account: StoredAccount;
    device: StoredDevice;
    /** SHA-256 of the invite code. */
    invite?: Uint8Array;
    nowMs: number;
  }): RegistrationResult;
  /** @returns false where it was there already */
  ban(ban: StoredBan): boolean;
  /** @returns false where there was none */
  unban(ban: Pick<StoredBan, "kind" | "subject">): boolean;
  /** Oldest first. */
  bans(): StoredBan[];
  /** Whether the name or the identity is kept out. */
  isBanned(account: StoredAccount): boolean;
  device(device: DeviceId): StoredDevice | null;
  devicesOf(account: string): StoredDevice[];
  /** Adds a device or replaces its certificate and key. */
  saveDevice(device: StoredDevice): void;
  /** The login tickets of a device; empty where none was kept. */
  ticketsOf(device: DeviceId): StoredTickets;
  saveTickets(tickets: ReadonlyMap<DeviceId, StoredTickets>): void;
  /**
   * Forgets a device, its KeyPackages and its Welcomes, and remembers its id. Every group that it is in keeps it as a leaver with the
   * statement, also where taking the newest commit back would make it a member again; a group without anybody else is forgotten.
   */
  revokeDevice(leaver: StoredLeaver): void;
  /** Whose device it was that {@link revokeDevice} has taken back. */
  revokedAccount(device: DeviceId): AccountName | null;
  revokedCount(account: string): number;
  /**
   * Forgets those that have ended or expired before `forgetBeforeMs`, and the oldest of them where they are more than `limit`.
   *
   * @param invite SHA-256 of the code
   * @returns false where `limit` invites wait already
   */
  addInvite(
    invite: Uint8Array,
    options: { expiresAtMs: number; nowMs: number; forgetBeforeMs: number; limit: number },
  ): boolean;
  invite(hash: Uint8Array): StoredInvite | null;
  /** Oldest first. */
  invites(): StoredInvite[];
  /** @returns false where it waits no more */
  revokeInvite(hash: Uint8Array, options: { nowMs: number }): boolean;

  /** Adds KeyPackages unless the device would have more than `limit` of the suite. @returns whether it did */
  addKeyPackages(
    device: DeviceId,
    options: {
      suite: number;
      keyPackages: readonly Uint8Array[];
      lastResort?: Uint8Array;
      limit: number;
      /** Forgets the unused ones first. @default false */
      replace?: boolean;
    },
  ): boolean;
  /** Unused KeyPackages, the last resort not counted. */
  keyPackageCount(device: DeviceId, suite: number): number;
  keyPackageCounts(device: DeviceId): Map<number, number>;
  /** Takes the oldest KeyPackage, or hands out the last resort, which stays. */
  takeKeyPackage(device: DeviceId, suite: number): Uint8Array | null;

  groupCount(): number;
  group(group: GroupId): StoredGroup | null;
  channel(name: string): GroupId | null;
  /** The dm of two accounts, in either order. */
  dm(a: string, b: string): GroupId | null;
  channels(limit: number): { name: string; members: number }[];
  groupsOfDevice(device: DeviceId): GroupId[];
  /** Groups in which any device of the account is and which it took part in making so: not those it was only invited to. */
  groupCountOf(account: string): number;
  /** At epoch 0, with one member whose account is the first admin. @returns false where the id, channel or dm exists */
  createGroup(
    head: GroupHead,
    options: { member: StoredMember; groupInfo?: Uint8Array; atMs: number },
  ): boolean;
  groupInfo(group: GroupId): Uint8Array | null;
  /**
   * Moves the group from `commit.epoch` to the next epoch.
   *
   * @returns false where `commit.epoch` is not the group's epoch; nothing has changed then
   */
  commit(commit: StoredCommit): boolean;
  /** The newest commit where it can be taken back. */
  newestCommit(group: GroupId): NewestCommit | null;
  /**
   * Takes the newest commit back: epoch, log, members, leavers, roles and GroupInfo are as before it, its Welcomes are forgotten, and its
   * committer's account is banned unless it is an admin. Who has left or come in otherwise since then stays so.
   *
   * @param epoch the one before the commit
   * @param options.ban whether to ban. @default true
   * @returns false where there is no such commit to take back; nothing has changed then
   */
  takeBack(group: GroupId, epoch: number, options?: { ban: boolean }): boolean;
  commits(group: GroupId, epoch: number): CommitRange;
  /** SHA-256 of the commit from `epoch` on, where it is still kept. */
  commitHash(group: GroupId, epoch: number): Uint8Array | null;
  /** Ends the membership of a device and keeps its statement. */
  leave(group: GroupId, leaver: StoredLeaver): void;
  /** Ends the membership of a device that never took part, and forgets the group's Welcomes for it. */
  decline(group: GroupId, device: DeviceId): void;
  /** Forgets a group with its log and its waiting Welcomes. */
  deleteGroup(group: GroupId): void;

  /** Oldest first. */
  welcomes(device: DeviceId): StoredWelcome[];
  welcome(envelope: string): Uint8Array | null;
  /** The device has stored it and is no longer only invited. */
  forgetWelcome(device: DeviceId, envelope: string): void;

  close(): void;
}

/** The ban list once a commit is taken back: its committer is kept out from then on, unless it is an admin. */
export function bansAfterTakingBack(
  before: { admins: readonly string[]; banned: readonly string[]; committer: string },
): readonly string[] {
  const { admins, banned, committer } = before;
  return admins.includes(committer) || banned.includes(committer) ? banned : [...banned, committer];
}
