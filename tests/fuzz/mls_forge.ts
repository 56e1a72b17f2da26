/** MLS messages that are well signed or well sealed around content that no honest client makes (RFC 9420, section by section). */

import {
  createApplicationMessage,
  createCommit,
  decode,
  encode,
  type KeyPackage,
  type MlsContext,
  mlsMessageDecoder,
  mlsMessageEncoder,
  protocolVersions,
  wireformats,
} from "ts-mls";
import { ByteReader, ByteWriter, concatBytes, utf8 } from "../../proto/mod.ts";
import { createCipherSuite } from "../../client/groups/cipher_suite.ts";
import type { Group, KeyPackagePair } from "../../client/groups/mod.ts";
import { encodeKeyPackageMessage, rogueContext, stateBehind } from "../client/groups_rogue.ts";
import type { Peer } from "../client/groups_support.ts";
import { provider } from "./seeded_crypto.ts";

const SUITE = 0x0052;
const SIGNATURE_BYTES = 2_420;
const HASH_BYTES = 48;
/** A signature with its length. */
export const SIGNATURE_FIELD_BYTES = 2 + SIGNATURE_BYTES;
/** Signature and confirmation tag at the end of a commit. */
export const COMMIT_TAIL_BYTES = SIGNATURE_FIELD_BYTES + 1 + HASH_BYTES;
/** Of FramedContentTBS: version, wire format, group id, epoch, member sender, no authenticated data, content type. */
const MEMBER_HEAD_BYTES = 2 + 2 + 17 + 8 + 5 + 1 + 1;
const suite = createCipherSuite(provider, SUITE);

/** A KeyPackage whose signatures are right for what it says now; as it is where it does not decode. */
export async function resignKeyPackage(bytes: Uint8Array, peer: Peer): Promise<Uint8Array> {
  const keyPackage = tryDecodeKeyPackage(bytes);
  if (keyPackage === null) return bytes;
  const sizeOf = (length: number) => vector(new Uint8Array(length)).length;
  const encoded = encodeKeyPackageMessage(keyPackage).subarray(4);
  const signed = encoded.subarray(0, encoded.length - sizeOf(keyPackage.signature.length));
  const extensions = keyPackage.extensions.reduce(
    (sum, one) => sum + 2 + sizeOf((one.extensionData as Uint8Array).length),
    0,
  );
  const { leafNode } = keyPackage;
  const leaf = signed.subarray(
    4 + sizeOf(keyPackage.initKey.length),
    signed.length - sizeOf(extensions) - sizeOf(leafNode.signature.length),
  );
  const leafSignature = await sign(peer, "LeafNodeTBS", leaf);
  const withLeaf = { ...keyPackage, leafNode: { ...leafNode, signature: leafSignature } };
  const again = encodeKeyPackageMessage(withLeaf).subarray(4);
  const content = again.subarray(0, again.length - sizeOf(keyPackage.signature.length));
  return encodeKeyPackageMessage({ ...withLeaf, signature: await sign(peer, "KeyPackageTBS", content) });
}

/** A GroupInfo message with another content, signed by `peer`. `head` is the message without its signature. */
export async function resignGroupInfo(head: Uint8Array, peer: Peer): Promise<Uint8Array> {
  return concatBytes(head, vector(await sign(peer, "GroupInfoTBS", head.subarray(4))));
}

/** A commit from outside with another content, signed by `peer`. `head` is the message without its tail. */
export async function resignExternalCommit(
  head: Uint8Array,
  options: { peer: Peer; context: Uint8Array; tag: Uint8Array },
): Promise<Uint8Array> {
  const signature = await sign(options.peer, "FramedContentTBS", concatBytes(head, options.context));
  return concatBytes(head, vector(signature), vector(options.tag));
}

/** The two parts of a commit from outside. */
export function splitExternalCommit(message: Uint8Array): { head: Uint8Array; tag: Uint8Array } {
  const head = message.subarray(0, message.length - COMMIT_TAIL_BYTES);
  return { head, tag: message.subarray(message.length - HASH_BYTES) };
}

/** A member's commit that is signed and sealed around `body`, which may be any bytes. */
export async function forgeCommit(peer: Peer, group: Group, body: Uint8Array): Promise<Uint8Array> {
  const contextLength = groupContextBytes(peer, group).length;
  const context = rogueContext(SUITE, {
    change: (content) => concatBytes(body, content.subarray(content.length - COMMIT_TAIL_BYTES)),
  });
  const { commit } = await createCommit({
    context: signing(
      context,
      (tbs) =>
        concatBytes(tbs.subarray(0, MEMBER_HEAD_BYTES), body, tbs.subarray(tbs.length - contextLength)),
    ),
    state: stateBehind(peer, group),
  });
  return encode(mlsMessageEncoder, commit);
}

/** A member's application message that is sealed around `content`: the framed content, its signature and padding. */
export async function forgeMessage(peer: Peer, group: Group, content: Uint8Array): Promise<Uint8Array> {
  const { message } = await createApplicationMessage({
    context: rogueContext(SUITE, { change: () => content }),
    state: stateBehind(peer, group),
    message: Uint8Array.of(1, 2, 3),
  });
  return encode(mlsMessageEncoder, message);
}

/** GroupContext of a group (section 8.1), as it stands at the beginning of its stored tree. */
export function groupContextBytes(peer: Peer, group: Group): Uint8Array {
  const { tree } = peer.engine.encodeParts(group);
  const reader = new ByteReader(tree.subarray(1));
  reader.take(4);
  for (const fixed of [8, 0, 0, 0]) {
    readVector(reader); // group id, tree hash, transcript hash, extensions
    reader.take(fixed);
  }
  return tree.subarray(1, tree.length - reader.remaining);
}

