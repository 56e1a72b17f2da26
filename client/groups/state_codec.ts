/**
 * A group's state as bytes, in two parts: the tree, which stays the same for an epoch, and the secrets.
 *
 * Tree: `version u8 ‖ GroupContext ‖ ratchet tree`. Secrets: `version u8 ‖ histories u8 ‖ per history (epoch u64 ‖ tree length u32 ‖
 * changed leaves u32 × u32 ‖ blank leaves u32 × u32) ‖ the library's group state`. Of the trees of former epochs only the leaves are of
 * use, and only those that differ from today's are kept.
 */

import { AronaError, ByteReader, ByteWriter, concatBytes, equalBytes } from "../../proto/mod.ts";
import type { GroupParts } from "./group.ts";
import {
  type ClientState,
  clientStateDecoder,
  clientStateEncoder,
  defaultExtensionTypes,
  encode,
  type EpochReceiverData,
  type GroupInfo,
  type GroupState,
  groupStateEncoder,
  nodeTypes,
  type RatchetTree,
} from "./mls_library.ts";

const CONTAINER_VERSION = 1;
const STATE_VERSION = 1;
const MAX_STATE_BYTES = 2 ** 30;
const MAX_LEAVES = 1 << 20;
/** Ends a list of leaves that is encoded as if it were a tree, which must not be empty. */
const END: RatchetTree[number] = {
  nodeType: nodeTypes.parent,
  parent: { hpkePublicKey: new Uint8Array(), parentHash: new Uint8Array(), unmergedLeaves: [] },
};

/** Length of the tree `[END]`: its own length, present, type, and three empty vectors. */
const END_TREE_BYTES = 6;
const NOTHING = new Uint8Array();
/** Secrets of nobody. */
const NO_SECRETS: GroupState = {
  keySchedule: {
    senderDataSecret: NOTHING,
    exporterSecret: NOTHING,
    externalSecret: NOTHING,
    confirmationKey: NOTHING,
    membershipKey: NOTHING,
    resumptionPsk: NOTHING,
    epochAuthenticator: NOTHING,
    initSecret: NOTHING,
  },
  secretTree: { leafWidth: 1, intermediateNodes: {}, leafNodes: {} },
  privatePath: { leafIndex: 0, privateKeys: {} },
  signaturePrivateKey: NOTHING,
  unappliedProposals: {},
  confirmationTag: NOTHING,
  historicalReceiverData: new Map(),
  groupActiveState: { kind: "active" },
};

type Context = ClientState["groupContext"];

const encodedTrees = new WeakMap<Context, Uint8Array>();

/** Encodes a state. The tree's bytes are the same array for all states of an epoch. */
export function encodeState(state: ClientState): GroupParts {
  return { tree: encodeTree(state), secrets: encodeSecrets(state) };
}

/** @throws {AronaError} `BAD_MLS` */
export function decodeState(parts: GroupParts): ClientState {
  try {
    return decodeParts(parts);
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot read group state: it does not decode", { cause });
  }
}

/**
 * The tree that comes with a GroupInfo.
 *
 * @throws {AronaError} `BAD_MLS` where there is none, or it is not in canonical form
 */
export function ratchetTreeOf(groupInfo: GroupInfo): RatchetTree {
  const { groupContext, extensions } = groupInfo;
  const extension = extensions.find((one) => one.extensionType === defaultExtensionTypes.ratchet_tree);
  if (extension === undefined) throw new AronaError("BAD_MLS", "Cannot join group: the tree is missing");
  try {
    const placeholder = encodePublic({ groupContext, ratchetTree: [END] });
    const context = placeholder.subarray(0, placeholder.length - END_TREE_BYTES);
    const bytes = concatBytes(context, extension.extensionData, encode(groupStateEncoder, NO_SECRETS));
    const decoded = clientStateDecoder(bytes, 0);
    if (decoded === undefined || decoded[1] !== bytes.length) throw new Error("left over bytes");
    const { ratchetTree } = decoded[0];
    const again = encodePublic({ groupContext, ratchetTree }).subarray(context.length);
    if (!equalBytes(again, extension.extensionData)) throw new Error("not in canonical form");
    return ratchetTree;
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot join group: its tree does not decode", { cause });
  }
}

/** Both parts in one: `version u8 ‖ tree vector32 ‖ secrets`. */
export function joinParts({ tree, secrets }: GroupParts): Uint8Array {
  return concatBytes(new ByteWriter().u8(CONTAINER_VERSION).u32(tree.length).finish(), tree, secrets);
}

