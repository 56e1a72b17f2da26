/**
 * The one door to ts-mls, and the strictness that the library leaves out.
 *
 * - Decoding: sizes are capped, and what was read is encoded again and compared, so trailing bytes and lengths that are not minimal are
 *   refused, inside encrypted handshake messages too.
 * - Commits: a look at the decoded commit before the library acts on it; no commit without a path where RFC 9420 section 12.4 wants
 *   one, made or accepted, whatever the library thinks; the keys of the own path are checked (section 12.4.2).
 * - Secrets that were used up are overwritten once the state that came of it is used itself.
 */

import {
  type ClientConfig,
  type ClientState,
  contentTypes,
  createApplicationMessage,
  createCommit,
  createGroup,
  createGroupInfoWithExternalPubAndRatchetTree,
  type Credential,
  defaultCredentialTypes,
  defaultProposalTypes,
  encode,
  type FramedContent,
  generateKeyPackageWithKey,
  type GenerationSecret,
  type GroupContextExtension,
  type GroupInfo,
  joinGroup,
  joinGroupExternal,
  type KeyPackage,
  keyPackageEncoder,
  type LeafNode,
  makeKeyPackageRef,
  type MlsContext,
  type MlsMessage,
  mlsMessageDecoder,
  mlsMessageEncoder,
  nodeTypes,
  type PrivateKeyPackage,
  type PrivateMessage,
  processMessage,
  type Proposal,
  proposalOrRefTypes,
  protocolVersions,
  type RatchetTree,
  type SecretTree,
  senderTypes,
  type UpdatePath,
  type Welcome,
  wireformats,
  zeroOutUint8Array,
} from "ts-mls";
import { ByteReader, ByteWriter, concatBytes, equalBytes } from "../../proto/bytes.ts";
import { AronaError, isAronaError } from "../../proto/errors.ts";
import { MAX_ENVELOPE_BYTES, MAX_OBJECT_BYTES } from "../../proto/limits.ts";
import type { MlsCipherSuite } from "./cipher_suite.ts";

export {
  type ClientState,
  clientStateDecoder,
  clientStateEncoder,
  type Credential,
  defaultCredentialTypes,
  defaultExtensionTypes,
  defaultProposalTypes,
  encode,
  type EpochReceiverData,
  type GroupContextExtension,
  type GroupInfo,
  type GroupState,
  groupStateEncoder,
  type KeyPackage,
  type LeafNode,
  makeCustomExtension,
  nodeTypes,
  type Proposal,
  proposalOrRefTypes,
  protocolVersions,
  type RatchetTree,
  type UpdatePath,
  type Welcome,
} from "ts-mls";

/** Out-of-order messages of one sender that can still be opened. */
export const RETAINED_GENERATIONS = 32;
/** Epochs before the current one whose messages can still be opened. */
export const RETAINED_EPOCHS = 2;
/** How far one message of a sender may be ahead of the last one seen. */
export const MAX_FORWARD_STEPS = 1_000;
export const MAX_KEY_PACKAGE_BYTES = 32_768;

/** What the library needs from outside. */
export interface MlsEnvironment {
  readonly cipherSuite: MlsCipherSuite;
  /** Whether a credential and a signature key belong together (RFC 9420 section 5.3.1). */
  authenticate(credential: Credential, signatureKey: Uint8Array): Promise<boolean>;
  /** Whether two leaves are the same device. */
  sameDevice(a: LeafNode, b: LeafNode): boolean;
}

/** A commit before it is acted on. Its signature may not have been checked yet. */
export interface DecodedCommit {
  /** Leaf index of the member that made it, or null from outside. */
  readonly sender: number | null;
  readonly proposals: readonly Proposal[];
  readonly path: UpdatePath | undefined;
  readonly authenticatedData: Uint8Array;
}

/** @throws {AronaError} `BAD_MLS`, `TOO_LARGE` */
export function decodeKeyPackage(bytes: Uint8Array): KeyPackage {
  const message = decodeStrictly(bytes, MAX_KEY_PACKAGE_BYTES);
  if (message.wireformat !== wireformats.mls_key_package) throw unexpected("key package");
  return message.keyPackage;
}

/** @throws {AronaError} `BAD_MLS`, `TOO_LARGE` */
export function decodeWelcome(bytes: Uint8Array): Welcome {
  const message = decodeStrictly(bytes, MAX_OBJECT_BYTES);
  if (message.wireformat !== wireformats.mls_welcome) throw unexpected("welcome");
  return message.welcome;
}

