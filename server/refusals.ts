/** GROUP `refuse`: an admin's client could not verify the newest commit, and the relay takes it back. */

import { AronaError, equalBytes } from "../proto/mod.ts";
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
  if (!state.members.has(caller.device) || !state.isAdmin(caller.account)) {
    throw new AronaError("FORBIDDEN", "Cannot take a commit back: only an admin may");
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
  const leavers = [...state.leavers.keys()];
  groups.takeBack(state, epoch);
  leaves.settled(state, leavers.filter((device) => !state.leavers.has(device)));
  return {
    answer: { fields: { epoch } },
    announce() {
      for (const { listener } of state.members.values()) listener?.event({ type: "reopened", group, epoch });
      leaves.memberConnected(state); // leavers have come back that the commit had removed
    },
  };
}
