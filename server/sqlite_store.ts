/** RelayStore in an SQLite file: WAL, every transaction on disk before it is reported. */

import type { AccountName, DeviceId, GroupId } from "../proto/mod.ts";
import { MAX_LOG_BYTES, MAX_LOG_COMMITS, MAX_SYNC_BYTES, MAX_SYNC_COMMITS } from "./limits.ts";
import { type Row, SqliteDatabase } from "./sqlite_database.ts";
import { keepUndo, newestCommit, takeBack } from "./sqlite_undo.ts";
import type {
  CommitRange,
  GroupHead,
  GroupKind,
  NewestCommit,
  RegistrationResult,
  RelayStore,
  StoredAccount,
  StoredBan,
  StoredCommit,
  StoredDevice,
  StoredGist,
  StoredGroup,
  StoredInvite,
  StoredKeyPair,
  StoredLeaver,
  StoredMember,
  StoredRelayKey,
  StoredTickets,
  StoredWelcome,
} from "./store.ts";

/** An invite that can still be used; the time now is the parameter. */
const WAITS = "ended_at IS NULL AND expires_at >= ?";

/**
 * Opens or creates the relay's database.
 *
 * @param path a file, or `:memory:`
 * @throws {AronaError} `CORRUPT_STORE`
 */
export function openSqliteRelayStore(path: string): RelayStore {
  return new SqliteRelayStore(SqliteDatabase.open(path));
}

class SqliteRelayStore implements RelayStore {
  constructor(private readonly database: SqliteDatabase) {}

  identity(): StoredKeyPair | null {
    const row = this.database.get("SELECT public_key, private_key FROM identity");
    return row === null ? null : keyPair(row);
  }

  saveIdentity(keys: StoredKeyPair): void {
    this.database.run("INSERT OR REPLACE INTO identity VALUES (1, ?, ?)", keys.publicKey, keys.privateKey);
  }

  relayKeys(): StoredRelayKey[] {
    return this.database.all("SELECT * FROM relay_keys ORDER BY not_before").map((row) => ({
      ...keyPair(row),
      notBeforeMs: row.not_before as number,
      notAfterMs: row.not_after as number,
    }));
  }

  saveRelayKey(key: StoredRelayKey): void {
    const { publicKey, privateKey, notBeforeMs, notAfterMs } = key;
    this.database.run(
      "INSERT INTO relay_keys VALUES (?, ?, ?, ?)",
      publicKey,
      privateKey,
      notBeforeMs,
      notAfterMs,
    );
  }

  expireRelayKeys(nowMs: number): void {
    this.database.run("DELETE FROM relay_keys WHERE not_after < ?", nowMs);
  }

  nextSequence(): number {
    const row = this.database.get(
      "INSERT INTO counters VALUES ('sequence', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
    );
    return row!.value as number;
  }

  wasRestored({ skippedSequences }: { skippedSequences: number }): void {
    this.database.transaction(() => {
      this.database.run(
        "INSERT INTO counters VALUES ('sequence', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        skippedSequences,
      );
      this.database.run("DELETE FROM key_packages");
      this.database.run("DELETE FROM last_resorts");
    });
  }

  publishedGist(): StoredGist | null {
    const row = this.database.get("SELECT gist, login FROM published_gist");
    return row === null ? null : { id: row.gist as string, login: row.login as string };
  }

  savePublishedGist({ id, login }: StoredGist): void {
    this.database.run("INSERT OR REPLACE INTO published_gist VALUES (1, ?, ?)", id, login);
  }

  account(account: string): StoredAccount | null {
    return this.database.get("SELECT account, fingerprint FROM accounts WHERE account = ?", account) as
      | StoredAccount
      | null;
  }

  accountCount(): number {
    return this.database.count("SELECT count(*) AS n FROM accounts");
  }

  namesOf(account: string): string[] {
    return this.database.all(
      "SELECT account FROM accounts WHERE fingerprint = (SELECT fingerprint FROM accounts WHERE account = ?)",
      account,
    ).map((row) => row.account as string);
  }