/** @throws {AronaError} `BAD_MLS`, `TOO_LARGE` */
export function decodeGroupInfo(bytes: Uint8Array): GroupInfo {
  const message = decodeStrictly(bytes, MAX_OBJECT_BYTES);
  if (message.wireformat !== wireformats.mls_group_info) throw unexpected("group info");
  return message.groupInfo;
}

export function encodeKeyPackage(keyPackage: KeyPackage): Uint8Array {
  return encodeMessage({
    version: protocolVersions.mls10,
    wireformat: wireformats.mls_key_package,
    keyPackage,
  });
}

/** Makes a KeyPackage; its leaf is what a joiner from outside brings along. */
export function generateKeyPackage(
  environment: MlsEnvironment,
  options: {
    identity: Uint8Array;
    signatureKeyPair: { publicKey: Uint8Array; signKey: Uint8Array };
    capabilities: LeafNode["capabilities"];
    extensions: KeyPackage["extensions"];
    /** Unix seconds. */
    lifetime: { notBefore: bigint; notAfter: bigint };
  },
): Promise<{ publicPackage: KeyPackage; privatePackage: PrivateKeyPackage }> {
  return guarded("make key package", () =>
    generateKeyPackageWithKey({
      cipherSuite: environment.cipherSuite,
      credential: { credentialType: defaultCredentialTypes.basic, identity: options.identity },
      signatureKeyPair: options.signatureKeyPair,
      capabilities: options.capabilities,
      extensions: options.extensions,
      lifetime: options.lifetime,
    }));
}

/** Whether a KeyPackage and the leaf in it are signed by the leaf's own key (RFC 9420 sections 7.2 and 10.1). */
export async function verifyKeyPackage(
  environment: MlsEnvironment,
  keyPackage: KeyPackage,
): Promise<boolean> {
  const { leafNode, signature } = keyPackage;
  const bytes = encode(keyPackageEncoder, keyPackage);
  const signed = bytes.subarray(0, bytes.length - vectorSize(signature.length));
  const extensions = keyPackage.extensions.reduce(
    (sum, one) => sum + 2 + vectorSize(one.extensionData.length),
    0,
  );
  const leaf = signed.subarray(
    4 + vectorSize(keyPackage.initKey.length),
    signed.length - vectorSize(extensions) - vectorSize(leafNode.signature.length),
  );
  const check = (label: string, content: Uint8Array, signature: Uint8Array) =>
    environment.cipherSuite.signature.verify(leafNode.signaturePublicKey, labeled(label, content), signature);
  return await check("LeafNodeTBS", leaf, leafNode.signature) &&
    await check("KeyPackageTBS", signed, signature);
}

/** Hash by which a Welcome names a KeyPackage. */
export function keyPackageReference(
  environment: MlsEnvironment,
  keyPackage: KeyPackage,
): Promise<Uint8Array> {
  return makeKeyPackageRef(keyPackage, environment.cipherSuite.hash);
}

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

/** @throws {AronaError} `BAD_MLS` */
export function joinByWelcome(
  environment: MlsEnvironment,
  options: { welcome: Welcome; keyPackage: KeyPackage; privateKeys: PrivateKeyPackage },
): Promise<ClientState> {
  return guarded("join group", async () => {
    const state = await joinGroup({ context: contextOf(environment), ...options });
    const own = state.ratchetTree[2 * state.privatePath.leafIndex];
    const expected = options.keyPackage.leafNode.hpkePublicKey;
    if (own?.nodeType !== nodeTypes.leaf || !equalBytes(own.leaf.hpkePublicKey, expected)) {
      throw new AronaError("BAD_MLS", "Cannot join group: the own leaf is not the one in the key package");
    }
    return await settle(environment, state);
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
    spent.set(next, consumed);
    return { state: next, commit: encodeMessage(commit), welcome: welcome && encodeMessage(welcome) };
  });
}

/**
 * Applies a commit for the current epoch.
 *
 * @param check looks at the commit before anything is done with it, and throws to refuse it
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
          return "accept";
        },
      });
      if (result.kind !== "newState" || decoded === undefined) throw unexpected("commit");
      const next = await settle(environment, result.newState);
      spent.set(next, result.consumed);
      return { state: next, commit: decoded };
    } catch (error) {
      if (error instanceof OwnRemoval && decoded !== undefined) return { state: null, commit: decoded };
      throw error;
    }
  });
}

/** Seals an application message. */
export function sealApplication(
  environment: MlsEnvironment,
  state: ClientState,
  plaintext: Uint8Array,
): Promise<{ state: ClientState; message: Uint8Array }> {
  return guarded("encrypt", async () => {
    adopt(state);
    const { newState, message, consumed } = await createApplicationMessage({
      context: contextOf(environment),
      state,
      message: plaintext,
    });
    const bytes = encodeMessage(message);
    if (bytes.length > MAX_ENVELOPE_BYTES) {
      throw new AronaError("TOO_LARGE", "Cannot encrypt: it is too long");
    }
    spent.set(newState, consumed);
    return { state: newState, message: bytes };
  });
}

