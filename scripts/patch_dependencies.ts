/**
 * Mends the pinned dependencies where they stray from their specification; `scripts/setup.ts` does it after the installation.
 *
 * Each file is changed only if its SHA-256 is the published one, and left alone if it is patched already; anything else is an error,
 * so that a new version of a dependency is looked at before it is trusted. The file is replaced by a new one, never written to: it may
 * be a hard link into a cache that other projects share.
 */

import { createHash } from "node:crypto";

/** One exact replacement. */
export interface Replacement {
  /** What the specification asks for. */
  readonly why: string;
  /** Occurs exactly once in the original. */
  readonly from: string;
  readonly to: string;
}

/** What to change in one file of `node_modules`. */
export interface Patch {
  readonly file: string;
  /** SHA-256 of the published file, hexadecimal. */
  readonly original: string;
  readonly replacements: readonly Replacement[];
}

/** What became of a file. */
export type PatchResult = "patched" | "already patched";

const TS_MLS = "ts-mls/dist/src";

/** All patches. ts-mls 2.0.0-rc.10. */
export const PATCHES: readonly Patch[] = [
  {
    file: `${TS_MLS}/clientState.js`,
    original: "8c2a04e8a58d16bf52050bff30f977843e1b2af2f6eb3a674de32bd8299c437f",
    replacements: [
      {
        why:
          "RFC 9420 section 12.4: a commit needs a path when it has no proposal at all, or at least one that is not an Add, " +
          "PreSharedKey or ReInit. Without it, a removed member could compute the next epoch.",
        from: `const needsUpdatePath = allProposals.length === 0 ||
            Object.values(grouped[defaultProposalTypes.update]).length > 1 ||
            Object.values(grouped[defaultProposalTypes.remove]).length > 1;`,
        to: `const needsUpdatePath = allProposals.length === 0 ||
            grouped[defaultProposalTypes.update].length > 0 ||
            grouped[defaultProposalTypes.remove].length > 0 ||
            grouped[defaultProposalTypes.group_context_extensions].length > 0;`,
      },
      {
        why:
          "RFC 9420 section 12.4.3.1: an unmerged leaf is a non-blank descendant, and every non-blank node between it and the " +
          "parent lists it too. Nodes above the parent need not.",
        from: `if (tree[nodeIndex]?.nodeType !== nodeTypes.leaf && !dp.includes(toNodeIndex(i)))
                    return new ValidationError("Unmerged leaf did not represent a non-blank descendant leaf node");
                for (const parentIdx of dp) {
                    const dpNode = tree[parentIdx];`,
        to: `if (tree[nodeIndex]?.nodeType !== nodeTypes.leaf || !dp.includes(toNodeIndex(i)))
                    return new ValidationError("Unmerged leaf did not represent a non-blank descendant leaf node");
                for (const parentIdx of dp.slice(0, dp.indexOf(toNodeIndex(i)))) {
                    const dpNode = tree[parentIdx];`,
      },
      {
        why: "The other half of the same rule.",
        from: `if (!arraysEqual(dpNode.parent.unmergedLeaves, n.parent.unmergedLeaves))`,
        to: `if (!dpNode.parent.unmergedLeaves.includes(unmergedLeaf))`,
      },
      {
        why:
          "RFC 9420 section 7.3 leaves it to the application which clock a lifetime is compared with; Arona compares it itself, " +
          "with its own clock, when it claims a KeyPackage and when it reads an Add.",
        from: `if (sentByClient || config.validateLifetimeOnReceive) {`,
        to: `if (config.validateLifetimeOnReceive) {`,
      },
    ],
  },
  {
    file: `${TS_MLS}/createCommit.js`,
    original: "d1ad924e97cdc50cbef99595f8b70ae4bcb301a76eace0026659ace593f6e8e8",
    replacements: [
      {
        why:
          "RFC 9420 section 12.4.1: the path is encrypted under the provisional GroupContext, which has the extensions that this " +
          "commit sets. Receivers use it; the sender took the old one.",
        from: `const [tree, updatePath, pathSecrets, newPrivateKey] = res.needsUpdatePath
        ? await createUpdatePath(state.ratchetTree, mutableTree, toLeafIndex(state.privatePath.leafIndex), state.groupContext, state.signaturePrivateKey, cipherSuite)
        : [mutableTree, undefined, [], undefined];
    const updatedExtensions = res.additionalResult.kind === "memberCommit" && res.additionalResult.extensions.length > 0
        ? res.additionalResult.extensions
        : state.groupContext.extensions;
    const groupContextWithExtensions = { ...state.groupContext, extensions: updatedExtensions };`,
        to:
          `const updatedExtensions = res.additionalResult.kind === "memberCommit" && res.additionalResult.extensions.length > 0
        ? res.additionalResult.extensions
        : state.groupContext.extensions;
    const groupContextWithExtensions = { ...state.groupContext, extensions: updatedExtensions };
    const [tree, updatePath, pathSecrets, newPrivateKey] = res.needsUpdatePath
        ? await createUpdatePath(state.ratchetTree, mutableTree, toLeafIndex(state.privatePath.leafIndex), groupContextWithExtensions, state.signaturePrivateKey, cipherSuite)
        : [mutableTree, undefined, [], undefined];`,
      },
    ],
  },
  {
    file: `${TS_MLS}/ratchetTree.js`,
    original: "dd4b5df4c4422a7f4c3f5bb393c128e2ec7c6ba07671a5dc8ff9974d9da54aaf",
    replacements: [
      {
        why:
          "RFC 9420 section 12.4.3.2: an external commit may remove the joiner's former leaf, and that may be the only one. A tree " +
          "has one leaf at least, here a blank one that the joiner fills.",
        from: `if (tree[lastIndex] === undefined) {`,
        to: `if (tree.length === 0) {
        tree.push(undefined);
        return tree;
    }
    if (tree[lastIndex] === undefined) {`,
      },
    ],
  },
  {
    file: `${TS_MLS}/parentHash.js`,
    original: "368995b18e6eb1ada4f674e68eb1634f90094cb084c489937c2d467951c2f9a2",
    replacements: [
      {
        why:
          "RFC 9420 section 7.9.2: a leaf that comes from a KeyPackage has no parent hash and vouches for no node. To find that out " +
          "the library hashed half of the tree for every such leaf.",
        from: `// skip blank nodes
            if (currentNode === undefined) {
                continue;
            }`,
        to: `if (currentNode === undefined || getParentHash(currentNode) === undefined) {
                break;
            }`,
      },
    ],
  },
];