  register(
    options: { account: StoredAccount; device: StoredDevice; invite?: Uint8Array; nowMs: number },
  ): RegistrationResult {
    const { account, device, invite } = options;
    return this.database.transaction(() => {
      if (this.account(account.account) !== null || this.device(device.device) !== null) return "taken";
      if (invite !== undefined) {
        const used = this.database.run(
          `UPDATE invites SET ended_at = ?, used_by = ? WHERE hash = ? AND ${WAITS}`,
          options.nowMs,
          account.account,
          invite,
          options.nowMs,
        );
        if (used !== 1) return "bad_invite";
      }
      this.database.run("INSERT INTO accounts VALUES (?, ?)", account.account, account.fingerprint);
      this.saveDevice(device);
      return "registered";
    });
  }

  ban({ kind, subject, atMs }: StoredBan): boolean {
    return this.database.run(
      "INSERT INTO bans (kind, subject, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      kind,
      subject,
      atMs,
    ) === 1;
  }

  unban({ kind, subject }: Pick<StoredBan, "kind" | "subject">): boolean {
    return this.database.run("DELETE FROM bans WHERE kind = ? AND subject = ?", kind, subject) === 1;
  }

  bans(): StoredBan[] {
    return this.database.all("SELECT kind, subject, at FROM bans ORDER BY number").map((row) => ({
      kind: row.kind as StoredBan["kind"],
      subject: row.subject as string,
      atMs: row.at as number,
    }));
  }

  isBanned({ account, fingerprint }: StoredAccount): boolean {
    return this.database.get(
      "SELECT 1 FROM bans WHERE (kind = 'account' AND subject = ?) OR (kind = 'fingerprint' AND subject = ?)",
      account,
      fingerprint,
    ) !== null;
  }

  device(device: DeviceId): StoredDevice | null {
    const row = this.database.get("SELECT * FROM devices WHERE device = ?", device);
    return row === null ? null : storedDevice(row);
  }

  devicesOf(account: string): StoredDevice[] {
    return this.database.all("SELECT * FROM devices WHERE account = ? ORDER BY rowid", account).map(
      storedDevice,
    );
  }

  saveDevice({ device, account, certificate, deviceKey }: StoredDevice): void {
    this.database.run(
      `INSERT INTO devices (device, account, certificate, device_key) VALUES (?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET
       account = excluded.account, certificate = excluded.certificate, device_key = excluded.device_key`,
      device,
      account,
      certificate,
      deviceKey,
    );
  }

  ticketsOf(device: DeviceId): StoredTickets {
    const row = this.database.get("SELECT held, offered FROM devices WHERE device = ?", device);
    return { held: row?.held as string ?? "", offered: row?.offered as string ?? "" };
  }

  saveTickets(tickets: ReadonlyMap<DeviceId, StoredTickets>): void {
    this.database.transaction(() => {
      for (const [device, { held, offered }] of tickets) {
        this.database.run("UPDATE devices SET held = ?, offered = ? WHERE device = ?", held, offered, device);
      }
    });
  }

  revokeDevice({ device, account, statement }: StoredLeaver): void {
    this.database.transaction(() => {
      for (const group of this.groupsOfDevice(device)) {
        const members = this.database.count("SELECT count(*) AS n FROM members WHERE group_id = ?", group);
        if (members === 1) {
          this.database.run("DELETE FROM groups WHERE group_id = ?", group);
          continue;
        }
        this.database.run("DELETE FROM members WHERE group_id = ? AND device = ?", group, device);
        this.database.run(
          "INSERT OR REPLACE INTO leavers VALUES (?, ?, ?, ?)",
          group,
          device,
          account,
          statement,
        );
      }
      this.database.run(
        `UPDATE undo_devices SET leaver = member, statement = ?, member = NULL, accepted = NULL
         WHERE device = ? AND member IS NOT NULL`,
        statement,
        device,
      );
      for (const { envelope } of this.welcomes(device)) this.#dropWelcome(device, envelope);
      this.database.run("DELETE FROM key_packages WHERE device = ?", device);
      this.database.run("DELETE FROM last_resorts WHERE device = ?", device);
      this.database.run("DELETE FROM devices WHERE device = ?", device);
      this.database.run("INSERT OR REPLACE INTO revoked VALUES (?, ?)", device, account);
    });
  }

