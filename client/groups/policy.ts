/**
 * Who may change what: Arona's rules for commits, checked by every client on the decoded commit before it is processed, and on its own
 * before it is sent. Pure functions over plain data; that the signatures and certificates hold is the business of others.
 */

import { AronaError, MAX_GROUP_MEMBERS } from "../../proto/mod.ts";
import { CLOCK_SKEW_MS, isCertificateCurrent, type Occupant } from "./credential.ts";
import type { GroupSettings } from "./group_settings.ts";

/** Proposals in one commit. */
export const MAX_PROPOSALS = 256;
/** KeyPackages are made for this long. */
export const KEY_PACKAGE_LIFETIME_MS = 90 * 86_400_000;
/**
 * How long a lifetime may be over when the Add of it is read: commits are read late by devices that were away, and if they refused
 * what the others took, they would be cut off. Whoever adds a device allows nothing.
 */
export const LATE_READER_GRACE_MS = 30 * 86_400_000;
const IDENTITIES_IN_DM = 2;

/** The group that a commit is to change. */
export interface PolicyGroup {
  readonly settings: GroupSettings;
  readonly occupants: readonly Occupant[];
  /** Encryption keys of all nodes, parents included. */
  readonly nodeKeys: readonly Uint8Array[];
}

/** A proposal in plain terms. */
export type ProposalView =
  | {
    readonly kind: "add";
    readonly occupant: Occupant;
    readonly lifetime: Lifetime;
    /** SHA-256 of the KeyPackage, hexadecimal. */
    readonly keyPackage: string;
  }
  | { readonly kind: "remove"; readonly leaf: number }
  | { readonly kind: "settings"; readonly settings: GroupSettings }
  | { readonly kind: "external_init" }
  | { readonly kind: "other"; readonly type: number };

