/**
 * What all members agree on besides the tree: the group's kind, name, admins and bans, as a GroupContext extension.
 *
 * Layout: `version u8 = 1 ‖ kind u8 ‖ name vector16 ‖ admins u16 × 32 ‖ banned u16 × 32`. Fingerprints are in ascending order without
 * repeats, so equal settings have equal bytes.
 */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type Fingerprint,
  fromHex,
  fromUtf8,
  MAX_GROUP_NAME_CHARACTERS,
  parseChannelName,
  toHex,
  utf8,
} from "../../proto/mod.ts";

/** GroupContext extension type, from the private use range (RFC 9420 section 17.3). */
export const SETTINGS_EXTENSION = 0xf0a0;
export const MAX_ADMINS = 64;
export const MAX_BANNED = 512;

const SETTINGS_VERSION = 1;
const FINGERPRINT_BYTES = 32;
const MAX_NAME_BYTES = 4 * MAX_GROUP_NAME_CHARACTERS;
/** A channel, a person, an id; and the brackets that names are shown in. */
const MISLEADING = /^[#@]|^[0-9a-f]{32}$|[[\]]/;
/** Control characters, line and paragraph separators, and the marks that turn the writing direction. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** Kinds of groups and their codes. */
const KINDS = {
  dm: 0x01, //      two identities
  group: 0x02, //   by invitation
  channel: 0x03, // anyone on the relay may join
} as const;
/** What kind of conversation a group is. */
export type GroupKind = keyof typeof KINDS;

/** Settings as members read them. */
export interface GroupSettings {
  readonly kind: GroupKind;
  /** Empty for a dm, `#name` for a channel. */
  readonly name: string;
  /** Who may change settings and remove members. Ascending. */
  readonly admins: readonly Fingerprint[];
  /** Who may not be a member. Ascending. */
  readonly banned: readonly Fingerprint[];
}

/**
 * Brings settings into their one form: lists sorted, repeats gone.
 *
 * @throws {AronaError} `POLICY` for a name or a list that does not fit, or an admin who is banned
 */
export function makeSettings(settings: GroupSettings): GroupSettings {
  const made = {
    kind: settings.kind,
    name: settings.name,
    admins: [...new Set(settings.admins)].sort(),
    banned: [...new Set(settings.banned)].sort(),
  };
  const fault = findFault(made);
  if (fault !== null) throw new AronaError("POLICY", `Cannot use group settings: ${fault}`);
  return made;
}

/** Bytes of settings that {@link makeSettings} has checked. */
export function encodeSettings(settings: GroupSettings): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u8(SETTINGS_VERSION).u8(KINDS[settings.kind]).vector16(utf8(settings.name));
  for (const list of [settings.admins, settings.banned]) {
    writer.u16(list.length);
    for (const fingerprint of list) writer.raw(fromHex(fingerprint));
  }
  return writer.finish();
}

/** @throws {AronaError} `BAD_MLS` */
export function decodeSettings(bytes: Uint8Array): GroupSettings {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== SETTINGS_VERSION) {
      throw new AronaError("UNSUPPORTED", `Cannot read settings: version ${version}`);
    }
    const code = reader.u8();
    const kind = (Object.keys(KINDS) as GroupKind[]).find((kind) => KINDS[kind] === code);
    if (kind === undefined) throw new AronaError("BAD_ENCODING", `Cannot read settings: kind ${code}`);
    const settings = {
      kind,
      name: fromUtf8(reader.vector16(MAX_NAME_BYTES)),
      admins: readFingerprints(reader, MAX_ADMINS),
      banned: readFingerprints(reader, MAX_BANNED),
    };
    reader.end();
    const fault = findFault(settings);
    if (fault !== null) throw new AronaError("BAD_ENCODING", `Cannot read settings: ${fault}`);
    return settings;
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot decode group settings: they do not fit", { cause });
  }
}

function readFingerprints(reader: ByteReader, limit: number): Fingerprint[] {
  const count = reader.u16();
  if (count > limit) throw new AronaError("BAD_ENCODING", `Cannot read settings: a list of ${count}`);
  const list = Array.from({ length: count }, () => toHex(reader.take(FINGERPRINT_BYTES)) as Fingerprint);
  if (list.some((fingerprint, i) => i > 0 && list[i - 1] >= fingerprint)) {
    throw new AronaError("BAD_ENCODING", "Cannot read settings: a list is not in ascending order");
  }
  return list;
}

function findFault(settings: GroupSettings): string | null {
  const { kind, name, admins, banned } = settings;
  if (kind === "dm" ? name !== "" : name === "") return "the name does not fit the kind";
  if ([...name].length > MAX_GROUP_NAME_CHARACTERS) {
    return `the name is over ${MAX_GROUP_NAME_CHARACTERS} characters`;
  }
  if (UNPRINTABLE.test(name) || !name.isWellFormed()) return "the name holds characters that cannot be shown";
  if (kind === "channel" && !isChannelName(name)) return "the name is not a channel's";
  if (kind === "group" && MISLEADING.test(name)) return "the name could be taken for something else";
  if (admins.length === 0) return "there is no admin";
  if (admins.length > MAX_ADMINS) return `there are over ${MAX_ADMINS} admins`;
  if (banned.length > MAX_BANNED) return `there are over ${MAX_BANNED} bans`;
  if (admins.some((fingerprint) => banned.includes(fingerprint))) return "an admin is banned";
  return null;
}

function isChannelName(name: string): boolean {
  try {
    return parseChannelName(name) === name;
  } catch {
    return false;
  }
}
