/** A web server as a source: the document is at `https://host/.well-known/arona.json`. */

import {
  AronaError,
  type Clock,
  formatSource,
  MAX_DOCUMENT_BYTES,
  type RelaySource,
  WELL_KNOWN_PATH,
} from "../../proto/base/mod.ts";
import { boundedFetch, type Fetch } from "./bounded_fetch.ts";
import type { Candidate } from "./look.ts";

/** Asks the web server. @throws {AronaError} `NOT_FOUND`, `UNREACHABLE`, `TIMEOUT`, `TOO_LARGE`, `BAD_REQUEST` */
export async function lookAtWeb(
  source: Extract<RelaySource, { kind: "web" }>,
  { clock, fetch, signal }: { clock: Clock; fetch: Fetch; signal: AbortSignal },
): Promise<readonly Candidate[]> {
  const place = formatSource(source);
  const { status, body } = await boundedFetch(place + WELL_KNOWN_PATH, {
    fetch,
    clock,
    signal,
    maxBytes: MAX_DOCUMENT_BYTES,
    headers: { accept: "application/json" },
  });
  if (status === 200) return [{ bytes: body, source }];
  const isMissing = status === 404 || status === 410;
  throw new AronaError(
    isMissing ? "NOT_FOUND" : "UNREACHABLE",
    isMissing
      ? `Cannot look at ${place}: there is no ${WELL_KNOWN_PATH}`
      : `Cannot look at ${place}: it answers ${status}${status >= 500 ? ", it has a fault" : ""}`,
    { hint: isMissing ? "Ask whoever runs the relay for the current link." : "Try again later." },
  );
}
