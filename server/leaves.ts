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
import type { Recipient } from "./bus.ts";
import type { GroupState } from "./group_directory.ts";
import { LEAVE_ASK_INTERVAL_MS } from "./limits.ts";
import type { Answer, Caller, Services } from "./services.ts";
import type { StoredLeaver } from "./store.ts";

const LEAVE_LABEL = "arona leave v1";
const LEAF_KEY_HASH_BYTES = 32;
const ML_DSA_44_SIGNATURE_BYTES = 2_420;

interface Search {
  readonly asked: Set<DeviceId>;
  cancel: () => void;
}

/** Answers PART. */
export async function part(
  services: Services,
  caller: Caller,
  request: { group: GroupId; statement: Uint8Array },
): Promise<Answer> {
  const { statement } = request;
  const valid = await isLeaveStatement(services.crypto, {
    ...request,
    device: caller.device,
    deviceKey: services.store.device(caller.device)?.deviceKey ?? new Uint8Array(),
  });
  if (!valid) throw new AronaError("BAD_REQUEST", "Cannot leave the group: the leave statement is not valid");
  // Looked up after the wait: the group may have changed meanwhile.
  const state = services.groups.find(request.group);
  if (state === null || !state.members.has(caller.device)) {
    throw new AronaError("FORBIDDEN", "Cannot leave the group: not a member");
  }
  if (state.members.size === 1) {
    services.leaves.forgetGroup(state);
    services.groups.delete(state);
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

  /** Asks the first connected member; the next one after a while. */
  ask(state: GroupState, leaver: StoredLeaver): void {
    const key = `${state.head.group} ${leaver.device}`;
    let search = this.#searches.get(key);
    if (search === undefined) this.#searches.set(key, search = { asked: new Set(), cancel: () => {} });
    search.cancel();
    const member = nextToAsk(state, search.asked);
    if (member === undefined || state.leavers.get(leaver.device) !== leaver) {
      // Nobody is left to ask: a member that connects later starts it again.
      this.#searches.delete(key);
      return;
    }
    search.asked.add(member.device);
    askMember(member, state, leaver);
    search.cancel = this.clock.schedule(LEAVE_ASK_INTERVAL_MS, () => this.ask(state, leaver));
  }

  /** A member has connected: it is asked about leavers for whom nobody is being asked. */
  memberConnected(state: GroupState): void {
    for (const leaver of state.leavers.values()) {
      if (!this.#searches.has(`${state.head.group} ${leaver.device}`)) this.ask(state, leaver);
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

function nextToAsk(state: GroupState, asked: ReadonlySet<DeviceId>): Recipient | undefined {
  for (const member of state.members.values()) {
    if (member.listener !== null && !asked.has(member.device)) return member;
  }
}

function askMember(member: Recipient, state: GroupState, leaver: StoredLeaver): void {
  member.listener?.event({ type: "left", group: state.head.group, device: leaver.device }, [
    leaver.statement,
  ]);
}
