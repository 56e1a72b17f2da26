/** The MLS engine: state in, new state out, with Arona's rules on every commit, made or received. */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type Clock,
  concatBytes,
  type CryptoProvider,
  type DeviceId,
  fingerprintOf,
  fromHex,
  type GroupId,
  toHex,
} from "../../proto/mod.ts";
import { createCipherSuite } from "./cipher_suite.ts";
import { readOccupants, viewCommit, viewGroup } from "./commit_view.ts";
import { createAuthenticator, createLeafReader, type LeafReader, type Occupant } from "./credential.ts";
import type { Group, GroupChange, GroupEngine, Member, TrustService } from "./group.ts";
import { makeContextExtensions, readContextExtensions } from "./group_context.ts";
import { type GroupSettings, makeSettings } from "./group_settings.ts";
import {
  decodeKeyPackagePair,
  encodeKeyPackagePair,
  inspectKeyPackage,
  makeKeyPackage,
} from "./key_package.ts";
import { makeLeaveStatement } from "./leave.ts";
import {
  type ClientState,
  commitProposals,
  createMlsGroup,
  deactivated,
  type DecodedCommit,
  decodeGroupInfo,
  decodeWelcome,
  defaultProposalTypes,
  type GroupContextExtension,
  joinByWelcome,
  joinFromOutside,
  keyPackageReference,
  makeGroupInfo,
  type MlsEnvironment,
  nodeTypes,
  openApplication,
  processCommit,
  type Proposal,
  type RatchetTree,
  sealApplication,
} from "./mls_library.ts";
import { checkCommit, checkMembership, LATE_READER_GRACE_MS } from "./policy.ts";
import { decodeState, encodeState, ratchetTreeOf } from "./state_codec.ts";
import { parseSuiteId, SUITE_IDS, type SuiteId, SUITES } from "./suite.ts";

const CONTAINER_VERSION = 1;
const MAX_STATE_BYTES = 2 ** 30;

