/** Bounds the time that opening a byte stream may take, whatever the adapter or the system underneath would wait. */

import { AronaError, type Clock, formatEndpoint, type Transport } from "../../proto/mod.ts";
import type { Dial } from "../discovery/mod.ts";
import { CONNECT_TIMEOUT_MS } from "../limits.ts";

/**
 * `dial` with a limit of {@link CONNECT_TIMEOUT_MS}. A stream that comes after the limit or the signal is closed.
 *
 * @throws {AronaError} (from the returned function) `UNREACHABLE` where time is up; the signal's reason
 */
export function boundedDial(dial: Dial, clock: Clock): Dial {
  return async ({ hostname, port, signal }) => {
    signal?.throwIfAborted();
    const given = new AbortController();
    const onAbort = () => given.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const cancel = clock.schedule(CONNECT_TIMEOUT_MS, () => given.abort(noAnswer({ hostname, port })));
    try {
      return await unlessAborted(dial({ hostname, port, signal: given.signal }), given.signal);
    } finally {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  };
}

function unlessAborted(dialling: Promise<Transport>, signal: AbortSignal): Promise<Transport> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    dialling.then((transport) => signal.aborted ? transport.close() : resolve(transport), reject);
  });
}

function noAnswer(address: { hostname: string; port: number }): AronaError {
  return new AronaError(
    "UNREACHABLE",
    `Cannot connect to ${formatEndpoint(address)}: no answer within ${CONNECT_TIMEOUT_MS / 1_000} s`,
    { hint: "Check the address and your network; the relay may have moved, then ask for a new link." },
  );
}
