/** End-to-end encryption for groups: MLS (RFC 9420) with Arona's rules. */

export {
  type CommitSummary,
  type DeviceKeys,
  type Group,
  type GroupChange,
  type GroupEngine,
  type GroupParts,
  type KeyPackageOwner,
  type KeyPackagePair,
  type LocalDevice,
  type Member,
  type MessagePlace,
  type PreparedCommit,
  type TrustService,
} from "./group.ts";
export { type GroupKind, type GroupSettings } from "./group_settings.ts";
export { MANDATORY_SUITE, parseSuiteId, SUITE_IDS, type SuiteId, suiteName, SUITES } from "./suite.ts";
export { type Content, decodeContent, encodeContent } from "./content.ts";
export { createGroupEngine } from "./engine.ts";