/** Builds the engine on its ports. */
export function createGroupEngine(
  ports: { crypto: CryptoProvider; clock: Clock; trust: TrustService },
): GroupEngine {
  const { crypto, clock } = ports;
  const leaves = createLeafReader(crypto);
  const environments = new Map(SUITE_IDS.map((suite) => [suite, createEnvironment(crypto, leaves, suite)]));
  const environmentOf = (suite: SuiteId) => environments.get(suite)!;
  const wrap = (state: ClientState): Group => new MlsGroup(state, { leaves, trust: ports.trust });

  /** Checks a commit against the rules, as of `state`. */
  async function judge(state: ClientState, commit: DecodedCommit, graceMs: number): Promise<void> {
    const group = viewGroup(leaves, state);
    const suite = parseSuiteId(state.groupContext.cipherSuite);
    const id = groupIdOf(state);
    const view = await viewCommit(commit, { crypto, leaves, suite, id, group });
    checkCommit(group, view, { nowMs: clock.now(), graceMs });
  }

  const engine: GroupEngine = {
    async keyPackage(device, suite, options) {
      const nowMs = clock.now();
      return encodeKeyPackagePair(
        await makeKeyPackage(environmentOf(suite), device, { suite, nowMs, ...options }),
      );
    },

    async inspectKeyPackage(bytes, { suite }) {
      const nowMs = clock.now();
      const { occupant, lifetime } = await inspectKeyPackage(environmentOf(suite), bytes, {
        leaves,
        suite,
        nowMs,
      });
      const { account, device, fingerprint } = occupant;
      return { account, device, fingerprint, notAfterMs: lifetime.notAfterMs };
    },

    async create(device, { group, suite, kind, name }) {
      const environment = environmentOf(suite);
      const nowMs = clock.now();
      const admins = [fingerprintOf(crypto, device.identityKey)];
      const settings = makeSettings({ kind, name, admins, banned: [] });
      const made = await makeKeyPackage(environment, device, { suite, lastResort: false, nowMs });
      return wrap(
        await createMlsGroup(environment, {
          groupId: fromHex(group),
          keyPackage: made.publicPackage,
          privateKeyPackage: made.privatePackage,
          extensions: makeContextExtensions(settings),
        }),
      );
    },

    async joinFromWelcome(device, { welcome: bytes, keyPackages, expect }) {
      const welcome = decodeWelcome(bytes);
      const suite = requireSuite(welcome.cipherSuite);
      const environment = environmentOf(suite);
      for (const [index, pair] of keyPackages.entries()) {
        const own = decodeKeyPackagePair(pair, device.keys[suite].privateKey);
        if (own.publicPackage.cipherSuite !== suite) continue;
        const reference = toHex(await keyPackageReference(environment, own.publicPackage));
        if (!welcome.secrets.some((secret) => toHex(secret.newMember) === reference)) continue;
        const state = await joinByWelcome(environment, {
          welcome,
          keyPackage: own.publicPackage,
          privateKeys: own.privatePackage,
        });
        checkMembership(viewGroup(leaves, state));
        const group = wrap(state);
        requireExpected(group, expect ?? {});
        return { group, usedKeyPackage: index };
      }
      throw new AronaError("BAD_MLS", "Cannot join group: the welcome is for none of the key packages here");
    },

    async joinFromGroupInfo(device, { groupInfo: bytes, expect }) {
      const groupInfo = decodeGroupInfo(bytes);
      const suite = requireSuite(groupInfo.groupContext.cipherSuite);
      const environment = environmentOf(suite);
      const before = { ratchetTree: ratchetTreeOf(groupInfo), groupContext: groupInfo.groupContext };
      const view = viewGroup(leaves, before);
      requireExpected({ id: groupIdOf(before), kind: view.settings.kind, name: view.settings.name }, {
        ...expect,
        kind: "channel",
      });
      checkMembership(view);
      const resync = view.occupants.some((occupant) => occupant.device === device.device);
      const nowMs = clock.now();
      const made = await makeKeyPackage(environment, device, { suite, lastResort: false, nowMs });
      const { state, commit, decoded } = await joinFromOutside(environment, {
        groupInfo,
        keyPackage: made.publicPackage,
        privateKeys: made.privatePackage,
        resync,
      });
      const judged = await viewCommit(decoded, { crypto, leaves, suite, id: expect.group, group: view });
      checkCommit(view, judged, { nowMs, graceMs: 0 });
      return { next: wrap(state), commit };
    },

    groupInfo(group) {
      return makeGroupInfo(environmentOf(group.suite), activeState(group));
    },

    async commit(group, change) {
      const state = activeState(group);
      const environment = environmentOf(group.suite);
      const { proposals, authenticatedData } = await proposalsFor(state, change);
      const own = { sender: state.privatePath.leafIndex, proposals, path: undefined, authenticatedData };
      await judge(state, own, 0);
      const made = await commitProposals(environment, state, { proposals, authenticatedData });
      return {
        next: wrap(made.state),
        commit: made.commit,
        welcome: made.welcome,
        added: proposals.flatMap((proposal) =>
          "add" in proposal ? [leaves.read(proposal.add.keyPackage.leafNode, -1)] : []
        )
          .map(({ device }) => device),
        removed: removedFrom(leaves, state.ratchetTree, proposals).map(({ device }) => device),
      };
    },

    async process(group, commit) {
      const state = activeState(group);
      const processed = await processCommit(environmentOf(group.suite), state, {
        commit,
        check: (decoded) => judge(state, decoded, LATE_READER_GRACE_MS),
      });
      const { sender, proposals, path } = processed.commit;
      const next = wrap(processed.state ?? deactivated(state));
      const toMember = memberMaker(ports.trust, readContextExtensions(state.groupContext.extensions));
      const present = new Set(readOccupants(leaves, state.ratchetTree).map(({ leaf }) => leaf));
      const removed = removedFrom(leaves, state.ratchetTree, proposals);
      for (const { leaf } of removed) present.delete(leaf);
      const added = next.members.filter(({ leaf }) => processed.state !== null && !present.has(leaf));
      const committer = sender === null
        ? added[0] ?? toMember(leaves.read(path!.leafNode, -1))
        : toMember(requireOccupant(leaves, state.ratchetTree, sender));
      return {
        next,
        summary: {
          committer,
          added,
          removed: removed.map(toMember),
          settingsChanged: proposals.some((proposal) => "groupContextExtensions" in proposal),
          selfRemoved: processed.state === null,
          external: sender === null,
        },
      };
    },

    leaveStatement(device, group) {
      const { ratchetTree, privatePath } = activeState(group);
      return makeLeaveStatement(crypto, {
        suite: group.suite,
        group: group.id,
        occupant: requireOccupant(leaves, ratchetTree, privatePath.leafIndex),
        privateKey: device.keys[group.suite].privateKey,
      });
    },

    async encrypt(group, plaintext) {
      const { state, message } = await sealApplication(
        environmentOf(group.suite),
        activeState(group),
        plaintext,
      );
      return { next: wrap(state), ciphertext: message };
    },

    async decrypt(group, ciphertext) {
      const state = activeState(group);
      const opened = await openApplication(environmentOf(group.suite), state, ciphertext);
      const toMember = memberMaker(ports.trust, readContextExtensions(state.groupContext.extensions));
      return {
        next: wrap(opened.state),
        sender: toMember(requireOccupant(leaves, opened.tree, opened.sender)),
        plaintext: opened.plaintext,
      };
    },

    encode(group) {
      const { tree, secrets } = engine.encodeParts(group);
      return concatBytes(new ByteWriter().u8(CONTAINER_VERSION).u32(tree.length).finish(), tree, secrets);
    },

    decode(bytes) {
      let parts: { tree: Uint8Array; secrets: Uint8Array };
      try {
        const reader = new ByteReader(bytes);
        if (reader.u8() !== CONTAINER_VERSION) throw new AronaError("BAD_MLS", "another version");
        parts = { tree: reader.vector32(MAX_STATE_BYTES), secrets: reader.rest() };
      } catch (cause) {
        throw new AronaError("BAD_MLS", "Cannot read group state: it does not decode", { cause });
      }
      return engine.decodeParts(parts);
    },

    encodeParts: (group) => encodeState(stateOf(group)),
    decodeParts: (parts) => wrap(decodeState(parts)),
  };
  return engine;

  async function proposalsFor(
    state: ClientState,
    change: GroupChange,
  ): Promise<{ proposals: Proposal[]; authenticatedData: Uint8Array }> {
    const authenticatedData = concatBytes(...(change.kind === "remove" ? change.statements ?? [] : []));
    switch (change.kind) {
      case "update":
        return { proposals: [], authenticatedData };
      case "add":
        return { proposals: await additions(state, change.keyPackages), authenticatedData };
      case "remove":
        return { proposals: removals(state, change.devices), authenticatedData };
      case "settings": {
        const settings = changedSettings(readContextExtensions(state.groupContext.extensions), change);
        return {
          proposals: [settingsProposal(settings), ...removals(state, change.alsoRemove ?? [])],
          authenticatedData,
        };
      }
    }
  }

  async function additions(state: ClientState, keyPackages: readonly Uint8Array[]): Promise<Proposal[]> {
    if (keyPackages.length === 0) throw new AronaError("POLICY", "Cannot add: there is no key package");
    const suite = parseSuiteId(state.groupContext.cipherSuite);
    const nowMs = clock.now();
    const proposals: Proposal[] = [];
    for (const bytes of keyPackages) {
      const { keyPackage } = await inspectKeyPackage(environmentOf(suite), bytes, { leaves, suite, nowMs });
      proposals.push({ proposalType: defaultProposalTypes.add, add: { keyPackage } });
    }
    return proposals;
  }

  function removals(state: ClientState, devices: readonly DeviceId[]): Proposal[] {
    const occupants = devices.length === 0 ? [] : readOccupants(leaves, state.ratchetTree);
    return devices.map((device) => {
      const occupant = occupants.find((one) => one.device === device);
      if (occupant === undefined) {
        throw new AronaError("POLICY", `Cannot remove device ${device}: it is not a member`);
      }
      return { proposalType: defaultProposalTypes.remove, remove: { removed: occupant.leaf } };
    });
  }
}

