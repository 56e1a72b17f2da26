/** RelayStore in memory: for tests and for relays that may forget everything. */

import { type AccountName, type DeviceId, type GroupId, toHex } from "../proto/mod.ts";
import { MAX_LOG_BYTES, MAX_LOG_COMMITS, MAX_SYNC_BYTES, MAX_SYNC_COMMITS } from "./limits.ts";
import {
  bansAfterTakingBack,
  type CommitRange,
  type GroupHead,
  type NewestCommit,
  type RegistrationResult,
  type RelayStore,
  type StoredAccount,
  type StoredBan,
  type StoredCommit,
  type StoredDevice,
  type StoredGist,
  type StoredGroup,
  type StoredInvite,
  type StoredKeyPair,
  type StoredLeaver,
  type StoredMember,
  type StoredRelayKey,
  type StoredTickets,
  type StoredWelcome,
} from "./store.ts";

interface MemoryMember {
  readonly account: AccountName;
  /** Not only invited. */
  readonly accepted: boolean;
}

/** How what the newest commit touched was before it. */
interface MemoryUndo extends NewestCommit {
  readonly before: Pick<MemoryGroup, "admins" | "banned" | "groupInfo">;
  readonly devices: ReadonlyMap<DeviceId, { member?: MemoryMember; leaver?: StoredLeaver }>;
  readonly welcome: string | undefined;
}

interface MemoryGroup {
  head: GroupHead;
  epoch: number;
  admins: readonly string[];
  banned: readonly string[];
  members: Map<DeviceId, MemoryMember>;
  leavers: Map<DeviceId, StoredLeaver>;
  groupInfo: Uint8Array | null;
  log: { epoch: number; hash: Uint8Array; commit: Uint8Array }[];
  undo: MemoryUndo | null;
}

interface MemoryWelcome {
  welcome: StoredWelcome;
  payload: Uint8Array;
  devices: Set<DeviceId>;
}

interface MemoryKeyPackages {
  unused: Uint8Array[];
  lastResort: Uint8Array | null;
}

function waits({ endedAtMs, expiresAtMs }: StoredInvite, nowMs: number): boolean {
  return endedAtMs === null && expiresAtMs >= nowMs;
}

/** A store that lives as long as the process. */
export class MemoryRelayStore implements RelayStore {
  #identity: StoredKeyPair | null = null;
  #relayKeys: StoredRelayKey[] = [];
  #sequence = 0;
  #gist: StoredGist | null = null;
  readonly #accounts = new Map<string, StoredAccount>();
  readonly #bans = new Map<string, StoredBan>();
  readonly #devices = new Map<DeviceId, StoredDevice>();
  readonly #tickets = new Map<DeviceId, StoredTickets>();
  readonly #revoked = new Map<DeviceId, AccountName>();
  readonly #invites = new Map<string, StoredInvite>();
  readonly #keyPackages = new Map<DeviceId, Map<number, MemoryKeyPackages>>();
  readonly #groups = new Map<GroupId, MemoryGroup>();
  readonly #welcomes = new Map<string, MemoryWelcome>();

  identity(): StoredKeyPair | null {
    return this.#identity;
  }

  saveIdentity(keys: StoredKeyPair): void {
    this.#identity = keys;
  }