/** Opens an application message. @returns the sender as the leaf it had in the tree of the message's epoch */
export function openApplication(
  environment: MlsEnvironment,
  state: ClientState,
  bytes: Uint8Array,
): Promise<{ state: ClientState; plaintext: Uint8Array; sender: number; tree: RatchetTree }> {
  return guarded("decrypt", async () => {
    const message = decodeStrictly(bytes, MAX_ENVELOPE_BYTES);
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
    spent.set(result.newState, result.consumed);
    return { state: result.newState, plaintext: result.message, sender, tree };
  });
}

/** The state of a device that was removed: what it has, marked so that it sends nothing more. */
export function deactivated(state: ClientState): ClientState {
  return { ...state, groupActiveState: { kind: "removedFromGroup" } };
}

/** Length of a byte vector with its length in front (RFC 9420 section 2.1.2). */
export function vectorSize(length: number): number {
  return length + (length < 64 ? 1 : length < 16_384 ? 2 : 4);
}

class OwnRemoval extends Error {}

/** What the step that made a state has used up. */
const spent = new WeakMap<ClientState, Uint8Array[]>();

/** Somebody goes on from `state`, so the secrets that led to it are not needed again. */
function adopt(state: ClientState): void {
  for (const secret of spent.get(state) ?? []) zeroOutUint8Array(secret);
  spent.delete(state);
}

/**
 * A copy whose history shares no secret with the state that it was made from. While a commit waits for the relay, that state goes on and
 * overwrites what it uses up; the history of the new one is there for late messages.
 */
function withOwnHistory(state: ClientState): ClientState {
  const historicalReceiverData = new Map(
    [...state.historicalReceiverData].map(([epoch, data]) =>
      [epoch, { ...data, secretTree: copySecretTree(data.secretTree) }] as const
    ),
  );
  return { ...state, historicalReceiverData };
}

function copySecretTree(tree: SecretTree): SecretTree {
  const copyAll = (secrets: Record<number, Uint8Array>) => mapValues(secrets, (secret) => secret.slice());
  const copyRatchet = (ratchet: GenerationSecret): GenerationSecret => ({
    secret: ratchet.secret.slice(),
    generation: ratchet.generation,
    unusedGenerations: copyAll(ratchet.unusedGenerations),
  });
  return {
    leafWidth: tree.leafWidth,
    intermediateNodes: copyAll(tree.intermediateNodes),
    leafNodes: mapValues(tree.leafNodes, ({ handshake, application }) => ({
      handshake: copyRatchet(handshake),
      application: copyRatchet(application),
    })),
  };
}

function mapValues<T, U>(record: Record<number, T>, change: (value: T) => U): Record<number, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

