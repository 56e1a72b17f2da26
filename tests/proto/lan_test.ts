/** DNS messages, network addresses and announcements: what is written is read, and read by others. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import {
  decodeDnsMessage,
  type DnsMessage,
  type DnsRecord,
  DnsType,
  encodeDnsMessage,
  formatIp,
  formatLanTxt,
  isOnLink,
  LAN_SERVICE,
  lanHostName,
  lanInstanceName,
  lanInterfaces,
  MAX_DNS_ENTRIES,
  MAX_DNS_MESSAGE_BYTES,
  parseIp,
  parseLanTxt,
  sameDnsName,
  toBase64Url,
  utf8,
} from "../../proto/mod.ts";

/** Another program's way to read and write DNS; it has no types. */
const packet = createRequire(import.meta.url)("dns-packet") as {
  // deno-lint-ignore no-explicit-any
  decode(bytes: Uint8Array): Record<string, any>;
  encode(message: Record<string, unknown>): Uint8Array;
};

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
const INSTANCE = lanInstanceName({ name: "Zuhause – ひ", fingerprint: FINGERPRINT });
const HOST = lanHostName(FINGERPRINT);
const RECORDS: DnsRecord[] = [
  { type: "PTR", name: LAN_SERVICE, target: INSTANCE, ttlSeconds: 4_500, flush: false },
  { type: "SRV", name: INSTANCE, port: 7700, target: HOST, ttlSeconds: 120, flush: true },
  { type: "TXT", name: INSTANCE, strings: [utf8("txtvers=1"), utf8("a=b")], ttlSeconds: 4_500, flush: true },
  { type: "A", name: HOST, address: Uint8Array.of(192, 168, 1, 5), ttlSeconds: 120, flush: true },
  { type: "AAAA", name: HOST, address: parseIp("2001:db8::5")!, ttlSeconds: 120, flush: true },
];
const RESPONSE: DnsMessage = {
  kind: "response",
  questions: [],
  answers: RECORDS,
  authorities: [],
  additionals: [],
};

Deno.test("decodeDnsMessage() reads what encodeDnsMessage() writes", () => {
  assert.deepEqual(decodeDnsMessage(encodeDnsMessage(RESPONSE)), RESPONSE);
  const query: DnsMessage = {
    kind: "query",
    questions: [{ name: LAN_SERVICE, type: DnsType.PTR }],
    answers: RECORDS.slice(0, 1),
    authorities: RECORDS.slice(1, 2),
    additionals: RECORDS.slice(3),
  };
  assert.deepEqual(decodeDnsMessage(encodeDnsMessage(query)), query);
});

Deno.test("another program reads what encodeDnsMessage() writes", () => {
  const read = packet.decode(Buffer.from(encodeDnsMessage(RESPONSE)));
  assert.equal(read.type, "response");
  assert.equal(read.flag_aa, true);
  const instance = INSTANCE.join(".");
  assert.deepEqual(
    read.answers.map((
      { type, name, ttl, flush, data }: Record<string, unknown>,
    ) => [type, name, ttl, flush, data]),
    [
      ["PTR", LAN_SERVICE.join("."), 4_500, false, instance],
      ["SRV", instance, 120, true, { priority: 0, weight: 0, port: 7700, target: HOST.join(".") }],
      ["TXT", instance, 4_500, true, [Buffer.from("txtvers=1"), Buffer.from("a=b")]],
      ["A", HOST.join("."), 120, true, "192.168.1.5"],
      ["AAAA", HOST.join("."), 120, true, "2001:db8::5"],
    ],
  );
});

Deno.test("decodeDnsMessage() reads what another program writes, and passes over what it does not know", () => {
  const name = "Home._arona._tcp.local";
  const bytes: Uint8Array = packet.encode({
    type: "response",
    questions: [{ type: "MX", name: "x.local" }],
    answers: [
      { type: "HINFO", name, data: { cpu: "a", os: "b" } },
      { type: "SRV", name, ttl: 7, data: { priority: 1, weight: 2, port: 3, target: "host.local" } },
      { type: "A", name: "host.local", class: "CH", data: "1.2.3.4" },
    ],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4_096, options: [] }],
  });
  const { questions, answers, additionals } = decodeDnsMessage(new Uint8Array(bytes));
  assert.deepEqual(questions, [{ name: ["x", "local"], type: 15 }]);
  assert.deepEqual(answers, [{
    type: "SRV",
    name: name.split("."),
    port: 3,
    target: ["host", "local"],
    ttlSeconds: 7,
    flush: false,
  }]);
  assert.deepEqual(additionals, []);
});

