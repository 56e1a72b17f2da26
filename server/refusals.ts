/**
 * GROUP `refuse`: clients could not verify the newest commit, and the relay takes it back: at an admin's word, or, so that the group does not
 * stand still while none is there, at that of most accounts that are.
 */

import { type AccountName, AronaError, equalBytes, toHex } from "../proto/mod.ts";
import type { GroupState } from "./group_directory.ts";
import type { RefuseRequest } from "./schema.ts";
import type { Answer, Caller, Services } from "./services.ts";

/** The group's epoch as it is again, and what to say to its members once that is answered. */
export interface RefusedCommit {
  readonly answer: Answer;
  announce(): void;
}

/**
 * Answers `refuse`. What was delivered already stays where it is: a client that cannot verify a commit cannot follow it either.
 *
 * @throws {AronaError} `NOT_FOUND` without the group or without anything to take back, `FORBIDDEN`, `CONFLICT` with the current epoch
 */
export function refuseCommit(services: Services, caller: Caller, request: RefuseRequest): RefusedCommit {
  const { store, groups, leaves } = services;
  const { group, epoch, hash } = request;
  const state = groups.find(group);
  if (state === null) throw new AronaError("NOT_FOUND", "Cannot take a commit back: no such group");
  if (!state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot take a commit back: only members may ask for it");
  }
  const newest = store.newestCommit(group);
  if (state.epoch !== epoch + 1 || (newest !== null && !equalBytes(newest.hash, hash))) {
    throw new AronaError("CONFLICT", "Cannot take a commit back: it is not the newest one", {
      details: { epoch: state.epoch },
    });
  }
  if (newest === null) throw new AronaError("NOT_FOUND", "Cannot take a commit back: nothing is kept of it");
  if (newest.committer.device === caller.device) {
    throw new AronaError("FORBIDDEN", "Cannot take a commit back: it is the caller's own");
  }
  const byAdmin = state.isAdmin(caller.account);
  if (!byAdmin && !isDoubtedByMost(state, { by: caller.account, of: newest.committer.account, hash })) {
    return { answer: { fields: { epoch: state.epoch } }, announce: () => {} };
  }
  const leavers = [...state.leavers.keys()];
  const before = [...state.members.values()];
  // Keeping somebody out is an admin's decision.
  groups.takeBack(state, epoch, { ban: byAdmin });
  leaves.settled(state, leavers.filter((device) => !state.leavers.has(device)));
  return {
    answer: { fields: { epoch } },
    announce() {
      // Whoever had come in by the commit is to know that it is out again.
      for (const { listener } of new Set([...before, ...state.members.values()])) {
        listener?.event({ type: "reopened", group, epoch });
      }
      leaves.memberConnected(state); // leavers have come back that the commit had removed
    },
  };
}

/**
 * Notes that an account could not verify the newest commit.
 *
 * @returns whether more than half of the accounts that are connected could not, its committer's left out. What an admin has committed only
 * another admin has taken back, and while one is connected it is for them to say
 */
function isDoubtedByMost(
  state: GroupState,
  { by, of, hash }: { by: AccountName; of: AccountName; hash: Uint8Array },
): boolean {
  const commit = toHex(hash);
  if (state.doubts?.commit !== commit) state.doubts = { commit, accounts: new Set() };
  state.doubts.accounts.add(by);
  const present = new Set<AccountName>();
  for (const { account, listener } of state.members.values()) if (listener !== null) present.add(account);
  present.delete(of);
  if (state.isAdmin(of) || [...present].some((account) => state.isAdmin(account))) return false;
  const doubting = [...present].filter((account) => state.doubts!.accounts.has(account)).length;
  return by !== of && doubting * 2 > present.size;
}