/** @throws {AronaError} `BAD_MLS` */
export function splitParts(bytes: Uint8Array): GroupParts {
  try {
    const reader = new ByteReader(bytes);
    if (reader.u8() !== CONTAINER_VERSION) throw new Error("another version");
    return { tree: reader.vector32(MAX_STATE_BYTES), secrets: reader.rest() };
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot read group state: it does not decode", { cause });
  }
}

function encodeTree(state: ClientState): Uint8Array {
  let tree = encodedTrees.get(state.groupContext);
  if (tree === undefined) {
    tree = concatBytes(Uint8Array.of(STATE_VERSION), encodePublic(state));
    encodedTrees.set(state.groupContext, tree);
  }
  return tree;
}

/** `GroupContext ‖ ratchet tree`. The library encodes it only together with secrets, which are cut off. */
function encodePublic(state: Pick<ClientState, "groupContext" | "ratchetTree">): Uint8Array {
  const { groupContext, ratchetTree } = state;
  const both = encode(clientStateEncoder, { ...NO_SECRETS, groupContext, ratchetTree });
  return both.subarray(0, both.length - encode(groupStateEncoder, NO_SECRETS).length);
}

function encodeSecrets(state: ClientState): Uint8Array {
  const histories = [...state.historicalReceiverData];
  const writer = new ByteWriter().u8(STATE_VERSION).u8(histories.length);
  const reduced = new Map<bigint, EpochReceiverData>();
  for (const [epoch, data] of histories) {
    const { changed, blank } = compareLeaves(data.ratchetTree, state.ratchetTree);
    writer.u64(Number(epoch)).u32(data.ratchetTree.length);
    for (const list of [changed, blank]) {
      writer.u32(list.length);
      for (const index of list) writer.u32(index);
    }
    reduced.set(epoch, { ...data, ratchetTree: [...changed.map((index) => data.ratchetTree[index]), END] });
  }
  return writer.raw(encode(groupStateEncoder, { ...state, historicalReceiverData: reduced })).finish();
}

function decodeParts(parts: GroupParts): ClientState {
  const secrets = new ByteReader(parts.secrets);
  if (parts.tree[0] !== STATE_VERSION || secrets.u8() !== STATE_VERSION) throw new Error("another version");
  const histories = Array.from({ length: secrets.u8() }, () => ({
    epoch: BigInt(secrets.u64()),
    length: secrets.u32(),
    changed: readIndices(secrets),
    blank: new Set(readIndices(secrets)),
  }));
  const bytes = concatBytes(parts.tree.subarray(1), secrets.rest()); // a copy: secrets in it will be overwritten
  const decoded = clientStateDecoder(bytes, 0);
  if (decoded === undefined || decoded[1] !== bytes.length) throw new Error("left over bytes");
  const [state] = decoded;
  const historicalReceiverData = new Map(histories.map(({ epoch, length, changed, blank }) => {
    const data = state.historicalReceiverData.get(epoch);
    if (data === undefined || length > 2 * MAX_LEAVES) throw new Error("a history is missing");
    const ratchetTree: RatchetTree = Array.from(
      { length },
      (_, index) => index % 2 === 0 && !blank.has(index) ? state.ratchetTree[index] : undefined,
    );
    changed.forEach((index, i) => ratchetTree[index] = data.ratchetTree[i]);
    return [epoch, { ...data, ratchetTree }] as const;
  }));
  encodedTrees.set(state.groupContext, parts.tree.slice());
  return { ...state, historicalReceiverData };
}

function compareLeaves(former: RatchetTree, current: RatchetTree): { changed: number[]; blank: number[] } {
  const changed: number[] = [];
  const blank: number[] = [];
  for (let index = 0; index < former.length; index += 2) {
    const [then, now] = [former[index], current[index]];
    if (then === now) continue;
    if (then === undefined) blank.push(index);
    else if (then.nodeType !== nodeTypes.leaf || now?.nodeType !== nodeTypes.leaf || then.leaf !== now.leaf) {
      changed.push(index);
    }
  }
  return { changed, blank };
}

function readIndices(reader: ByteReader): number[] {
  const count = reader.u32();
  if (count > MAX_LEAVES) throw new Error("too many leaves");
  return Array.from({ length: count }, () => reader.u32());
}
