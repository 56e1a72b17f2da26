/**
 * The steps of a group, state in and new state out, each with the checks that the library leaves out: a look at the decoded commit before
 * anything is done with it, and no commit without a path where RFC 9420 section 12.4 wants one, made or accepted.
 */

import { AronaError, ByteReader, equalBytes, MAX_ENVELOPE_BYTES, MAX_OBJECT_BYTES } from "../../proto/mod.ts";
import type { MlsCipherSuite } from "./cipher_suite.ts";
import {
  checkGroupSecrets,
  type DecodedCommit,
  decodeStrictly,
  encodeMessage,
  readCommit,
  readContent,
  readGroupInfo,
  requirePath,
  unexpected,
} from "./mls_codec.ts";
import {
  type ClientState,
  contentTypes,
  contextOf,
  createApplicationMessage,
  createCommit,
  createGroup,
  createGroupInfoWithExternalPubAndRatchetTree,
  type FramedContent,
  type GroupContextExtension,
  type GroupInfo,
  guarded,
  joinGroup,
  joinGroupExternal,
  type KeyPackage,
  type MlsEnvironment,
  nodeTypes,
  type PrivateKeyPackage,
  type PrivateMessage,
  processMessage,
  type Proposal,
  protocolVersions,
  type RatchetTree,
  senderTypes,
  type Welcome,
  wireformats,
} from "./mls_library.ts";
import { adopt, remember, settle, withOwnHistory } from "./mls_secrets.ts";

/** A group of one. */
export function createMlsGroup(
  environment: MlsEnvironment,
  options: {
    groupId: Uint8Array;
    keyPackage: KeyPackage;
    privateKeyPackage: PrivateKeyPackage;
    extensions: GroupContextExtension[];
  },
): Promise<ClientState> {
  return guarded("create group", () => createGroup({ context: contextOf(environment), ...options }));
}

/** @returns the state, and the leaf that has signed the GroupInfo: who lets this device in. @throws {AronaError} `BAD_MLS` */
export function joinByWelcome(
  environment: MlsEnvironment,
  options: { welcome: Welcome; keyPackage: KeyPackage; privateKeys: PrivateKeyPackage },
): Promise<{ state: ClientState; signer: number }> {
  return guarded("join group", async () => {
    let signer: number | undefined;
    const watch = watchWelcome(environment, (groupInfo) => signer = groupInfo.signer);
    const state = await joinGroup({ context: contextOf(environment, watch), ...options });
    if (signer === undefined) throw unexpected("welcome");
    const own = state.ratchetTree[2 * state.privatePath.leafIndex];
    const expected = options.keyPackage.leafNode.hpkePublicKey;
    if (own?.nodeType !== nodeTypes.leaf || !equalBytes(own.leaf.hpkePublicKey, expected)) {
      throw new AronaError("BAD_MLS", "Cannot join group: the own leaf is not the one in the key package");
    }
    return { state: await settle(environment, state), signer };
  });
}

/** Makes the external commit that lets this device in. @param options.resync whether an old leaf of this device is there */
export function joinFromOutside(
  environment: MlsEnvironment,
  options: {
    groupInfo: GroupInfo;
    keyPackage: KeyPackage;
    privateKeys: PrivateKeyPackage;
    resync: boolean;
  },
): Promise<{ state: ClientState; commit: Uint8Array; decoded: DecodedCommit }> {
  return guarded("join group", async () => {
    const { newState, publicMessage } = await joinGroupExternal({
      context: contextOf(environment),
      ...options,
    });
    const commit = encodeMessage({
      version: protocolVersions.mls10,
      wireformat: wireformats.mls_public_message,
      publicMessage,
    });
    const decoded = readCommit(publicMessage.content);
    requirePath(decoded);
    return { state: await settle(environment, newState), commit, decoded };
  });
}

/** GroupInfo with the external key and the tree. */
export function makeGroupInfo(environment: MlsEnvironment, state: ClientState): Promise<Uint8Array> {
  return guarded("describe group", async () => {
    const groupInfo = await createGroupInfoWithExternalPubAndRatchetTree(state, [], environment.cipherSuite);
    return encodeMessage({
      version: protocolVersions.mls10,
      wireformat: wireformats.mls_group_info,
      groupInfo,
    });
  });
}