/** What a Welcome's sealed parts hold, to be sealed again with other bytes in them (section 12.4.3.1). */
export interface OpenWelcome {
  readonly secrets: Uint8Array;
  /** GroupInfo without its signature. */
  readonly info: Uint8Array;
  seal(
    parts: { secrets?: Uint8Array; info?: Uint8Array; tail?: Uint8Array; signer: Peer },
  ): Promise<Uint8Array>;
}

/** Opens a Welcome for one new member. */
export async function openWelcome(bytes: Uint8Array, pair: KeyPackagePair): Promise<OpenWelcome> {
  const message = decode(mlsMessageDecoder, bytes);
  if (message?.wireformat !== wireformats.mls_welcome) throw new Error("not a welcome");
  const { welcome } = message;
  const [{ newMember, encryptedGroupSecrets }] = welcome.secrets;
  const keys = new ByteReader(pair.privateBytes.subarray(1));
  const initKey = await suite.hpke.importPrivateKey(keys.vector16(64).slice());
  const keyPackage = tryDecodeKeyPackage(pair.publicBytes)!;
  const label = (sealedInfo: Uint8Array) => labeled("Welcome", sealedInfo);
  const { kemOutput, ciphertext } = encryptedGroupSecrets;
  const secrets = await suite.hpke.open(initKey, kemOutput, ciphertext, label(welcome.encryptedGroupInfo));
  const joinerSecret = readVector(new ByteReader(secrets));
  const derived = provider.hkdfExtract("SHA-384", joinerSecret, new Uint8Array(HASH_BYTES));
  const welcomeSecret = expandWithLabel(derived, "welcome", HASH_BYTES);
  const [key, nonce] = [
    expandWithLabel(welcomeSecret, "key", 32),
    expandWithLabel(welcomeSecret, "nonce", 12),
  ];
  const signedInfo = await suite.hpke.decryptAead(key, nonce, undefined, welcome.encryptedGroupInfo);
  const info = signedInfo.subarray(0, signedInfo.length - SIGNATURE_FIELD_BYTES);
  return {
    secrets,
    info,
    async seal(parts) {
      const head = parts.info ?? info;
      const signature = vector(await sign(parts.signer, "GroupInfoTBS", head));
      const signed = concatBytes(head, signature, parts.tail ?? new Uint8Array());
      const encryptedGroupInfo = await suite.hpke.encryptAead(key, nonce, undefined, signed);
      const { ct, enc } = await suite.hpke.seal(
        await suite.hpke.importPublicKey(keyPackage.initKey),
        parts.secrets ?? secrets,
        label(encryptedGroupInfo),
      );
      const sealed = { newMember, encryptedGroupSecrets: { kemOutput: enc, ciphertext: ct } };
      return encode(mlsMessageEncoder, {
        version: protocolVersions.mls10,
        wireformat: wireformats.mls_welcome,
        welcome: { ...welcome, secrets: [sealed], encryptedGroupInfo },
      });
    },
  };
}

/** The library with another FramedContentTBS under its signature. */
function signing(context: MlsContext, change: (tbs: Uint8Array) => Uint8Array): MlsContext {
  const { cipherSuite } = context;
  const label = vector(utf8("MLS 1.0 FramedContentTBS"));
  const isContent = (message: Uint8Array) => label.every((byte, i) => message[i] === byte);
  return {
    ...context,
    cipherSuite: {
      ...cipherSuite,
      signature: {
        ...cipherSuite.signature,
        sign(key, message) {
          if (!isContent(message)) return cipherSuite.signature.sign(key, message);
          const tbs = readVector(new ByteReader(message.subarray(label.length)));
          return cipherSuite.signature.sign(key, labeled("FramedContentTBS", change(tbs)));
        },
      },
    },
  };
}

function tryDecodeKeyPackage(bytes: Uint8Array): KeyPackage | null {
  try {
    const message = decode(mlsMessageDecoder, bytes);
    return message?.wireformat === wireformats.mls_key_package ? message.keyPackage : null;
  } catch {
    return null;
  }
}

function sign(peer: Peer, label: string, content: Uint8Array): Promise<Uint8Array> {
  return provider.sign("ML-DSA-44", peer.device.keys[SUITE].privateKey, labeled(label, content));
}

/** Section 8: ExpandWithLabel with an empty context. */
function expandWithLabel(secret: Uint8Array, label: string, length: number): Uint8Array {
  const info = concatBytes(new ByteWriter().u16(length).finish(), labeled(label, new Uint8Array()));
  return provider.hkdfExpand("SHA-384", secret, info, length);
}

/** Sections 5.1.2 and 5.1.3: a label and a content. */
function labeled(label: string, content: Uint8Array): Uint8Array {
  return concatBytes(vector(utf8(`MLS 1.0 ${label}`)), vector(content));
}

/** Section 2.1.2. */
function vector(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  const writer = new ByteWriter();
  if (length < 64) writer.u8(length);
  else if (length < 16_384) writer.u16(0x4000 | length);
  else writer.u32((0x8000_0000 | length) >>> 0);
  return writer.raw(bytes).finish();
}

function readVector(reader: ByteReader): Uint8Array {
  const first = reader.u8();
  const more = reader.take((1 << (first >> 6)) - 1);
  return reader.take(more.reduce((length, byte) => length * 256 + byte, first & 0x3f));
}
