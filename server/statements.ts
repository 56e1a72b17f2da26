/** What the relay checks of a device's statement before it shows it to others: the form, and the signature where it has the key. */

import {
  type CryptoProvider,
  decodeStatement,
  type GroupId,
  isAronaError,
  type Statement,
  statementContent,
} from "../proto/mod.ts";
import type { Caller } from "./services.ts";
import type { RelayStore } from "./store.ts";

/** An ML-DSA-65 leaf key, of the suite 0x0051, is known to the members only; they check every statement in any case. */
const SUITE_WITH_OTHER_KEYS = 0x0051;
const SIGNATURE_BYTES = { "ML-DSA-44": 2_420, "ML-DSA-65": 3_309 } as const;

/** Whether `bytes` are a statement of this kind by the caller's device, by the key that the relay knows where it can tell. */
export async function isStatementSound(
  { store, crypto }: { store: RelayStore; crypto: CryptoProvider },
  caller: Caller,
  options: { kind: "leave" | "return"; group: GroupId; suite: number | undefined; bytes: Uint8Array },
): Promise<boolean> {
  const statement = decoded(options.bytes);
  if (statement?.kind !== options.kind) return false;
  if (statement.kind === "return" && statement.device !== caller.device) return false;
  const isUnknownKey = options.suite === SUITE_WITH_OTHER_KEYS;
  if (isUnknownKey && statement.signature.length === SIGNATURE_BYTES["ML-DSA-65"]) return true;
  if (statement.signature.length !== SIGNATURE_BYTES["ML-DSA-44"]) return false;
  const deviceKey = store.device(caller.device)?.deviceKey ?? new Uint8Array();
  const content = statementContent(statement, { ...caller, group: options.group });
  return await crypto.verify("ML-DSA-44", deviceKey, content, statement.signature);
}

function decoded(bytes: Uint8Array): Statement | null {
  try {
    return decodeStatement(bytes);
  } catch (error) {
    if (isAronaError(error, "BAD_ENCODING")) return null;
    throw error;
  }
}
