/** Which of SQLite's errors mean that the file is damaged, and which that the system is in the way. */

import { AronaError, type ErrorCode } from "../../proto/mod.ts";
import { corrupt } from "./sealed_rows.ts";

/** Texts of `sqlite3_errstr()`; the runtime gives no result codes. */
const SYSTEM_ERRORS: readonly { text: string; code: ErrorCode; state: string; hint: string }[] = [
  {
    text: "database or disk is full",
    code: "INTERNAL",
    state: "the disk is full",
    hint: "Make room on the disk and try again. Nothing was lost.",
  },
  {
    text: "disk I/O error",
    code: "INTERNAL",
    state: "the disk reports an error",
    hint: "Check the disk and the permissions of the profile's folder.",
  },
  {
    text: "unable to open database file",
    code: "INTERNAL",
    state: "its database cannot be opened",
    hint: "Check the permissions of the profile's folder.",
  },
  {
    text: "attempt to write a readonly database",
    code: "INTERNAL",
    state: "its database may only be read",
    hint: "Check the permissions of the profile's folder.",
  },
  {
    text: "database is locked",
    code: "PROFILE_IN_USE",
    state: "another program has its database open",
    hint: "Close the other program.",
  },
];

/**
 * Runs `action`; whatever SQLite throws becomes an {@link AronaError}: `INTERNAL` and `PROFILE_IN_USE` for the
 * system's reasons, else `CORRUPT_STORE`, since all statements are constant and sound.
 */
export function translateSqliteErrors<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof AronaError && error.code !== "BAD_ENCODING") throw error;
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const known = SYSTEM_ERRORS.find(({ text }) => message.includes(text));
  if (known !== undefined) {
    return new AronaError(known.code, `Cannot use profile: ${known.state}`, {
      cause: error,
      hint: known.hint,
    });
  }
  return corrupt("its database is damaged", error);
}
