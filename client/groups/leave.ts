/**
 * Leave statements: a device's signed wish to be removed (PROTOCOL.md section 9, PART). Any member may commit the Remove with it.
 *
 * Statement: `SHA-256(leaf's encryption key) 32 ‖ signature`, the signature over
 * `vector16("arona leave v1") ‖ group 16 ‖ device 16 ‖ that hash`. A commit carries the statements one after the other as its authenticated
 * data. The hash ties a statement to one leaf, so it cannot be used against a device that has come back.
 */

import {
  AronaError,
  ByteWriter,
  concatBytes,
  type CryptoProvider,
  equalBytes,
  fromHex,
  type GroupId,
  utf8,
} from "../../proto/mod.ts";
import type { Occupant } from "./credential.ts";
import { type SuiteId, SUITES } from "./suite.ts";

const LABEL = "arona leave v1";
const HASH_BYTES = 32;
const SIGNATURE_BYTES = { "ML-DSA-44": 2_420, "ML-DSA-65": 3_309 } as const;

/** Signs that `occupant` leaves `group`. */
export async function makeLeaveStatement(
  crypto: CryptoProvider,
  options: { suite: SuiteId; group: GroupId; occupant: Occupant; privateKey: Uint8Array },
): Promise<Uint8Array> {
  const hash = crypto.digest("SHA-256", options.occupant.encryptionKey);
  const signed = statementContent(options.group, options.occupant, hash);
  return concatBytes(hash, await crypto.sign(SUITES[options.suite].signature, options.privateKey, signed));
}

/**
 * Finds whose leave statements `authenticatedData` holds.
 *
 * @returns leaf indices among `removed`
 * @throws {AronaError} `POLICY` where the data is anything but valid statements of removed leaves
 */
export async function readLeaveStatements(
  crypto: CryptoProvider,
  options: {
    suite: SuiteId;
    group: GroupId;
    removed: readonly Occupant[];
    authenticatedData: Uint8Array;
  },
): Promise<ReadonlySet<number>> {
  const { signature: algorithm } = SUITES[options.suite];
  const { authenticatedData } = options;
  const size = HASH_BYTES + SIGNATURE_BYTES[algorithm];
  const count = authenticatedData.length / size;
  if (!Number.isInteger(count) || count > options.removed.length) throw invalid();
  const leavers = new Set<number>();
  for (let i = 0; i < count; i++) {
    const statement = authenticatedData.subarray(i * size, (i + 1) * size);
    const hash = statement.subarray(0, HASH_BYTES);
    const leaver = options.removed.find((one) =>
      equalBytes(crypto.digest("SHA-256", one.encryptionKey), hash)
    );
    if (leaver === undefined) throw invalid();
    const signed = statementContent(options.group, leaver, hash);
    const valid = await crypto.verify(algorithm, leaver.signatureKey, signed, statement.subarray(HASH_BYTES));
    if (!valid) throw invalid();
    leavers.add(leaver.leaf);
  }
  return leavers;
}

function statementContent(group: GroupId, occupant: Occupant, hash: Uint8Array): Uint8Array {
  return new ByteWriter().vector16(utf8(LABEL)).raw(fromHex(group)).raw(fromHex(occupant.device)).raw(hash)
    .finish();
}

function invalid(): AronaError {
  return new AronaError(
    "POLICY",
    "Cannot use commit: its authenticated data is not a leave statement of who it removes",
  );
}
