/** A group as a value: what the client sees of an MLS state, and the way back to the state. */

import { AronaError, type GroupId, toHex } from "../../proto/mod.ts";
import { readOccupants } from "./commit_view.ts";
import type { LeafReader, Occupant } from "./credential.ts";
import type { Group, Member, TrustService } from "./group.ts";
import { readContextExtensions } from "./group_context.ts";
import type { GroupSettings } from "./group_settings.ts";
import { type ClientState, nodeTypes, type RatchetTree } from "./mls_library.ts";
import { SUITE_IDS, type SuiteId } from "./suite.ts";

/** A group as the client sees it. The members are read from the tree when they are asked for. */
export class MlsGroup implements Group {
  readonly id: GroupId;
  readonly epoch: number;
  readonly suite: SuiteId;
  readonly kind: Group["kind"];
  readonly name: string;
  readonly admins: Group["admins"];
  readonly banned: Group["banned"];
  readonly active: boolean;
  readonly authenticator: Uint8Array;
  readonly #members: () => Member[];
  readonly #self: () => Member;
  #knownMembers: readonly Member[] | undefined;

  constructor(state: ClientState, readers: { leaves: LeafReader; trust: TrustService }) {
    const { groupContext, keySchedule, ratchetTree, privatePath } = state;
    const settings = readContextExtensions(groupContext.extensions);
    const toMember = memberMaker(readers.trust, settings);
    this.id = groupIdOf(state);
    this.epoch = Number(groupContext.epoch);
    this.suite = requireSuite(groupContext.cipherSuite);
    this.kind = settings.kind;
    this.name = settings.name;
    this.admins = settings.admins;
    this.banned = settings.banned;
    this.active = state.groupActiveState.kind === "active";
    this.authenticator = keySchedule.epochAuthenticator;
    this.#members = () => readOccupants(readers.leaves, ratchetTree).map(toMember);
    this.#self = () => toMember(requireOccupant(readers.leaves, ratchetTree, privatePath.leafIndex));
    states.set(this, state);
  }

  get members(): readonly Member[] {
    return this.#knownMembers ??= this.#members();
  }

  get self(): Member {
    return this.#self();
  }
}

/** The state behind a group. @throws {AronaError} `INTERNAL` for an object that no engine has made */
export function stateOf(group: Group): ClientState {
  const state = states.get(group);
  if (state === undefined) {
    throw new AronaError("INTERNAL", "Cannot use group: it does not come from the engine");
  }
  return state;
}

/** The same, of a group that this device is still in. @throws {AronaError} `POLICY` */
export function activeState(group: Group): ClientState {
  if (!group.active) throw new AronaError("POLICY", "Cannot use group: this device has been removed from it");
  return stateOf(group);
}

/** @throws {AronaError} `BAD_MLS` */
export function groupIdOf(state: { groupContext: { groupId: Uint8Array } }): GroupId {
  const { groupId } = state.groupContext;
  if (groupId.length !== 16) {
    throw new AronaError("BAD_MLS", `Cannot use group: its id has ${groupId.length} bytes`);
  }
  return toHex(groupId) as GroupId;
}

/** @throws {AronaError} `BAD_MLS` for a suite that is not known here */
export function requireSuite(id: number): SuiteId {
  const suite = SUITE_IDS.find((known) => known === id);
  if (suite === undefined) {
    throw new AronaError("BAD_MLS", `Cannot use group: cipher suite ${id} is not known here`);
  }
  return suite;
}

/** Who is at a leaf. @throws {AronaError} `BAD_MLS` where it is blank */
export function requireOccupant(leaves: LeafReader, tree: RatchetTree, leaf: number): Occupant {
  const node = tree[2 * leaf];
  if (node?.nodeType !== nodeTypes.leaf) {
    throw new AronaError("BAD_MLS", `Cannot use group: leaf ${leaf} is blank`);
  }
  return leaves.read(node.leaf, leaf);
}

/** Turns occupants into members, as the settings and the pinned identities see them. */
export function memberMaker(trust: TrustService, settings: GroupSettings): (occupant: Occupant) => Member {
  return ({ leaf, account, device, fingerprint, certificate }) => ({
    leaf,
    account,
    device,
    fingerprint,
    identityKey: certificate.identityKey,
    admin: settings.admins.includes(fingerprint),
    identityChanged: trust.check(account, fingerprint) === "changed",
  });
}

const states = new WeakMap<Group, ClientState>();
