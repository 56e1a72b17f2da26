/** PART: a device leaves at once; the members left are asked, one after the other, to commit the Remove of its leaf. */

import { AronaError, type Clock, type DeviceId, type GroupId } from "../proto/mod.ts";
import type { Listener } from "./bus.ts";
import type { GroupState } from "./group_directory.ts";
import { LEAVE_ASK_INTERVAL_MS } from "./limits.ts";
import type { Answer, Caller, Services } from "./services.ts";
import { isStatementSound } from "./statements.ts";
import type { StoredLeaver } from "./store.ts";

interface Search {
  readonly leaver: StoredLeaver;
  /** Connections, so that a device is asked again when it comes again. */
  readonly asked: WeakSet<Listener>;
  /** Whether somebody has been asked and still has time. */
  waiting: boolean;
  cancel: () => void;
}

/** Answers PART. Without a statement the device declines: it never took part, and nobody is asked for anything. */
export async function part(
  services: Services,
  caller: Caller,
  request: { group: GroupId; statement: Uint8Array | null },
): Promise<Answer> {
  const { group, statement } = request;
  const valid = statement === null ||
    await isStatementSound(services, caller, { kind: "leave", group, bytes: statement });
  if (!valid) throw new AronaError("BAD_REQUEST", "Cannot leave the group: the leave statement is not valid");
  // Looked up after the wait: the group may have changed meanwhile.
  const state = services.groups.find(group);
  if (state === null || !state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot leave the group: not a member");
  }
  if (state.members.size === 1) {
    services.leaves.forgetGroup(state);
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
  readonly #searches = new Map<string, Search>();

  constructor(private readonly clock: Clock) {}

  /** Asks a connected member that has not been asked; the next one after a while. Without any it waits for somebody to connect. */
  ask(state: GroupState, leaver: StoredLeaver): void {
    const key = `${state.head.group} ${leaver.device}`;
    let search = this.#searches.get(key);
    if (search?.leaver !== leaver) {
      this.#end(key);
      search = { leaver, asked: new WeakSet(), waiting: false, cancel: () => {} };
      this.#searches.set(key, search);
    }
    search.cancel();
    search.waiting = false;
    if (state.leavers.get(leaver.device) !== leaver) return this.#end(key);
    const listener = nextToAsk(state, search.asked);
    if (listener === undefined) return;
    search.asked.add(listener);
    search.waiting = true;
    listener.event({ type: "left", group: state.head.group, device: leaver.device }, [leaver.statement]);
    search.cancel = this.clock.schedule(LEAVE_ASK_INTERVAL_MS, () => this.ask(state, leaver));
  }

  /** A member has connected: it is asked about leavers for whom nobody else has been asked just now. */
  memberConnected(state: GroupState): void {
    for (const leaver of state.leavers.values()) {
      const search = this.#searches.get(`${state.head.group} ${leaver.device}`);
      if (search?.leaver !== leaver || !search.waiting) this.ask(state, leaver);
    }
  }

  /** A commit has removed or replaced these devices' leaves. */
  settled(state: GroupState, devices: readonly DeviceId[]): void {
    for (const device of devices) this.#end(`${state.head.group} ${device}`);
  }

  forgetGroup(state: GroupState): void {
    this.settled(state, [...state.leavers.keys()]);
  }

  stop(): void {
    for (const key of [...this.#searches.keys()]) this.#end(key);
  }

  #end(key: string): void {
    this.#searches.get(key)?.cancel();
    this.#searches.delete(key);
  }
}

function nextToAsk(state: GroupState, asked: WeakSet<Listener>): Listener | undefined {
  for (const { listener } of state.members.values()) {
    if (listener !== null && !asked.has(listener)) return listener;
  }
}
