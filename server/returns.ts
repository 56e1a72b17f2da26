/** GROUP `return`: a device has lost its state of a group; a member is asked to give it a new leaf. */

import { AronaError, type Clock, type DeviceId, type GroupId } from "../proto/mod.ts";
import type { Recipient } from "./bus.ts";
import { Errands } from "./errands.ts";
import type { GroupState } from "./group_directory.ts";
import type { Answer, Caller, Services } from "./services.ts";
import { isStatementSound } from "./statements.ts";

/** A device that waits for its new leaf. */
export interface Returner {
  readonly keyPackage: Uint8Array;
  readonly statement: Uint8Array;
}

/**
 * Answers `return`.
 *
 * @throws {AronaError} `RATE_LIMITED`; `BAD_REQUEST` for a statement that is not the caller's, `FORBIDDEN` for anybody but a member or in a channel,
 * which is joined from outside
 */
export async function askToReturn(
  services: Services,
  caller: Caller,
  request: { group: GroupId; keyPackage: Uint8Array; statement: Uint8Array },
): Promise<Answer> {
  const { group, keyPackage, statement } = request;
  const retryAfterMs = services.rates.returns.take(`${group} ${caller.device}`);
  if (retryAfterMs > 0) {
    throw new AronaError("RATE_LIMITED", "Cannot ask for the return so often", { details: { retryAfterMs } });
  }
  const suite = services.groups.find(group)?.head.suite;
  if (!await isStatementSound(services, caller, { kind: "return", group, suite, bytes: statement })) {
    throw new AronaError("BAD_REQUEST", "Cannot return to the group: the statement is not valid");
  }
  // Looked up after the wait: the group may have changed meanwhile.
  const state = services.groups.find(group);
  if (state === null || !state.members.has(caller.device) || state.head.kind === "channel") {
    throw new AronaError(
      "FORBIDDEN",
      "Cannot return to the group: not a member, or it can be joined from outside",
    );
  }
  services.returns.ask(state, caller.device, { keyPackage, statement });
  const others = state.members.size - 1;
  if (others === 0 || !isLost(state)) return { fields: { others, lost: false, anew: false } };
  const maker = whoMakesAnew(state, caller.device);
  const anew = maker?.device === caller.device;
  if (!anew) maker?.listener?.event({ type: "lost", group });
  return { fields: { others, lost: true, anew } };
}

/** Whether every device in the group waits for a new leaf: nobody can give one. */
export function isLost(state: GroupState): boolean {
  return [...state.members.keys()].every((device) => state.returners.has(device));
}

/** Who makes a lost group anew: in a direct message whoever found that out; in a group an admin that is connected, the same one first. */
function whoMakesAnew(state: GroupState, finder: DeviceId): Recipient | undefined {
  const found = state.members.get(finder)!;
  if (state.head.kind === "dm" || state.isAdmin(found.account)) return found;
  return [...state.members.values()].find(({ account, listener }) =>
    listener !== null && state.isAdmin(account)
  );
}

/** Looks for members that give devices new leaves. In memory only: a device asks again when it connects again. */
export class Returns {
  readonly #errands: Errands;

  constructor(clock: Clock) {
    this.#errands = new Errands(clock);
  }

  ask(state: GroupState, device: DeviceId, returner: Returner): void {
    state.returners.set(device, returner);
    const { group } = state.head;
    this.#errands.begin({
      state,
      device,
      event: { type: "return", group, device },
      blobs: [returner.keyPackage, returner.statement],
      isOpen: () => state.returners.get(device) === returner && state.members.has(device),
    });
  }

  memberConnected(state: GroupState): void {
    for (const device of state.returners.keys()) this.#errands.memberConnected(state, device);
  }

  /** A commit has removed or replaced these devices' leaves. */
  settled(state: GroupState, devices: readonly DeviceId[]): void {
    for (const device of devices) {
      state.returners.delete(device);
      this.#errands.end(state, device);
    }
  }

  forgetGroup(state: GroupState): void {
    this.settled(state, [...state.returners.keys()]);
  }

  stop(): void {
    this.#errands.stop();
  }
}
