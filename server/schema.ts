/** Control requests parsed once, at the edge: JSON and blobs in, a typed request out (PROTOCOL.md sections 8 and 9). */

import {
  type AccountName,
  AronaError,
  type ChannelName,
  type Control,
  type ControlFields,
  type DeviceId,
  FrameType,
  fromHex,
  type GroupId,
  MAX_GROUP_MEMBERS,
  MAX_GROUP_NAME_CHARACTERS,
  MAX_KEY_PACKAGES_PER_DEVICE,
  MAX_LINK_BOX_BYTES,
  MAX_STATEMENT_BYTES,
  parseAccountName,
  parseChannelName,
  parseDeviceId,
  parseGroupId,
  parseRendezvousId,
  type RendezvousId,
} from "../proto/mod.ts";
import {
  MAX_ADMINS_PER_GROUP,
  MAX_BANNED_PER_GROUP,
  MAX_COMMIT_BYTES,
  MAX_KEY_PACKAGE_BYTES,
} from "./limits.ts";
import type { GroupKind } from "./store.ts";

/** The MLS suites that groups on the relay may use: 0x0052 and 0x0051. */
export const GROUP_SUITES: readonly number[] = [0x0052, 0x0051];

const MAX_INVITE_CHARACTERS = 64;
const MAX_TICKET_CHARACTERS = 64;
const U32_MAX = 0xffff_ffff;
// deno-lint-ignore no-control-regex -- control characters are what it looks for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

/** AUTH. */
export interface AuthRequest {
  readonly id: number;
  readonly account: AccountName;
  readonly register: { readonly pow: string; readonly invite: string | null } | null;
  /** The last login ticket that the device has been given; empty before the first, null where it keeps none. */
  readonly ticket: string | null;
  readonly blobs: readonly Uint8Array[];
}

/** LINK. */
export interface LinkRequest {
  readonly id: number;
  readonly rendezvous: RendezvousId;
  readonly pow: string;
  readonly box: Uint8Array;
}

/** A change of a group. */
export interface CommitRequest {
  readonly kind: "group.commit";
  readonly group: GroupId;
  readonly epoch: number;
  readonly add: readonly DeviceId[];
  readonly remove: readonly DeviceId[];
  readonly external: boolean;
  readonly admins: readonly AccountName[] | null;
  /** Added to the list of the banned. */
  readonly banned: readonly AccountName[] | null;
  /** Taken off it. */
  readonly unbanned: readonly AccountName[] | null;
  readonly commit: Uint8Array;
  /** Empty without `add`. */
  readonly welcome: Uint8Array;
  /** Empty except in a channel. */
  readonly groupInfo: Uint8Array;
}

/** A commit that an admin could not verify. */
export interface RefuseRequest {
  readonly kind: "group.refuse";
  readonly group: GroupId;
  /** The epoch before it. */
  readonly epoch: number;
  /** Its SHA-256. */
  readonly hash: Uint8Array;
}

/** A new group. */
export interface CreateRequest {
  readonly kind: "group.create";
  readonly group: GroupId;
  readonly groupKind: GroupKind;
  readonly suite: number;
  readonly name: string;
  readonly peer: AccountName | null;
  readonly groupInfo: Uint8Array | null;
}

/** Every control request but AUTH. */
export type Request =
  | {
    readonly kind: "keys.publish";
    readonly suite: number;
    readonly lastResort: Uint8Array | null;
    readonly keyPackages: readonly Uint8Array[];
    /** Whether the unused ones go. */
    readonly replace: boolean;
  }
  | {
    readonly kind: "keys.claim";
    readonly account: AccountName;
    readonly suite: number;
    /** Only of these devices. */
    readonly devices: readonly DeviceId[] | null;
  }
  | { readonly kind: "keys.lookup"; readonly account: AccountName }
  | { readonly kind: "keys.link"; readonly rendezvous: RendezvousId | null }
  | { readonly kind: "keys.link_answer"; readonly rendezvous: RendezvousId; readonly box: Uint8Array }
  | { readonly kind: "keys.revoke"; readonly statement: Uint8Array }
  | { readonly kind: "join"; readonly channel: ChannelName }
  | { readonly kind: "part"; readonly group: GroupId; readonly statement: Uint8Array | null }
  | CreateRequest
  | CommitRequest
  | RefuseRequest
  | {
    readonly kind: "group.return";
    readonly group: GroupId;
    readonly keyPackage: Uint8Array;
    readonly statement: Uint8Array;
  }
  | { readonly kind: "group.sync"; readonly group: GroupId; readonly epoch: number }
  | { readonly kind: "group.info"; readonly group: GroupId }
  | { readonly kind: "group.list" }
  | { readonly kind: "group.channels" }
  | { readonly kind: "group.members"; readonly group: GroupId }
  | { readonly kind: "group.reset"; readonly group: GroupId };

/** The request id of a control frame. @throws {AronaError} `BAD_REQUEST`: such a frame cannot be answered */
export function parseRequestId(fields: ControlFields): number {
  return integer(fields, "id", { min: 1, max: U32_MAX });
}

