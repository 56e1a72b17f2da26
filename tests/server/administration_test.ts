/** What the operator does to a running relay, and what people notice of it. */

import assert from "node:assert/strict";
import {
  connectSecure,
  encodeControl,
  FakeClock,
  fingerprintOf,
  FrameType,
  parseEndpoint,
  verifyDocument,
} from "../../proto/mod.ts";
import {
  changeLimits,
  DEFAULT_RELAY_LIMITS,
  DRAIN_TIMEOUT_MS,
  MemoryRelayStore,
  type RelayLogEvent,
} from "../../server/mod.ts";
import { RateLimiter } from "../../server/rate_limit.ts";
import type { RawClient } from "./raw_client.ts";
import { codeOf, TestRelay } from "./test_relay.ts";

const ALICE = { kind: "account", subject: "alice" } as const;

function identityOf(relay: TestRelay, client: RawClient) {
  const subject = fingerprintOf(relay.crypto, client.device.identity.publicKey);
  return { kind: "fingerprint", subject } as const;
}

/** Everything that a refused login gets to see: the records' sizes and how they end. */
async function refusal(relay: TestRelay, account: string, options: { invite?: string } = {}) {
  const { crypto, clock, document } = relay;
  const connection = await connectSecure({ transport: relay.transport(), document, crypto, clock });
  const blobs = [new Uint8Array(3), new Uint8Array(3), new Uint8Array(3)];
  connection.queue(...encodeControl(FrameType.AUTH, { id: 1, account, ...options }, { blobs }));
  const frames = await connection.receive() ?? [];
  const end = await connection.receive().then(() => "goodbye", (error) => error.code);
  return { frames: frames.map(({ type, body }) => [type, new TextDecoder().decode(body)]), end };
}

Deno.test("a ban of an account ends its sessions, outlasts the relay, and is taken back", async () => {
  const store = new MemoryRelayStore();
  let device;
  {
    await using relay = await TestRelay.start({ store });
    const alice = await relay.connect("alice");
    device = alice.device;
    const bob = await relay.connect("bob");
    assert.deepEqual(relay.relay.ban(ALICE), { subject: ALICE, changed: true, sessions: 1 });
    assert.equal(await alice.ended, "AUTH_FAILED");
    assert.equal(await codeOf(relay.connect(device)), "AUTH_FAILED");
    assert.deepEqual(relay.relay.ban(ALICE), { subject: ALICE, changed: false, sessions: 0 });
    assert.equal(await codeOf(bob.request(FrameType.GROUP, { op: "list" })), "OK");
    assert.deepEqual(relay.events.filter(({ type }) => type === "banned"), [
      { type: "banned", kind: "account", sessions: 1 },
    ]);
    assert.equal(relay.relay.stats().sessionsEnded.banned, 1);
  }
  await using again = await TestRelay.start({ store });
  assert.equal(await codeOf(again.connect(device)), "AUTH_FAILED");
  assert.deepEqual(again.relay.bans().map(({ kind, subject }) => ({ kind, subject })), [ALICE]);
  assert.equal(again.relay.unban(ALICE).changed, true);
  assert.equal(again.relay.unban(ALICE).changed, false);
  await again.connect(device);
});

Deno.test("a ban of a fingerprint keeps the identity out under every name", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const alicia = await relay.connect(await relay.device("alicia", { identity: alice.device.identity }));
  const bob = await relay.connect("bob");
  const ban = relay.relay.ban(identityOf(relay, alice));
  assert.equal(ban.sessions, 2);
  assert.equal(await alice.ended, "AUTH_FAILED");
  assert.equal(await alicia.ended, "AUTH_FAILED");
  const third = await relay.device("third", { identity: alice.device.identity });
  assert.equal(await codeOf(relay.connect(third)), "AUTH_FAILED");
  assert.equal(relay.relay.stats().accounts, 3, "and it cannot register");
  assert.equal(await codeOf(bob.request(FrameType.GROUP, { op: "list" })), "OK");
});

Deno.test("a banned name is refused like every other, whether it exists or not", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  relay.relay.ban(ALICE);
  await alice.ended;
  relay.relay.ban({ kind: "account", subject: "nobody" });
  const expected = await refusal(relay, "somebody");
  assert.deepEqual(await refusal(relay, "alice"), expected);
  assert.deepEqual(await refusal(relay, "nobody"), expected);
  // A proof that is right in everything is told no more.
  assert.equal(await codeOf(relay.connect("nobody")), "AUTH_FAILED");
});

Deno.test("a kick ends sessions and lets them come back", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  assert.deepEqual(relay.relay.kick(ALICE), { subject: ALICE, changed: true, sessions: 1 });
  assert.equal(await alice.ended, "CLOSED", "a goodbye without a code");
  await relay.connect(alice.device);
  assert.equal(relay.relay.kick({ kind: "account", subject: "nobody" }).sessions, 0);
  assert.equal(relay.relay.stats().sessionsEnded.kicked, 1);
});

