/** Which commits the relay accepts, by what it can see: membership, roles, kinds and the epoch, never the content. */

import { type AccountName, AronaError, type DeviceId, MAX_GROUP_MEMBERS } from "../proto/mod.ts";
import type { GroupState } from "./group_directory.ts";
import {
  MAX_BANNED_PER_GROUP,
  MAX_GROUPS_PER_ACCOUNT,
  MAX_WELCOME_BYTES_PER_DEVICE,
  MAX_WELCOMES_PER_DEVICE,
  MAX_WELCOMES_PER_INVITER,
} from "./limits.ts";
import type { CommitRequest } from "./schema.ts";
import type { Caller } from "./services.ts";
import type { RelayStore, StoredMember } from "./store.ts";

/**
 * Checks a commit in the order of PROTOCOL.md section 9; the epoch before anything that a lost race could have changed.
 *
 * @returns the members that the commit adds, an external joiner among them
 * @throws {AronaError} `FORBIDDEN`, `CONFLICT` with the current epoch, `NOT_FOUND`, `QUOTA`, `BAD_REQUEST`
 */
export function checkCommit(
  store: RelayStore,
  state: GroupState,
  options: { caller: Caller; request: CommitRequest },
): StoredMember[] {
  const { caller, request } = options;
  if (request.external) checkExternal(store, state, options);
  else if (!state.members.has(caller.device)) throw forbidden("not a member");
  else if (state.banned.has(caller.account)) throw forbidden("banned from the group");
  checkRoles(state, options);
  checkRemovals(state, options);
  if (request.epoch !== state.epoch) {
    throw new AronaError("CONFLICT", "Cannot accept commit: the group is at another epoch", {
      details: { epoch: state.epoch },
    });
  }
  for (const device of request.remove) checkRemoved(store, state, { caller, request, device });
  const added = request.external
    ? [{ device: caller.device, account: caller.account }]
    : request.add.map((device) => addedMember(store, state, { request, device }));
  checkDirectMessage(state, { caller, request, added });
  checkGroupInfo(state, request);
  checkQuotas(store, state, { caller, request, added });
  return added;
}

/** Whether an account is banned by name, or by an account of the same identity that is. */
export function isBanned(store: RelayStore, state: GroupState, account: AccountName): boolean {
  if (state.banned.size === 0) return false;
  return state.banned.has(account) || store.namesOf(account).some((name) => state.banned.has(name));
}

/** The ban list once `request` has added to it and taken off it; undefined where it does neither. */
export function bansAfter(state: GroupState, { banned, unbanned }: CommitRequest): string[] | undefined {
  if (banned === null && unbanned === null) return undefined;
  const all = new Set([...state.banned, ...banned ?? []]);
  for (const account of unbanned ?? []) all.delete(account);
  return [...all];
}

/** A ban keeps out whoever is not in; who is in goes by the Remove in the same commit. */
function checkExternal(
  store: RelayStore,
  state: GroupState,
  { caller, request }: { caller: Caller; request: CommitRequest },
): void {
  if (state.head.kind !== "channel") throw forbidden("only a channel can be joined from outside");
  if (store.device(caller.device) === null) throw forbidden("the device was taken back");
  if (isBanned(store, state, caller.account)) throw forbidden("banned from the channel");
  if (request.add.length > 0 || request.remove.length > 1) {
    throw forbidden("a joiner may only replace itself");
  }
  if (request.admins !== null || request.banned !== null || request.unbanned !== null) {
    throw forbidden("a joiner changes no roles");
  }
  for (const device of request.remove) {
    const owner = state.members.get(device)?.account ?? state.leavers.get(device)?.account ??
      store.device(device)?.account;
    if (owner !== caller.account) throw forbidden("a joiner may only replace a device of its own account");
  }
}

function checkRoles(
  state: GroupState,
  { caller, request }: { caller: Caller; request: CommitRequest },
): void {
  const { admins } = request;
  const banned = bansAfter(state, request);
  if (admins === null && banned === undefined) return;
  if (!state.isAdmin(caller.account)) throw forbidden("only an admin changes roles");
  if (state.head.kind === "dm") throw forbidden("a direct message has no roles");
  const next: readonly string[] = admins ?? [...state.admins];
  if (next.length === 0) throw forbidden("an admin has to remain");
  const kept = banned ?? [...state.banned];
  if (kept.some((account) => next.includes(account))) throw forbidden("an admin cannot be banned");
  if (kept.length > MAX_BANNED_PER_GROUP && kept.length > state.banned.size) {
    throw quota("too many are banned");
  }
}

