/** Looking for a relay on a local network where somebody announces what is not there. */

import assert from "node:assert/strict";
import { lookOnLan } from "../../client/discovery/lan_source.ts";
import type { Dial } from "../../client/discovery/mod.ts";
import { DISCOVERY_TIMEOUT_MS, LAN_LISTEN_MS, MAX_LAN_RELAYS } from "../../client/limits.ts";
import { FakeClock, type LanService, toBase64Url, utf8 } from "../../proto/mod.ts";
import { Addresses, browseOnce } from "../helpers/places.ts";

const FINGERPRINT = new Uint8Array(32).fill(7);
const REAL = "192.0.2.200:7700";
const document = utf8(`{"payload":"not looked at"}`);

function announcement(...endpoints: string[]): LanService {
  return { name: "home", fingerprint: toBase64Url(FINGERPRINT), endpoints };
}

Deno.test("announcements that lead nowhere, of the very relay that is looked for, do not hide it", async () => {
  const addresses = new Addresses();
  addresses.documents.set(REAL, document);
  const forged = Array.from({ length: MAX_LAN_RELAYS + 4 }, (_, i) => announcement(`192.0.2.${i}:1`));
  const found = await lookOnLan({
    clock: new FakeClock(),
    dial: addresses.dial,
    browse: browseOnce([...forged, announcement(REAL)]),
    signal: new AbortController().signal,
    fingerprint: FINGERPRINT,
  });
  assert.deepEqual(found.map(({ bytes }) => bytes), [document]);
});

Deno.test("addresses of one relay that never answer do not keep the one that does waiting", async () => {
  const addresses = new Addresses();
  addresses.documents.set(REAL, document);
  const dead = Array.from({ length: 7 }, (_, i) => `192.0.2.${i}:1`);
  const dial: Dial = (address) =>
    address.hostname === "192.0.2.200" ? addresses.dial(address) : never(address.signal);
  const found = await lookOnLan({
    clock: new FakeClock(), // no time passes
    dial,
    browse: browseOnce([announcement(...dead, REAL)]),
    signal: new AbortController().signal,
  });
  assert.equal(found.length, 1);
});

Deno.test("where nobody ever answers the search ends with the listening and one time to answer", async () => {
  const clock = new FakeClock();
  const waiting = Promise.withResolvers<void>();
  const forged = Array.from({ length: 3 * MAX_LAN_RELAYS }, (_, i) => announcement(`192.0.2.${i}:1`));
  let dialled = 0;
  const looking = lookOnLan({
    clock,
    dial: ({ signal }) => {
      if (++dialled === MAX_LAN_RELAYS) waiting.resolve();
      return never(signal);
    },
    browse: browseOnce(forged),
    signal: new AbortController().signal,
  });
  looking.catch(() => {}); // looked at below
  await waiting.promise;
  clock.advance(LAN_LISTEN_MS + DISCOVERY_TIMEOUT_MS);
  await assert.rejects(looking, { code: "NOT_FOUND" });
  assert.equal(clock.pendingTimers, 0);
});

function never(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}
