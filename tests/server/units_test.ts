/** The relay's small parts: token buckets, places, addresses, request parsing. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AronaError, FakeClock, FrameType } from "../../proto/mod.ts";
import { addressKey, Admission } from "../../server/admission.ts";
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
  const place = admission.admit("192.0.2.7:1");
  assert.ok(typeof place !== "string");
  assert.equal(admission.admit("192.0.2.7:2"), "too_many_from_address");
  place.authenticated();
  place.release();
  place.release();
  assert.equal(admission.connections, 0);
  assert.equal(typeof admission.admit("192.0.2.7:3"), "object");
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