function contextOf(environment: MlsEnvironment, watched: Partial<MlsCipherSuite["hpke"]> = {}): MlsContext {
  const { cipherSuite } = environment;
  return {
    cipherSuite: { ...cipherSuite, hpke: { ...cipherSuite.hpke, ...watched } },
    authService: { validateCredential: environment.authenticate },
    clientConfig: {
      keyRetentionConfig: {
        retainKeysForGenerations: RETAINED_GENERATIONS,
        retainKeysForEpochs: RETAINED_EPOCHS,
        maximumForwardRatchetSteps: MAX_FORWARD_STEPS,
      },
      // Arona compares lifetimes itself: a leaf that has been in the tree for long is not to break it.
      lifetimeConfig: { maximumTotalLifetime: 2n ** 40n, validateLifetimeOnReceive: false },
      keyPackageEqualityConfig: {
        compareKeyPackages: (a, b) => environment.sameDevice(a.leafNode, b.leafNode),
        compareKeyPackageToLeafNode: (a, b) => environment.sameDevice(a.leafNode, b),
      },
      paddingConfig: { kind: "alwaysPad", paddingLength: 0 },
    } satisfies ClientConfig,
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

/** Reads the inside of a PrivateMessage as strictly as a PublicMessage, by giving it that form. There is no padding. */
function readContent(
  message: PrivateMessage,
  options: { sender: number; plaintext: Uint8Array },
): FramedContent {
  const bytes = new ByteWriter().u16(protocolVersions.mls10).u16(wireformats.mls_public_message)
    .raw(vector(message.groupId)).u64(Number(message.epoch)).u8(senderTypes.member).u32(options.sender)
    .raw(vector(message.authenticatedData)).u8(message.contentType).raw(options.plaintext)
    .raw(vector(new Uint8Array())).finish();
  const decoded = decodeStrictly(bytes, MAX_OBJECT_BYTES + 1_024);
  if (decoded.wireformat !== wireformats.mls_public_message) throw unexpected("content");
  return decoded.publicMessage.content;
}

function readCommit(content: FramedContent): DecodedCommit {
  if (content.contentType !== contentTypes.commit) throw unexpected("commit");
  const proposals = content.commit.proposals.map((one) => {
    if (one.proposalOrRefType !== proposalOrRefTypes.proposal) {
      throw new AronaError("POLICY", "Cannot process commit: it refers to a proposal instead of holding it");
    }
    return one.proposal;
  });
  return {
    sender: content.sender.senderType === senderTypes.member ? content.sender.leafIndex : null,
    proposals,
    path: content.commit.path,
    authenticatedData: content.authenticatedData,
  };
}

/** RFC 9420 section 12.4. Without a path, a removed member could follow. */
function requirePath(commit: DecodedCommit): void {
  const pathless: readonly number[] = [
    defaultProposalTypes.add,
    defaultProposalTypes.psk,
    defaultProposalTypes.reinit,
  ];
  const needed = commit.proposals.length === 0 ||
    commit.proposals.some((proposal) => !pathless.includes(proposal.proposalType));
  if (needed && commit.path === undefined) {
    throw new AronaError("BAD_MLS", "Cannot use commit: it has no path although its proposals need one");
  }
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

/**
 * Checks the private keys of the own path against the tree (RFC 9420 section 12.4.2) and drops those of nodes that are blank now.
 *
 * @throws {AronaError} `BAD_MLS` where a sender's path secret gives another key than its path
 */
async function settle(environment: MlsEnvironment, state: ClientState): Promise<ClientState> {
  const { leafIndex, privateKeys } = state.privatePath;
  const kept: Record<number, Uint8Array> = {};
  for (const [index, privateKey] of Object.entries(privateKeys)) {
    const node = state.ratchetTree[Number(index)];
    if (node === undefined) continue;
    const publicKey = node.nodeType === nodeTypes.leaf ? node.leaf.hpkePublicKey : node.parent.hpkePublicKey;
    if (!await environment.cipherSuite.hpke.isKeyPair(privateKey, publicKey)) {
      throw new AronaError("BAD_MLS", "Cannot use commit: a path secret does not give the key in the path");
    }
    kept[Number(index)] = privateKey;
  }
  return { ...state, privatePath: { leafIndex, privateKeys: kept } };
}

/** Runs a library call and turns whatever it throws into `BAD_MLS`. */
async function guarded<T>(action: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (isAronaError(cause, "BAD_MLS", "POLICY", "BAD_CERTIFICATE", "TOO_LARGE")) throw cause;
    const reason = cause instanceof Error ? cause.message : "unknown";
    throw new AronaError("BAD_MLS", `Cannot ${action}: ${reason.slice(0, 200)}`, { cause });
  }
}

function decodeStrictly(bytes: Uint8Array, limit: number): MlsMessage {
  if (bytes.length > limit) {
    throw new AronaError("TOO_LARGE", `Cannot decode MLS message: ${bytes.length} bytes, at most ${limit}`);
  }
  const own = bytes.slice(); // decoded fields are views of it, and live as long as the group
  let message: MlsMessage | undefined;
  try {
    message = mlsMessageDecoder(own, 0)?.[0];
    if (message !== undefined && equalBytes(encodeMessage(message), own)) return message;
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot decode MLS message: its layout is wrong", { cause });
  }
  throw new AronaError("BAD_MLS", "Cannot decode MLS message: it is not in canonical form");
}

function encodeMessage(message: MlsMessage): Uint8Array {
  return encode(mlsMessageEncoder, message);
}

/** SignContent (RFC 9420 section 5.1.2). */
function labeled(label: string, content: Uint8Array): Uint8Array {
  return concatBytes(vector(new TextEncoder().encode(`MLS 1.0 ${label}`)), vector(content));
}

function vector(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length < 64) return concatBytes(Uint8Array.of(length), bytes);
  if (length < 16_384) return concatBytes(Uint8Array.of(0x40 | (length >> 8), length & 0xff), bytes);
  return concatBytes(
    Uint8Array.of(0x80 | (length >>> 24), (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff),
    bytes,
  );
}

function unexpected(what: string): AronaError {
  return new AronaError("BAD_MLS", `Cannot decode ${what}: the message is of another type`);
}
