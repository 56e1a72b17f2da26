/** What the rest of the client sees of MLS: groups and members as values, and the engine's interface. */

import type { AccountName, DeviceCertificate, DeviceId, Fingerprint, GroupId } from "../../proto/mod.ts";
import type { GroupKind } from "./group_settings.ts";
import type { SuiteId } from "./suite.ts";

/** One leaf of the group: a person's device. */
export interface Member {
  /** Leaf index. */
  readonly leaf: number;
  readonly account: AccountName;
  readonly device: DeviceId;
  readonly fingerprint: Fingerprint;
  /** 1,952 B. */
  readonly identityKey: Uint8Array;
  readonly admin: boolean;
  /** Whether another identity is pinned for the account. */
  readonly identityChanged: boolean;
}

/** A group at one epoch. Immutable: whatever changes it makes another value, and encrypting and decrypting do change it. */
export interface Group {
  readonly id: GroupId;
  readonly epoch: number;
  readonly suite: SuiteId;
  readonly kind: GroupKind;
  readonly name: string;
  readonly admins: readonly Fingerprint[];
  readonly banned: readonly Fingerprint[];
  /** By leaf index. */
  readonly members: readonly Member[];
  readonly self: Member;
  /** False once this device has been removed. */
  readonly active: boolean;
  /** The epoch authenticator (RFC 9420 section 8.7): equal for all members that are in the same state. */
  readonly authenticator: Uint8Array;
}

/** Keys of this device for one suite. */
export interface DeviceKeys {
  readonly publicKey: Uint8Array;
  /** The 32-byte seed. */
  readonly privateKey: Uint8Array;
  readonly certificate: DeviceCertificate;
}

/** This device, as its person's identity has certified it. */
export interface LocalDevice {
  readonly account: AccountName;
  readonly device: DeviceId;
  readonly identityKey: Uint8Array;
  readonly keys: Readonly<Record<SuiteId, DeviceKeys>>;
}

/** Knows the pinned identities. */
export interface TrustService {
  /** `changed` where another identity is pinned for the account; an unknown account is `trusted`. */
  check(account: AccountName, fingerprint: Fingerprint): "trusted" | "changed";
}

/** A KeyPackage and its private half; the private half stays on this device. */
export interface KeyPackagePair {
  readonly publicBytes: Uint8Array;
  readonly privateBytes: Uint8Array;
}

/** A change to commit. Nothing else is combined in one commit. */
export type GroupChange =
  | { readonly kind: "add"; readonly keyPackages: readonly Uint8Array[] }
  | {
    readonly kind: "remove";
    readonly devices: readonly DeviceId[];
    /** Statements of who goes, for what an admin does not do. */
    readonly statements?: readonly Uint8Array[];
  }
  /** Gives a device that has lost its state a new leaf. */
  | {
    readonly kind: "replace";
    readonly device: DeviceId;
    readonly keyPackage: Uint8Array;
    readonly statement: Uint8Array;
  }
  | { readonly kind: "update" }
  | {
    readonly kind: "settings";
    readonly name?: string;
    readonly admins?: readonly Fingerprint[];
    readonly banned?: readonly Fingerprint[];
    readonly alsoRemove?: readonly DeviceId[];
  };

/** A commit that waits for the relay. Use `next` once it has won; the group it was made from stays usable if it loses. */
export interface PreparedCommit {
  readonly next: Group;
  readonly commit: Uint8Array;
  /** For the added devices. */
  readonly welcome?: Uint8Array;
  readonly added: readonly DeviceId[];
  readonly removed: readonly DeviceId[];
}

/** What a commit did. */
export interface CommitSummary {
  readonly committer: Member;
  readonly added: readonly Member[];
  readonly removed: readonly Member[];
  readonly settingsChanged: boolean;
  /** This device was removed; the group that comes with it is not active. */
  readonly selfRemoved: boolean;
  /** The committer came from outside. */
  readonly external: boolean;
}

/** Where a message stands among those of its sender. */
export interface MessagePlace {
  /** From 1 on since the sender came in; 0 for a message that does not count. */
  readonly sequence: number;
  /** How many of them came before it in its epoch. */
  readonly earlier: number;
}

