/**
 * The one door to ts-mls: what Arona uses of it, how it is configured, and its errors in Arona's words.
 *
 * What the library leaves out is in the files beside this one: strict decoding in `mls_codec.ts`, used-up secrets and path keys in
 * `mls_secrets.ts`, the steps of a group in `mls_group.ts`.
 */

import type { ClientConfig, Credential, LeafNode, MlsContext } from "ts-mls";
import { AronaError, isAronaError } from "../../proto/mod.ts";
import type { MlsCipherSuite } from "./cipher_suite.ts";

export {
  type ClientState,
  clientStateDecoder,
  clientStateEncoder,
  contentTypes,
  createApplicationMessage,
  createCommit,
  createGroup,
  createGroupInfoWithExternalPubAndRatchetTree,
  type Credential,
  defaultCredentialTypes,
  defaultExtensionTypes,
  defaultProposalTypes,
  encode,
  type EpochReceiverData,
  type FramedContent,
  generateKeyPackageWithKey,
  type GenerationSecret,
  type GroupContextExtension,
  type GroupInfo,
  type GroupState,
  groupStateEncoder,
  joinGroup,
  joinGroupExternal,
  type KeyPackage,
  keyPackageEncoder,
  type LeafNode,
  makeCustomExtension,
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
} from "ts-mls";

/** Out-of-order messages of one sender that can still be opened. */
export const RETAINED_GENERATIONS = 32;
/** Epochs before the current one whose messages can still be opened. */
export const RETAINED_EPOCHS = 2;
/** How far one message of a sender may be ahead of the last one seen. */
export const MAX_FORWARD_STEPS = 1_000;

/** What the library needs from outside. */
export interface MlsEnvironment {
  readonly cipherSuite: MlsCipherSuite;
  /** Whether a credential and a signature key belong together (RFC 9420 section 5.3.1). */
  authenticate(credential: Credential, signatureKey: Uint8Array): Promise<boolean>;
  /** Whether two leaves are the same device. */
  sameDevice(a: LeafNode, b: LeafNode): boolean;
}

/** The library's surroundings. @param watched replacements that look at what is sealed or opened */
export function contextOf(
  environment: MlsEnvironment,
  watched: Partial<MlsCipherSuite["hpke"]> = {},
): MlsContext {
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

/** Runs a library call and turns whatever it throws into `BAD_MLS`. */
export async function guarded<T>(action: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (isAronaError(cause, "BAD_MLS", "POLICY", "BAD_CERTIFICATE", "TOO_LARGE", "FORKED")) throw cause;
    const reason = cause instanceof Error ? cause.message : "unknown";
    throw new AronaError("BAD_MLS", `Cannot ${action}: ${reason.slice(0, 200)}`, { cause });
  }
}
