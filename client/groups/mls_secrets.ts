/** Secrets between two states of a group: overwriting what was used up, and checking the keys of the own path. */

import { AronaError } from "../../proto/mod.ts";
import {
  type ClientState,
  type GenerationSecret,
  type MlsEnvironment,
  nodeTypes,
  type SecretTree,
} from "./mls_library.ts";

/** Remembers what the step that made `state` has used up. */
export function remember(state: ClientState, consumed: Uint8Array[]): void {
  spent.set(state, consumed);
}

/** Somebody goes on from `state`, so the secrets that led to it are not needed again. */
export function adopt(state: ClientState): void {
  for (const secret of spent.get(state) ?? []) secret.fill(0);
  spent.delete(state);
}

/**
 * A copy whose history shares no secret with the state that it was made from. While a commit waits for the relay, that state goes on and
 * overwrites what it uses up; the history of the new one is there for late messages.
 */
export function withOwnHistory(state: ClientState): ClientState {
  const historicalReceiverData = new Map(
    [...state.historicalReceiverData].map(([epoch, data]) =>
      [epoch, { ...data, secretTree: copySecretTree(data.secretTree) }] as const
    ),
  );
  return { ...state, historicalReceiverData };
}

/**
 * Checks the private keys of the own path against the tree (RFC 9420 section 12.4.2) and drops those of nodes that are blank now.
 *
 * @throws {AronaError} `BAD_MLS` where a sender's path secret gives another key than its path
 */
export async function settle(environment: MlsEnvironment, state: ClientState): Promise<ClientState> {
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

/** The state of a device that was removed: it knows who was there, and no secret. */
export function deactivated(state: ClientState): ClientState {
  const none = new Uint8Array();
  const { epochAuthenticator } = state.keySchedule;
  return {
    groupContext: state.groupContext,
    ratchetTree: state.ratchetTree,
    keySchedule: {
      senderDataSecret: none,
      exporterSecret: none,
      externalSecret: none,
      confirmationKey: none,
      membershipKey: none,
      resumptionPsk: none,
      epochAuthenticator,
      initSecret: none,
    },
    secretTree: { leafWidth: state.secretTree.leafWidth, intermediateNodes: {}, leafNodes: {} },
    privatePath: { leafIndex: state.privatePath.leafIndex, privateKeys: {} },
    signaturePrivateKey: none,
    unappliedProposals: {},
    confirmationTag: none,
    historicalReceiverData: new Map(),
    groupActiveState: { kind: "removedFromGroup" },
  };
}

/** What the step that made a state has used up. */
const spent = new WeakMap<ClientState, Uint8Array[]>();

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