/** Who a KeyPackage belongs to. */
export interface KeyPackageOwner {
  readonly account: AccountName;
  readonly device: DeviceId;
  readonly fingerprint: Fingerprint;
  /** When the KeyPackage ends, Unix milliseconds. */
  readonly notAfterMs: number;
}

/**
 * MLS with Arona's rules: state in, new state out. What fails changes nothing.
 *
 * Everything here throws {@link AronaError}: `BAD_MLS` for what MLS refuses, `POLICY` for what the group's rules forbid,
 * `BAD_CERTIFICATE`, and `TOO_LARGE`.
 *
 * Secrets that a step has used up are overwritten when the value that came out of it is used for the next one. Until then the value
 * before it works, so a step whose result could not be stored can be done again.
 */
export interface GroupEngine {
  keyPackage(device: LocalDevice, suite: SuiteId, options: { lastResort: boolean }): Promise<KeyPackagePair>;
  /** Checks everything about a claimed KeyPackage, as if it were to be added now. */
  inspectKeyPackage(bytes: Uint8Array, options: { suite: SuiteId }): Promise<KeyPackageOwner>;

  /** A new group with this device alone in it, at epoch 0, its identity the admin. */
  create(
    device: LocalDevice,
    options: { group: GroupId; suite: SuiteId; kind: GroupKind; name: string },
  ): Promise<Group>;
  joinFromWelcome(
    device: LocalDevice,
    options: {
      welcome: Uint8Array;
      keyPackages: readonly KeyPackagePair[];
      expect?: { group?: GroupId; kind?: GroupKind };
    },
  ): Promise<{
    group: Group;
    usedKeyPackage: number;
    /** Who has signed what the Welcome leads to. */
    inviter: Member;
  }>;
  /** Joins a channel from outside. An old leaf of the same device goes. */
  joinFromGroupInfo(
    device: LocalDevice,
    options: { groupInfo: Uint8Array; expect: { group: GroupId; name?: string } },
  ): Promise<{ next: Group; commit: Uint8Array }>;

  /** What somebody needs to join from outside, with the tree. */
  groupInfo(group: Group): Promise<Uint8Array>;
  commit(group: Group, change: GroupChange): Promise<PreparedCommit>;
  /** Applies somebody else's commit. */
  process(group: Group, commit: Uint8Array): Promise<{ next: Group; summary: CommitSummary }>;
  leaveStatement(device: LocalDevice, group: Group): Promise<Uint8Array>;
  /** Asks for a new leaf in a group whose state this device has lost. @param options.epoch the group's, as the relay says */
  returnStatement(
    device: LocalDevice,
    options: { suite: SuiteId; group: GroupId; epoch: number; keyPackage: Uint8Array },
  ): Promise<Uint8Array>;

  /** @param place among this device's messages in the group. @default that of a message that does not count */
  encrypt(
    group: Group,
    plaintext: Uint8Array,
    place?: MessagePlace,
  ): Promise<{ next: Group; ciphertext: Uint8Array }>;
  /**
   * Opens a message of this epoch or of the two before it. `sender` is as of the message's epoch.
   *
   * @throws {AronaError} also `FORKED`, where the sender has another state of the group at the same epoch
   */
  decrypt(
    group: Group,
    ciphertext: Uint8Array,
  ): Promise<{ next: Group; sender: Member; place: MessagePlace; plaintext: Uint8Array }>;

  /** The whole state, secrets included. */
  encode(group: Group): Uint8Array;
  decode(bytes: Uint8Array): Group;
  /**
   * The state in two: `tree`, which is large and the same array for the whole of an epoch, and `secrets`, which is small and changes
   * with every message. Storing them apart saves writing the tree again.
   */
  encodeParts(group: Group): GroupParts;
  decodeParts(parts: GroupParts): Group;
}

/** A group's state as two byte strings. */
export interface GroupParts {
  readonly tree: Uint8Array;
  readonly secrets: Uint8Array;
}
