/** PART: a device leaves at once; the members left are asked, one after the other, to commit the Remove of its leaf. */

import { AronaError, type Clock, type DeviceId, type GroupId } from "../proto/mod.ts";
import { Errands } from "./errands.ts";
import type { GroupState } from "./group_directory.ts";
import type { Answer, Caller, Services } from "./services.ts";
import { isStatementSound } from "./statements.ts";
import type { StoredLeaver } from "./store.ts";

/** Answers PART. Without a statement the device declines: it never took part, and nobody is asked for anything. */
export async function part(
  services: Services,
  caller: Caller,
  request: { group: GroupId; statement: Uint8Array | null },
): Promise<Answer> {
  const { group, statement } = request;
  const valid = statement === null ||
    await isStatementSound(services, caller, {
      kind: "leave",
      group,
      suite: services.groups.find(group)?.head.suite,
      bytes: statement,
    });
  if (!valid) throw new AronaError("BAD_REQUEST", "Cannot leave the group: the leave statement is not valid");
  // Looked up after the wait: the group may have changed meanwhile.
  const state = services.groups.find(group);
  if (state === null || !state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot leave the group: not a member");
  }
  if (state.members.size === 1) {
    services.leaves.forgetGroup(state);
    services.returns.forgetGroup(state);
    services.groups.delete(state);
  } else if (statement === null) {
    services.groups.decline(state, caller.device);
  } else {
    const leaver = { device: caller.device, account: caller.account, statement };
    services.groups.leave(state, leaver);
    services.leaves.ask(state, leaver);
  }
  return { fields: {} };
}

/** Looks for members that commit the Removes. */
export class Leaves {
  readonly #errands: Errands;

  constructor(clock: Clock) {
    this.#errands = new Errands(clock);
  }

  ask(state: GroupState, leaver: StoredLeaver): void {
    const { device, statement } = leaver;
    this.#errands.begin({
      state,
      device,
      event: { type: "left", group: state.head.group, device },
      blobs: [statement],
      isOpen: () => state.leavers.get(device) === leaver,
    });
  }

  /** A member has connected: it is asked about leavers for whom nobody else has been asked just now. */
  memberConnected(state: GroupState): void {
    for (const leaver of state.leavers.values()) {
      if (!this.#errands.memberConnected(state, leaver.device)) this.ask(state, leaver);
    }
  }

  /** A commit has removed or replaced these devices' leaves. */
  settled(state: GroupState, devices: readonly DeviceId[]): void {
    for (const device of devices) this.#errands.end(state, device);
  }

  forgetGroup(state: GroupState): void {
    this.settled(state, [...state.leavers.keys()]);
  }

  stop(): void {
    this.#errands.stop();
  }
}
