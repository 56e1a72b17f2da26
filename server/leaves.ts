/** PART: a device leaves at once; the members left are asked, one after the other, to commit the Remove of its leaf. */

import {
  AronaError,
  ByteWriter,
  type DeviceId,
  fromHex,
  type GroupId,
  SignatureAlgorithm,
  signatureName,
  utf8,
} from "../proto/mod.ts";
import type { Clock, CryptoProvider } from "../proto/mod.ts";
import type { Listener } from "./bus.ts";
import type { GroupState } from "./group_directory.ts";
import { LEAVE_ASK_INTERVAL_MS } from "./limits.ts";
import type { Answer, Caller, Services } from "./services.ts";
import type { StoredLeaver } from "./store.ts";

const LEAVE_LABEL = "arona leave v1";
const LEAF_KEY_HASH_BYTES = 32;
const ML_DSA_44_SIGNATURE_BYTES = 2_420;

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
  const valid = statement === null || await isLeaveStatement(services.crypto, {
    group,
    statement,
    device: caller.device,
    deviceKey: services.store.device(caller.device)?.deviceKey ?? new Uint8Array(),
  });
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

/**
 * Whether `statement` has the right form, and the right signature where it is by the key that the relay knows, which is the ML-DSA-44
 * one. An ML-DSA-65 leaf key is known to the members only; they check every statement in any case.
 */
export async function isLeaveStatement(
  crypto: CryptoProvider,
  options: { group: GroupId; device: DeviceId; deviceKey: Uint8Array; statement: Uint8Array },
): Promise<boolean> {
  const hash = options.statement.subarray(0, LEAF_KEY_HASH_BYTES);
  const signature = options.statement.subarray(LEAF_KEY_HASH_BYTES);
  if (signature.length === 3_309) return true;
  if (signature.length !== ML_DSA_44_SIGNATURE_BYTES) return false;
  const signed = new ByteWriter().vector16(utf8(LEAVE_LABEL)).raw(fromHex(options.group)).raw(
    fromHex(options.device),
  )
    .raw(hash).finish();
  return await crypto.verify(
    signatureName(SignatureAlgorithm.ML_DSA_44),
    options.deviceKey,
    signed,
    signature,
  );
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