Deno.test("limits change while the relay runs, all of them or none", async () => {
  await using relay = await TestRelay.start({ limits: { messageBurst: 1 } });
  assert.deepEqual(relay.relay.limits(), { ...DEFAULT_RELAY_LIMITS, messageBurst: 1 });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  await alice.send(group, { epoch: 1 });
  assert.equal(await codeOf(alice.send(group, { epoch: 1 })), "RATE_LIMITED");
  assert.equal(relay.relay.stats().refusedMessages.RATE_LIMITED, 1);
  relay.relay.setLimits({ messagesPerSecond: 50, messageBurst: 3 });
  relay.clock.advance(60);
  for (let i = 0; i < 3; i++) await alice.send(group, { epoch: 1 });
  assert.equal(await codeOf(alice.send(group, { epoch: 1 })), "RATE_LIMITED");
  assert.throws(() => relay.relay.setLimits({ messageBurst: 500, maxPerIp: -1 }), { code: "BAD_REQUEST" });
  assert.equal(relay.relay.limits().messageBurst, 3);
  relay.relay.setLimits({ maxPerIp: 1 });
  const held = relay.transport({ from: "192.0.2.7:1" });
  const refused = relay.transport({ from: "192.0.2.7:2" });
  for await (const _ of refused) assert.fail("nothing comes");
  assert.equal(relay.relay.stats().connectionsRefused.too_many_from_address, 1);
  held.close();
});

Deno.test("registration can be closed, made invite-only and opened while the relay runs", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  await alice.close();
  const invite = relay.relay.createInvite();
  relay.relay.setLimits({ registration: "closed" });
  assert.equal(await codeOf(relay.connect("bob")), "AUTH_FAILED");
  assert.equal(await codeOf(relay.connect("bob", { invite })), "AUTH_FAILED");
  await relay.connect(alice.device);
  relay.relay.setLimits({ registration: "invite-only" });
  assert.equal(await codeOf(relay.connect("bob")), "AUTH_FAILED");
  await relay.connect("bob", { invite });
  relay.relay.setLimits({ registration: "open" });
  await relay.connect("carol");
});

Deno.test("changeLimits() refuses what is no limit, no whole number, or not in range", () => {
  for (
    const change of [
      { nonsense: 1 },
      { messageBurst: 0 },
      { messageBurst: 1.5 },
      { messageBurst: "5" },
      {
        maxPerIp: 1e9,
      },
      { registration: "ajar" },
      { __proto__x: 1 },
      { constructor: 1 },
    ]
  ) {
    assert.throws(() => changeLimits(DEFAULT_RELAY_LIMITS, change), { code: "BAD_REQUEST" });
  }
  assert.deepEqual(
    changeLimits(DEFAULT_RELAY_LIMITS, { messageBurst: undefined, maxPerIp: 0 }),
    { ...DEFAULT_RELAY_LIMITS, maxPerIp: 0 },
  );
});

Deno.test("RateLimiter.change() lowers full buckets and raises the pace of empty ones", () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(clock, { perSecond: 1, burst: 3 });
  assert.equal(limiter.take("a"), 0);
  limiter.change({ perSecond: 10, burst: 1 });
  assert.equal(limiter.take("a"), 0);
  assert.equal(limiter.take("a"), 100);
});

Deno.test("setName() signs a new document under the new name", async () => {
  await using relay = await TestRelay.start();
  const { sequence } = relay.relay.stats().document;
  const { link } = relay.relay;
  await relay.relay.setName("Tea house");
  assert.equal(relay.relay.stats().document.sequence, sequence + 1);
  assert.equal(relay.relay.link, link);
  const { crypto, clock, document } = relay;
  const renamed = await verifyDocument(crypto, relay.relay.document(), { nowMs: clock.now() });
  assert.deepEqual([renamed.name, renamed.endpoints], ["Tea house", document.endpoints]);
  const connection = await connectSecure({ transport: relay.transport(), document, crypto, clock });
  assert.equal(connection.greeting.name, "Tea house");
  await connection.close();
});

Deno.test("setSources() signs a new document that names them, where they are others than before", async () => {
  await using relay = await TestRelay.start();
  const { crypto, clock } = relay;
  const { sequence } = relay.relay.stats().document;
  const read = () => verifyDocument(crypto, relay.relay.document(), { nowMs: clock.now() });
  await relay.relay.setSources(["gist:0a", "@octocat"]);
  await relay.relay.setSources(["gist:0a", "@octocat"]);
  assert.equal(relay.relay.stats().document.sequence, sequence + 1);
  assert.deepEqual((await read()).sources, ["gist:0a", "@octocat"]);
  await assert.rejects(relay.relay.setSources(["lan"]), { code: "BAD_DOCUMENT" });
  await relay.relay.setName("Tea house");
  assert.deepEqual((await read()).sources, ["gist:0a", "@octocat"]);
});

