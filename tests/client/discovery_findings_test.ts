/** Whose documents are used: signature, times, order, and the identity that is expected. */

import assert from "node:assert/strict";
import {
  type ErrorCode,
  FakeClock,
  fromUtf8,
  type LanService,
  parseSource,
  signDocument,
  toBase64Url,
  utf8,
} from "../../proto/mod.ts";
import {
  type Candidate,
  createDiscovery,
  distinctRelays,
  type Expectation,
  find,
  type Finding,
  type Found,
  judge,
} from "../../client/discovery/mod.ts";
import { LAN_LISTEN_MS, MAX_LAN_INSTANCES } from "../../client/limits.ts";
import { Addresses, browseOnce, noFetch } from "../helpers/places.ts";
import { DAY_MS, provider, sharedRelay, START_MS, testRelay } from "../proto/fixture.ts";

const relay = await sharedRelay();
const stranger = await testRelay(provider, 50);
const { fingerprint } = relay.document;
const clock = new FakeClock(START_MS + 1);
const source = parseSource("gist:0123456789abcdef");

const decide = (bytes: Uint8Array, expectation: Expectation = {}, more: Partial<Candidate> = {}) =>
  judge({ bytes, source, ...more }, { ...expectation, crypto: provider, clock });
const signed = (sequence: number) =>
  signDocument(provider, { ...relay.fields, sequence }, { identity: relay.identity });

function isFound(finding: Finding, trust: Found["trust"]): void {
  assert.equal(finding.kind === "found" ? finding.trust : finding.reason.message, trust);
}

function isRefused(finding: Finding, code: ErrorCode, message: RegExp) {
  assert.ok(finding.kind === "refused");
  assert.equal(finding.reason.code, code);
  assert.match(finding.reason.message, message);
  return finding;
}

Deno.test("why a document is trusted is told: it is pinned, it is the link's, or it is the first", async () => {
  isFound(await decide(relay.bytes), "first");
  isFound(await decide(relay.bytes, { fingerprint }), "link");
  isFound(await decide(relay.bytes, { known: { fingerprint, highestSequence: 7 } }), "pinned");
  isFound(await decide(relay.bytes, { fingerprint, known: { fingerprint, highestSequence: 7 } }), "pinned");
});

Deno.test("another identity is shown as what it is, and not used", async () => {
  for (const expectation of [{ fingerprint }, { known: { fingerprint, highestSequence: 0 } }]) {
    const refused = isRefused(
      await decide(stranger.bytes, expectation),
      "WRONG_RELAY",
      /identity is not the one/,
    );
    assert.equal(refused.stranger?.name, stranger.fields.name);
    assert.deepEqual(refused.stranger?.fingerprint, stranger.document.fingerprint);
  }
});

Deno.test("another identity with a wrong signature is not even shown", async () => {
  const envelope = JSON.parse(fromUtf8(stranger.bytes));
  const forged = utf8(
    JSON.stringify({ ...envelope, signature: JSON.parse(fromUtf8(relay.bytes)).signature }),
  );
  const refused = isRefused(await decide(forged, { fingerprint }), "WRONG_RELAY", /identity/);
  assert.equal(refused.stranger, undefined);
});

Deno.test("a document that was tampered with, has expired, is older or too far ahead is refused with the reason", async () => {
  const envelope = JSON.parse(fromUtf8(relay.bytes));
  const text = fromUtf8(
    Uint8Array.from(atob(envelope.payload.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)),
  );
  const payload = toBase64Url(utf8(text.replace("relay.example:7700", "evil-x.example:7700")));
  isRefused(
    await decide(utf8(JSON.stringify({ ...envelope, payload }))),
    "BAD_DOCUMENT",
    /signature is wrong/,
  );
  const later = new FakeClock(START_MS + 8 * DAY_MS);
  isRefused(
    await judge({ bytes: relay.bytes, source }, { crypto: provider, clock: later }),
    "BAD_DOCUMENT",
    /expired/,
  );
  const known = { fingerprint, highestSequence: 8 };
  isRefused(
    await decide(relay.bytes, { known }),
    "BAD_DOCUMENT",
    /older \(number 7\) than one seen before \(8\)/,
  );
  isRefused(await decide(await signed(2_000_000), { known }), "BAD_DOCUMENT", /too far ahead/);
  isRefused(await decide(utf8("nonsense")), "BAD_DOCUMENT", /not JSON/);
});

Deno.test("the order of one relay says nothing about another", async () => {
  const known = { fingerprint: stranger.document.fingerprint, highestSequence: 1_000 };
  isFound(await decide(relay.bytes, { fingerprint, known }), "link");
});

