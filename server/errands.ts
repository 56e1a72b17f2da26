/** Errands: something that any one member has to do for another device. Members are asked one after the other until it is done. */

import type { Clock, ControlFields, DeviceId } from "../proto/mod.ts";
import type { Listener } from "./bus.ts";
import type { GroupState } from "./group_directory.ts";
import { ERRAND_INTERVAL_MS } from "./limits.ts";

/** What a member is asked for. */
export interface Errand {
  readonly state: GroupState;
  /** Whom it is for; that device is not asked itself. */
  readonly device: DeviceId;
  /** The EVENT to the member that is asked. */
  readonly event: ControlFields;
  readonly blobs: readonly Uint8Array[];
  /** False once somebody has done it, or it has been asked for anew. */
  isOpen(): boolean;
}

interface Search {
  readonly errand: Errand;
  /** Connections, so that a device is asked again when it comes again. */
  readonly asked: WeakSet<Listener>;
  /** Whether somebody has been asked and still has time. */
  waiting: boolean;
  cancel: () => void;
}

/** Errands of one kind: at most one for a device in a group. */
export class Errands {
  readonly #searches = new Map<string, Search>();

  constructor(private readonly clock: Clock) {}

  /** Asks a connected member that has not been asked; the next one after a while. Without any it waits for somebody to connect. */
  begin(errand: Errand): void {
    const key = keyOf(errand.state, errand.device);
    this.#end(key);
    const search = { errand, asked: new WeakSet<Listener>(), waiting: false, cancel: () => {} };
    this.#searches.set(key, search);
    this.#askNext(key, search);
  }

  /** A member has connected: it is asked where nobody else has been asked just now. @returns false where no such errand is known */
  memberConnected(state: GroupState, device: DeviceId): boolean {
    const key = keyOf(state, device);
    const search = this.#searches.get(key);
    if (search !== undefined && !search.waiting) this.#askNext(key, search);
    return search !== undefined;
  }

  /** It is done, or nobody wants it any more. */
  end(state: GroupState, device: DeviceId): void {
    this.#end(keyOf(state, device));
  }

  stop(): void {
    for (const key of [...this.#searches.keys()]) this.#end(key);
  }

  #askNext(key: string, search: Search): void {
    const { errand, asked } = search;
    search.cancel();
    search.waiting = false;
    if (!errand.isOpen()) return this.#end(key);
    const listener = nextToAsk(errand, asked);
    if (listener === undefined) return;
    asked.add(listener);
    search.waiting = true;
    listener.event(errand.event, errand.blobs);
    search.cancel = this.clock.schedule(ERRAND_INTERVAL_MS, () => this.#askNext(key, search));
  }

  #end(key: string): void {
    this.#searches.get(key)?.cancel();
    this.#searches.delete(key);
  }
}

function keyOf(state: GroupState, device: DeviceId): string {
  return `${state.head.group} ${device}`;
}

function nextToAsk({ state, device }: Errand, asked: WeakSet<Listener>): Listener | undefined {
  for (const member of state.members.values()) {
    const { listener } = member;
    if (listener !== null && member.device !== device && !asked.has(listener)) return listener;
  }
}
