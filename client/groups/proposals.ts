/** From a change that somebody wants to the proposals that a commit holds, and back to whom it concerns. */

import { AronaError, type DeviceId } from "../../proto/mod.ts";
import { readOccupants } from "./commit_view.ts";
import type { LeafReader, Occupant } from "./credential.ts";
import type { GroupChange } from "./group.ts";
import { makeContextExtensions, readContextExtensions } from "./group_context.ts";
import { type GroupSettings, makeSettings } from "./group_settings.ts";
import { requireOccupant } from "./group_value.ts";
import { inspectKeyPackage } from "./key_package.ts";
import {
  type ClientState,
  defaultProposalTypes,
  type MlsEnvironment,
  type Proposal,
  type RatchetTree,
} from "./mls_library.ts";
import { joinStatements } from "./statements.ts";
import { parseSuiteId } from "./suite.ts";

/** A commit to be made. */
export interface PlannedCommit {
  readonly proposals: Proposal[];
  readonly authenticatedData: Uint8Array;
}

interface PlanOptions {
  readonly environment: MlsEnvironment;
  readonly leaves: LeafReader;
  readonly nowMs: number;
}

/**
 * What to propose for `change`.
 *
 * @throws {AronaError} `POLICY`, and whatever is wrong with a KeyPackage
 */
export async function planCommit(
  state: ClientState,
  change: GroupChange,
  options: PlanOptions,
): Promise<PlannedCommit> {
  const authenticatedData = new Uint8Array();
  switch (change.kind) {
    case "update":
      return { proposals: [], authenticatedData };
    case "add":
      return { proposals: await additions(state, change.keyPackages, options), authenticatedData };
    case "remove":
      if (change.devices.length === 0) throw new AronaError("POLICY", "Cannot remove: there is no device");
      return {
        proposals: removals(state, change.devices, options.leaves),
        authenticatedData: joinStatements(change.statements ?? []),
      };
    case "replace":
      return {
        proposals: [
          ...removals(state, [change.device], options.leaves),
          ...await additions(state, [change.keyPackage], options),
        ],
        authenticatedData: joinStatements([change.statement]),
      };
    case "settings":
      return {
        proposals: [
          settingsProposal(changedSettings(readContextExtensions(state.groupContext.extensions), change)),
          ...removals(state, change.alsoRemove ?? [], options.leaves),
        ],
        authenticatedData,
      };
  }
}

/** Whom the Adds among `proposals` bring in. Their leaf indices are not known yet. */
export function addedBy(leaves: LeafReader, proposals: readonly Proposal[]): Occupant[] {
  return proposals.flatMap((proposal) =>
    "add" in proposal ? [leaves.read(proposal.add.keyPackage.leafNode, -1)] : []
  );
}

/** Whom the Removes among `proposals` take out of `tree`. */
export function removedBy(
  leaves: LeafReader,
  tree: RatchetTree,
  proposals: readonly Proposal[],
): Occupant[] {
  return proposals.flatMap((proposal) =>
    "remove" in proposal ? [requireOccupant(leaves, tree, proposal.remove.removed)] : []
  );
}

async function additions(
  state: ClientState,
  keyPackages: readonly Uint8Array[],
  options: PlanOptions,
): Promise<Proposal[]> {
  if (keyPackages.length === 0) throw new AronaError("POLICY", "Cannot add: there is no key package");
  const suite = parseSuiteId(state.groupContext.cipherSuite);
  const proposals: Proposal[] = [];
  for (const bytes of keyPackages) {
    const { keyPackage } = await inspectKeyPackage(options.environment, bytes, { ...options, suite });
    proposals.push({ proposalType: defaultProposalTypes.add, add: { keyPackage } });
  }
  return proposals;
}

function removals(state: ClientState, devices: readonly DeviceId[], leaves: LeafReader): Proposal[] {
  const occupants = devices.length === 0 ? [] : readOccupants(leaves, state.ratchetTree);
  return devices.map((device) => {
    const occupant = occupants.find((one) => one.device === device);
    if (occupant === undefined) {
      throw new AronaError("POLICY", `Cannot remove device ${device}: it is not a member`);
    }
    return { proposalType: defaultProposalTypes.remove, remove: { removed: occupant.leaf } };
  });
}

function changedSettings(
  settings: GroupSettings,
  change: Extract<GroupChange, { kind: "settings" }>,
): GroupSettings {
  const banned = change.banned ?? settings.banned;
  const admins = change.admins ?? settings.admins.filter((fingerprint) => !banned.includes(fingerprint));
  return makeSettings({ kind: settings.kind, name: change.name ?? settings.name, admins, banned });
}

function settingsProposal(settings: GroupSettings): Proposal {
  return {
    proposalType: defaultProposalTypes.group_context_extensions,
    groupContextExtensions: { extensions: makeContextExtensions(settings) },
  };
}