  relayKeys(): StoredRelayKey[] {
    return [...this.#relayKeys];
  }

  saveRelayKey(key: StoredRelayKey): void {
    this.#relayKeys.push(key);
  }

  expireRelayKeys(nowMs: number): void {
    this.#relayKeys = this.#relayKeys.filter((key) => key.notAfterMs >= nowMs);
  }

  nextSequence(): number {
    return ++this.#sequence;
  }

  wasRestored({ skippedSequences }: { skippedSequences: number }): void {
    this.#sequence += skippedSequences;
    this.#keyPackages.clear();
  }

  publishedGist(): StoredGist | null {
    return this.#gist;
  }

  savePublishedGist({ id, login }: StoredGist): void {
    this.#gist = { id, login };
  }

  account(account: string): StoredAccount | null {
    return this.#accounts.get(account) ?? null;
  }

  accountCount(): number {
    return this.#accounts.size;
  }

  namesOf(account: string): string[] {
    const fingerprint = this.#accounts.get(account)?.fingerprint;
    return [...this.#accounts.values()].filter((other) => other.fingerprint === fingerprint)
      .map((other) => other.account);
  }

  register(
    options: { account: StoredAccount; device: StoredDevice; invite?: Uint8Array; nowMs: number },
  ): RegistrationResult {
    const { account, device, invite } = options;
    if (this.#accounts.has(account.account) || this.#devices.has(device.device)) return "taken";
    if (invite !== undefined) {
      const kept = this.#invites.get(toHex(invite));
      if (kept === undefined || !waits(kept, options.nowMs)) return "bad_invite";
      this.#invites.set(toHex(invite), { ...kept, endedAtMs: options.nowMs, usedBy: account.account });
    }
    this.#accounts.set(account.account, account);
    this.#devices.set(device.device, device);
    return "registered";
  }

  ban(ban: StoredBan): boolean {
    const key = banKey(ban);
    if (this.#bans.has(key)) return false;
    this.#bans.set(key, ban);
    return true;
  }

  unban(ban: Pick<StoredBan, "kind" | "subject">): boolean {
    return this.#bans.delete(banKey(ban));
  }

  bans(): StoredBan[] {
    return [...this.#bans.values()];
  }

  isBanned({ account, fingerprint }: StoredAccount): boolean {
    return this.#bans.has(banKey({ kind: "account", subject: account })) ||
      this.#bans.has(banKey({ kind: "fingerprint", subject: fingerprint }));
  }

  device(device: DeviceId): StoredDevice | null {
    return this.#devices.get(device) ?? null;
  }

  devicesOf(account: string): StoredDevice[] {
    return [...this.#devices.values()].filter((device) => device.account === account);
  }

  saveDevice(device: StoredDevice): void {
    this.#devices.set(device.device, device);
  }

  ticketsOf(device: DeviceId): StoredTickets {
    return this.#tickets.get(device) ?? { held: "", offered: "" };
  }

  saveTickets(tickets: ReadonlyMap<DeviceId, StoredTickets>): void {
    for (const [device, both] of tickets) this.#tickets.set(device, both);
  }

  revokeDevice(leaver: StoredLeaver): void {
    const { device, account } = leaver;
    for (const [id, group] of this.#groups) {
      if (group.members.delete(device)) {
        if (group.members.size === 0) this.deleteGroup(id);
        else group.leavers.set(device, leaver);
      }
      const before = group.undo?.devices.get(device);
      if (group.undo === null || before?.member === undefined) continue;
      const devices = new Map(group.undo.devices).set(device, { leaver });
      group.undo = { ...group.undo, devices };
    }
    for (const { envelope } of this.welcomes(device)) this.#dropWelcome(device, envelope);
    this.#keyPackages.delete(device);
    this.#devices.delete(device);
    this.#revoked.set(device, account);
  }

  revokedAccount(device: DeviceId): AccountName | null {
    return this.#revoked.get(device) ?? null;
  }

  revokedCount(account: string): number {
    return [...this.#revoked.values()].filter((other) => other === account).length;
  }

  addInvite(
    invite: Uint8Array,
    options: { expiresAtMs: number; nowMs: number; forgetBeforeMs: number; limit: number },
  ): boolean {
    const { expiresAtMs, nowMs, forgetBeforeMs, limit } = options;
    const ended = this.invites().filter((one) => !waits(one, nowMs));
    ended.forEach((one, i) => {
      const isOld = (one.endedAtMs ?? one.expiresAtMs) < forgetBeforeMs;
      if (isOld || i < ended.length - limit) this.#invites.delete(toHex(one.hash));
    });
    if (this.invites().filter((one) => waits(one, nowMs)).length >= limit) return false;
    this.#invites.set(toHex(invite), {
      hash: invite.slice(),
      createdAtMs: nowMs,
      expiresAtMs,
      endedAtMs: null,
      usedBy: "",
    });
    return true;
  }

  invite(hash: Uint8Array): StoredInvite | null {
    return this.#invites.get(toHex(hash)) ?? null;
  }

  invites(): StoredInvite[] {
    return [...this.#invites.values()];
  }

  revokeInvite(hash: Uint8Array, { nowMs }: { nowMs: number }): boolean {
    const kept = this.invite(hash);
    if (kept === null || !waits(kept, nowMs)) return false;
    this.#invites.set(toHex(hash), { ...kept, endedAtMs: nowMs });
    return true;
  }

  addKeyPackages(
    device: DeviceId,
    options: {
      suite: number;
      keyPackages: readonly Uint8Array[];
      lastResort?: Uint8Array;
      limit: number;
      replace?: boolean;
    },
  ): boolean {
    const packages = this.#packages(device, options.suite);
    if (options.replace) packages.unused.length = 0;
    if (packages.unused.length + options.keyPackages.length > options.limit) return false;
    packages.unused.push(...options.keyPackages);
    packages.lastResort = options.lastResort ?? packages.lastResort;
    return true;
  }

  keyPackageCount(device: DeviceId, suite: number): number {
    return this.#keyPackages.get(device)?.get(suite)?.unused.length ?? 0;
  }

  keyPackageCounts(device: DeviceId): Map<number, number> {
    const suites = this.#keyPackages.get(device) ?? new Map<number, MemoryKeyPackages>();
    return new Map([...suites].map(([suite, packages]) => [suite, packages.unused.length]));
  }

  takeKeyPackage(device: DeviceId, suite: number): Uint8Array | null {
    const packages = this.#keyPackages.get(device)?.get(suite);
    return packages?.unused.shift() ?? packages?.lastResort ?? null;
  }

  groupCount(): number {
    return this.#groups.size;
  }

  group(group: GroupId): StoredGroup | null {
    const found = this.#groups.get(group);
    if (found === undefined) return null;
    return {
      ...found.head,
      epoch: found.epoch,
      admins: found.admins,
      banned: found.banned,
      members: [...found.members].map(([device, { account }]) => ({ device, account })),
      leavers: [...found.leavers.values()],
    };
  }

  channel(name: string): GroupId | null {
    return this.#find((head) => head.kind === "channel" && head.name === name);
  }

  dm(a: string, b: string): GroupId | null {
    return this.#find(({ kind, creator, peer }) =>
      kind === "dm" && ((creator === a && peer === b) || (creator === b && peer === a))
    );
  }

  channels(limit: number): { name: string; members: number }[] {
    return [...this.#groups.values()].filter(({ head }) => head.kind === "channel")
      .map(({ head, members }) => ({ name: head.name, members: members.size }))
      .sort((a, b) => b.members - a.members || (a.name < b.name ? -1 : 1)).slice(0, limit);
  }

  groupsOfDevice(device: DeviceId): GroupId[] {
    return [...this.#groups.values()].filter(({ members }) => members.has(device)).map(({ head }) =>
      head.group
    );
  }

  groupCountOf(account: string): number {
    let count = 0;
    for (const { members } of this.#groups.values()) {
      if ([...members.values()].some((member) => member.account === account && member.accepted)) count++;
    }
    return count;
  }

  createGroup(
    head: GroupHead,
    options: { member: StoredMember; groupInfo?: Uint8Array; atMs: number },
  ): boolean {
    const taken = this.#groups.has(head.group) ||
      (head.kind === "channel" && this.channel(head.name) !== null) ||
      (head.kind === "dm" && this.dm(head.creator, head.peer ?? "") !== null);
    if (taken) return false;
    this.#groups.set(head.group, {
      head,
      epoch: 0,
      admins: [head.creator],
      banned: [],
      members: new Map([[options.member.device, { account: options.member.account, accepted: true }]]),
      leavers: new Map(),
      groupInfo: options.groupInfo ?? null,
      log: [],
      undo: null,
    });
    return true;
  }

  groupInfo(group: GroupId): Uint8Array | null {
    return this.#groups.get(group)?.groupInfo ?? null;
  }

  commit(commit: StoredCommit): boolean {
    const group = this.#groups.get(commit.group);
    if (group === undefined || group.epoch !== commit.epoch) return false;
    group.undo = undoOf(group, commit);
    group.epoch++;
    for (const device of commit.remove) {
      group.members.delete(device);
      group.leavers.delete(device);
    }
    for (const { device, account } of commit.add) {
      const accepted = commit.welcome?.devices.includes(device) !== true;
      group.members.set(device, { account, accepted });
      group.leavers.delete(device);
    }
    group.admins = commit.admins ?? group.admins;
    group.banned = commit.banned ?? group.banned;
    group.groupInfo = commit.groupInfo ?? group.groupInfo;
    group.log.push({ epoch: commit.epoch, hash: commit.hash, commit: commit.commit });
    trimLog(group.log);
    if (commit.welcome !== undefined) {
      const { envelope, payload, devices } = commit.welcome;
      this.#welcomes.set(envelope, {
        welcome: {
          envelope,
          inviter: commit.committer?.account ?? "",
          group: commit.group,
          epoch: group.epoch,
          atMs: commit.atMs,
          bytes: payload.length,
        },
        payload,
        devices: new Set(devices),
      });
    }
    return true;
  }

  newestCommit(group: GroupId): NewestCommit | null {
    return this.#groups.get(group)?.undo ?? null;
  }

  takeBack(group: GroupId, epoch: number, { ban } = { ban: true }): boolean {
    const found = this.#groups.get(group);
    const undo = found?.undo ?? null;
    if (found === undefined || undo === null || undo.epoch !== epoch) return false;
    Object.assign(found, undo.before, { epoch, undo: null });
    if (ban) found.banned = bansAfterTakingBack({ ...undo.before, committer: undo.committer.account });
    found.log.pop();
    for (const [device, { member, leaver }] of undo.devices) {
      found.members.delete(device);
      found.leavers.delete(device);
      if (member !== undefined) found.members.set(device, member);
      if (leaver !== undefined) found.leavers.set(device, leaver);
    }
    if (undo.welcome !== undefined) this.#welcomes.delete(undo.welcome);
    return true;
  }

  commits(group: GroupId, epoch: number): CommitRange {
    const log = this.#groups.get(group)?.log ?? [];
    const current = this.#groups.get(group)?.epoch ?? 0;
    const start = log.findIndex((entry) => entry.epoch === epoch);
    if (start < 0) return { from: epoch, commits: [], gone: epoch < current };
    const commits: Uint8Array[] = [];
    let bytes = 0;
    for (const { commit } of log.slice(start, start + MAX_SYNC_COMMITS)) {
      bytes += commit.length;
      if (commits.length > 0 && bytes > MAX_SYNC_BYTES) break;
      commits.push(commit);
    }
    return { from: epoch, commits, gone: false };
  }

  commitHash(group: GroupId, epoch: number): Uint8Array | null {
    return this.#groups.get(group)?.log.find((entry) => entry.epoch === epoch)?.hash ?? null;
  }

  leave(group: GroupId, leaver: StoredLeaver): void {
    const found = this.#groups.get(group);
    found?.members.delete(leaver.device);
    found?.leavers.set(leaver.device, leaver);
  }

  decline(group: GroupId, device: DeviceId): void {
    this.#groups.get(group)?.members.delete(device);
    for (const { envelope, group: into } of this.welcomes(device)) {
      if (into === group) this.#dropWelcome(device, envelope);
    }
  }

  deleteGroup(group: GroupId): void {
    this.#groups.delete(group);
    for (const [envelope, { welcome }] of this.#welcomes) {
      if (welcome.group === group) this.#welcomes.delete(envelope);
    }
  }

  welcomes(device: DeviceId): StoredWelcome[] {
    return [...this.#welcomes.values()].filter(({ devices }) => devices.has(device)).map(({ welcome }) =>
      welcome
    );
  }

  welcome(envelope: string): Uint8Array | null {
    return this.#welcomes.get(envelope)?.payload ?? null;
  }

  forgetWelcome(device: DeviceId, envelope: string): void {
    const group = this.#groups.get(this.#welcomes.get(envelope)?.welcome.group ?? "" as GroupId);
    const member = group?.members.get(device);
    if (member !== undefined) group?.members.set(device, { ...member, accepted: true });
    this.#dropWelcome(device, envelope);
  }

  close(): void {}

  #dropWelcome(device: DeviceId, envelope: string): void {
    const found = this.#welcomes.get(envelope);
    if (found?.devices.delete(device) && found.devices.size === 0) this.#welcomes.delete(envelope);
  }

  #packages(device: DeviceId, suite: number): MemoryKeyPackages {
    let suites = this.#keyPackages.get(device);
    if (suites === undefined) this.#keyPackages.set(device, suites = new Map());
    let packages = suites.get(suite);
    if (packages === undefined) suites.set(suite, packages = { unused: [], lastResort: null });
    return packages;
  }

