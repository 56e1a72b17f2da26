/** What a backup says of itself: the first file in it, `manifest.json`. */

/** What it is a backup of. */
export type BackupKind = "relay" | "profile";

/** A file and how to know it. */
export interface ManifestFile {
  readonly name: string;
  readonly bytes: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

/** The manifest. */
export interface Manifest {
  readonly kind: BackupKind;
  /** The profile's name; "relay" for a relay. */
  readonly name: string;
  /** Arona's version. */
  readonly arona: string;
  readonly atMs: number;
  readonly files: readonly ManifestFile[];
}

/** Its name in the container. */
export const MANIFEST_NAME = "manifest.json";
/** Its length at most. */
export const MAX_MANIFEST_BYTES = 65_536;

/** The files that make up each kind. The relay's undelivered messages are left out: their senders have them. */
export const BACKUP_FILES = {
  relay: ["relay.db"],
  profile: ["profile.key", "profile.db"],
} as const satisfies Record<BackupKind, readonly string[]>;

const FORMAT = "arona-backup";
const VERSION = 1;

/** The bytes of a manifest. */
export function encodeManifest({ kind, name, arona, atMs, files }: Manifest): Uint8Array {
  const at = new Date(atMs).toISOString();
  const fields = { format: FORMAT, version: VERSION, kind, name, arona, at, files };
  return new TextEncoder().encode(`${JSON.stringify(fields, null, 2)}\n`);
}

/** @throws {Error} where it is none, or of a newer version */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (fields?.format !== FORMAT) throw new Error("it is no backup");
  if (fields.version !== VERSION) throw new Error("a newer Arona has made it");
  const { kind, name, arona, at, files } = fields;
  const atMs = Date.parse(at);
  const sound = (kind === "relay" || kind === "profile") && typeof name === "string" &&
    typeof arona === "string" && !Number.isNaN(atMs) && Array.isArray(files) &&
    files.map((file) => file?.name).join() === BACKUP_FILES[kind as BackupKind].join() &&
    files.every(({ bytes, sha256 }) =>
      Number.isSafeInteger(bytes) && bytes >= 0 && /^[0-9a-f]{64}$/.test(sha256)
    );
  if (!sound) throw new Error("its manifest is damaged");
  return {
    kind,
    name,
    arona,
    atMs,
    files: files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })),
  };
}
