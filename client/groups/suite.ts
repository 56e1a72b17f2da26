/** The MLS cipher suites that a group can have: code points, algorithms and names (draft-ietf-mls-pq-ciphersuites). */

import {
  type AeadName,
  AronaError,
  type KemName,
  type MlDsaName,
  SignatureAlgorithm,
} from "../../proto/base/mod.ts";

/** What a suite is made of. Hash and KDF are SHA-384 and HKDF-SHA384 (HPKE id 0x0002) in all of them. */
export interface Suite {
  /** The suite's name in the MLS registry. */
  readonly name: string;
  /** What to show to people. */
  readonly label: string;
  readonly kem: KemName;
  /** HPKE KEM id (draft-ietf-hpke-pq). */
  readonly kemId: number;
  readonly aead: AeadName;
  readonly signature: MlDsaName;
  /** The same signature algorithm as device certificates call it. */
  readonly certificate: SignatureAlgorithm;
}

/** Every suite by its code point. */
export const SUITES = {
  0x0052: {
    name: "MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44",
    label: "X25519 + ML-KEM-768, ChaCha20-Poly1305, ML-DSA-44",
    kem: "X-Wing",
    kemId: 0x647a,
    aead: "ChaCha20-Poly1305",
    signature: "ML-DSA-44",
    certificate: SignatureAlgorithm.ML_DSA_44,
  },
  0x0051: {
    name: "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65",
    label: "ML-KEM-768, AES-256-GCM, ML-DSA-65",
    kem: "ML-KEM-768",
    kemId: 0x0041,
    aead: "AES-256-GCM",
    signature: "ML-DSA-65",
    certificate: SignatureAlgorithm.ML_DSA_65,
  },
} as const satisfies Record<number, Suite>;

/** Code point of a suite. */
export type SuiteId = keyof typeof SUITES;

/** The suite that every client has and that a new group gets. */
export const MANDATORY_SUITE: SuiteId = 0x0052;

/** All code points, the mandatory one first. */
export const SUITE_IDS: readonly SuiteId[] = [0x0052, 0x0051];

/** @throws {AronaError} `UNSUPPORTED` where the number is not one of {@link SUITES} */
export function parseSuiteId(id: unknown): SuiteId {
  const suite = SUITE_IDS.find((known) => known === id);
  if (suite === undefined) {
    throw new AronaError(
      "UNSUPPORTED",
      `Cannot use cipher suite ${String(id).slice(0, 16)}: it is not known here`,
    );
  }
  return suite;
}

/** The registry's name of a suite. */
export function suiteName(id: SuiteId): string {
  return SUITES[id].name;
}