  revokedAccount(device: DeviceId): AccountName | null {
    const row = this.database.get("SELECT account FROM revoked WHERE device = ?", device);
    return row === null ? null : row.account as AccountName;
  }

  revokedCount(account: string): number {
    return this.database.count("SELECT count(*) AS n FROM revoked WHERE account = ?", account);
  }

  addInvite(
    invite: Uint8Array,
    options: { expiresAtMs: number; nowMs: number; forgetBeforeMs: number; limit: number },
  ): boolean {
    const { expiresAtMs, nowMs, forgetBeforeMs, limit } = options;
    return this.database.transaction(() => {
      this.database.run("DELETE FROM invites WHERE coalesce(ended_at, expires_at) < ?", forgetBeforeMs);
      this.database.run(
        `DELETE FROM invites WHERE rowid IN (
           SELECT rowid FROM invites WHERE NOT (${WAITS}) ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?
         )`,
        nowMs,
        limit,
      );
      const waiting = this.database.count(`SELECT count(*) AS n FROM invites WHERE ${WAITS}`, nowMs);
      if (waiting >= limit) return false;
      this.database.run(
        "INSERT INTO invites (hash, created_at, expires_at) VALUES (?, ?, ?)",
        invite,
        nowMs,
        expiresAtMs,
      );
      return true;
    });
  }

  invite(hash: Uint8Array): StoredInvite | null {
    const row = this.database.get("SELECT * FROM invites WHERE hash = ?", hash);
    return row === null ? null : toInvite(row);
  }

  invites(): StoredInvite[] {
    return this.database.all("SELECT * FROM invites ORDER BY created_at, rowid").map(toInvite);
  }

  revokeInvite(hash: Uint8Array, { nowMs }: { nowMs: number }): boolean {
    return this.database.run(
      `UPDATE invites SET ended_at = ? WHERE hash = ? AND ${WAITS}`,
      nowMs,
      hash,
      nowMs,
    ) === 1;
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
    const { suite, keyPackages, lastResort, limit } = options;
    return this.database.transaction(() => {
      if (options.replace) {
        this.database.run("DELETE FROM key_packages WHERE device = ? AND suite = ?", device, suite);
      }
      if (this.keyPackageCount(device, suite) + keyPackages.length > limit) return false;
      for (const bytes of keyPackages) {
        this.database.run(
          "INSERT INTO key_packages (device, suite, bytes) VALUES (?, ?, ?)",
          device,
          suite,
          bytes,
        );
      }
      if (lastResort !== undefined) {
        this.database.run("INSERT OR REPLACE INTO last_resorts VALUES (?, ?, ?)", device, suite, lastResort);
      }
      return true;
    });
  }

  keyPackageCount(device: DeviceId, suite: number): number {
    return this.database.count(
      "SELECT count(*) AS n FROM key_packages WHERE device = ? AND suite = ?",
      device,
      suite,
    );
  }

  keyPackageCounts(device: DeviceId): Map<number, number> {
    const rows = this.database.all(
      `SELECT suite, sum(unused) AS n FROM (
         SELECT suite, 1 AS unused FROM key_packages WHERE device = ?
         UNION ALL SELECT suite, 0 FROM last_resorts WHERE device = ?
       ) GROUP BY suite`,
      device,
      device,
    );
    return new Map(rows.map((row) => [row.suite as number, row.n as number]));
  }

