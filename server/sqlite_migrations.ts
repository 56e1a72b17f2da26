/** The relay database's schema as numbered steps; `PRAGMA user_version` says how many of them a file has. */

import type { DatabaseSync } from "node:sqlite";
import { AronaError } from "../proto/mod.ts";

/** Steps in order. A step that has been released never changes; a new one is added. */
export const RELAY_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), public_key BLOB NOT NULL, private_key BLOB NOT NULL) STRICT;
  CREATE TABLE relay_keys (
    public_key BLOB PRIMARY KEY, private_key BLOB NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE accounts (account TEXT PRIMARY KEY, fingerprint TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE devices (
    device TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts, certificate BLOB NOT NULL, device_key BLOB NOT NULL
  ) STRICT;
  CREATE INDEX devices_by_account ON devices (account);
  CREATE TABLE invites (hash BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT;
  CREATE TABLE key_packages (
    number INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices, suite INTEGER NOT NULL, bytes BLOB NOT NULL
  ) STRICT;
  CREATE INDEX key_packages_by_device ON key_packages (device, suite, number);
  CREATE TABLE last_resorts (
    device TEXT NOT NULL REFERENCES devices, suite INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (device, suite)
  ) STRICT;
  CREATE TABLE groups (
    group_id TEXT PRIMARY KEY, kind TEXT NOT NULL, suite INTEGER NOT NULL, name TEXT NOT NULL, creator TEXT NOT NULL,
    peer TEXT, channel TEXT UNIQUE, pair TEXT UNIQUE, epoch INTEGER NOT NULL, admins TEXT NOT NULL, banned TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE group_infos (group_id TEXT PRIMARY KEY REFERENCES groups ON DELETE CASCADE, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE members (
    group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE, device TEXT NOT NULL REFERENCES devices, account TEXT NOT NULL,
    PRIMARY KEY (group_id, device)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX members_by_device ON members (device);
  CREATE INDEX members_by_account ON members (account, group_id);
  CREATE TABLE leavers (
    group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE, device TEXT NOT NULL, account TEXT NOT NULL,
    statement BLOB NOT NULL, PRIMARY KEY (group_id, device)
  ) STRICT;
  CREATE TABLE commits (
    number INTEGER PRIMARY KEY, group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE, epoch INTEGER NOT NULL,
    hash BLOB NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE (group_id, epoch)
  ) STRICT;
  CREATE TABLE welcomes (
    envelope TEXT PRIMARY KEY, group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE, epoch INTEGER NOT NULL,
    at INTEGER NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL
  ) STRICT;
  CREATE INDEX welcomes_by_group ON welcomes (group_id);
  CREATE TABLE welcome_devices (
    number INTEGER PRIMARY KEY, device TEXT NOT NULL, envelope TEXT NOT NULL REFERENCES welcomes ON DELETE CASCADE,
    UNIQUE (device, envelope)
  ) STRICT;
  CREATE INDEX welcome_devices_by_envelope ON welcome_devices (envelope);
  `,
  `
  CREATE INDEX accounts_by_fingerprint ON accounts (fingerprint);
  ALTER TABLE members ADD COLUMN accepted INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE welcomes ADD COLUMN inviter TEXT NOT NULL DEFAULT '';
  CREATE TABLE undo (
    group_id TEXT PRIMARY KEY REFERENCES groups ON DELETE CASCADE, epoch INTEGER NOT NULL, device TEXT NOT NULL,
    account TEXT NOT NULL, admins TEXT NOT NULL, banned TEXT NOT NULL, welcome TEXT, group_info BLOB
  ) STRICT;
  CREATE TABLE undo_devices (
    group_id TEXT NOT NULL REFERENCES undo ON DELETE CASCADE, device TEXT NOT NULL, member TEXT, accepted INTEGER,
    leaver TEXT, statement BLOB, PRIMARY KEY (group_id, device)
  ) STRICT;
  `,
  `
  ALTER TABLE devices ADD COLUMN login INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE revoked (device TEXT PRIMARY KEY, account TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX revoked_by_account ON revoked (account);
  CREATE INDEX undo_devices_by_device ON undo_devices (device);
  `,
  `
  CREATE TABLE bans (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (kind, subject)
  ) STRICT;
  `,
  `
  ALTER TABLE devices ADD COLUMN held TEXT NOT NULL DEFAULT '';
  ALTER TABLE devices ADD COLUMN offered TEXT NOT NULL DEFAULT '';
  UPDATE devices SET held = login || '.' WHERE login > 0;
  ALTER TABLE devices DROP COLUMN login;
  `,
  `
  CREATE TABLE published_gist (id INTEGER PRIMARY KEY CHECK (id = 1), gist TEXT NOT NULL, login TEXT NOT NULL) STRICT;
  `,
  `
  ALTER TABLE invites ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE invites ADD COLUMN ended_at INTEGER;
  ALTER TABLE invites ADD COLUMN used_by TEXT NOT NULL DEFAULT '';
  `,
];

const RELAY = { what: "relay database" };

/**
 * Brings a database to the newest schema, all steps in one transaction.
 *
 * @throws {AronaError} `CORRUPT_STORE` where the file was written by a newer version
 */
export function migrate(
  database: DatabaseSync,
  migrations: readonly string[] = RELAY_MIGRATIONS,
  { what }: { readonly what: string } = RELAY,
): void {
  const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version > migrations.length) {
    throw new AronaError(
      "CORRUPT_STORE",
      `Cannot open ${what}: its schema ${version} is from a newer version`,
      {
        hint: "Run the newest arona with this data folder.",
      },
    );
  }
  if (version === migrations.length) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of migrations.slice(version)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}
