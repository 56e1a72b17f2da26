/** Statements of devices and identities (PROTOCOL.md section 5.6), as commits carry them: each as a vector16 of the authenticated data. */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type CryptoProvider,
  decodeStatement,
  type DeviceId,
  encodeStatement,
  equalBytes,
  type GroupId,
  isAronaError,
  MAX_STATEMENT_BYTES,
  statementContent,
  toHex,
} from "../../proto/mod.ts";
import type { Occupant } from "./credential.ts";
import type { LocalDevice } from "./group.ts";
import { type SuiteId, SUITES } from "./suite.ts";

/** A return statement can be used for so many epochs. */
export const RETURN_EPOCHS = 256;

/** What the statements in a commit allow. */
export interface StatementsView {
  /** Leaves that anybody may remove: their devices leave, or their identities have taken them back. */
  readonly leavers: ReadonlySet<number>;
  /** Leaves that anybody may replace, with the SHA-256 (hexadecimal) of the KeyPackage that comes instead. */
  readonly returns: ReadonlyMap<number, string>;
}

/** Signs that `occupant`, this device, leaves the group. */
export async function makeLeaveStatement(
  crypto: CryptoProvider,
  options: { suite: SuiteId; group: GroupId; occupant: Occupant; privateKey: Uint8Array },
): Promise<Uint8Array> {
  const { suite, occupant, privateKey } = options;
  const unsigned = { kind: "leave", leafKeyHash: crypto.digest("SHA-256", occupant.encryptionKey) } as const;
  const content = statementContent(unsigned, { ...occupant, group: options.group });
  return encodeStatement({
    ...unsigned,
    signature: await crypto.sign(SUITES[suite].signature, privateKey, content),
  });
}

/** Signs that this device, whose state is lost, wants to be in the group again by `keyPackage`. @param options.epoch the group's */
export async function makeReturnStatement(
  crypto: CryptoProvider,
  own: LocalDevice,
  options: { suite: SuiteId; group: GroupId; epoch: number; keyPackage: Uint8Array },
): Promise<Uint8Array> {
  const { suite, group, epoch } = options;
  const { device } = own;
  const keyPackageHash = crypto.digest("SHA-256", options.keyPackage);
  const unsigned = { kind: "return", device, epoch, keyPackageHash } as const;
  const content = statementContent(unsigned, { ...own, group });
  return encodeStatement({
    ...unsigned,
    signature: await crypto.sign(SUITES[suite].signature, own.keys[suite].privateKey, content),
  });
}

/** The authenticated data of a commit that rests on `statements`. */
export function joinStatements(statements: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter();
  for (const statement of statements) writer.vector16(statement);
  return writer.finish();
}

/**
 * Finds what the statements in `authenticatedData` allow.
 *
 * @throws {AronaError} `POLICY` where the data is anything but valid statements about removed leaves
 */
export async function readStatements(
  crypto: CryptoProvider,
  options: {
    suite: SuiteId;
    group: GroupId;
    /** Before the commit. */
    epoch: number;
    removed: readonly Occupant[];
    authenticatedData: Uint8Array;
  },
): Promise<StatementsView> {
  const leavers = new Set<number>();
  const returns = new Map<number, string>();
  try {
    const data = new ByteReader(options.authenticatedData);
    for (let count = 0; data.remaining > 0; count++) {
      if (count >= options.removed.length) throw invalid();
      const { leaf, keyPackage } = await readStatement(crypto, data.vector16(MAX_STATEMENT_BYTES), options);
      if (keyPackage === null) leavers.add(leaf);
      else returns.set(leaf, keyPackage);
    }
  } catch (cause) {
    if (isAronaError(cause, "POLICY")) throw cause;
    throw invalid(cause);
  }
  return { leavers, returns };
}

/** @returns whose leaf it is about, and the hash of the KeyPackage that may replace it */
async function readStatement(
  crypto: CryptoProvider,
  bytes: Uint8Array,
  { suite, group, epoch, removed }: Parameters<typeof readStatements>[1],
): Promise<{ leaf: number; keyPackage: string | null }> {
  const statement = decodeStatement(bytes);
  const occupant = statement.kind === "leave"
    ? removed.find((one) => equalBytes(crypto.digest("SHA-256", one.encryptionKey), statement.leafKeyHash))
    : byDevice(removed, statement.device);
  if (occupant === undefined) throw invalid();
  if (
    statement.kind === "return" && !(statement.epoch <= epoch && epoch - statement.epoch <= RETURN_EPOCHS)
  ) {
    throw invalid();
  }
  const content = statementContent(statement, { ...occupant, group });
  const valid = statement.kind === "revoke"
    ? await crypto.verify("ML-DSA-65", occupant.certificate.identityKey, content, statement.signature)
    : await crypto.verify(SUITES[suite].signature, occupant.signatureKey, content, statement.signature);
  if (!valid) throw invalid();
  const keyPackage = statement.kind === "return" ? toHex(statement.keyPackageHash) : null;
  return { leaf: occupant.leaf, keyPackage };
}

function byDevice(occupants: readonly Occupant[], device: DeviceId): Occupant | undefined {
  return occupants.find((one) => one.device === device);
}

function invalid(cause?: unknown): AronaError {
  return new AronaError(
    "POLICY",
    "Cannot use commit: its authenticated data is not a valid statement of who it removes",
    { cause },
  );
}
