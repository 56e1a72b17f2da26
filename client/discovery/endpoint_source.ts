/** A relay's own address as a source: the relay serves its document to whoever asks (PROTOCOL.md section 2). */

import {
  AronaError,
  type Clock,
  type Endpoint,
  fetchDocument,
  formatEndpoint,
  isAronaError,
  within,
} from "../../proto/base/mod.ts";
import { DISCOVERY_TIMEOUT_MS } from "../limits.ts";
import type { Candidate } from "./look.ts";
import type { Dial } from "./relay_address.ts";

/** Asks at one address. @throws {AronaError} `UNREACHABLE`, `TIMEOUT`, `BAD_DOCUMENT` where something else answers */
export async function lookAtEndpoint(
  { hostname, port }: Endpoint,
  { clock, dial, signal }: { clock: Clock; dial: Dial; signal: AbortSignal },
): Promise<readonly Candidate[]> {
  const address = formatEndpoint({ hostname, port });
  const late = () =>
    new AronaError("TIMEOUT", `Cannot ask ${address}: no answer within ${DISCOVERY_TIMEOUT_MS / 1_000} s`, {
      hint: "Check the address and your network; the relay may have moved.",
    });
  const bytes = await within({ clock, signal, limitMs: DISCOVERY_TIMEOUT_MS, late }, async (signal) => {
    const transport = await dial({ hostname, port, signal });
    try {
      return await fetchDocument({ transport, clock, signal, timeoutMs: DISCOVERY_TIMEOUT_MS });
    } catch (cause) {
      if (!isAronaError(cause, "CLOSED", "TRUNCATED")) throw cause;
      throw new AronaError("UNREACHABLE", `Cannot ask ${address}: it hangs up`, { cause });
    }
  });
  return [{ bytes, source: { kind: "endpoint", hostname, port } }];
}
