/** The MLS engine: state in, new state out, with Arona's rules on every commit, made or received. */

import {
  AronaError,
  type Clock,
  type CryptoProvider,
  type DeviceId,
  fingerprintOf,
  fromHex,
  type GroupId,
  toHex,
} from "../../proto/mod.ts";
import { createCipherSuite } from "./cipher_suite.ts";
import { readOccupants, viewCommit, viewGroup } from "./commit_view.ts";
import { createAuthenticator, createLeafReader, type LeafReader } from "./credential.ts";
import type { Group, GroupEngine, MessagePlace, TrustService } from "./group.ts";
import { makeContextExtensions, readContextExtensions } from "./group_context.ts";
import { makeSettings } from "./group_settings.ts";
import {
  activeState,
  groupIdOf,
  memberMaker,
  MlsGroup,
  requireOccupant,
  requireSuite,
  stateOf,
} from "./group_value.ts";
import {
  decodeKeyPackagePair,
  encodeKeyPackagePair,
  inspectKeyPackage,
  makeKeyPackage,
} from "./key_package.ts";
import { encodeMessageHead, readMessageHead } from "./message_head.ts";
import { type DecodedCommit, decodeGroupInfo, decodeWelcome, keyPackageReference } from "./mls_codec.ts";
import {
  commitProposals,
  createMlsGroup,
  joinByWelcome,
  joinFromOutside,
  makeGroupInfo,
  openApplication,
  processCommit,
  sealApplication,
} from "./mls_group.ts";
import type { ClientState, MlsEnvironment } from "./mls_library.ts";
import { deactivated } from "./mls_secrets.ts";
import { checkCommit, checkMembership, LATE_READER_GRACE_MS } from "./policy.ts";
import { addedBy, planCommit, removedBy } from "./proposals.ts";
import { decodeState, encodeState, joinParts, ratchetTreeOf, splitParts } from "./state_codec.ts";
import { makeLeaveStatement, makeReturnStatement } from "./statements.ts";
import { parseSuiteId, SUITE_IDS, type SuiteId, SUITES } from "./suite.ts";

/** Largest commit: room for some added devices, and for a path to every member of a blank tree. */
const COMMIT_BASE_BYTES = 524_288;
const COMMIT_BYTES_PER_MEMBER = 4_096;

const UNCOUNTED: MessagePlace = { sequence: 0, earlier: 0 };

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
    const epoch = Number(state.groupContext.epoch);
    const view = await viewCommit(commit, { crypto, leaves, suite, id, epoch, group });
    checkCommit(group, view, { nowMs: clock.now(), graceMs });
  }

  return {
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
        const { state, signer } = await joinByWelcome(environment, {
          welcome,
          keyPackage: own.publicPackage,
          privateKeys: own.privatePackage,
        });
        checkMembership(viewGroup(leaves, state));
        const group = wrap(state);
        requireExpected(group, expect ?? {});
        const toMember = memberMaker(ports.trust, readContextExtensions(state.groupContext.extensions));
        const inviter = toMember(requireOccupant(leaves, state.ratchetTree, signer));
        return { group, usedKeyPackage: index, inviter };
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
      const judged = await viewCommit(decoded, {
        crypto,
        leaves,
        suite,
        id: expect.group,
        epoch: Number(groupInfo.groupContext.epoch),
        group: view,
      });
      checkCommit(view, judged, { nowMs, graceMs: 0 });
      return { next: wrap(state), commit };
    },

    groupInfo(group) {
      return makeGroupInfo(environmentOf(group.suite), activeState(group));
    },

    async commit(group, change) {
      const state = activeState(group);
      const environment = environmentOf(group.suite);
      const planned = await planCommit(state, change, { environment, leaves, nowMs: clock.now() });
      await judge(state, { ...planned, sender: state.privatePath.leafIndex, path: undefined }, 0);
      const made = await commitProposals(environment, state, planned);
      const toDevice = ({ device }: { device: DeviceId }) => device;
      return {
        next: wrap(made.state),
        commit: made.commit,
        welcome: made.welcome,
        added: addedBy(leaves, planned.proposals).map(toDevice),
        removed: removedBy(leaves, state.ratchetTree, planned.proposals).map(toDevice),
      };
    },

    async process(group, commit) {
      assertPlausibleSize(commit, group);
      const state = activeState(group);
      const processed = await processCommit(environmentOf(group.suite), state, {
        commit,
        check: (decoded) => judge(state, decoded, LATE_READER_GRACE_MS),
      });
      const { sender, proposals, path } = processed.commit;
      const next = wrap(processed.state ?? deactivated(state));
      const toMember = memberMaker(ports.trust, readContextExtensions(state.groupContext.extensions));
      const present = new Set(readOccupants(leaves, state.ratchetTree).map(({ leaf }) => leaf));
      const removed = removedBy(leaves, state.ratchetTree, proposals);
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

    returnStatement(device, options) {
      return makeReturnStatement(crypto, device, options);
    },

    async encrypt(group, plaintext, place = UNCOUNTED) {
      const { state, message } = await sealApplication(environmentOf(group.suite), activeState(group), {
        plaintext,
        authenticatedData: encodeMessageHead(crypto, group, place),
      });
      return { next: wrap(state), ciphertext: message };
    },

    async decrypt(group, ciphertext) {
      const state = activeState(group);
      let place: MessagePlace = UNCOUNTED;
      const opened = await openApplication(environmentOf(group.suite), state, {
        message: ciphertext,
        look({ epoch, authenticatedData }) {
          place = readMessageHead(crypto, epoch === group.epoch ? group : null, authenticatedData);
        },
      });
      const toMember = memberMaker(ports.trust, readContextExtensions(state.groupContext.extensions));
      return {
        next: wrap(opened.state),
        sender: toMember(requireOccupant(leaves, opened.tree, opened.sender)),
        place,
        plaintext: opened.plaintext,
      };
    },

    encode: (group) => joinParts(encodeState(stateOf(group))),
    decode: (bytes) => wrap(decodeState(splitParts(bytes))),
    encodeParts: (group) => encodeState(stateOf(group)),
    decodeParts: (parts) => wrap(decodeState(parts)),
  };
}

function createEnvironment(crypto: CryptoProvider, leaves: LeafReader, suite: SuiteId): MlsEnvironment {
  return {
    cipherSuite: createCipherSuite(crypto, suite),
    authenticate: createAuthenticator(crypto, SUITES[suite].certificate),
    sameDevice: (a, b) => leaves.read(a, -1).device === leaves.read(b, -1).device,
  };
}

/** Before anything is decoded: a short list of numbers can unfold into a great many objects. */
function assertPlausibleSize(commit: Uint8Array, group: Group): void {
  const limit = COMMIT_BASE_BYTES + group.members.length * COMMIT_BYTES_PER_MEMBER;
  if (commit.length > limit) {
    throw new AronaError(
      "TOO_LARGE",
      `Cannot use commit: ${commit.length} bytes, at most ${limit} in this group`,
    );
  }
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