  takeKeyPackage(device: DeviceId, suite: number): Uint8Array | null {
    const row = this.database.get(
      `DELETE FROM key_packages WHERE number =
         (SELECT number FROM key_packages WHERE device = ? AND suite = ? ORDER BY number LIMIT 1) RETURNING bytes`,
      device,
      suite,
    ) ?? this.database.get("SELECT bytes FROM last_resorts WHERE device = ? AND suite = ?", device, suite);
    return row === null ? null : row.bytes as Uint8Array;
  }

  groupCount(): number {
    return this.database.count("SELECT count(*) AS n FROM groups");
  }

  group(group: GroupId): StoredGroup | null {
    const row = this.database.get("SELECT * FROM groups WHERE group_id = ?", group);
    if (row === null) return null;
    return {
      group,
      kind: row.kind as GroupKind,
      suite: row.suite as number,
      name: row.name as string,
      creator: row.creator as AccountName,
      peer: row.peer as AccountName | null,
      epoch: row.epoch as number,
      admins: JSON.parse(row.admins as string),
      banned: JSON.parse(row.banned as string),
      members: this.database.all(
        "SELECT device, account FROM members WHERE group_id = ?",
        group,
      ) as unknown as StoredMember[],
      leavers: this.database.all(
        "SELECT device, account, statement FROM leavers WHERE group_id = ?",
        group,
      ) as unknown as StoredLeaver[],
    };
  }

  channel(name: string): GroupId | null {
    return this.#groupId(this.database.get("SELECT group_id FROM groups WHERE channel = ?", name));
  }

  dm(a: string, b: string): GroupId | null {
    return this.#groupId(this.database.get("SELECT group_id FROM groups WHERE pair = ?", pairOf(a, b)));
  }

  channels(limit: number): { name: string; members: number }[] {
    return this.database.all(
      `SELECT channel AS name, (SELECT count(*) FROM members WHERE members.group_id = groups.group_id) AS members
       FROM groups WHERE channel IS NOT NULL ORDER BY members DESC, channel LIMIT ?`,
      limit,
    ) as unknown as { name: string; members: number }[];
  }

  groupsOfDevice(device: DeviceId): GroupId[] {
    return this.database.all("SELECT group_id FROM members WHERE device = ?", device).map((row) =>
      row.group_id as GroupId
    );
  }

  groupCountOf(account: string): number {
    return this.database.count(
      "SELECT count(DISTINCT group_id) AS n FROM members WHERE account = ? AND accepted = 1",
      account,
    );
  }

  createGroup(
    head: GroupHead,
    options: { member: StoredMember; groupInfo?: Uint8Array; atMs: number },
  ): boolean {
    const { group, kind, suite, name, creator, peer } = head;
    const channel = kind === "channel" ? name : null;
    const pair = kind === "dm" && peer !== null ? pairOf(creator, peer) : null;
    return this.database.transaction(() => {
      const created = this.database.run(
        "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, '[]', ?) ON CONFLICT DO NOTHING",
        group,
        kind,
        suite,
        name,
        creator,
        peer,
        channel,
        pair,
        JSON.stringify([creator]),
        options.atMs,
      );
      if (created !== 1) return false;
      this.#saveMember(group, options.member, { accepted: true });
      if (options.groupInfo !== undefined) this.#saveGroupInfo(group, options.groupInfo);
      return true;
    });
  }

  groupInfo(group: GroupId): Uint8Array | null {
    const row = this.database.get("SELECT bytes FROM group_infos WHERE group_id = ?", group);
    return row === null ? null : row.bytes as Uint8Array;
  }

