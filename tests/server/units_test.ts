/** The relay's small parts: token buckets, places, addresses, request parsing. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AronaError, FakeClock, FrameType } from "../../proto/mod.ts";
import { addressKey, Admission, type Place } from "../../server/admission.ts";
import { MAX_PENDING_CONNECTIONS, PENDING_GRACE_MS } from "../../server/limits.ts";
import { RateLimiter } from "../../server/rate_limit.ts";
import { parseAuth, parseRequest, parseRequestId } from "../../server/schema.ts";

Deno.test("RateLimiter gives the burst, then one token for each interval", () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(clock, { perSecond: 20, burst: 3 });
  assert.deepEqual([1, 2, 3, 4].map(() => limiter.take("a")), [0, 0, 0, 50]);
  assert.equal(limiter.take("b"), 0);
  clock.advance(40);
  assert.equal(limiter.take("a"), 10);
  clock.advance(11);
  assert.equal(limiter.take("a"), 0);
  clock.advance(1_000_000);
  assert.deepEqual([1, 2, 3, 4].map(() => limiter.take("a")), [0, 0, 0, 50]);
});

Deno.test("RateLimiter ignores jumps of the wall clock", () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(clock, { perSecond: 1, burst: 1 });
  limiter.take("a");
  clock.jump(clock.now() + 1e9);
  assert.ok(limiter.take("a") > 0);
});

Deno.test("RateLimiter never gives more than its rate allows, whatever the order of calls", () => {
  fc.assert(fc.property(fc.array(fc.nat(400), { maxLength: 200 }), (pauses) => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock, { perSecond: 10, burst: 5 });
    let granted = 0;
    let passedMs = 0;
    for (const pause of pauses) {
      clock.advance(pause);
      passedMs += pause;
      if (limiter.take("a") === 0) granted++;
    }
    assert.ok(granted <= 5 + passedMs / 100 + 1e-6);
  }));
});

Deno.test("RateLimiter stays bounded under ever new keys", () => {
  const limiter = new RateLimiter(new FakeClock(), { perSecond: 1, burst: 2, maxEntries: 10 });
  for (let i = 0; i < 1_000; i++) assert.equal(limiter.take(`key${i}`), 0);
});

Deno.test("addressKey() counts an IPv4 address, an IPv6 network of 64 bits, and mapped addresses as what they are", () => {
  assert.equal(addressKey("192.0.2.7:5000"), "192.0.2.7");
  assert.equal(addressKey("[2001:db8:1:2:3:4:5:6]:5000"), "2001:db8:1:2::/64");
  assert.equal(addressKey("[2001:db8:1:2::9]:5000"), "2001:db8:1:2::/64");
  assert.equal(addressKey("[2001:0db8:1:2::9]:5000"), "2001:db8:1:2::/64");
  assert.equal(addressKey("[2001:db8::9]:5000"), "2001:db8:0:0::/64");
  assert.equal(addressKey("[::ffff:192.0.2.7]:5000"), "192.0.2.7");
  assert.equal(addressKey("[::1]:5000"), "::1");
});

Deno.test("Admission frees each place once", () => {
  const admission = new Admission({ perAddress: 1 });
  const admit = (remoteAddress: string) => admission.admit({ remoteAddress, nowMs: 0, displace: () => {} });
  const place = admit("192.0.2.7:1");
  assert.ok(typeof place !== "string");
  assert.equal(admit("192.0.2.7:2"), "too_many_from_address");
  place.authenticated();
  place.release();
  place.release();
  assert.equal(admission.connections, 0);
  assert.equal(typeof admit("192.0.2.7:3"), "object");
});

Deno.test("Admission does not count what comes from this machine, by loopback or by the address it listens on", () => {
  const admission = new Admission({ perAddress: 1, own: "2001:DB8::7" });
  const admit = (remoteAddress: string) => admission.admit({ remoteAddress, nowMs: 0, displace: () => {} });
  for (
    const address of ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "[2001:db8::7]:1"]
  ) {
    for (let i = 0; i < 3; i++) assert.equal(typeof admit(address), "object", address);
  }
  admit("[2001:db8::8]:1");
  assert.equal(admit("[2001:db8::8]:2"), "too_many_from_address", "a neighbour in the same network");
});

Deno.test("Admission: a flood from one place gives way to whoever comes from another, its oldest first", () => {
  const admission = new Admission();
  const displaced: number[] = [];
  let next = 0;
  const admit = (remoteAddress: string, nowMs = 0) => {
    const number = next++;
    return admission.admit({ remoteAddress, nowMs, displace: () => displaced.push(number) });
  };
  const flood = Array.from({ length: MAX_PENDING_CONNECTIONS }, () => admit("127.0.0.1:5000"));
  assert.equal(admit("127.0.0.1:5000"), "too_many_pending");
  for (let i = 0; i < 10; i++) assert.equal(typeof admit(`192.0.2.${i}:1`), "object");
  assert.deepEqual(displaced, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const place of flood) if (typeof place !== "string") place.release();
  assert.equal(admission.connections, 10);
});

Deno.test("Admission: in a flood that comes the same way, people get in within seconds and then have time for the login", () => {
  const admission = new Admission();
  const admit = (nowMs: number, displace = () => {}) =>
    admission.admit({ remoteAddress: "127.0.0.1:1", nowMs, displace });
  const [tryEveryMs, loginMs] = [200, 1_000];
  const waited: number[] = [];
  let sinceMs = 0;
  let login: { readonly place: Place; readonly atMs: number } | null = null;
  // A thousand connections a second that never log in, and people who do, one after the other.
  for (let nowMs = 0; nowMs < 120_000; nowMs++) {
    admit(nowMs);
    if (login !== null && nowMs === login.atMs + loginMs) {
      login.place.authenticated();
      [login, sinceMs] = [null, nowMs];
    }
    if (login !== null || (nowMs - sinceMs) % tryEveryMs !== 0) continue;
    const place = admit(nowMs, () => assert.fail("displaced during the login"));
    if (typeof place === "string") continue;
    login = { place, atMs: nowMs };
    waited.push(nowMs - sinceMs);
  }
  assert.ok(waited.length > 25, `${waited.length} got in`);
  assert.ok(Math.max(...waited) <= PENDING_GRACE_MS, `${Math.max(...waited)} ms`);
});

Deno.test("request parsers give a request or a typed error for any JSON", () => {
  const types = [FrameType.JOIN, FrameType.PART, FrameType.KEYS, FrameType.GROUP, FrameType.EVENT];
  const op = fc.constantFrom(
    "publish",
    "claim",
    "create",
    "commit",
    "sync",
    "info",
    "members",
    "reset",
    "list",
    "",
  );
  const fields = fc.record({
    id: fc.anything(),
    op,
    account: fc.anything(),
    suite: fc.oneof(fc.constant(82), fc.anything()),
    group: fc.oneof(fc.constant("a".repeat(32)), fc.anything()),
    epoch: fc.anything(),
    kind: fc.anything(),
    add: fc.anything(),
    remove: fc.anything(),
    admins: fc.anything(),
    register: fc.anything(),
  }, { requiredKeys: ["op"] });
  const blobs = fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...types), fields, blobs, (type, json, bytes) => {
      const control = { fields: json, blobs: bytes };
      for (
        const parse of [
          () => parseRequest(type, control),
          () => parseAuth(control),
          () => parseRequestId(json),
        ]
      ) {
        try {
          parse();
        } catch (error) {
          assert.ok(error instanceof AronaError, String(error));
          assert.ok(["BAD_REQUEST", "TOO_LARGE", "UNSUPPORTED"].includes(error.code), error.code);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