  #find(matches: (head: GroupHead) => boolean): GroupId | null {
    for (const { head } of this.#groups.values()) if (matches(head)) return head.group;
    return null;
  }
}

function undoOf(group: MemoryGroup, commit: StoredCommit): MemoryUndo | null {
  const { epoch, hash, committer, add, remove } = commit;
  if (committer === undefined) return null;
  const devices = new Map<DeviceId, { member?: MemoryMember; leaver?: StoredLeaver }>();
  const added = new Set(add.map(({ device }) => device));
  for (const device of new Set([...remove, ...added])) {
    const member = group.members.get(device);
    if (member !== undefined && added.has(device)) continue; // stays a member
    devices.set(device, { member, leaver: group.leavers.get(device) });
  }
  const { admins, banned, groupInfo } = group;
  return {
    epoch,
    hash,
    committer,
    before: { admins, banned, groupInfo },
    devices,
    welcome: commit.welcome?.envelope,
  };
}

function trimLog(log: { commit: Uint8Array }[]): void {
  let bytes = log.reduce((sum, entry) => sum + entry.commit.length, 0);
  while (log.length > MAX_LOG_COMMITS || (bytes > MAX_LOG_BYTES && log.length > 1)) {
    bytes -= log.shift()!.commit.length;
  }
}

function banKey({ kind, subject }: Pick<StoredBan, "kind" | "subject">): string {
  return `${kind} ${subject}`;
}
