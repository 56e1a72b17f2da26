/** A member that does not keep the rules: makes commits with the MLS library itself, around Arona's checks. */

import {
  type ClientState,
  createCommit,
  type CreateCommitOptions,
  decode,
  encode,
  generateKeyPackageWithKey,
  joinGroupExternal,
  type KeyPackage,
  type LeafNode,
  type MlsContext,
  mlsMessageDecoder,
  mlsMessageEncoder,
  protocolVersions,
  wireformats,
} from "ts-mls";
import { createCipherSuite } from "../../client/groups/cipher_suite.ts";
import { makeCapabilities } from "../../client/groups/group_context.ts";
import type { Group, SuiteId } from "../../client/groups/mod.ts";
import { decodeState } from "../../client/groups/state_codec.ts";
import { encodeCertificate } from "../../proto/mod.ts";
import { native, type Peer } from "./groups_support.ts";

export type { ClientState, KeyPackage };

/** What the library keeps behind a group. */
export function stateBehind(peer: Peer, group: Group): ClientState {
  return decodeState(peer.engine.encodeParts(group));
}

/** The library with everything allowed. @param change alters what is sealed first: the commit's content */
export function rogueContext(
  suite: SuiteId,
  options: {
    change?: (content: Uint8Array) => Uint8Array;
    isOld?: (leaf: LeafNode) => boolean;
    /** Stands in for the key of the lowest node above the committer. */
    nodeKey?: Uint8Array;
  } = {},
): MlsContext {
  const cipherSuite = createCipherSuite(native, suite);
  let sealed = 0;
  let exported = 0;
  return {
    cipherSuite: {
      ...cipherSuite,
      hpke: {
        ...cipherSuite.hpke,
        exportPublicKey: (key) =>
          exported++ === 0 && options.nodeKey
            ? Promise.resolve(options.nodeKey)
            : cipherSuite.hpke.exportPublicKey(key),
        encryptAead: (key, nonce, aad, plaintext) =>
          cipherSuite.hpke.encryptAead(
            key,
            nonce,
            aad,
            sealed++ === 0 && options.change ? options.change(plaintext) : plaintext,
          ),
      },
    },
    authService: { validateCredential: () => Promise.resolve(true) },
    externalPsks: { "AQ==": new Uint8Array(32) },
    clientConfig: {
      keyRetentionConfig: {
        retainKeysForGenerations: 32,
        retainKeysForEpochs: 2,
        maximumForwardRatchetSteps: 1_000,
      },
      lifetimeConfig: { maximumTotalLifetime: 2n ** 40n, validateLifetimeOnReceive: false },
      keyPackageEqualityConfig: {
        compareKeyPackages: () => false,
        compareKeyPackageToLeafNode: (_, leaf) => options.isOld?.(leaf) ?? false,
      },
      paddingConfig: { kind: "alwaysPad", paddingLength: 0 },
    },
  };
}

/** A member's commit of anything. */
export async function rogueCommit(
  peer: Peer,
  group: Group,
  options: CreateCommitOptions & {
    change?: (content: Uint8Array) => Uint8Array;
    nodeKey?: Uint8Array;
    state?: (state: ClientState) => ClientState;
  },
): Promise<Uint8Array> {
  const { change, nodeKey, state = (state) => state, ...rest } = options;
  const { commit } = await createCommit({
    context: rogueContext(group.suite, { change, nodeKey }),
    state: state(stateBehind(peer, group)),
    ...rest,
  });
  return encode(mlsMessageEncoder, commit);
}

/** A commit from outside. @param isOld which leaf to remove with it */
export async function rogueJoin(
  peer: Peer,
  groupInfoBytes: Uint8Array,
  options: { suite: SuiteId; isOld?: (leaf: LeafNode) => boolean; authenticatedData?: Uint8Array },
): Promise<Uint8Array> {
  const message = decode(mlsMessageDecoder, groupInfoBytes);
  if (message?.wireformat !== wireformats.mls_group_info) throw new Error("not a group info");
  const { publicMessage } = await joinGroupExternal({
    context: rogueContext(options.suite, options),
    groupInfo: message.groupInfo,
    ...await rogueKeyPackage(peer, options.suite),
    resync: options.isOld !== undefined,
    authenticatedData: options.authenticatedData,
  });
  return encode(mlsMessageEncoder, {
    version: protocolVersions.mls10,
    wireformat: wireformats.mls_public_message,
    publicMessage,
  });
}

/** A KeyPackage with any lifetime. */
export async function rogueKeyPackage(
  peer: Peer,
  suite: SuiteId,
  options: { notBefore: bigint; notAfter: bigint; encryptionKey?: Uint8Array } = {
    notBefore: 0n,
    notAfter: 2n ** 33n,
  },
): Promise<
  {
    keyPackage: KeyPackage;
    privateKeys: { initPrivateKey: Uint8Array; hpkePrivateKey: Uint8Array; signaturePrivateKey: Uint8Array };
  }
> {
  const { publicKey, privateKey, certificate } = peer.device.keys[suite];
  const { encryptionKey, ...lifetime } = options;
  const cipherSuite = createCipherSuite(native, suite);
  let exported = 0; // the first public key is the leaf's
  const made = await generateKeyPackageWithKey({
    cipherSuite: {
      ...cipherSuite,
      hpke: {
        ...cipherSuite.hpke,
        exportPublicKey: (key) =>
          exported++ === 0 && encryptionKey
            ? Promise.resolve(encryptionKey)
            : cipherSuite.hpke.exportPublicKey(key),
      },
    },
    credential: { credentialType: 1, identity: encodeCertificate(certificate) },
    signatureKeyPair: { publicKey, signKey: privateKey },
    capabilities: makeCapabilities(),
    extensions: [],
    lifetime,
  });
  return { keyPackage: made.publicPackage, privateKeys: made.privatePackage };
}

export function encodeKeyPackageMessage(keyPackage: KeyPackage): Uint8Array {
  return encode(mlsMessageEncoder, {
    version: protocolVersions.mls10,
    wireformat: wireformats.mls_key_package,
    keyPackage,
  });
}