/** @throws {AronaError} `BAD_REQUEST` */
export function parseAuth(control: Control): AuthRequest {
  const { fields, blobs } = control;
  const id = parseRequestId(fields);
  const account = named(() => parseAccountName(fields.account));
  if (blobs.length !== 3) throw bad("blobs");
  const { ticket = null } = fields;
  if (ticket !== null && (typeof ticket !== "string" || ticket.length > MAX_TICKET_CHARACTERS)) {
    throw bad("ticket");
  }
  if (fields.register === undefined) return { id, account, register: null, ticket, blobs };
  const register = fields.register as ControlFields | null;
  if (typeof register !== "object" || register === null) throw bad("register");
  const { invite } = register;
  const pow = powNonce(register.pow, "register.pow");
  if (invite !== undefined && (typeof invite !== "string" || invite.length > MAX_INVITE_CHARACTERS)) {
    throw bad("register.invite");
  }
  return { id, account, register: { pow, invite: invite ?? null }, ticket, blobs };
}

/** @throws {AronaError} `BAD_REQUEST`, `TOO_LARGE` */
export function parseLink({ fields, blobs }: Control): LinkRequest {
  return {
    id: parseRequestId(fields),
    rendezvous: rendezvous(fields),
    pow: powNonce(fields.pow, "pow"),
    box: onlyBlob(blobs, MAX_LINK_BOX_BYTES),
  };
}

/**
 * Parses a request by its frame type and `op`.
 *
 * @throws {AronaError} `BAD_REQUEST`, `TOO_LARGE`, `UNSUPPORTED`
 */
export function parseRequest(type: number, control: Control): Request {
  const { fields, blobs } = control;
  switch (type) {
    case FrameType.JOIN:
      return { kind: "join", channel: named(() => parseChannelName(fields.channel)) };
    case FrameType.PART:
      return {
        kind: "part",
        group: groupId(fields),
        statement: blobs.length === 0 ? null : blob(blobs, 0, MAX_STATEMENT_BYTES),
      };
    case FrameType.KEYS:
      return parseKeys(fields, blobs);
    case FrameType.GROUP:
      return parseGroup(fields, blobs);
    default:
      throw unsupported();
  }
}

function parseKeys(fields: ControlFields, blobs: readonly Uint8Array[]): Request {
  switch (fields.op) {
    case "publish": {
      if (blobs.length === 0 || blobs.length > MAX_KEY_PACKAGES_PER_DEVICE + 1) throw bad("blobs");
      const all = blobs.map((_, i) => blob(blobs, i, MAX_KEY_PACKAGE_BYTES));
      const hasLastResort = boolean(fields, "lastResort");
      return {
        kind: "keys.publish",
        suite: suite(fields),
        lastResort: hasLastResort ? all[0] : null,
        keyPackages: hasLastResort ? all.slice(1) : all,
        replace: boolean(fields, "replace"),
      };
    }
    case "claim":
      return {
        kind: "keys.claim",
        account: named(() => parseAccountName(fields.account)),
        suite: suite(fields),
        devices: fields.devices === undefined ? null : devices(fields, "devices"),
      };
    case "lookup":
      return { kind: "keys.lookup", account: named(() => parseAccountName(fields.account)) };
    case "link":
      return { kind: "keys.link", rendezvous: fields.rendezvous === undefined ? null : rendezvous(fields) };
    case "link_answer":
      return {
        kind: "keys.link_answer",
        rendezvous: rendezvous(fields),
        box: onlyBlob(blobs, MAX_LINK_BOX_BYTES),
      };
    case "revoke":
      return { kind: "keys.revoke", statement: onlyBlob(blobs, MAX_STATEMENT_BYTES) };
    default:
      throw unsupported();
  }
}

function parseGroup(fields: ControlFields, blobs: readonly Uint8Array[]): Request {
  switch (fields.op) {
    case "create":
      return parseCreate(fields, blobs);
    case "commit":
      return parseCommit(fields, blobs);
    case "refuse":
      return { kind: "group.refuse", group: groupId(fields), epoch: epoch(fields), hash: hash(fields) };
    case "return":
      if (blobs.length !== 2) throw bad("blobs");
      return {
        kind: "group.return",
        group: groupId(fields),
        keyPackage: blob(blobs, 0, MAX_KEY_PACKAGE_BYTES),
        statement: blob(blobs, 1, MAX_STATEMENT_BYTES),
      };
    case "sync":
      return { kind: "group.sync", group: groupId(fields), epoch: epoch(fields) };
    case "info":
      return { kind: "group.info", group: groupId(fields) };
    case "list":
      return { kind: "group.list" };
    case "channels":
      return { kind: "group.channels" };
    case "members":
      return { kind: "group.members", group: groupId(fields) };
    case "reset":
      return { kind: "group.reset", group: groupId(fields) };
    default:
      throw unsupported();
  }
}

