/** Translates decoded commits and trees into the plain terms of the group's rules. */

import { type CryptoProvider, type GroupId, toHex } from "../../proto/mod.ts";
import type { LeafReader, Occupant } from "./credential.ts";
import { checkLeafSize, readContextExtensions } from "./group_context.ts";
import { readStatements } from "./statements.ts";
import { type DecodedCommit, encodeKeyPackage } from "./mls_codec.ts";
import {
  defaultProposalTypes,
  type GroupContextExtension,
  type KeyPackage,
  nodeTypes,
  type Proposal,
  type RatchetTree,
} from "./mls_library.ts";
import type { CommitView, Lifetime, PolicyGroup, ProposalView } from "./policy.ts";
import type { SuiteId } from "./suite.ts";

/** Everybody in the tree, by leaf index. @throws {AronaError} `BAD_CERTIFICATE`, `BAD_MLS` */
export function readOccupants(leaves: LeafReader, tree: RatchetTree): Occupant[] {
  const occupants: Occupant[] = [];
  for (let index = 0; index < tree.length; index += 2) {
    const node = tree[index];
    if (node?.nodeType !== nodeTypes.leaf) continue;
    checkLeafSize(node.leaf);
    occupants.push(leaves.read(node.leaf, index / 2));
  }
  return occupants;
}

/** The group as the rules see it. */
export function viewGroup(
  leaves: LeafReader,
  state: { ratchetTree: RatchetTree; groupContext: { extensions: readonly GroupContextExtension[] } },
): PolicyGroup {
  const nodeKeys: Uint8Array[] = [];
  for (const node of state.ratchetTree) {
    if (node === undefined) continue;
    nodeKeys.push(node.nodeType === nodeTypes.leaf ? node.leaf.hpkePublicKey : node.parent.hpkePublicKey);
  }
  return {
    settings: readContextExtensions(state.groupContext.extensions),
    occupants: readOccupants(leaves, state.ratchetTree),
    nodeKeys,
  };
}

/**
 * The commit as the rules see it.
 *
 * @throws {AronaError} `BAD_MLS`, `BAD_CERTIFICATE`, `POLICY`
 */
export async function viewCommit(
  commit: DecodedCommit,
  options: {
    crypto: CryptoProvider;
    leaves: LeafReader;
    suite: SuiteId;
    id: GroupId;
    /** Before the commit. */
    epoch: number;
    group: PolicyGroup;
  },
): Promise<CommitView> {
  const { crypto, leaves, suite, id, epoch, group } = options;
  const proposals = commit.proposals.map((proposal) => viewProposal(crypto, leaves, proposal));
  const gone = new Set(proposals.map((proposal) => proposal.kind === "remove" ? proposal.leaf : -1));
  const hasAuthenticatedData = commit.authenticatedData.length > 0;
  if (commit.path) checkLeafSize(commit.path.leafNode);
  const statements = await readStatements(crypto, {
    suite,
    group: id,
    epoch,
    removed: group.occupants.filter(({ leaf }) => gone.has(leaf)),
    authenticatedData: commit.authenticatedData,
  });
  return {
    committer: commit.sender,
    proposals,
    path: commit.path
      ? {
        occupant: leaves.read(commit.path.leafNode, commit.sender ?? -1),
        nodeKeys: commit.path.nodes.map((node) => node.hpkePublicKey),
      }
      : null,
    ...statements,
    hasAuthenticatedData,
  };
}

/** When a KeyPackage is valid. */
export function lifetimeOf(keyPackage: KeyPackage): Lifetime {
  const { leafNode } = keyPackage;
  if (!("lifetime" in leafNode)) return { notBeforeMs: 0, notAfterMs: 0 };
  const { notBefore, notAfter } = leafNode.lifetime;
  return { notBeforeMs: Number(notBefore) * 1_000, notAfterMs: Number(notAfter) * 1_000 };
}

function viewProposal(crypto: CryptoProvider, leaves: LeafReader, proposal: Proposal): ProposalView {
  switch (proposal.proposalType) {
    case defaultProposalTypes.add:
      if (!("add" in proposal)) break;
      checkLeafSize(proposal.add.keyPackage.leafNode);
      return {
        kind: "add",
        occupant: leaves.read(proposal.add.keyPackage.leafNode, -1),
        lifetime: lifetimeOf(proposal.add.keyPackage),
        keyPackage: toHex(crypto.digest("SHA-256", encodeKeyPackage(proposal.add.keyPackage))),
      };
    case defaultProposalTypes.remove:
      if (!("remove" in proposal)) break;
      return { kind: "remove", leaf: proposal.remove.removed };
    case defaultProposalTypes.group_context_extensions:
      if (!("groupContextExtensions" in proposal)) break;
      return {
        kind: "settings",
        settings: readContextExtensions(proposal.groupContextExtensions.extensions),
      };
    case defaultProposalTypes.external_init:
      return { kind: "external_init" };
  }
  return { kind: "other", type: proposal.proposalType };
}
