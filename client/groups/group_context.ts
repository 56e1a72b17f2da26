/** The GroupContext extensions that every Arona group has: what its members must support, and its settings. */

import { AronaError, equalBytes } from "../../proto/mod.ts";
import { decodeSettings, encodeSettings, type GroupSettings, SETTINGS_EXTENSION } from "./group_settings.ts";
import {
  defaultCredentialTypes,
  defaultExtensionTypes,
  type GroupContextExtension,
  type KeyPackage,
  type LeafNode,
  makeCustomExtension,
  protocolVersions,
} from "./mls_library.ts";
import { SUITE_IDS } from "./suite.ts";

/** Marks a KeyPackage that is handed out when no other is left (RFC 9420 section 16.8, draft-ietf-mls-extensions). */
const LAST_RESORT_EXTENSION = 0x000a;
const REQUIRED = {
  extensionTypes: [SETTINGS_EXTENSION],
  proposalTypes: [] as number[],
  credentialTypes: [defaultCredentialTypes.basic] as number[],
};
/** Numbers in a leaf's capability lists, and bytes of its extensions: a leaf stays in the tree that everybody downloads. */
const MAX_CAPABILITIES = 64;
const MAX_LEAF_EXTENSION_BYTES = 1_024;

const known = new WeakMap<readonly GroupContextExtension[], GroupSettings>();

/** What this version of Arona supports, as it stands in a leaf. */
export function makeCapabilities(): LeafNode["capabilities"] {
  return {
    versions: [protocolVersions.mls10],
    ciphersuites: [...SUITE_IDS],
    extensions: [SETTINGS_EXTENSION],
    proposals: [],
    credentials: [defaultCredentialTypes.basic],
  };
}

/** Extensions of a KeyPackage. */
export function makeKeyPackageExtensions(options: { lastResort: boolean }): KeyPackage["extensions"] {
  if (!options.lastResort) return [];
  return [makeCustomExtension({ extensionType: LAST_RESORT_EXTENSION, extensionData: new Uint8Array() })];
}

export function makeContextExtensions(settings: GroupSettings): GroupContextExtension[] {
  return [
    { extensionType: defaultExtensionTypes.required_capabilities, extensionData: REQUIRED },
    makeCustomExtension({ extensionType: SETTINGS_EXTENSION, extensionData: encodeSettings(settings) }),
  ];
}

/**
 * The settings in a GroupContext.
 *
 * @throws {AronaError} `BAD_MLS` where the extensions are not exactly the two that an Arona group has
 */
export function readContextExtensions(extensions: readonly GroupContextExtension[]): GroupSettings {
  let settings = known.get(extensions);
  if (settings === undefined) {
    settings = read(extensions);
    known.set(extensions, settings);
  }
  return settings;
}

/** @throws {AronaError} `BAD_MLS` for a leaf that is larger than a leaf has a reason to be */
export function checkLeafSize(leafNode: LeafNode): void {
  const { capabilities } = leafNode;
  const numbers = Object.values(capabilities).reduce((sum, list) => sum + list.length, 0);
  const bytes = leafNode.extensions.reduce((sum, one) => sum + 2 + one.extensionData.length, 0);
  if (numbers > MAX_CAPABILITIES || bytes > MAX_LEAF_EXTENSION_BYTES) {
    throw new AronaError("BAD_MLS", "Cannot use leaf: it is larger than a leaf has a reason to be");
  }
}

function read(extensions: readonly GroupContextExtension[]): GroupSettings {
  const [required, settings] = extensions;
  if (
    extensions.length !== 2 || required.extensionType !== defaultExtensionTypes.required_capabilities ||
    settings.extensionType !== SETTINGS_EXTENSION || !(settings.extensionData instanceof Uint8Array) ||
    !isRequired(required.extensionData)
  ) {
    throw new AronaError("BAD_MLS", "Cannot use group: its context is not that of an Arona group");
  }
  const decoded = decodeSettings(settings.extensionData);
  if (!equalBytes(encodeSettings(decoded), settings.extensionData)) {
    throw new AronaError("BAD_MLS", "Cannot use group: its settings are not in canonical form");
  }
  return decoded;
}

function isRequired(data: unknown): boolean {
  const fields = data as Record<string, readonly number[]>;
  return Object.entries(REQUIRED).every(([name, numbers]) =>
    Array.isArray(fields[name]) && fields[name].length === numbers.length &&
    fields[name].every((number, i) => number === numbers[i])
  );
}
