/** The local network as a source: relays that announce themselves there are asked for their documents. */

import {
  AronaError,
  type Clock,
  equalBytes,
  isAronaError,
  type LanService,
  parseEndpoint,
  toBase64Url,
} from "../../proto/base/mod.ts";
import {
  DISCOVERY_TIMEOUT_MS,
  LAN_LISTEN_MS,
  MAX_LAN_ENDPOINTS,
  MAX_LAN_INSTANCES,
  MAX_LAN_RELAYS,
} from "../limits.ts";
import { lookAtEndpoint } from "./endpoint_source.ts";
import type { Candidate } from "./look.ts";
import type { Dial } from "./relay_address.ts";

/** Listens on the local network until the signal aborts; the same relay may come several times. */
export type Browse = (signal: AbortSignal) => AsyncIterable<LanService>;

/** What {@link lookOnLan} works with. */
export interface LanLook {
  readonly clock: Clock;
  readonly dial: Dial;
  readonly browse: Browse;
  readonly signal: AbortSignal;
  /** Only this relay is wanted: others are not asked, and it need not be listened on once it has answered. */
  readonly fingerprint?: Uint8Array;
}

/**
 * Listens for {@link LAN_LISTEN_MS} and asks each relay as it is heard; {@link MAX_LAN_RELAYS} at a time, so that nobody hides a relay
 * behind announcements of his own that lead nowhere.
 *
 * @throws {AronaError} `NOT_FOUND` where there is none
 */
export async function lookOnLan(look: LanLook): Promise<readonly Candidate[]> {
  const { clock, signal } = look;
  signal.throwIfAborted();
  const wanted = look.fingerprint === undefined ? null : toBase64Url(look.fingerprint);
  const listening = new AbortController();
  const asking = new AbortController();
  const onAbort = () => {
    listening.abort(signal.reason);
    asking.abort(signal.reason);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  const timers = [
    clock.schedule(LAN_LISTEN_MS, () => listening.abort()),
    clock.schedule(LAN_LISTEN_MS + DISCOVERY_TIMEOUT_MS, () => asking.abort()),
  ];
  const heard = new Set<string>();
  const waiting: LanService[] = [];
  const asked = new Set<Promise<void>>();
  const found: Candidate[] = [];
  const askNext = (): void => {
    while (waiting.length > 0 && asked.size + found.length < MAX_LAN_RELAYS) {
      const work = ask(waiting.shift()!, { ...look, signal: asking.signal }).then((candidate) => {
        asked.delete(work);
        if (candidate !== null) found.push(candidate);
        if (candidate !== null && wanted !== null) listening.abort();
        askNext();
      });
      asked.add(work);
    }
  };
  let failure: unknown = null;
  try {
    for await (const service of untilAborted(look.browse(listening.signal), listening.signal)) {
      const key = JSON.stringify([service.fingerprint, service.endpoints]);
      if (heard.has(key) || wanted !== null && wanted !== service.fingerprint) continue;
      if (heard.size >= MAX_LAN_INSTANCES) break;
      heard.add(key);
      waiting.push(service);
      askNext();
    }
  } catch (error) {
    failure = error;
  } finally {
    listening.abort();
  }
  while (asked.size > 0) await Promise.all(asked);
  for (const cancel of timers) cancel();
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
  if (found.length > 0) return distinct(found);
  if (failure !== null) throw unusable(failure);
  throw new AronaError("NOT_FOUND", "Cannot find a relay on the local network: none answers", {
    hint: "Whoever runs the relay can give you its link.",
  });
}

/** A relay that announces several addresses in turn serves one document. */
function distinct(candidates: readonly Candidate[]): Candidate[] {
  const isFirst = ({ bytes, announced }: Candidate, i: number) =>
    candidates.findIndex((other) => equalBytes(other.bytes, bytes) && other.announced === announced) === i;
  return candidates.filter(isFirst);
}

/** Asks at the announced addresses, all at once; the first that answers counts. Never throws. */
async function ask(service: LanService, { clock, dial, signal }: LanLook): Promise<Candidate | null> {
  const answered = new AbortController();
  const either = AbortSignal.any([signal, answered.signal]);
  try {
    const [candidate] = await Promise.any(
      service.endpoints.slice(0, MAX_LAN_ENDPOINTS).map(async (text) =>
        await lookAtEndpoint(parseEndpoint(text), { clock, dial, signal: either })
      ),
    );
    return { ...candidate, announced: service.fingerprint };
  } catch {
    return null; // whoever announces nonsense is not worth a word
  } finally {
    answered.abort();
  }
}

/** The items up to the abort, whether or not the iterator heeds the signal itself. */
async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<null>();
  const onAbort = () => aborted.resolve(null);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    while (!signal.aborted) {
      const next = iterator.next();
      next.catch(() => {}); // it may fail by the abort
      const result = await Promise.race([next, aborted.promise]);
      if (result === null || result.done) return;
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    void iterator.return?.()?.catch(() => {});
  }
}

function unusable(cause: unknown): AronaError {
  if (isAronaError(cause)) return cause;
  return new AronaError("UNREACHABLE", "Cannot look at the local network: it cannot be listened on", {
    cause,
  });
}