/**
 * Brings one file into its patched form.
 *
 * @param folder the `node_modules` folder, ending in `/`
 * @throws where the file is neither the published one nor the patched one
 */
export function applyPatch(folder: URL, patch: Patch): PatchResult {
  const target = new URL(patch.file, folder);
  const current = Deno.readTextFileSync(target);
  switch (patchState(current, patch)) {
    case "patched":
      return "already patched";
    case "published": {
      const temporary = new URL(`${target.href}.${crypto.randomUUID()}.tmp`);
      Deno.writeTextFileSync(temporary, patchedText(current, patch), { createNew: true });
      Deno.renameSync(temporary, target);
      return "patched";
    }
    case "unknown":
      throw new Error(
        `Cannot patch ${patch.file}: it is neither the published file nor the patched one. Was the dependency updated? ` +
          "Then look whether the patch is still needed, and change scripts/patch_dependencies.ts.",
      );
  }
}

/** What a file is, by its text. */
export function patchState(text: string, patch: Patch): "published" | "patched" | "unknown" {
  if (sha256(text) === patch.original) return "published";
  const restored = originalText(text, patch);
  return restored !== null && sha256(restored) === patch.original ? "patched" : "unknown";
}

/** The file with every replacement made. */
function patchedText(text: string, patch: Patch): string {
  return patch.replacements.reduce(
    (text, { from, to }) => replaceOnce(text, { from, to }) ?? fail(patch),
    text,
  );
}

/** The file with every replacement taken back, or null where one is not there. */
function originalText(text: string, patch: Patch): string | null {
  return patch.replacements.reduce<string | null>(
    (text, { from, to }) => text === null ? null : replaceOnce(text, { from: to, to: from }),
    text,
  );
}

function replaceOnce(text: string, options: { from: string; to: string }): string | null {
  const parts = text.split(options.from);
  return parts.length === 2 ? parts.join(options.to) : null;
}

function fail(patch: Patch): never {
  throw new Error(`Cannot patch ${patch.file}: a replacement does not occur exactly once`);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
