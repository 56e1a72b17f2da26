import assert from "node:assert/strict";
import {
  formatDeviceCode,
  formatLink,
  formatLinkSecret,
  looksLikeDeviceCode,
  parseDeviceCode,
  parseLink,
  parseLinkSecret,
  rendezvousOf,
} from "../../proto/mod.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";

const crypto = createNobleProvider();
const LINK = { hostname: "192.0.2.7", port: 7700, fingerprint: new Uint8Array(32).fill(0xfb) };

Deno.test("a device code is a link with 26 characters behind it, and comes back from it", () => {
  for (let i = 0; i < 50; i++) {
    const code = { ...LINK, secret: crypto.randomBytes(16) };
    const text = formatDeviceCode(code);
    assert.match(text, /^arona:\/\/192\.0\.2\.7:7700#[\w-]{43}\.[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.deepEqual(parseDeviceCode(` ${text}\n`), code);
    assert.ok(text.length <= 120);
  }
  assert.equal(formatLinkSecret(new Uint8Array(16)), "000000-000000-000000-000000-00");
  assert.equal(formatLinkSecret(new Uint8Array(16).fill(0xff)), "ZZZZZZ-ZZZZZZ-ZZZZZZ-ZZZZZZ-ZW");
});

Deno.test("parseLinkSecret() forgives case, groups, and letters that look like digits", () => {
  const secret = parseLinkSecret("01 01-01OILoil" + "0".repeat(14));
  assert.deepEqual(secret, parseLinkSecret("010101011011" + "0".repeat(14)));
});

Deno.test("parseLinkSecret() refuses what is too short, too long, mistyped, or has its spare bits set", () => {
  for (
    const text of [
      "",
      "0".repeat(25),
      "0".repeat(27),
      "U".repeat(26),
      `${"0".repeat(25)}1`,
      `${"0".repeat(25)}é`,
    ]
  ) {
    assert.throws(() => parseLinkSecret(text), { code: "USAGE" }, text);
  }
});

Deno.test("a code is no link, and a link is no code", () => {
  const code = formatDeviceCode({ ...LINK, secret: new Uint8Array(16) });
  assert.throws(() => parseLink(code), { code: "USAGE", hint: /arona device link/ });
  assert.equal(looksLikeDeviceCode(code), true);
  const link = formatLink(LINK);
  assert.equal(looksLikeDeviceCode(link), false);
  assert.throws(() => parseDeviceCode(link), { code: "USAGE" });
});

Deno.test("rendezvousOf() says nothing of the secret but is the same for both who know it", () => {
  const secret = new Uint8Array(16).fill(1);
  const id = rendezvousOf(crypto, secret);
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.equal(rendezvousOf(crypto, secret.slice()), id);
  assert.notEqual(rendezvousOf(crypto, new Uint8Array(16)), id);
});
