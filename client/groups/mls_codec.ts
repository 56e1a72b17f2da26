/**
 * MLS messages as bytes, strictly: sizes are capped, and what was read is encoded again and compared, so that trailing bytes and
 * lengths that are not minimal are refused, inside encrypted messages too.
 */

import { AronaError, ByteWriter, concatBytes, equalBytes, MAX_OBJECT_BYTES } from "../../proto/mod.ts";
import {
  contentTypes,
  defaultCredentialTypes,
  defaultProposalTypes,
  encode,
  type FramedContent,
  generateKeyPackageWithKey,
  type GroupInfo,
  guarded,
  type KeyPackage,
  keyPackageEncoder,
  type LeafNode,
  makeKeyPackageRef,
  type MlsEnvironment,
  type MlsMessage,
  mlsMessageDecoder,
  mlsMessageEncoder,
  type PrivateKeyPackage,
  type PrivateMessage,
  type Proposal,
  proposalOrRefTypes,
  protocolVersions,
  senderTypes,
  type UpdatePath,
  type Welcome,
  wireformats,
} from "./mls_library.ts";

export const MAX_KEY_PACKAGE_BYTES = 32_768;
/** A secret of the key schedule; all suites have SHA-384. */
const SECRET_BYTES = 48;

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

export function decodeStrictly(bytes: Uint8Array, limit: number): MlsMessage {
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

export function encodeMessage(message: MlsMessage): Uint8Array {
  return encode(mlsMessageEncoder, message);
}

/**
 * Checks the opened GroupSecrets of a Welcome (RFC 9420 section 12.4.3): `joiner secret vector ‖ 0 | 1 ‖ path secret vector ‖ no PSKs`.
 *
 * @throws {AronaError} `BAD_MLS` where they are not in their one form
 */
export function checkGroupSecrets(bytes: Uint8Array): void {
  const vectorBytes = 1 + SECRET_BYTES;
  const hasPath = bytes[vectorBytes] === 1;
  const length = vectorBytes + 1 + (hasPath ? vectorBytes : 0) + 1;
  const fits = bytes.length === length && bytes[0] === SECRET_BYTES && bytes[length - 1] === 0 &&
    (hasPath ? bytes[vectorBytes + 1] === SECRET_BYTES : bytes[vectorBytes] === 0);
  if (!fits) {
    throw new AronaError("BAD_MLS", "Cannot join group: the welcome's secrets are not in canonical form");
  }
}

/** Checks the opened GroupInfo of a Welcome. @throws {AronaError} `BAD_MLS`, `TOO_LARGE` */
export function readGroupInfo(bytes: Uint8Array): GroupInfo {
  const head = new ByteWriter().u16(protocolVersions.mls10).u16(wireformats.mls_group_info).finish();
  return decodeGroupInfo(concatBytes(head, bytes));
}

/** Reads the inside of a PrivateMessage as strictly as a PublicMessage, by giving it that form. There is no padding. */
export function readContent(
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

export function readCommit(content: FramedContent): DecodedCommit {
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
export function requirePath(commit: DecodedCommit): void {
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

export function unexpected(what: string): AronaError {
  return new AronaError("BAD_MLS", `Cannot decode ${what}: the message is of another type`);
}

/** Length of a byte vector with its length in front (RFC 9420 section 2.1.2). */
function vectorSize(length: number): number {
  return length + (length < 64 ? 1 : length < 16_384 ? 2 : 4);
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