/** Unix milliseconds. */
export interface Lifetime {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A commit in plain terms. */
export interface CommitView {
  /** Leaf of the member that committed, or null from outside. */
  readonly committer: number | null;
  readonly proposals: readonly ProposalView[];
  /** The committer's new leaf and the new keys above it. */
  readonly path: { readonly occupant: Occupant; readonly nodeKeys: readonly Uint8Array[] } | null;
  /** Removed leaves that anybody may remove, by a statement. */
  readonly leavers: ReadonlySet<number>;
  /** Removed leaves that anybody may replace, by a statement, with the hash of the KeyPackage that comes instead. */
  readonly returns: ReadonlyMap<number, string>;
  /** Whether there is authenticated data. */
  readonly hasAuthenticatedData: boolean;
}

/** When a commit is looked at. */
export interface PolicyTime {
  readonly nowMs: number;
  /** @see LATE_READER_GRACE_MS */
  readonly graceMs: number;
}

/** @throws {AronaError} `POLICY` */
export function checkCommit(group: PolicyGroup, commit: CommitView, time: PolicyTime): void {
  const { proposals } = commit;
  if (proposals.length > MAX_PROPOSALS) refuse(`it has ${proposals.length} proposals`);
  const adds = proposals.filter((proposal) => proposal.kind === "add");
  const removes = proposals.filter((proposal) => proposal.kind === "remove");
  const changes = proposals.filter((proposal) => proposal.kind === "settings");
  const other = proposals.find((proposal) => proposal.kind === "other");
  if (other) refuse(`a proposal of type ${other.type} is not allowed`);
  if (changes.length > 1) refuse("it changes the settings twice");
  if (commit.hasAuthenticatedData && (removes.length === 0 || commit.committer === null)) {
    refuse("it has authenticated data without anybody whom it is about");
  }
  const removed = removes.map(({ leaf }) => occupantOf(group, leaf));
  if (new Set(removed.map(({ leaf }) => leaf)).size < removed.length) refuse("it removes somebody twice");
  if (commit.returns.size > 0) checkReplacement(commit, { adds, removed });
  else if (adds.length > 0 && adds.length < proposals.length) refuse("additions stand alone");

  if (commit.committer === null) {
    checkExternal(group, { ...commit, removed }, time);
  } else {
    checkMember(group, { ...commit, committer: occupantOf(group, commit.committer), removed });
  }
  if (changes.length === 1) checkSettings(group, changes[0].settings, removed);
  checkAdditions({ ...group, ...afterRemoval(group, removed) }, adds, time);
  if (commit.path) checkPathKeys(group, commit.path, removed);
}

/**
 * Checks the whole membership, as somebody who comes in sees it.
 *
 * @throws {AronaError} `POLICY`
 */
export function checkMembership(group: Pick<PolicyGroup, "settings" | "occupants">): void {
  const { settings, occupants } = group;
  if (occupants.length > MAX_GROUP_MEMBERS) refuse(`it has ${occupants.length} members`, "join group");
  if (new Set(occupants.map(({ device }) => device)).size < occupants.length) {
    refuse("a device is in it twice", "join group");
  }
  if (occupants.some(({ fingerprint }) => settings.banned.includes(fingerprint))) {
    refuse("a banned identity is a member", "join group");
  }
  if (settings.kind === "dm" && identitiesOf(occupants).size > IDENTITIES_IN_DM) {
    refuse("a direct message has two people", "join group");
  }
}

/** @throws {AronaError} `POLICY` where the KeyPackage or its certificate is not valid at that time, or is valid for too long */
export function checkLifetime(add: { occupant: Occupant; lifetime: Lifetime }, time: PolicyTime): void {
  const { notBeforeMs, notAfterMs } = add.lifetime;
  if (notAfterMs - notBeforeMs > KEY_PACKAGE_LIFETIME_MS + 2 * CLOCK_SKEW_MS) {
    refuse("a key package is valid for too long");
  }
  const skewMs = CLOCK_SKEW_MS + time.graceMs;
  if (time.nowMs + skewMs < notBeforeMs || notAfterMs + time.graceMs < time.nowMs) {
    refuse("a key package is past its lifetime, or before it");
  }
  if (!isCertificateCurrent(add.occupant.certificate, time)) refuse("a device certificate has expired");
}

function checkMember(
  group: PolicyGroup,
  commit: Omit<CommitView, "committer"> & { committer: Occupant; removed: readonly Occupant[] },
): void {
  const { settings } = group;
  const { committer, path } = commit;
  const isAdmin = settings.admins.includes(committer.fingerprint);
  const isOwn = (other: Occupant) =>
    other.fingerprint === committer.fingerprint && other.account === committer.account;
  for (const proposal of commit.proposals) {
    switch (proposal.kind) {
      case "external_init":
        refuse("a member commits as if from outside");
        break;
      case "settings":
        if (settings.kind === "dm") refuse("a direct message has no settings to change");
        if (!isAdmin) refuse("only an admin may change settings");
        break;
      case "add":
        if (settings.kind === "dm" && !isAdmin && !isOwn(proposal.occupant) && commit.returns.size === 0) {
          refuse("only who opened a direct message may add somebody to it");
        }
        if (settings.banned.includes(committer.fingerprint)) refuse("a banned identity may not add anybody");
        break;
      case "remove":
      case "other":
        break;
    }
  }
  for (const one of commit.removed) {
    if (one.leaf === committer.leaf) refuse("nobody removes the own leaf");
    const allowed = isAdmin || commit.leavers.has(one.leaf) || commit.returns.has(one.leaf) ||
      one.fingerprint === committer.fingerprint;
    if (!allowed) refuse("only an admin may remove somebody else");
  }
  if (path === null) return;
  const same = path.occupant.device === committer.device &&
    path.occupant.fingerprint === committer.fingerprint &&
    path.occupant.account === committer.account &&
    sameKey(path.occupant.signatureKey, committer.signatureKey);
  if (!same) refuse("the committer's new leaf is somebody else");
}

/** A device that has lost its state gets another leaf: one Remove and one Add of the same device, and nothing else. */
function checkReplacement(
  commit: CommitView,
  { adds, removed }: {
    adds: readonly Extract<ProposalView, { kind: "add" }>[];
    removed: readonly Occupant[];
  },
): void {
  const [add] = adds;
  const [former] = removed;
  if (commit.proposals.length !== 2 || adds.length !== 1 || removed.length !== 1) {
    refuse("a device that comes back is all that its commit is about");
  }
  const same = add.occupant.device === former.device && add.occupant.account === former.account &&
    add.occupant.fingerprint === former.fingerprint && add.keyPackage === commit.returns.get(former.leaf);
  if (!same) refuse("somebody else comes in the place of a device that comes back");
}

function checkExternal(
  group: PolicyGroup,
  commit: CommitView & { removed: readonly Occupant[] },
  time: PolicyTime,
): void {
  const { settings, occupants } = group;
  const { path, removed, proposals } = commit;
  if (settings.kind !== "channel") refuse("only a channel can be joined from outside");
  if (path === null) refuse("it has no path");
  const inits = proposals.filter(({ kind }) => kind === "external_init").length;
  if (inits !== 1 || removed.length > 1 || proposals.length !== inits + removed.length) {
    refuse("from outside, nothing but joining is allowed");
  }
  const joiner = path.occupant;
  if (settings.banned.includes(joiner.fingerprint)) refuse("the identity is banned");
  for (const one of removed) {
    if (one.device !== joiner.device || one.fingerprint !== joiner.fingerprint) {
      refuse("from outside, nobody but the own old leaf can be removed");
    }
  }
  const others = without(occupants, removed);
  if (others.length + 1 > MAX_GROUP_MEMBERS) refuse(`there are ${others.length} members already`);
  checkUnique(joiner, others);
  if (!isCertificateCurrent(joiner.certificate, time)) {
    refuse("the device certificate has expired");
  }
}

function checkSettings(group: PolicyGroup, next: GroupSettings, removed: readonly Occupant[]): void {
  const { settings } = group;
  const remaining = without(group.occupants, removed);
  if (next.kind !== settings.kind) refuse("a group's kind never changes");
  if (settings.kind === "channel" && next.name !== settings.name) refuse("a channel's name never changes");
  if (!remaining.some(({ fingerprint }) => next.admins.includes(fingerprint))) {
    refuse("no member would be admin");
  }
  if (remaining.some(({ fingerprint }) => next.banned.includes(fingerprint))) {
    refuse("whoever is banned has to be removed with the same commit");
  }
}

function checkAdditions(
  group: PolicyGroup,
  adds: readonly Extract<ProposalView, { kind: "add" }>[],
  time: PolicyTime,
): void {
  const { settings } = group;
  const present = [...group.occupants];
  const keys = [...group.nodeKeys];
  for (const { occupant, lifetime } of adds) {
    if (settings.banned.includes(occupant.fingerprint)) refuse("a banned identity cannot be added");
    checkLifetime({ occupant, lifetime }, time);
    checkUnique(occupant, present);
    checkNewKey(occupant.encryptionKey, keys);
    present.push(occupant);
    keys.push(occupant.encryptionKey);
  }
  if (adds.length === 0) return;
  if (present.length > MAX_GROUP_MEMBERS) refuse(`there would be ${present.length} members`);
  if (settings.kind === "dm" && identitiesOf(present).size > IDENTITIES_IN_DM) {
    refuse("a direct message has two people");
  }
}

function checkPathKeys(
  group: PolicyGroup,
  path: NonNullable<CommitView["path"]>,
  removed: readonly Occupant[],
): void {
  const keys = [...afterRemoval(group, removed).nodeKeys];
  for (const key of [path.occupant.encryptionKey, ...path.nodeKeys]) {
    checkNewKey(key, keys);
    keys.push(key);
  }
}

function checkUnique(occupant: Occupant, others: readonly Occupant[]): void {
  for (const other of others) {
    if (other.device === occupant.device) refuse("the device has a leaf already");
    if (sameKey(other.signatureKey, occupant.signatureKey)) refuse("the signature key is in use already");
  }
}

function checkNewKey(key: Uint8Array, keys: readonly Uint8Array[]): void {
  if (keys.some((other) => sameKey(other, key))) refuse("an encryption key is in use already");
}

function occupantOf(group: PolicyGroup, leaf: number): Occupant {
  return group.occupants.find((one) => one.leaf === leaf) ?? refuse(`there is nobody at leaf ${leaf}`);
}

/** Who is left, and the keys, once `removed` are gone. */
function afterRemoval(
  group: PolicyGroup,
  removed: readonly Occupant[],
): Pick<PolicyGroup, "occupants" | "nodeKeys"> {
  const gone = removed.map(({ encryptionKey }) => encryptionKey);
  return {
    occupants: without(group.occupants, removed),
    nodeKeys: group.nodeKeys.filter((key) => !gone.some((one) => sameKey(one, key))),
  };
}

function without(occupants: readonly Occupant[], removed: readonly Occupant[]): Occupant[] {
  return occupants.filter(({ leaf }) => !removed.some((one) => one.leaf === leaf));
}

function identitiesOf(occupants: readonly Occupant[]): Set<string> {
  return new Set(occupants.map(({ fingerprint }) => fingerprint));
}

/** Public keys: the first difference ends it. */
function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function refuse(why: string, action = "use commit"): never {
  throw new AronaError("POLICY", `Cannot ${action}: ${why}`);
}
