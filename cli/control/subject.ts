/** Whom the operator means: how names and fingerprints are written. */

import { fromBase64Url, parseAccountName, toHex } from "../../proto/base/mod.ts";
import type { Subject } from "../../server/mod.ts";

/**
 * `alice` or `@alice` is an account; 64 hexadecimal digits, spaced as one likes, or 43 characters of base64url are a fingerprint.
 *
 * @throws {AronaError} `BAD_NAME`
 */
export function parseSubject(text: string): Subject {
  const hex = text.replace(/[\s:]+/g, "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return { kind: "fingerprint", subject: hex };
  if (/^[A-Za-z0-9_-]{43}$/.test(text)) {
    try {
      return { kind: "fingerprint", subject: toHex(fromBase64Url(text)) };
    } catch {
      // not base64url after all
    }
  }
  return { kind: "account", subject: parseAccountName(text.replace(/^@/, "")) };
}