Deno.test("decodeDnsMessage() follows pointers back and nowhere else", () => {
  const head = [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
  const question = (...name: number[]) => [...name, 0, 12, 0, 1];
  const first = question(1, 97, 5, ...utf8("local"), 0);
  const read = (...second: number[]) => decodeDnsMessage(Uint8Array.of(...head, ...first, ...second));
  assert.deepEqual(read(...question(1, 98, 0xc0, 14)).questions[1].name, ["b", "local"]);
  const here = 12 + first.length;
  for (const target of [here, here + 2, 0x3fff]) {
    assert.throws(() => read(...question(0xc0 | target >> 8, target & 0xff)), /leads nowhere/);
  }
});

Deno.test("decodeDnsMessage() refuses a name that is pointed to over and over", () => {
  const chain = (length: number) => {
    const bytes = [0, 0, 0, 0, 0, length, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 12, 0, 1];
    for (let i = 1, before = 12; i < length; i++) {
      const here = bytes.length;
      bytes.push(0xc0, before, 0, 12, 0, 1); // each question's name is that of the one before
      before = here;
    }
    return Uint8Array.from(bytes);
  };
  assert.deepEqual(decodeDnsMessage(chain(17)).questions.at(-1)!.name, ["a"]);
  assert.throws(() => decodeDnsMessage(chain(18)), /leads nowhere/);
});

Deno.test("decodeDnsMessage() refuses what is cut, too long or too much", () => {
  const bytes = encodeDnsMessage(RESPONSE);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeDnsMessage(bytes.subarray(0, length)), { code: "BAD_ENCODING" });
  }
  assert.throws(() => decodeDnsMessage(new Uint8Array(MAX_DNS_MESSAGE_BYTES + 1)), /it has 9001 bytes/);
  const many = new Uint8Array(12);
  new DataView(many.buffer).setUint16(6, MAX_DNS_ENTRIES + 1);
  assert.throws(() => decodeDnsMessage(many), /it has 257 questions and records/);
  assert.throws(() => decodeDnsMessage(Uint8Array.of(0, 0, 0x80, 3, ...new Uint8Array(8))), /not 0/);
});

Deno.test("sameDnsName() takes letters of ASCII for the same in either case, and labels for what they are", () => {
  assert.ok(sameDnsName(["Home", "_TCP"], ["hOME", "_tcp"]));
  assert.ok(!sameDnsName(["É"], ["é"]));
  assert.ok(!sameDnsName(["a.b"], ["a", "b"]));
});

Deno.test("parseLanTxt() reads what formatLanTxt() writes", () => {
  for (const name of ["", "Arona", "a=b", "ひ".repeat(64)]) {
    const txt = { fingerprint: FINGERPRINT, protocols: [2, 3], name };
    assert.deepEqual(parseLanTxt(formatLanTxt(txt)), txt);
  }
  const long = { fingerprint: FINGERPRINT, protocols: [2], name: "🙂".repeat(64) };
  assert.equal(parseLanTxt(formatLanTxt(long)).name, "🙂".repeat(62), "a string of TXT has 255 bytes");
});

Deno.test("parseLanTxt() passes over what it does not know, and of one key takes the first", () => {
  const fp = `FP=${toBase64Url(FINGERPRINT)}`;
  const strings = ["", "flag", "txtvers=1", fp, "fp=AAAA", "v=2", "later=x", "name=Home"].map(utf8);
  assert.deepEqual(parseLanTxt(strings), { fingerprint: FINGERPRINT, protocols: [2], name: "Home" });
});