  commit(commit: StoredCommit): boolean {
    const { group, epoch } = commit;
    return this.database.transaction(() => {
      const moved = this.database.run(
        "UPDATE groups SET epoch = epoch + 1 WHERE group_id = ? AND epoch = ?",
        group,
        epoch,
      );
      if (moved !== 1) return false;
      keepUndo(this.database, commit);
      this.database.run(
        "INSERT INTO commits (group_id, epoch, hash, size, bytes) VALUES (?, ?, ?, ?, ?)",
        group,
        epoch,
        commit.hash,
        commit.commit.length,
        commit.commit,
      );
      this.#trimLog(group);
      for (const device of commit.remove) {
        this.database.run("DELETE FROM members WHERE group_id = ? AND device = ?", group, device);
        this.database.run("DELETE FROM leavers WHERE group_id = ? AND device = ?", group, device);
      }
      for (const member of commit.add) {
        const accepted = commit.welcome?.devices.includes(member.device) !== true;
        this.#saveMember(group, member, { accepted });
        this.database.run("DELETE FROM leavers WHERE group_id = ? AND device = ?", group, member.device);
      }
      this.#saveRoles(commit);
      if (commit.groupInfo !== undefined) this.#saveGroupInfo(group, commit.groupInfo);
      this.#saveWelcome(commit);
      return true;
    });
  }

  newestCommit(group: GroupId): NewestCommit | null {
    return newestCommit(this.database, group);
  }

  takeBack(group: GroupId, epoch: number, options = { ban: true }): boolean {
    return this.database.transaction(() => takeBack(this.database, { group, epoch, ...options }));
  }

  commits(group: GroupId, epoch: number): CommitRange {
    const commits: Uint8Array[] = [];
    let bytes = 0;
    const sizes = this.database.all(
      "SELECT epoch, size FROM commits WHERE group_id = ? AND epoch >= ? ORDER BY epoch LIMIT ?",
      group,
      epoch,
      MAX_SYNC_COMMITS,
    );
    if (sizes.length === 0 || sizes[0].epoch !== epoch) {
      const current =
        this.database.get("SELECT epoch FROM groups WHERE group_id = ?", group)?.epoch as number ?? 0;
      return { from: epoch, commits, gone: epoch < current };
    }
    for (const row of sizes) {
      bytes += row.size as number;
      if (commits.length > 0 && bytes > MAX_SYNC_BYTES) break;
      const found = this.database.get(
        "SELECT bytes FROM commits WHERE group_id = ? AND epoch = ?",
        group,
        row.epoch as number,
      );
      commits.push(found!.bytes as Uint8Array);
    }
    return { from: epoch, commits, gone: false };
  }

  commitHash(group: GroupId, epoch: number): Uint8Array | null {
    const row = this.database.get(
      "SELECT hash FROM commits WHERE group_id = ? AND epoch = ?",
      group,
      epoch,
    );
    return row === null ? null : row.hash as Uint8Array;
  }

  leave(group: GroupId, { device, account, statement }: StoredLeaver): void {
    this.database.transaction(() => {
      this.database.run("DELETE FROM members WHERE group_id = ? AND device = ?", group, device);
      this.database.run(
        "INSERT OR REPLACE INTO leavers VALUES (?, ?, ?, ?)",
        group,
        device,
        account,
        statement,
      );
    });
  }

  decline(group: GroupId, device: DeviceId): void {
    this.database.transaction(() => {
      this.database.run("DELETE FROM members WHERE group_id = ? AND device = ?", group, device);
      const envelopes = this.database.all("SELECT envelope FROM welcomes WHERE group_id = ?", group);
      for (const { envelope } of envelopes) this.#dropWelcome(device, envelope as string);
    });
  }

  deleteGroup(group: GroupId): void {
    this.database.run("DELETE FROM groups WHERE group_id = ?", group);
  }

  welcomes(device: DeviceId): StoredWelcome[] {
    return this.database.all(
      `SELECT w.envelope, w.group_id, w.epoch, w.at, w.size, w.inviter FROM welcome_devices d JOIN welcomes w USING (envelope)
       WHERE d.device = ? ORDER BY d.number`,
      device,
    ).map((row) => ({
      envelope: row.envelope as string,
      inviter: row.inviter as string,
      group: row.group_id as GroupId,
      epoch: row.epoch as number,
      atMs: row.at as number,
      bytes: row.size as number,
    }));
  }