Deno.test("changes of the document that come at once are all in the last one", async () => {
  await using relay = await TestRelay.start();
  const { relay: running, crypto, clock } = relay;
  await Promise.all([
    running.setPublicAddresses(["relay.example.org:7700"]),
    running.setName("Tea house"),
    running.setSources(["gist:0a"]),
  ]);
  const { name, endpoints, sources } = await verifyDocument(crypto, running.document(), {
    nowMs: clock.now(),
  });
  assert.deepEqual([name, endpoints, sources], ["Tea house", ["relay.example.org:7700"], ["gist:0a"]]);
});

Deno.test("drain() waits until devices have what waits for them, then says goodbye", async () => {
  await using relay = await TestRelay.start({ listen: { hostname: "127.0.0.1", port: 0 } });
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob", { acknowledge: false });
  const group = await relay.group(alice, bob);
  await alice.send(group, { epoch: 1 });
  const delivery = await bob.deliveries.next();
  const drained = relay.relay.drain();
  for await (const _ of relay.transport()) assert.fail("nobody new gets in");
  assert.ok(Number.isInteger(parseEndpoint(relay.relay.address).port));
  bob.acknowledge(delivery.number + 1);
  await until(relay, drained);
  assert.equal(await bob.ended, "SHUTTING_DOWN");
  assert.equal(await alice.ended, "SHUTTING_DOWN");
  const types = drainEvents(relay);
  assert.deepEqual(types, ["draining", "drained", "stopped"]);
  const event = relay.events.find((event) => event.type === "drained") as { waiting: number };
  assert.equal(event.waiting, 0);
});

Deno.test("drain() ends after its time with whoever does not acknowledge", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob", { acknowledge: false });
  const group = await relay.group(alice, bob);
  await alice.send(group, { epoch: 1 });
  await bob.deliveries.next();
  const startMs = relay.clock.monotonic();
  await until(relay, relay.relay.drain());
  assert.ok(relay.clock.monotonic() - startMs >= DRAIN_TIMEOUT_MS);
  assert.equal(await bob.ended, "SHUTTING_DOWN");
  const event = relay.events.find((event) => event.type === "drained") as { waiting: number };
  assert.equal(event.waiting, 2, "the Welcome and the message");
});

Deno.test("a drain is made shorter by another one, and never longer", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob", { acknowledge: false });
  await alice.send(await relay.group(alice, bob), { epoch: 1 });
  const startMs = relay.clock.monotonic();
  const long = relay.relay.drain({ withinMs: 3_600_000 });
  const short = relay.relay.drain();
  void relay.relay.drain({ withinMs: 3_600_000 });
  await until(relay, Promise.all([long, short]).then(() => {}));
  const tookMs = relay.clock.monotonic() - startMs;
  assert.ok(tookMs >= DRAIN_TIMEOUT_MS && tookMs < 2 * DRAIN_TIMEOUT_MS, `${tookMs} ms`);
});

Deno.test("stop() during a drain ends it at once", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob", { acknowledge: false });
  await alice.send(await relay.group(alice, bob), { epoch: 1 });
  const drained = relay.relay.drain();
  await relay.relay.stop();
  relay.clock.advance(1_000);
  await drained;
});

Deno.test("stats() count connections, handshakes and sessions by what became of them", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  await alice.close();
  const noise = relay.transport();
  await noise.send(Uint8Array.of(0, 0, 0, 2, 9, 9));
  for await (const _ of noise) assert.fail("nothing comes");
  const stats = relay.relay.stats();
  assert.equal(stats.connectionsAccepted, 2);
  assert.deepEqual([stats.sessionsStarted, stats.registrations], [1, 1]);
  assert.deepEqual(stats.sessionsEnded, { bye: 1 });
  assert.equal(Object.values(stats.handshakesFailed).reduce((sum, n) => sum + n, 0), 1);
});

/** Lets the relay's time go on until `done`. */
async function until(relay: TestRelay, done: Promise<void>): Promise<void> {
  let over = false;
  void done.finally(() => over = true);
  while (!over) {
    await new Promise<void>((turn) => setImmediate(turn));
    if (!over) relay.clock.advance(20);
  }
}

function drainEvents(relay: TestRelay): RelayLogEvent["type"][] {
  return relay.events.map(({ type }) => type).filter((type) =>
    ["draining", "drained", "stopped"].includes(type)
  );
}