Deno.test("of several documents of one relay the newest counts, and each relay is there once", async () => {
  const findings = [
    await decide(await signed(8)),
    await decide(await signed(9)),
    await decide(relay.bytes),
    await decide(stranger.bytes),
    await decide(utf8("nonsense")),
  ];
  assert.deepEqual(distinctRelays(findings).map(({ document }) => document.sequence), [9, 7]);
});

Deno.test("a place where nothing is found is a finding too, with the reason", async () => {
  const discovery = createDiscovery({ clock, fetch: noFetch, dial: new Addresses().dial });
  const { signal } = new AbortController();
  const look = (text: string) => find(parseSource(text), { discovery, crypto: provider, clock, signal });
  isRefused((await look("relay.example:7700"))[0], "UNREACHABLE", /nothing listens/);
  isRefused((await look("lan"))[0], "UNSUPPORTED", /started without it/);
  isRefused((await look("https://relay.example"))[0], "UNREACHABLE", /cannot be reached/);
});

/** Looks at a local network on which these relays announce themselves. */
async function lookAround(services: readonly LanService[], expected?: Uint8Array) {
  const addresses = new Addresses();
  addresses.documents.set("192.0.2.1:7700", relay.bytes);
  addresses.documents.set("192.0.2.2:7700", stranger.bytes);
  const discovery = createDiscovery({
    clock,
    fetch: noFetch,
    dial: addresses.dial,
    browse: browseOnce(services),
  });
  const { signal } = new AbortController();
  const findings = await find({ kind: "lan" }, {
    discovery,
    crypto: provider,
    clock,
    signal,
    fingerprint: expected,
  });
  return { findings, dialled: addresses.dialled };
}

const own = { name: "home", fingerprint: toBase64Url(fingerprint), endpoints: ["192.0.2.1:7700"] };
const other = {
  name: "other",
  fingerprint: toBase64Url(stranger.document.fingerprint),
  endpoints: ["192.0.2.2:7700"],
};

Deno.test("on the local network every relay is found, once, though it announces itself again and again", async () => {
  const { findings, dialled } = await lookAround([own, other, own, other, own]);
  assert.deepEqual(distinctRelays(findings).length, 2);
  assert.deepEqual(dialled, ["192.0.2.1:7700", "192.0.2.2:7700"]);
});

Deno.test("where one relay is wanted, the others on the local network are not asked", async () => {
  const { findings, dialled } = await lookAround([other, own], fingerprint);
  isFound(findings[0], "link");
  assert.deepEqual(dialled, ["192.0.2.1:7700"]);
});

Deno.test("a relay that announces another identity than it has is refused", async () => {
  const { findings } = await lookAround([{ ...own, endpoints: other.endpoints }]);
  isRefused(findings[0], "WRONG_RELAY", /not the one it announces/);
  const { findings: wanted } = await lookAround([{ ...own, endpoints: other.endpoints }], fingerprint);
  isRefused(wanted[0], "WRONG_RELAY", /identity/);
});

Deno.test("of the announced addresses the first that answers is taken; senseless and endless announcements do no harm", async () => {
  const endpoints = ["nonsense", "192.0.2.9:7700", "192.0.2.1:7700"];
  const { findings } = await lookAround([{ ...own, endpoints }]);
  assert.deepEqual(findings[0].source, parseSource("192.0.2.1:7700"));
  const many = Array.from({ length: 100 }, (_, i) => ({ ...own, endpoints: [`192.0.2.1:${i + 1}`] }));
  const { dialled } = await lookAround(many);
  assert.equal(dialled.length, MAX_LAN_INSTANCES);
});

Deno.test("the local network is listened to for a while, whether or not anybody speaks", async () => {
  const time = new FakeClock(START_MS + 1);
  const listening = Promise.withResolvers<void>();
  const discovery = createDiscovery({
    clock: time,
    fetch: noFetch,
    dial: new Addresses().dial,
    // deno-lint-ignore require-yield -- nobody announces anything, and the listener does not heed the signal
    async *browse() {
      listening.resolve();
      await new Promise(() => {});
    },
  });
  const looking = find({ kind: "lan" }, {
    discovery,
    crypto: provider,
    clock: time,
    signal: new AbortController().signal,
  });
  await listening.promise;
  time.advance(LAN_LISTEN_MS);
  isRefused((await looking)[0], "NOT_FOUND", /none answers/);
  assert.equal(time.pendingTimers, 0);
});
