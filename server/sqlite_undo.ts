/** What the SQLite store keeps to take a group's newest commit back: how everything that the commit touched was before it. */

import type { AccountName, DeviceId, GroupId } from "../proto/mod.ts";
import type { SqliteDatabase } from "./sqlite_database.ts";
import { bansAfterTakingBack, type NewestCommit, type StoredCommit } from "./store.ts";

/** Replaces what is kept for the group; call it before the commit changes anything but the epoch. */
export function keepUndo(database: SqliteDatabase, commit: StoredCommit): void {
  const { group, epoch, committer } = commit;
  database.run("DELETE FROM undo WHERE group_id = ?", group);
  if (committer === undefined) return;
  database.run(
    `INSERT INTO undo SELECT ?, ?, ?, ?, admins, banned, ?,
       CASE WHEN ? THEN (SELECT bytes FROM group_infos WHERE group_id = ?) END FROM groups WHERE group_id = ?`,
    group,
    epoch,
    committer.device,
    committer.account,
    commit.welcome?.envelope ?? null,
    commit.groupInfo === undefined ? 0 : 1,
    group,
    group,
  );
  for (const device of touchedDevices(commit)) {
    const member = database.get("SELECT * FROM members WHERE group_id = ? AND device = ?", group, device);
    if (member !== null && commit.add.some((added) => added.device === device)) continue; // stays a member
    const leaver = database.get("SELECT * FROM leavers WHERE group_id = ? AND device = ?", group, device);
    database.run(
      "INSERT INTO undo_devices VALUES (?, ?, ?, ?, ?, ?)",
      group,
      device,
      member?.account as string ?? null,
      member?.accepted as number ?? null,
      leaver?.account as string ?? null,
      leaver?.statement as Uint8Array ?? null,
    );
  }
}

/** See {@link RelayStore.newestCommit}. */
export function newestCommit(database: SqliteDatabase, group: GroupId): NewestCommit | null {
  const row = database.get(
    `SELECT u.epoch, u.device, u.account, c.hash FROM undo u JOIN commits c
     ON c.group_id = u.group_id AND c.epoch = u.epoch WHERE u.group_id = ?`,
    group,
  );
  if (row === null) return null;
  return {
    epoch: row.epoch as number,
    hash: row.hash as Uint8Array,
    committer: { device: row.device as DeviceId, account: row.account as AccountName },
  };
}

/** See {@link RelayStore.takeBack}; the caller has begun a transaction. */
export function takeBack(
  database: SqliteDatabase,
  { group, epoch, ban }: { group: GroupId; epoch: number; ban: boolean },
): boolean {
  const kept = database.get("SELECT * FROM undo WHERE group_id = ? AND epoch = ?", group, epoch);
  if (kept === null) return false;
  const before = { admins: JSON.parse(kept.admins as string), banned: JSON.parse(kept.banned as string) };
  const committer = kept.account as string;
  const banned = ban ? bansAfterTakingBack({ ...before, committer }) : before.banned;
  database.run(
    "UPDATE groups SET epoch = ?, admins = ?, banned = ? WHERE group_id = ?",
    epoch,
    kept.admins as string,
    JSON.stringify(banned),
    group,
  );
  database.run("DELETE FROM commits WHERE group_id = ? AND epoch = ?", group, epoch);
  for (const table of ["members", "leavers"]) {
    database.run(
      `DELETE FROM ${table} WHERE group_id = ? AND device IN (SELECT device FROM undo_devices WHERE group_id = ?)`,
      group,
      group,
    );
  }
  database.run(
    `INSERT INTO members SELECT group_id, device, member, accepted FROM undo_devices
     WHERE group_id = ? AND member IS NOT NULL`,
    group,
  );
  database.run(
    `INSERT INTO leavers SELECT group_id, device, leaver, statement FROM undo_devices
     WHERE group_id = ? AND leaver IS NOT NULL`,
    group,
  );
  if (kept.group_info !== null) {
    database.run("UPDATE group_infos SET bytes = ? WHERE group_id = ?", kept.group_info as Uint8Array, group);
  }
  if (kept.welcome !== null) database.run("DELETE FROM welcomes WHERE envelope = ?", kept.welcome as string);
  database.run("DELETE FROM undo WHERE group_id = ?", group);
  return true;
}

function touchedDevices({ add, remove }: StoredCommit): Set<DeviceId> {
  return new Set([...remove, ...add.map(({ device }) => device)]);
}