function parseCreate(fields: ControlFields, blobs: readonly Uint8Array[]): CreateRequest {
  const head = { kind: "group.create", group: groupId(fields), suite: suite(fields) } as const;
  switch (fields.kind) {
    case "channel": {
      const name = named(() => parseChannelName(fields.name));
      const groupInfo = blob(blobs, 0, MAX_COMMIT_BYTES);
      return { ...head, groupKind: "channel", name, peer: null, groupInfo };
    }
    case "dm": {
      const peer = named(() => parseAccountName(fields.peer));
      return { ...head, groupKind: "dm", name: "", peer, groupInfo: null };
    }
    case "group":
      return { ...head, groupKind: "group", name: groupName(fields.name ?? ""), peer: null, groupInfo: null };
    default:
      throw bad("kind");
  }
}

function parseCommit(fields: ControlFields, blobs: readonly Uint8Array[]): CommitRequest {
  if (blobs.length !== 3) throw bad("blobs");
  const add = devices(fields, "add");
  const welcome = blob(blobs, 1, MAX_COMMIT_BYTES * 4, { empty: true });
  if ((add.length > 0) !== (welcome.length > 0)) throw bad("add and Welcome");
  const banned = accounts(fields, "banned", MAX_BANNED_PER_GROUP);
  const unbanned = accounts(fields, "unbanned", MAX_BANNED_PER_GROUP);
  if (unbanned?.some((account) => banned?.includes(account))) throw bad("unbanned");
  return {
    kind: "group.commit",
    group: groupId(fields),
    epoch: epoch(fields),
    add,
    remove: devices(fields, "remove"),
    external: boolean(fields, "external"),
    admins: accounts(fields, "admins", MAX_ADMINS_PER_GROUP),
    banned,
    unbanned,
    commit: blob(blobs, 0, MAX_COMMIT_BYTES),
    welcome,
    groupInfo: blob(blobs, 2, MAX_COMMIT_BYTES * 4, { empty: true }),
  };
}

function groupName(value: unknown): string {
  if (typeof value !== "string" || [...value].length > MAX_GROUP_NAME_CHARACTERS) throw bad("name");
  if (CONTROL_CHARACTER.test(value)) throw bad("name");
  return value;
}

function groupId(fields: ControlFields): GroupId {
  return named(() => parseGroupId(fields.group));
}

function epoch(fields: ControlFields): number {
  return integer(fields, "epoch", { min: 0, max: Number.MAX_SAFE_INTEGER });
}

function powNonce(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^[0-9a-f]{16}$/.test(value)) throw bad(field);
  return value;
}

function rendezvous(fields: ControlFields): RendezvousId {
  return named(() => parseRendezvousId(fields.rendezvous));
}

function onlyBlob(blobs: readonly Uint8Array[], limit: number): Uint8Array {
  if (blobs.length !== 1) throw bad("blobs");
  return blob(blobs, 0, limit);
}

function hash(fields: ControlFields): Uint8Array {
  if (typeof fields.hash !== "string" || !/^[0-9a-f]{64}$/.test(fields.hash)) throw bad("hash");
  return fromHex(fields.hash);
}

function suite(fields: ControlFields): number {
  const value = integer(fields, "suite", { min: 1, max: 0xffff });
  if (!GROUP_SUITES.includes(value)) throw bad("suite");
  return value;
}

function devices(fields: ControlFields, name: string): DeviceId[] {
  const parsed = array(fields[name] ?? [], name, MAX_GROUP_MEMBERS).map((id) =>
    named(() => parseDeviceId(id))
  );
  if (new Set(parsed).size !== parsed.length) throw bad(name);
  return parsed;
}

function accounts(fields: ControlFields, name: string, limit: number): AccountName[] | null {
  if (fields[name] === undefined) return null;
  const parsed = array(fields[name], name, limit).map((account) => named(() => parseAccountName(account)));
  return [...new Set(parsed)];
}

function array(value: unknown, name: string, limit: number): unknown[] {
  if (!Array.isArray(value) || value.length > limit) throw bad(name);
  return value;
}

function integer(fields: ControlFields, name: string, range: { min: number; max: number }): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < range.min || value > range.max) {
    throw bad(name);
  }
  return value;
}

/** An absent flag is false. */
function boolean(fields: ControlFields, name: string): boolean {
  const value = fields[name] ?? false;
  if (typeof value !== "boolean") throw bad(name);
  return value;
}

function blob(
  blobs: readonly Uint8Array[],
  index: number,
  limit: number,
  options: { empty?: boolean } = {},
): Uint8Array {
  const bytes = blobs[index];
  if (bytes === undefined || (bytes.length === 0 && options.empty !== true)) throw bad(`blob ${index}`);
  if (bytes.length > limit) {
    throw new AronaError("TOO_LARGE", `Cannot accept request: blob ${index} is too large`);
  }
  return bytes;
}

/** Names and ids are checked by their own parsers; here they are just one more field that does not fit. */
function named<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new AronaError("BAD_REQUEST", "Cannot accept request: a name or an id does not fit", { cause });
  }
}

function bad(field: string): AronaError {
  return new AronaError("BAD_REQUEST", `Cannot accept request: "${field}" does not fit`);
}

function unsupported(): AronaError {
  return new AronaError("UNSUPPORTED", "Cannot accept request: this relay does not know it");
}