function checkRemovals(
  state: GroupState,
  { caller, request }: { caller: Caller; request: CommitRequest },
): void {
  if (request.external || state.isAdmin(caller.account)) {
    if (!request.external && request.remove.includes(caller.device)) {
      throw forbidden("a device leaves with PART");
    }
    return;
  }
  for (const device of request.remove) {
    if (isReplaced(state, request, device)) continue;
    if (device === caller.device) throw forbidden("a device leaves with PART");
    const member = state.members.get(device);
    if (member !== undefined && member.account !== caller.account) {
      throw forbidden("only an admin removes others");
    }
  }
}

/** Members and leavers; also a device that has declined, whose leaf is in the tree though the relay does not route to it. */
function checkRemoved(
  store: RelayStore,
  state: GroupState,
  { caller, request, device }: { caller: Caller; request: CommitRequest; device: DeviceId },
): void {
  if (request.external || state.members.has(device) || state.leavers.has(device)) return;
  const owner = store.device(device)?.account ?? store.revokedAccount(device);
  if (owner !== null && (state.isAdmin(caller.account) || owner === caller.account)) return;
  throw new AronaError("NOT_FOUND", "Cannot accept commit: it removes a device that is not in the group");
}

/** A device that has asked to return: whoever removes its old leaf and adds its new one does what it wants. */
function isReplaced(state: GroupState, request: CommitRequest, device: DeviceId): boolean {
  return state.returners.has(device) && request.remove.includes(device) && request.add.includes(device);
}

function addedMember(
  store: RelayStore,
  state: GroupState,
  { request, device }: { request: CommitRequest; device: DeviceId },
): StoredMember {
  const stored = store.device(device);
  if (stored === null) throw new AronaError("NOT_FOUND", "Cannot accept commit: it adds an unknown device");
  if (isBanned(store, state, stored.account)) throw forbidden("it adds a banned account");
  if (state.members.has(device) && !isReplaced(state, request, device)) {
    throw forbidden("it adds a device that is a member");
  }
  return { device, account: stored.account };
}

/** Own devices come in at any time; the creator adds the other side, once. */
function checkDirectMessage(
  state: GroupState,
  { caller, request, added }: { caller: Caller; request: CommitRequest; added: readonly StoredMember[] },
): void {
  const { kind, creator, peer } = state.head;
  if (kind !== "dm" || added.every(({ device }) => isReplaced(state, request, device))) return;
  if (added.every(({ account }) => account === caller.account)) return;
  const isAlone = [...state.members.values()].every(({ account }) => account === creator);
  if (caller.account !== creator || !isAlone) throw forbidden("a direct message is complete");
  if (added.some(({ account }) => account !== creator && account !== peer)) {
    throw forbidden("a direct message has two accounts");
  }
}

function checkGroupInfo(state: GroupState, request: CommitRequest): void {
  if ((state.head.kind === "channel") === request.groupInfo.length > 0) return;
  throw new AronaError(
    "BAD_REQUEST",
    "Cannot accept commit: a GroupInfo goes with a channel, and only there",
  );
}

function checkQuotas(
  store: RelayStore,
  state: GroupState,
  { caller, request, added }: { caller: Caller; request: CommitRequest; added: readonly StoredMember[] },
): void {
  const removed = request.remove.filter((device) => state.members.has(device)).length;
  const joined = added.filter(({ device }) => !state.members.has(device) || request.remove.includes(device));
  if (state.members.size - removed + joined.length > MAX_GROUP_MEMBERS) throw quota("the group is full");
  const accounts = new Set<AccountName>(joined.map(({ account }) => account));
  for (const { account } of state.members.values()) accounts.delete(account);
  for (const account of accounts) {
    if (store.groupCountOf(account) >= MAX_GROUPS_PER_ACCOUNT) {
      throw quota("an account is in too many groups");
    }
  }
  for (const device of request.add) {
    const waiting = store.welcomes(device);
    const bytes = waiting.reduce((sum, welcome) => sum + welcome.bytes, request.welcome.length);
    const isOwn = store.device(device)?.account === caller.account; // a further device comes into all conversations at once
    const own = isOwn ? 0 : waiting.filter(({ inviter }) => inviter === caller.account).length;
    if (
      waiting.length >= MAX_WELCOMES_PER_DEVICE || own >= MAX_WELCOMES_PER_INVITER ||
      bytes > MAX_WELCOME_BYTES_PER_DEVICE
    ) {
      throw quota("too many invitations wait for a device");
    }
  }
}

function forbidden(why: string): AronaError {
  return new AronaError("FORBIDDEN", `Cannot accept commit: ${why}`);
}

function quota(why: string): AronaError {
  return new AronaError("QUOTA", `Cannot accept commit: ${why}`);
}
