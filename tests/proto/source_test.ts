/** Sources and the links to them: what people type and paste. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatLink,
  formatSource,
  formatSourceLink,
  isAronaError,
  parseLink,
  parsePublicSource,
  parseSource,
  parseSourceLink,
  type RelaySource,
  SHORT_LINK_CHARACTERS,
  toBase64Url,
} from "../../proto/mod.ts";

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => i * 7);
const TEXT = toBase64Url(FINGERPRINT);
const ID = "aa5a315d61ae9438b18d0c1f6e2f7c3b";
const refuses = (read: () => unknown, text: string) =>
  assert.throws(read, (error) => isAronaError(error, "USAGE") && error.hint !== undefined, text);

const FORMS: readonly [typed: string, source: RelaySource, written: string][] = [
  ["relay.example:7700", { kind: "endpoint", hostname: "relay.example", port: 7700 }, "relay.example:7700"],
  ["[2001:DB8::7]:7700", { kind: "endpoint", hostname: "2001:db8::7", port: 7700 }, "[2001:db8::7]:7700"],
  [`gist:${ID.toUpperCase()}`, { kind: "gist", id: ID }, `gist:${ID}`],
  [`https://gist.github.com/${ID}`, { kind: "gist", id: ID }, `gist:${ID}`],
  [`https://gist.github.com/Alice/${ID}/`, { kind: "gist", id: ID }, `gist:${ID}`],
  [" @Alice-B ", { kind: "user", login: "alice-b" }, "@alice-b"],
  ["@alice_corp", { kind: "user", login: "alice_corp" }, "@alice_corp"],
  ["https://Relay.Example", { kind: "web", host: "relay.example" }, "https://relay.example"],
  ["https://relay.example:443/", { kind: "web", host: "relay.example" }, "https://relay.example"],
  [
    "https://relay.example:8443/.well-known/arona.json",
    { kind: "web", host: "relay.example:8443" },
    "https://relay.example:8443",
  ],
  ["https://[2001:DB8::7]:8443", { kind: "web", host: "[2001:db8::7]:8443" }, "https://[2001:db8::7]:8443"],
  ["http://127.0.0.1:8080", { kind: "web", host: "127.0.0.1:8080" }, "http://127.0.0.1:8080"],
  ["LAN", { kind: "lan" }, "lan"],
];

Deno.test("parseSource() reads every form that people type or paste, and formatSource() writes the one form", () => {
  for (const [typed, source, written] of FORMS) {
    assert.deepEqual(parseSource(typed), source, typed);
    assert.equal(formatSource(source), written);
    assert.deepEqual(parseSource(written), source);
  }
});

Deno.test("parseSource() refuses anything else with a hint for people", () => {
  const wrong = [
    "",
    "relay.example",
    "@",
    "@-alice",
    "@a b",
    `@${"a".repeat(40)}`,
    "gist:",
    "gist:xyz",
    `gist:${"a".repeat(65)}`,
    "https://gist.github.com",
    "https://gist.github.com/alice",
    `https://gist.github.com/alice/${ID}/raw`,
    "https://",
    "https://user@relay.example",
    "https://relay.example/other.json",
    "https://relay.example?x",
    "http://relay.example",
    "https://127.0.0.1:8080",
    "ftp://relay.example",
    "https://relay.example:0",
    "arona://relay.example:7700",
    `https://${"a".repeat(400)}`,
  ];
  for (const text of wrong) refuses(() => parseSource(text), text);
});

Deno.test("parsePublicSource() takes only what everybody can reach, in its one form", () => {
  for (const text of [`gist:${ID}`, "@alice", "https://relay.example", "https://relay.example:8443"]) {
    assert.equal(formatSource(parsePublicSource(text)), text);
  }
  const wrong = [
    "relay.example:7700",
    "lan",
    "http://localhost:80",
    "@Alice",
    " @alice",
    "https://relay.example/",
    "https://192.0.2.7:8443", // everybody who read it would ask inside of their own network
    "https://127.1:8443",
    "https://2130706433",
    "https://[2001:db8::7]:8443",
    "https://[::ffff:127.0.0.1]:9000",
    "https://router",
    "https://router.local",
    "https://box.home.arpa",
  ];
  for (const text of wrong) assert.throws(() => parsePublicSource(text), { code: "USAGE" }, text);
});

Deno.test("a source's link holds the fingerprint and reads back as the same", () => {
  const links = [
    `arona://relay.example:7700#${TEXT}`,
    `arona://gist/${ID}#${TEXT}`,
    `arona://@alice#${TEXT}`,
    `arona://relay.example#${TEXT}`,
    `arona://[2001:db8::7]#${TEXT}`,
    `https://relay.example:8443#${TEXT}`,
    `lan#${TEXT}`,
  ];
  for (const text of links) {
    const link = parseSourceLink(` ${text}\n`);
    assert.deepEqual(link.fingerprint, FINGERPRINT, text);
    assert.equal(formatSourceLink(link), text);
  }
});

Deno.test("what comes without a fingerprint, as from the browser's address bar, leaves it open", () => {
  for (const [typed, source, written] of FORMS) {
    assert.deepEqual(parseSourceLink(typed), { source, fingerprint: null });
    assert.deepEqual(parseSourceLink(`${written}#${TEXT}`), { source, fingerprint: FINGERPRINT });
  }
  const pasted = `https://gist.github.com/alice/${ID}#file-arona-json`;
  assert.deepEqual(parseSourceLink(pasted), { source: { kind: "gist", id: ID }, fingerprint: null });
});

Deno.test("parseSourceLink() refuses a link without or with half a fingerprint, and other people's codes", () => {
  const wrong = [
    "arona://relay.example",
    `arona://gist/${ID}`,
    `arona://gist/${ID}#${TEXT.slice(1)}`,
    `arona://gist/xyz#${TEXT}`,
    `arona://@#${TEXT}`,
    `arona://relay.example/path#${TEXT}`,
    `arona://#${TEXT}`,
    `@alice#${TEXT}A`,
    `arona://relay.example:7700#${TEXT}.ABCDEF`,
  ];
  for (const text of wrong) refuses(() => parseSourceLink(text), text);
});

Deno.test("parseLink() is for addresses: a link to a source is refused", () => {
  for (const place of [`gist/${ID}`, "@alice", "relay.example"]) {
    refuses(() => parseLink(`arona://${place}#${TEXT}`), place);
  }
});

Deno.test("links are short: 120 characters with a host of up to 62, and every Gist's, user's and IPv6 address's", () => {
  const longest = { hostname: `${"a".repeat(50)}.eu.ngrok.io`, port: 65_535, fingerprint: FINGERPRINT };
  assert.equal(longest.hostname.length, 62);
  assert.equal(formatLink(longest).length, SHORT_LINK_CHARACTERS);
  const short: RelaySource[] = [
    { kind: "endpoint", hostname: "2001:db8:1111:2222:3333:4444:5555:6666", port: 65_535 },
    { kind: "gist", id: "f".repeat(32) },
    { kind: "user", login: "a".repeat(39) },
  ];
  for (const source of short) {
    assert.ok(formatSourceLink({ source, fingerprint: FINGERPRINT }).length <= SHORT_LINK_CHARACTERS);
  }
  const host = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
  const long = formatLink({ hostname: host, port: 7700, fingerprint: FINGERPRINT });
  assert.equal(parseLink(long).hostname, host); // longer than one would read aloud, but it works
});

Deno.test("parseSourceLink() of formatSourceLink() gives every link back", () => {
  const ports = fc.integer({ min: 1, max: 65_535 });
  const hosts = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()).map((host) => host.toLowerCase());
  const authority = (host: string) => host.includes(":") ? `[${host}]` : host;
  const hex = fc.stringMatching(/^[0-9a-f]{1,64}$/);
  const sources: fc.Arbitrary<RelaySource> = fc.oneof(
    fc.record({ kind: fc.constant("endpoint" as const), hostname: hosts, port: ports }),
    fc.record({ kind: fc.constant("gist" as const), id: hex }),
    fc.record({
      kind: fc.constant("user" as const),
      login: fc.stringMatching(/^[0-9a-z](?:[0-9a-z-]{0,37}[0-9a-z])?$/),
    }),
    fc.tuple(hosts, fc.option(ports)).filter(([, port]) => port !== 443 && port !== 80).map((
      [host, port],
    ) => ({
      kind: "web" as const,
      host: authority(host) + (port === null ? "" : `:${port}`),
    })),
    fc.constant({ kind: "lan" as const }),
  );
  const fingerprints = fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }));
  fc.assert(fc.property(sources, fingerprints, (source, bytes) => {
    const link = { source: { ...source }, fingerprint: bytes === null ? null : new Uint8Array(bytes) };
    assert.deepEqual(parseSourceLink(formatSourceLink(link)), link);
  }));
});