/** Makes a member's commit. `state` stays usable, for the case that another commit wins. */
export function commitProposals(
  environment: MlsEnvironment,
  state: ClientState,
  options: { proposals: Proposal[]; authenticatedData: Uint8Array },
): Promise<{ state: ClientState; commit: Uint8Array; welcome?: Uint8Array }> {
  return guarded("commit", async () => {
    adopt(state);
    let plaintext: Uint8Array | undefined; // what is sealed first is the commit's content
    const context = contextOf(environment, {
      encryptAead(key, nonce, aad, content) {
        plaintext ??= content;
        return environment.cipherSuite.hpke.encryptAead(key, nonce, aad, content);
      },
    });
    const { newState, commit, welcome, consumed } = await createCommit({
      context,
      state,
      extraProposals: options.proposals,
      authenticatedData: options.authenticatedData,
      ratchetTreeExtension: true,
    });
    if (commit.wireformat !== wireformats.mls_private_message || plaintext === undefined) {
      throw unexpected("commit");
    }
    requirePath(
      readCommit(readContent(commit.privateMessage, { sender: state.privatePath.leafIndex, plaintext })),
    );
    const next = await settle(environment, withOwnHistory(newState));
    remember(next, consumed);
    return { state: next, commit: encodeMessage(commit), welcome: welcome && encodeMessage(welcome) };
  });
}

/**
 * Applies a commit for the current epoch.
 *
 * @param check looks at the commit before anything is done with it, and throws to refuse it
 * @throws {AronaError} also `FORKED`, where the commit is in order and signed by a member, and cannot be followed all the same: it is not
 * made for this device's state
 * @returns the next state, or null for it where the commit removes this device: there is no next state then
 */
export function processCommit(
  environment: MlsEnvironment,
  state: ClientState,
  options: { commit: Uint8Array; check: (commit: DecodedCommit) => Promise<void> },
): Promise<{ state: ClientState | null; commit: DecodedCommit }> {
  return guarded("process commit", async () => {
    const message = decodeStrictly(options.commit, MAX_OBJECT_BYTES);
    let decoded: DecodedCommit | undefined;
    const look = async (content: FramedContent) => {
      decoded = readCommit(content);
      requirePath(decoded);
      await options.check(decoded);
    };
    let context = contextOf(environment);
    let isSound = false;
    switch (message.wireformat) {
      case wireformats.mls_public_message:
        requireCurrent(message.publicMessage.content, state);
        if (message.publicMessage.senderType !== senderTypes.new_member_commit) {
          throw new AronaError("BAD_MLS", "Cannot process commit: a member's has to be encrypted");
        }
        await look(message.publicMessage.content);
        break;
      case wireformats.mls_private_message:
        requireCurrent(message.privateMessage, state);
        if (message.privateMessage.contentType !== contentTypes.commit) throw unexpected("commit");
        context = contextOf(environment, watchOpening(environment, message.privateMessage, look));
        break;
      default:
        throw unexpected("commit");
    }
    adopt(state);
    try {
      const result = await processMessage({
        context,
        state,
        message,
        callback(incoming) {
          // The signature has been verified. Whoever is removed cannot follow the path, and need not.
          if (incoming.kind !== "commit") throw unexpected("commit");
          if (removes(decoded, state.privatePath.leafIndex)) throw new OwnRemoval();
          isSound = true;
          return "accept";
        },
      });
      if (result.kind !== "newState" || decoded === undefined) throw unexpected("commit");
      const next = await settle(environment, result.newState);
      remember(next, result.consumed);
      return { state: next, commit: decoded };
    } catch (error) {
      if (error instanceof OwnRemoval && decoded !== undefined) return { state: null, commit: decoded };
      if (!isSound) throw error;
      const reason = error instanceof Error ? error.message : "unknown";
      throw new AronaError("FORKED", `Cannot follow commit: ${reason.slice(0, 200)}`, { cause: error });
    }
  });
}

/** Seals an application message. */
export function sealApplication(
  environment: MlsEnvironment,
  state: ClientState,
  options: { plaintext: Uint8Array; authenticatedData: Uint8Array },
): Promise<{ state: ClientState; message: Uint8Array }> {
  return guarded("encrypt", async () => {
    adopt(state);
    const { newState, message, consumed } = await createApplicationMessage({
      context: contextOf(environment),
      state,
      message: options.plaintext,
      authenticatedData: options.authenticatedData,
    });
    const bytes = encodeMessage(message);
    if (bytes.length > MAX_ENVELOPE_BYTES) {
      throw new AronaError("TOO_LARGE", "Cannot encrypt: it is too long");
    }
    remember(newState, consumed);
    return { state: newState, message: bytes };
  });
}