for (
  const [what, strings] of [
    ["no version", [`fp=${toBase64Url(FINGERPRINT)}`, "v=2"]],
    ["no fingerprint", ["txtvers=1", "v=2"]],
    ["a longer fingerprint", ["txtvers=1", `fp=${toBase64Url(FINGERPRINT)}AA`, "v=2"]],
    ["no protocol versions", ["txtvers=1", `fp=${toBase64Url(FINGERPRINT)}`]],
    ["a version over 255", ["txtvers=1", `fp=${toBase64Url(FINGERPRINT)}`, "v=256"]],
    ["many versions", ["txtvers=1", `fp=${toBase64Url(FINGERPRINT)}`, `v=${Array(17).fill(2)}`]],
    ["a name of 65 characters", [
      "txtvers=1",
      `fp=${toBase64Url(FINGERPRINT)}`,
      "v=2",
      `name=${"x".repeat(65)}`,
    ]],
    ["a name with an escape", ["txtvers=1", `fp=${toBase64Url(FINGERPRINT)}`, "v=2", "name=\x1b[1m"]],
    ["many strings", Array(17).fill("txtvers=1")],
  ] as const
) {
  Deno.test(`parseLanTxt() refuses ${what}`, () => {
    assert.throws(() => parseLanTxt(strings.map(utf8)), /^AronaError: Cannot read announcement/);
  });
}

Deno.test("names of a relay are its own: part of its fingerprint is in them, and they fit", () => {
  assert.deepEqual(INSTANCE, ["Zuhause – ひ fffefdfc", "_arona", "_tcp", "local"]);
  assert.deepEqual(HOST, ["arona-fffefdfcfbfaf9f8", "local"]);
  const [label] = lanInstanceName({ name: "ひ".repeat(64), fingerprint: FINGERPRINT }, { attempt: 3 });
  assert.match(label, /^ひ+ fffefdfc-4$/);
  assert.ok(utf8(label).length <= 63);
});

Deno.test("formatIp() writes the usual form of what parseIp() reads", () => {
  for (
    const [text, usual = text] of [
      ["192.168.1.5"],
      ["0.0.0.0"],
      ["::"],
      ["::1"],
      ["fe80::"],
      ["2001:db8::5"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["1:0:2:3:4:5:6:7"],
      ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ]
  ) assert.equal(formatIp(parseIp(text)!), usual);
  for (
    const text of [
      "",
      "1.2.3",
      "1.2.3.256",
      "1.2.3.4.5",
      "a.b.c.d",
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7:8:9",
      "12345::",
      "1:2:3:4:5:6:7",
    ]
  ) {
    assert.equal(parseIp(text), null, text);
  }
});

Deno.test("isOnLink() compares as many bits as the network has", () => {
  const isIn = (address: string, own: string, prefixBits: number) =>
    isOnLink(parseIp(address)!, { address: own, prefixBits });
  assert.ok(isIn("192.168.1.200", "192.168.1.5", 24));
  assert.ok(!isIn("192.168.2.5", "192.168.1.5", 24));
  assert.ok(isIn("192.168.3.5", "192.168.1.5", 22));
  assert.ok(!isIn("192.168.4.5", "192.168.1.5", 22));
  assert.ok(isIn("8.8.8.8", "192.168.1.5", 0));
  assert.ok(!isIn("192.168.1.6", "192.168.1.5", 32));
  assert.ok(isIn("2001:db8::9", "2001:db8::5", 64));
  assert.ok(!isIn("2001:db8::9", "192.168.1.5", 0));
});

Deno.test("lanInterfaces() leaves out what has no neighbours", () => {
  const one = (name: string, cidr: string, scopeid: number | null = null) =>
    ({
      name,
      cidr,
      scopeid,
      address: cidr.split("/")[0],
      family: cidr.includes(":") ? "IPv6" : "IPv4",
      netmask: "",
      mac: "",
    }) as Deno.NetworkInterfaceInfo;
  const found = lanInterfaces([
    one("lo", "127.0.0.1/8"),
    one("lo", "::1/128"),
    one("eth0", "192.168.1.5/24"),
    one("eth0", "192.168.1.6/24"),
    one("eth0", "2001:db8::5/64"),
    one("eth0", "fe80::1/64", 2),
    one("wg0", "10.9.0.2/32"),
    one("tun0", "10.8.0.2/31"),
    one("he6", "2001:db8:6::1/64"),
    one("wlan0", "169.254.3.4/16"),
  ]);
  assert.deepEqual(found.map(({ name, ipv4, addresses }) => [name, ipv4.address, addresses.length]), [
    ["eth0", "192.168.1.5", 3],
    ["wlan0", "169.254.3.4", 1],
  ]);
});