/** What a group's value is made of; only this file looks inside. */
const states = new WeakMap<Group, ClientState>();

/** A group as the client sees it. The members are read from the tree when they are asked for. */
class MlsGroup implements Group {
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

function createEnvironment(crypto: CryptoProvider, leaves: LeafReader, suite: SuiteId): MlsEnvironment {
  return {
    cipherSuite: createCipherSuite(crypto, suite),
    authenticate: createAuthenticator(crypto, SUITES[suite].certificate),
    sameDevice: (a, b) => leaves.read(a, -1).device === leaves.read(b, -1).device,
  };
}

function stateOf(group: Group): ClientState {
  const state = states.get(group);
  if (state === undefined) {
    throw new AronaError("INTERNAL", "Cannot use group: it does not come from the engine");
  }
  return state;
}

function activeState(group: Group): ClientState {
  if (!group.active) throw new AronaError("POLICY", "Cannot use group: this device has been removed from it");
  return stateOf(group);
}

function groupIdOf(state: { groupContext: { groupId: Uint8Array } }): GroupId {
  const { groupId } = state.groupContext;
  if (groupId.length !== 16) {
    throw new AronaError("BAD_MLS", `Cannot use group: its id has ${groupId.length} bytes`);
  }
  return toHex(groupId) as GroupId;
}

function requireSuite(id: number): SuiteId {
  const suite = SUITE_IDS.find((known) => known === id);
  if (suite === undefined) {
    throw new AronaError("BAD_MLS", `Cannot use group: cipher suite ${id} is not known here`);
  }
  return suite;
}

function requireExpected(
  group: Pick<Group, "id" | "kind" | "name">,
  expect: { group?: GroupId; kind?: Group["kind"]; name?: string },
): void {
  const other = (expect.group !== undefined && group.id !== expect.group) ||
    (expect.kind !== undefined && group.kind !== expect.kind) ||
    (expect.name !== undefined && group.name !== expect.name);
  if (other) throw new AronaError("POLICY", "Cannot join group: it is not the one that was asked for");
}

function requireOccupant(leaves: LeafReader, tree: RatchetTree, leaf: number): Occupant {
  const node = tree[2 * leaf];
  if (node?.nodeType !== nodeTypes.leaf) {
    throw new AronaError("BAD_MLS", `Cannot use group: leaf ${leaf} is blank`);
  }
  return leaves.read(node.leaf, leaf);
}

function removedFrom(leaves: LeafReader, tree: RatchetTree, proposals: readonly Proposal[]): Occupant[] {
  return proposals.flatMap((proposal) =>
    "remove" in proposal ? [requireOccupant(leaves, tree, proposal.remove.removed)] : []
  );
}

function memberMaker(trust: TrustService, settings: GroupSettings): (occupant: Occupant) => Member {
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

function changedSettings(
  settings: GroupSettings,
  change: Extract<GroupChange, { kind: "settings" }>,
): GroupSettings {
  const banned = change.banned ?? settings.banned;
  const admins = change.admins ?? settings.admins.filter((fingerprint) => !banned.includes(fingerprint));
  return makeSettings({ kind: settings.kind, name: change.name ?? settings.name, admins, banned });
}

function settingsProposal(settings: GroupSettings): Proposal {
  const extensions: GroupContextExtension[] = makeContextExtensions(settings);
  return {
    proposalType: defaultProposalTypes.group_context_extensions,
    groupContextExtensions: { extensions },
  };
}