/**
 * Opens an application message.
 *
 * @param options.look sees what is not encrypted before anything is done with it, and throws to refuse it. That it is the sender's is known
 * only once the message is open
 * @returns the sender as the leaf it had in the tree of the message's epoch
 */
export function openApplication(
  environment: MlsEnvironment,
  state: ClientState,
  options: {
    message: Uint8Array;
    look: (head: { epoch: number; authenticatedData: Uint8Array }) => void;
  },
): Promise<{ state: ClientState; plaintext: Uint8Array; sender: number; tree: RatchetTree }> {
  return guarded("decrypt", async () => {
    const message = decodeStrictly(options.message, MAX_ENVELOPE_BYTES);
    if (message.wireformat !== wireformats.mls_private_message) throw unexpected("application message");
    const { privateMessage } = message;
    if (privateMessage.contentType !== contentTypes.application) throw unexpected("application message");
    const { epoch, groupId } = state.groupContext;
    const tree = privateMessage.epoch === epoch
      ? state.ratchetTree
      : state.historicalReceiverData.get(privateMessage.epoch)?.ratchetTree;
    if (!equalBytes(privateMessage.groupId, groupId) || tree === undefined) {
      throw new AronaError("BAD_MLS", "Cannot decrypt: the message is for another group or epoch");
    }
    options.look({
      epoch: Number(privateMessage.epoch),
      authenticatedData: privateMessage.authenticatedData,
    });
    adopt(state);
    let sender = 0;
    const result = await processMessage({
      context: contextOf(
        environment,
        watchOpening(environment, privateMessage, (content) => {
          sender = content.sender.senderType === senderTypes.member ? content.sender.leafIndex : 0;
        }),
      ),
      state,
      message,
    });
    if (result.kind !== "applicationMessage") throw unexpected("application message");
    remember(result.newState, result.consumed);
    return { state: result.newState, plaintext: result.message, sender, tree };
  });
}

class OwnRemoval extends Error {}

/** Reads the sealed parts of a Welcome as strictly as what is not sealed, while the library opens them. */
function watchWelcome(
  environment: MlsEnvironment,
  look: (groupInfo: GroupInfo) => void,
): Pick<MlsCipherSuite["hpke"], "open" | "decryptAead"> {
  const { hpke } = environment.cipherSuite;
  return {
    async open(...sealed) {
      const groupSecrets = await hpke.open(...sealed);
      checkGroupSecrets(groupSecrets);
      return groupSecrets;
    },
    async decryptAead(...sealed) {
      const groupInfo = await hpke.decryptAead(...sealed);
      look(readGroupInfo(groupInfo));
      return groupInfo;
    },
  };
}

/**
 * Reads a PrivateMessage while the library opens it: the sender data comes first, the content second.
 *
 * @param look gets the content before the library does anything with it; throws to refuse
 */
function watchOpening(
  environment: MlsEnvironment,
  message: PrivateMessage,
  look: (content: FramedContent) => void | Promise<void>,
): Pick<MlsCipherSuite["hpke"], "decryptAead"> {
  let sender: number | undefined;
  return {
    async decryptAead(key, nonce, aad, ciphertext) {
      const plaintext = await environment.cipherSuite.hpke.decryptAead(key, nonce, aad, ciphertext);
      if (sender === undefined) {
        const senderData = new ByteReader(plaintext); // leaf u32 ‖ generation u32 ‖ reuse guard 4
        sender = senderData.u32();
        senderData.take(8);
        senderData.end();
      } else {
        await look(readContent(message, { sender, plaintext }));
      }
      return plaintext;
    },
  };
}

function requireCurrent(message: { groupId: Uint8Array; epoch: bigint }, state: ClientState): void {
  const { groupId, epoch } = state.groupContext;
  if (!equalBytes(message.groupId, groupId)) {
    throw new AronaError("BAD_MLS", "Cannot process commit: it is for another group");
  }
  if (message.epoch !== epoch) {
    throw new AronaError("BAD_MLS", `Cannot process commit: it is for epoch ${message.epoch}, not ${epoch}`);
  }
}

function removes(commit: DecodedCommit | undefined, leaf: number): boolean {
  return commit !== undefined &&
    commit.proposals.some((proposal) => "remove" in proposal && proposal.remove.removed === leaf);
}
