/** GROUP and JOIN: groups are created, looked at, listed and forgotten. Changing one is commits.ts. */

import { AronaError, type ChannelName, type GroupId, toHex } from "../proto/mod.ts";
import { isBanned } from "./commit_rules.ts";
import type { GroupState } from "./group_directory.ts";
import { isLost } from "./returns.ts";
import { MAX_GROUPS, MAX_GROUPS_PER_ACCOUNT, MAX_LISTED_CHANNELS } from "./limits.ts";
import type { CreateRequest } from "./schema.ts";
import type { Answer, Caller, Services } from "./services.ts";

/**
 * Answers `create`.
 *
 * @throws {AronaError} `CONFLICT` with the group that exists, `NOT_FOUND` for an unknown peer, `QUOTA`
 */
export function createGroup(services: Services, caller: Caller, request: CreateRequest): Answer {
  const { store, groups } = services;
  const { group, groupKind, peer } = request;
  if (groupKind === "dm" && (peer === null || peer === caller.account)) {
    throw new AronaError("BAD_REQUEST", "Cannot create the direct message: it needs another account");
  }
  if (peer !== null && store.account(peer) === null) {
    throw new AronaError("NOT_FOUND", "Cannot find the account: this relay does not know it");
  }
  const existing = existingGroup(services, caller, request);
  if (existing !== null) {
    throw new AronaError("CONFLICT", "Cannot create the group: it exists", { details: { group: existing } });
  }
  if (store.groupCountOf(caller.account) >= MAX_GROUPS_PER_ACCOUNT || store.groupCount() >= MAX_GROUPS) {
    throw new AronaError("QUOTA", "Cannot create the group: there are too many");
  }
  const created = groups.create(
    { group, kind: groupKind, suite: request.suite, name: request.name, creator: caller.account, peer },
    {
      member: { device: caller.device, account: caller.account },
      groupInfo: request.groupInfo ?? undefined,
      atMs: services.clock.now(),
    },
  );
  if (!created) {
    throw new AronaError("CONFLICT", "Cannot create the group: it exists", { details: { group } });
  }
  return { fields: {} };
}

/** Answers JOIN. @throws {AronaError} `FORBIDDEN` for a banned account */
export function joinChannel(services: Services, caller: Caller, channel: ChannelName): Answer {
  const group = services.store.channel(channel);
  const state = group === null ? null : services.groups.find(group);
  if (state === null) return { fields: { exists: false } };
  if (isBanned(services.store, state, caller.account)) {
    throw new AronaError("FORBIDDEN", "Cannot join the channel: banned from it");
  }
  return {
    fields: {
      exists: true,
      group,
      epoch: state.epoch,
      suite: state.head.suite,
      members: state.members.size,
    },
    blobs: groupInfoOf(services, state),
  };
}

/** Answers `sync`. */
export function syncGroup(
  services: Services,
  caller: Caller,
  request: { group: GroupId; epoch: number },
): Answer {
  const state = memberGroup(services, caller, request.group);
  const { from, commits, gone } = services.store.commits(request.group, request.epoch);
  const base = services.store.commitHash(request.group, request.epoch - 1);
  const hash = base === null ? undefined : toHex(base);
  const queued = caller.recipient.mailbox.end;
  return { fields: { epoch: state.epoch, from, gone, base: hash, queued }, blobs: commits };
}

/** Answers `info`. */
export function groupInformation(services: Services, caller: Caller, group: GroupId): Answer {
  const state = visibleGroup(services, caller, group);
  return {
    fields: { epoch: state.epoch, suite: state.head.suite, kind: state.head.kind },
    blobs: groupInfoOf(services, state),
  };
}

/** Answers `list`: the groups of the calling device. */
export function listGroups(services: Services, caller: Caller): Answer {
  const groups = services.store.groupsOfDevice(caller.device).flatMap((group) => {
    const state = services.groups.find(group);
    if (state === null) return [];
    const { kind, name, suite } = state.head;
    return [{
      group,
      kind,
      name,
      epoch: state.epoch,
      suite,
      members: state.members.size,
      admins: [...state.admins],
    }];
  });
  return { fields: { groups } };
}

/** Answers `channels`: the largest first, at most {@link MAX_LISTED_CHANNELS}. */
export function listChannels(services: Services): Answer {
  return { fields: { channels: services.store.channels(MAX_LISTED_CHANNELS) } };
}

/** Answers `members`. */
export function listMembers(services: Services, caller: Caller, group: GroupId): Answer {
  const state = memberGroup(services, caller, group);
  const members = [...state.members.values()].map(({ account, device, listener }) => ({
    account,
    device,
    admin: state.isAdmin(account),
    online: listener !== null,
    fingerprint: services.store.account(account)?.fingerprint,
  }));
  return { fields: { members } };
}

/** Answers `reset`: either identity of a dm may have it forgotten, an admin a group whose devices have all lost its state. */
export function resetGroup(services: Services, caller: Caller, group: GroupId): Answer {
  const state = services.groups.find(group);
  if (state === null || !mayReset(state, caller)) {
    throw new AronaError(
      "FORBIDDEN",
      "Cannot reset the group: it is no direct message of this account, and not lost",
    );
  }
  const others = [...state.members.values()].filter(({ device }) => device !== caller.device);
  services.leaves.forgetGroup(state);
  services.returns.forgetGroup(state);
  services.groups.delete(state);
  for (const { listener } of others) listener?.event({ type: "dropped", group });
  return { fields: {} };
}

function mayReset(state: GroupState, { account, device }: Caller): boolean {
  const { kind, creator, peer } = state.head;
  if (kind === "dm") return account === creator || account === peer;
  return kind === "group" && state.members.has(device) && state.isAdmin(account) && isLost(state);
}

/** @throws {AronaError} `FORBIDDEN` for anybody but a member, whether or not the group exists */
function memberGroup(services: Services, caller: Caller, group: GroupId): GroupState {
  const state = services.groups.find(group);
  if (state === null || !state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot look at the group: not a member");
  }
  return state;
}

function visibleGroup(services: Services, caller: Caller, group: GroupId): GroupState {
  const state = services.groups.find(group);
  if (state?.head.kind === "channel" && !isBanned(services.store, state, caller.account)) return state;
  return memberGroup(services, caller, group);
}

function groupInfoOf(services: Services, state: GroupState): Uint8Array[] {
  const groupInfo = services.store.groupInfo(state.head.group);
  return groupInfo === null ? [] : [groupInfo];
}

function existingGroup(services: Services, caller: Caller, request: CreateRequest): GroupId | null {
  if (services.groups.find(request.group) !== null) return request.group;
  if (request.groupKind === "channel") return services.store.channel(request.name);
  if (request.peer !== null) return services.store.dm(caller.account, request.peer);
  return null;
}
