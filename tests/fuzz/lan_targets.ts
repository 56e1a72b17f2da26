/** Targets of the local network: what anybody there can send to a relay and to whoever looks for one. */

import assert from "node:assert/strict";
import {
  decodeDnsMessage,
  type DnsRecord,
  DnsType,
  encodeDnsMessage,
  FakeClock,
  formatLanTxt,
  LAN_SERVICE,
  lanHostName,
  lanInstanceName,
  parseEndpoint,
  parseLanTxt,
} from "../../proto/mod.ts";
import { browse } from "../../client/discovery/mod.ts";
import { MAX_LAN_RELAYS } from "../../client/limits.ts";
import { startLanAnnouncer } from "../../server/discovery/mod.ts";
import { FakeLan, lanInterface } from "../helpers/fake_lan.ts";
import { Settling } from "../helpers/settling.ts";
import { boundedAllocation } from "./allocation.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";

const FINGERPRINT = new Random("lan corpus").bytes(32);
const TXT = { fingerprint: FINGERPRINT, protocols: [2, 3], name: "Zuhause – ひ" };
const RELAY = { ...TXT, listen: { hostname: "0.0.0.0", port: 7700 } };
const NEIGHBOUR = { hostname: "192.168.1.77" };

const message: FuzzTarget = {
  name: "dns",
  what: "messages of multicast DNS; what is read is written and read the same again",
  open: () => ({
    corpus: messages(),
    run(input) {
      const decoded = boundedAllocation(input.length, () => decodeDnsMessage(input));
      const isLong = input.length > 1_000; // names in full may not fit
      if (isLong || /\ufffd/.test(JSON.stringify(decoded))) return; // nor is there a way back from bytes that are no text
      assert.deepEqual(decodeDnsMessage(encodeDnsMessage(decoded)), decoded);
    },
  }),
};

const txt: FuzzTarget = {
  name: "lan-txt",
  what: "the TXT record of a relay",
  open: () => ({
    corpus: [pack(formatLanTxt(TXT)), pack(formatLanTxt({ ...TXT, name: "" }))],
    run(input) {
      const read = parseLanTxt(unpack(input));
      assert.equal(read.fingerprint.length, 32);
      assert.ok(!/[\p{C}\p{Zl}\p{Zp}]/u.test(read.name) && [...read.name].length <= 64);
      assert.ok(read.protocols.every((version) => version <= 255) && read.protocols.length <= 16);
      assert.deepEqual(parseLanTxt(formatLanTxt(read)).protocols, read.protocols);
    },
  }),
};

const neighbour: FuzzTarget = {
  name: "lan",
  what:
    "packets for a relay and for whoever looks for one: few answers, a bounded list, addresses of the network only",
  cost: 4,
  stateful: true,
  open() {
    const lan = new FakeLan();
    const clock = new FakeClock();
    const settling = new Settling();
    const abort = new AbortController();
    const announcer = startLanAnnouncer({
      relay: RELAY,
      socket: lan.open(),
      interfaces: [lanInterface("eth0", "192.168.1.5")],
      clock,
      random: () => 0.5,
    });
    const found = new Set<string>();
    const browsing = (async () => {
      for await (
        const { fingerprint, endpoints } of browse({
          socket: lan.open(),
          interfaces: [lanInterface("eth0", "192.168.1.9")],
          clock,
          random: () => 0.5,
          signal: abort.signal,
        })
      ) {
        found.add(fingerprint);
        for (const endpoint of endpoints) {
          assert.match(parseEndpoint(endpoint).hostname, /^192\.168\.1\.\d+$/);
        }
      }
    })();
    return {
      corpus: messages(),
      generate: (random) => mutate(random, messages()),
      async run(input) {
        lan.sent.length = 0;
        lan.inject(input, NEIGHBOUR);
        await settling.settled();
        clock.advance(1_000);
        await settling.settled();
        const sent = lan.sent.filter(({ hostname }) => hostname === "192.168.1.5").length;
        assert.ok(sent <= 6, `${sent} packets in a second`); // probes and an announcement, after a conflict
        assert.ok(found.size <= MAX_LAN_RELAYS);
        decodeDnsMessage(input); // so that a refusal counts as one
      },
      async close() {
        abort.abort();
        await browsing;
        await announcer.stop();
      },
    };
  },
};

/** Targets, from the outside in. */
export const lanTargets: readonly FuzzTarget[] = [message, txt, neighbour];

function messages(): Uint8Array[] {
  const instance = lanInstanceName(TXT);
  const host = lanHostName(FINGERPRINT);
  const common = { ttlSeconds: 120, flush: true };
  const records: DnsRecord[] = [
    { ...common, type: "PTR", name: LAN_SERVICE, target: instance },
    { ...common, type: "SRV", name: instance, port: 7700, target: host },
    { ...common, type: "TXT", name: instance, strings: formatLanTxt(TXT) },
    { ...common, type: "A", name: host, address: Uint8Array.of(192, 168, 1, 20) },
    { ...common, type: "AAAA", name: host, address: new Uint8Array(16).fill(1) },
  ];
  const question = { name: LAN_SERVICE, type: DnsType.PTR };
  return [
    encodeDnsMessage({ kind: "query", questions: [question, { name: instance, type: DnsType.ANY }] }),
    encodeDnsMessage({ kind: "query", questions: [question], answers: [records[0]] }),
    encodeDnsMessage({
      kind: "query",
      questions: [{ name: host, type: 255 }],
      authorities: records.slice(1),
    }),
    encodeDnsMessage({ kind: "response", answers: records.slice(0, 1), additionals: records.slice(1) }),
    encodeDnsMessage({ kind: "response", answers: records.map((record) => ({ ...record, ttlSeconds: 0 })) }),
    COMPRESSED,
  ];
}

/** A response with pointers, as other programs write them: `a._arona._tcp.local` points to itself and to the service's name. */
const COMPRESSED = Uint8Array.of(
  ...[0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0],
  ...[
    6,
    ...text("_arona"),
    4,
    ...text("_tcp"),
    5,
    ...text("local"),
    0,
    0,
    12,
    0,
    1,
    0,
    0,
    0,
    120,
    0,
    4,
    1,
    ...text("a"),
  ],
  ...[0xc0, 12, 0xc0, 41, 0, 33, 0x80, 1, 0, 0, 0, 120, 0, 10, 0, 0, 0, 0, 30, 20, 1, ...text("h"), 0xc0, 24],
);

function text(ascii: string): Uint8Array {
  return new TextEncoder().encode(ascii);
}

/** Strings with their lengths in front, as in the record. */
function pack(strings: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(strings.flatMap((string) => [string.length, ...string]));
}

function unpack(bytes: Uint8Array): Uint8Array[] {
  const strings: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += bytes[at] + 1) {
    strings.push(bytes.subarray(at + 1, at + 1 + bytes[at]));
  }
  return strings;
}
