/** Links and endpoints: what people paste. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatEndpoint,
  formatLink,
  formatSourceLink,
  isAronaError,
  parseEndpoint,
  parseInvite,
  parseLink,
  parseSourceLink,
  SHORT_LINK_CHARACTERS,
  toBase64Url,
} from "../../proto/mod.ts";

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => i * 7);
const TEXT = toBase64Url(FINGERPRINT);

Deno.test("parseLink() reads names, IPv4, IPv6, spaces around and capitals", () => {
  const expected = (hostname: string, port = 7700) => ({ hostname, port, fingerprint: FINGERPRINT });
  assert.deepEqual(parseLink(`arona://relay.example:7700#${TEXT}`), expected("relay.example"));
  assert.deepEqual(parseLink(`  ARONA://Relay.Example:7700/#${TEXT}\n`), expected("relay.example"));
  assert.deepEqual(parseLink(`arona://192.0.2.7:1#${TEXT}`), expected("192.0.2.7", 1));
  assert.deepEqual(parseLink(`arona://[2001:DB8::7]:65535#${TEXT}`), expected("2001:db8::7", 65_535));
});

Deno.test("parseLink() refuses anything else with a hint for people", () => {
  const wrong = [
    "",
    "https://relay.example:7700",
    `relay.example:7700#${TEXT}`,
    "arona://relay.example:7700",
    `arona://relay.example#${TEXT}`,
    `arona://relay.example:0#${TEXT}`,
    `arona://relay.example:65536#${TEXT}`,
    `arona://:7700#${TEXT}`,
    `arona://-x-:7700#${TEXT}`,
    `arona://a b:7700#${TEXT}`,
    `arona://user@host:7700#${TEXT}`,
    `arona://2001:db8::7:7700#${TEXT}`,
    `arona://[relay.example]:7700#${TEXT}`,
    `arona://relay.example:7700#${TEXT.slice(1)}`,
    `arona://relay.example:7700#${TEXT}A`,
    `arona://relay.example:7700#${TEXT.slice(0, 42)}=`,
    `arona://relay.example:7700#${TEXT.slice(0, 42)}_`, // spare bits set
    `arona://relay.example:7700/path#${TEXT}`,
    `arona://\u202eelpmaxe:7700#${TEXT}`,
  ];
  for (const text of wrong) {
    assert.throws(
      () => parseLink(text),
      (error) => isAronaError(error, "USAGE") && error.hint !== undefined,
      text,
    );
  }
});

Deno.test("parseLink() of formatLink() gives the link back", () => {
  const hosts = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
  const ports = fc.integer({ min: 1, max: 65_535 });
  const fingerprints = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(fc.property(hosts, ports, fingerprints, (host, port, fingerprint) => {
    const link = { hostname: host.toLowerCase(), port, fingerprint: new Uint8Array(fingerprint) };
    assert.deepEqual(parseLink(formatLink(link)), link);
    assert.deepEqual(parseEndpoint(formatEndpoint(link)), { hostname: link.hostname, port });
  }));
});

Deno.test("parseSourceLink() finds the invite in a link, and formatSourceLink() writes it", () => {
  for (
    const place of ["relay.example:7700", "[2001:db8::7]:7700", "gist/0123abcd", "@alice", "relay.example"]
  ) {
    const plain = parseSourceLink(`arona://${place}#${TEXT}`);
    assert.equal(plain.invite, undefined);
    const text = `arona://${place}/invite/abcdefgh2345678#${TEXT}`;
    const link = parseSourceLink(text);
    assert.deepEqual(link, { ...plain, invite: "abcdefgh2345678" });
    assert.equal(formatSourceLink(link), text);
    assert.deepEqual(parseSourceLink(`  ARONA://${place}/INVITE/ABCDEFGH2345678/#${TEXT}\n`), link);
  }
});

Deno.test("parseLink() passes over an invite", () => {
  const link = parseLink(`arona://relay.example:7700#${TEXT}`);
  assert.deepEqual(parseLink(`arona://relay.example:7700/invite/abc#${TEXT}`), link);
});

Deno.test("a link with the longest usual host and an invite is short enough to pass on", () => {
  const source = { kind: "endpoint", hostname: "255.255.255.255", port: 65_535 } as const;
  const text = formatSourceLink({ source, fingerprint: FINGERPRINT, invite: "a".repeat(15) });
  assert.ok(text.length <= SHORT_LINK_CHARACTERS, `${text.length}`);
});

Deno.test("parseInvite() takes a code or a link that holds one", () => {
  assert.equal(parseInvite(" AbCd23 "), "abcd23");
  assert.equal(parseInvite("abc-d23 efg"), "abcd23efg");
  assert.equal(parseInvite(`arona://relay.example:7700/invite/abcd23#${TEXT}`), "abcd23");
  for (
    const text of [
      "",
      "a_b",
      "ä",
      "a".repeat(65),
      `arona://relay.example:7700#${TEXT}`,
      `x/invite/y#${TEXT}`,
    ]
  ) {
    assert.throws(() => parseInvite(text), { code: "USAGE" }, text);
  }
  for (const code of ["", "a b", "../x", "a".repeat(65)]) {
    assert.throws(() => parseSourceLink(`arona://relay.example:7700/invite/${code}#${TEXT}`), {
      code: "USAGE",
    });
  }
});

Deno.test("formatSourceLink() puts no invite where nobody would find it", () => {
  const source = { kind: "web", host: "relay.example:8443" } as const;
  assert.throws(() => formatSourceLink({ source, fingerprint: FINGERPRINT, invite: "abc" }), {
    code: "INTERNAL",
  });
});