  welcome(envelope: string): Uint8Array | null {
    const row = this.database.get("SELECT bytes FROM welcomes WHERE envelope = ?", envelope);
    return row === null ? null : row.bytes as Uint8Array;
  }

  forgetWelcome(device: DeviceId, envelope: string): void {
    this.database.transaction(() => {
      this.database.run(
        `UPDATE members SET accepted = 1
         WHERE device = ? AND group_id = (SELECT group_id FROM welcomes WHERE envelope = ?)`,
        device,
        envelope,
      );
      this.#dropWelcome(device, envelope);
    });
  }

  close(): void {
    this.database.close();
  }

  #dropWelcome(device: DeviceId, envelope: string): void {
    this.database.run("DELETE FROM welcome_devices WHERE device = ? AND envelope = ?", device, envelope);
    this.database.run(
      `DELETE FROM welcomes WHERE envelope = ?
       AND NOT EXISTS (SELECT 1 FROM welcome_devices WHERE envelope = ?)`,
      envelope,
      envelope,
    );
  }

  #saveMember(group: GroupId, { device, account }: StoredMember, { accepted }: { accepted: boolean }): void {
    this.database.run(
      "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)",
      group,
      device,
      account,
      accepted ? 1 : 0,
    );
  }

  #saveGroupInfo(group: GroupId, bytes: Uint8Array): void {
    this.database.run("INSERT OR REPLACE INTO group_infos VALUES (?, ?)", group, bytes);
  }

  #saveRoles({ group, admins, banned }: StoredCommit): void {
    if (admins !== undefined) {
      this.database.run("UPDATE groups SET admins = ? WHERE group_id = ?", JSON.stringify(admins), group);
    }
    if (banned !== undefined) {
      this.database.run("UPDATE groups SET banned = ? WHERE group_id = ?", JSON.stringify(banned), group);
    }
  }

  #saveWelcome({ group, epoch, atMs, welcome, committer }: StoredCommit): void {
    if (welcome === undefined) return;
    const { envelope, payload, devices } = welcome;
    this.database.run(
      "INSERT INTO welcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
      envelope,
      group,
      epoch + 1,
      atMs,
      payload.length,
      payload,
      committer?.account ?? "",
    );
    for (const device of devices) {
      this.database.run("INSERT INTO welcome_devices (device, envelope) VALUES (?, ?)", device, envelope);
    }
  }

  #trimLog(group: GroupId): void {
    const sizes = this.database.all(
      "SELECT epoch, size FROM commits WHERE group_id = ? ORDER BY epoch DESC",
      group,
    );
    let bytes = 0;
    for (const [i, row] of sizes.entries()) {
      bytes += row.size as number;
      if (i < MAX_LOG_COMMITS && (bytes <= MAX_LOG_BYTES || i === 0)) continue;
      this.database.run("DELETE FROM commits WHERE group_id = ? AND epoch <= ?", group, row.epoch as number);
      return;
    }
  }

  #groupId(row: Row | null): GroupId | null {
    return row === null ? null : row.group_id as GroupId;
  }
}

function toInvite(row: Row): StoredInvite {
  return {
    hash: row.hash as Uint8Array,
    createdAtMs: row.created_at as number,
    expiresAtMs: row.expires_at as number,
    endedAtMs: row.ended_at as number | null,
    usedBy: row.used_by as string,
  };
}

function keyPair(row: Row): StoredKeyPair {
  return { publicKey: row.public_key as Uint8Array, privateKey: row.private_key as Uint8Array };
}

function storedDevice(row: Row): StoredDevice {
  return {
    device: row.device as DeviceId,
    account: row.account as AccountName,
    certificate: row.certificate as Uint8Array,
    deviceKey: row.device_key as Uint8Array,
  };
}

/** Accounts hold no space, so that the pair reads one way only. */
function pairOf(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
