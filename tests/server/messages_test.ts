/** Messages: order, acknowledgement, receipts, limits, and readers that do not read. */

import assert from "node:assert/strict";
import {
  connectSecure,
  createAuth,
  DeliveryKind,
  encodeControl,
  encodeDelivered,
  FrameType,
  MAX_ENVELOPE_BYTES,
  MessageFlag,
} from "../../proto/mod.ts";
import {
  ACKNOWLEDGE_TIMEOUT_MS,
  MAX_REFUSALS_IN_ROW,
  MemoryMailboxStore,
  MESSAGE_BURST,
  PING_AFTER_MS,
  SILENCE_TIMEOUT_MS,
  STALL_TIMEOUT_MS,
  SWEEP_INTERVAL_MS,
} from "../../server/mod.ts";
import type { RawClient } from "./raw_client.ts";
import { codeOf, commit, SUITE, TestRelay } from "./test_relay.ts";

/** No rate limit in the way. */
const FAST = { limits: { messagesPerSecond: 1_000_000, messageBurst: 1_000_000 } };

const NONE_MISSING = { lost: 0, room: 0 };

Deno.test("a message reaches every other device once, in the order of acceptance, and not its sender", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  for (let i = 0; i < 20; i++) {
    const sender = i % 2 === 0 ? alice : bob;
    const accepted = await sender.send(group, { epoch: 1, payload: Uint8Array.of(i) });
    assert.deepEqual([accepted.queued, accepted.full], [2, 0]);
  }
  const got = await carol.deliveries.take(20);
  assert.deepEqual(got.map(({ payload }) => payload[0]), Array.from({ length: 20 }, (_, i) => i));
  assert.deepEqual(got.map(({ number }) => number), Array.from({ length: 20 }, (_, i) => i + 1));
  assert.equal((await alice.deliveries.take(10)).every(({ payload }) => payload[0] % 2 === 1), true);
});

Deno.test("a message for another epoch than the group's is refused with that epoch", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const group = await relay.group(alice);
  await assert.rejects(alice.send(group, { epoch: 1 }), { code: "STALE_EPOCH" });
  await commit(alice, group, { epoch: 0 });
  await assert.rejects(alice.send(group, { epoch: 0 }), (error: { details: { epoch: number } }) => {
    assert.equal(error.details.epoch, 1);
    return true;
  });
  assert.deepEqual(await codeOf(alice.send(group, { epoch: 1 })), "OK");
});

Deno.test("a message over the limit is refused, and the connection goes on", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const group = await relay.group(alice);
  const payload = new Uint8Array(MAX_ENVELOPE_BYTES + 1);
  assert.equal(await codeOf(alice.send(group, { epoch: 0, payload })), "TOO_LARGE");
  assert.equal(await codeOf(alice.send(group, { epoch: 0, payload: payload.subarray(1) })), "OK");
});

Deno.test("what is not acknowledged comes again on the next connection, under the same numbers", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob", { acknowledge: false })];
  const group = await relay.group(alice, bob);
  for (let i = 0; i < 5; i++) await alice.send(group, { epoch: 1, payload: Uint8Array.of(i) });
  await bob.deliveries.take(5);
  bob.acknowledge(3); // the Welcome and two messages
  await bob.request(FrameType.GROUP, { op: "list" });
  await bob.close();
  await alice.send(group, { epoch: 1, payload: Uint8Array.of(5) });
  const back = await relay.connect(bob.device);
  assert.deepEqual([back.login.next, back.login.backlog, back.login.gap], [3, 4, false]);
  assert.deepEqual((await back.deliveries.take(4)).map(({ payload }) => payload[0]), [2, 3, 4, 5]);
});

Deno.test("RECEIPT comes for the first device and when all have it, also to a sender that was away", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const others = await Promise.all(
    ["bob", "carol", "dave"].map((name) => relay.connect(name, { acknowledge: false })),
  );
  const group = await relay.group(alice, ...others);
  const envelope = new Uint8Array(16).fill(9);
  await alice.send(group, { epoch: 1, flags: MessageFlag.RECEIPT, envelope });
  const [bob, carol, dave] = others;
  for (const client of others) await client.deliveries.next();
  bob.acknowledge();
  assert.deepEqual(await alice.receipts.next(), {
    envelope,
    devices: 1,
    ofDevices: 3,
    people: 1,
    ofPeople: 3,
    ...NONE_MISSING,
  });
  await alice.close();
  for (const client of [carol, dave]) {
    client.acknowledge();
    await client.request(FrameType.GROUP, { op: "list" });
  }
  const back = await relay.connect(alice.device);
  assert.deepEqual(await back.receipts.next(), {
    envelope,
    devices: 3,
    ofDevices: 3,
    people: 3,
    ofPeople: 3,
    ...NONE_MISSING,
  });
  assert.equal(back.receipts.waiting, 0);
});

Deno.test("RECEIPT counts people as well as devices, and comes when everybody has the message on one device", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const laptop = await relay.connect(await relay.device("alice", { identity: alice.device.identity }), {
    acknowledge: false,
  });
  const bob = await relay.connect("bob", { acknowledge: false });
  const phone = await relay.connect(await relay.device("bob", { identity: bob.device.identity }), {
    acknowledge: false,
  });
  const carol = await relay.connect("carol", { acknowledge: false });
  const group = await relay.group(alice, laptop, bob, phone, carol);
  const envelope = new Uint8Array(16).fill(9);
  await alice.send(group, { epoch: 1, flags: MessageFlag.RECEIPT, envelope });
  const stored = async (client: RawClient) => {
    await client.deliveries.next();
    client.acknowledge();
    await client.request(FrameType.GROUP, { op: "list" });
  };
  const of = { envelope, ofDevices: 4, ofPeople: 2, ...NONE_MISSING };
  await stored(laptop);
  assert.deepEqual(await alice.receipts.next(), { ...of, devices: 1, people: 0 });
  await stored(phone);
  await stored(carol);
  assert.deepEqual(await alice.receipts.next(), { ...of, devices: 3, people: 2 });
  await stored(bob);
  assert.deepEqual(await alice.receipts.next(), { ...of, devices: 4, people: 2 });
  assert.equal(alice.receipts.waiting, 0);
});

Deno.test("ephemeral messages reach who is connected and are never kept", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  await carol.close();
  const accepted = await alice.send(group, { epoch: 1, flags: MessageFlag.EPHEMERAL });
  assert.equal(accepted.queued, 1);
  await bob.deliveries.next();
  assert.equal((await relay.connect(carol.device)).login.backlog, 0);
});

Deno.test("a full mailbox is QUOTA for the sender when it was the only one, and counted when it was not", async () => {
  const mailboxes = new MemoryMailboxStore({ entries: 8 });
  await using relay = await TestRelay.start({ mailboxes });
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const pair = await relay.group(alice, bob);
  const trio = await relay.group(alice, bob, carol);
  await bob.request(FrameType.GROUP, { op: "list" });
  await bob.close();
  // A quarter of the mailbox is alice's share.
  for (let i = 0; i < 2; i++) await alice.send(pair, { epoch: 1 });
  assert.equal(await codeOf(alice.send(pair, { epoch: 1 })), "QUOTA");
  const accepted = await alice.send(trio, { epoch: 1 });
  assert.deepEqual([accepted.queued, accepted.full], [1, 1]);
  const back = await relay.connect(bob.device);
  await back.deliveries.take(2);
  await back.request(FrameType.GROUP, { op: "list" });
  assert.equal(await codeOf(alice.send(pair, { epoch: 1 })), "OK");
});

Deno.test("who misses messages for a full mailbox gets one GAP behind what it has, and no receipt says otherwise", async () => {
  const mailboxes = new MemoryMailboxStore({ entries: 8 });
  await using relay = await TestRelay.start({ mailboxes });
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  await bob.request(FrameType.GROUP, { op: "list" });
  await bob.close();
  const envelope = new Uint8Array(16).fill(9);
  for (let i = 0; i < 4; i++) {
    await alice.send(group, {
      epoch: 1,
      flags: MessageFlag.RECEIPT,
      envelope: i === 3 ? envelope : undefined,
    });
    await carol.deliveries.next();
  }
  const receipts = await alice.receipts.take(4);
  const last = { envelope, devices: 1, ofDevices: 2, people: 1, ofPeople: 2, ...NONE_MISSING };
  assert.deepEqual(receipts.at(-1), last, "never all of them");
  const back = await relay.connect(bob.device);
  const kinds = (await back.deliveries.take(3)).map(({ kind }) => kind);
  assert.deepEqual(kinds, [DeliveryKind.APPLICATION, DeliveryKind.APPLICATION, DeliveryKind.GAP]);
  await back.request(FrameType.GROUP, { op: "list" });
  assert.equal(back.deliveries.waiting, 0);
  assert.equal((await alice.send(group, { epoch: 1 })).queued, 2);
  const room = (await alice.receipts.take(4)).slice(2); // bob has the first two
  assert.deepEqual(room.map(({ devices, lost, room }) => [devices, lost, room]), [[1, 0, 1], [1, 0, 1]]);
  assert.deepEqual(room[1].envelope, envelope, "it can be sent again");
});

Deno.test("a message that only an own device has room for is QUOTA: it is queued for nobody, and marks nothing", async () => {
  const mailboxes = new MemoryMailboxStore({ entries: 8 });
  await using relay = await TestRelay.start({ mailboxes });
  const alice = await relay.connect("alice");
  const laptop = await relay.connect(await relay.device("alice", { identity: alice.device.identity }));
  const bob = await relay.connect("bob");
  const group = await relay.group(alice, laptop, bob);
  await bob.request(FrameType.GROUP, { op: "list" });
  await bob.close();
  for (let i = 0; i < 2; i++) await alice.send(group, { epoch: 1 });
  for (let i = 0; i < 3; i++) assert.equal(await codeOf(alice.send(group, { epoch: 1 })), "QUOTA");
  await laptop.deliveries.take(2);
  await laptop.request(FrameType.GROUP, { op: "list" });
  assert.equal(laptop.deliveries.waiting, 0);
  assert.equal((await relay.connect(bob.device)).login.backlog, 2);
});

Deno.test("who could not open a message counts as nobody who has it, and its sender hears so", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const [bob, carol] = await Promise.all(
    ["bob", "carol"].map((name) => relay.connect(name, { acknowledge: false })),
  );
  const group = await relay.group(alice, bob, carol);
  const envelope = new Uint8Array(16).fill(9);
  await alice.send(group, { epoch: 1, flags: MessageFlag.RECEIPT, envelope });
  const { number } = await bob.deliveries.next();
  await carol.deliveries.next();
  bob.connection.queue(encodeDelivered(number + 1, [number]));
  const none = { envelope, devices: 0, ofDevices: 2, people: 0, ofPeople: 2, lost: 1, room: 0 };
  assert.deepEqual(await alice.receipts.next(), none);
  carol.acknowledge();
  assert.deepEqual(await alice.receipts.next(), { ...none, devices: 1, people: 1 });
  bob.connection.queue(encodeDelivered(number + 1, [number]), encodeDelivered(number + 1));
  await bob.request(FrameType.GROUP, { op: "list" });
  assert.equal(alice.receipts.waiting, 0, "once is once");
  bob.connection.queue(encodeDelivered(number, [number]));
  assert.equal(await bob.ended, "BAD_FRAME");
});

Deno.test("QUOTA answers do not end the connection that gets them, however many", async () => {
  const mailboxes = new MemoryMailboxStore({ entries: 1 });
  await using relay = await TestRelay.start({ ...FAST, mailboxes });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  await bob.request(FrameType.GROUP, { op: "list" });
  await bob.close();
  await alice.send(group, { epoch: 1 });
  const answers = Array.from(
    { length: MAX_REFUSALS_IN_ROW + 10 },
    () => codeOf(alice.send(group, { epoch: 1 })),
  );
  assert.deepEqual(new Set(await Promise.all(answers)), new Set(["QUOTA"]));
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "list" })), "OK");
});

Deno.test("commits for a full mailbox become a GAP marker, and the log has them", async () => {
  const mailboxes = new MemoryMailboxStore({ entries: 4 });
  await using relay = await TestRelay.start({ mailboxes });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  await bob.close();
  for (let epoch = 1; epoch < 12; epoch++) await commit(alice, group, { epoch });
  const back = await relay.connect(bob.device);
  const first = await back.deliveries.next();
  assert.equal(first.kind, DeliveryKind.GAP);
  const { blobs } = await back.request(FrameType.GROUP, { op: "sync", group, epoch: 1 });
  assert.equal(blobs.length, 11);
  assert.ok(relay.events.some((event) => event.type === "mailbox_collapsed"));
});

Deno.test("messages over the rate are refused with the time to wait, for the account and not the device", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const { identity } = alice.device;
  const laptop = await relay.connect(await relay.device("alice", { identity }));
  const group = await relay.group(alice, laptop);
  for (let i = 0; i < MESSAGE_BURST; i++) await alice.send(group, { epoch: 1 });
  await assert.rejects(alice.send(group, { epoch: 1 }), (error: { details: Record<string, unknown> }) => {
    assert.equal(error.details.code, "RATE_LIMITED");
    assert.equal(error.details.retryAfterMs, 50);
    return true;
  });
  assert.equal(await codeOf(laptop.send(group, { epoch: 1 })), "RATE_LIMITED");
  relay.clock.advance(50);
  assert.equal(await codeOf(laptop.send(group, { epoch: 1 })), "OK");
});

Deno.test("a device that goes on over the rate is disconnected, and nobody else notices", async () => {
  await using relay = await TestRelay.start();
  const [mallory, alice, bob] = [
    await relay.connect("mallory"),
    await relay.connect("alice"),
    await relay.connect("bob"),
  ];
  const flooded = await relay.group(mallory, bob);
  const group = await relay.group(alice, bob);
  const flood = Array.from(
    { length: MESSAGE_BURST + MAX_REFUSALS_IN_ROW + 100 },
    () => codeOf(mallory.send(flooded, { epoch: 1 })),
  );
  assert.equal(await codeOf(alice.send(group, { epoch: 1 })), "OK");
  assert.equal(await mallory.ended, "RATE_LIMITED");
  assert.equal((await Promise.all(flood)).filter((code) => code === "OK").length, MESSAGE_BURST);
  const got = await bob.deliveries.take(MESSAGE_BURST + 1);
  assert.equal(got.length, MESSAGE_BURST + 1);
});

Deno.test("KeyPackages are handed out once, then the last resort; who drains them is slowed down", async () => {
  await using relay = await TestRelay.start();
  const [alice, mallory] = [await relay.connect("alice"), await relay.connect("mallory")];
  const keys = (client: RawClient, fields: Record<string, unknown>, blobs: Uint8Array[] = []) =>
    client.request(FrameType.KEYS, { suite: SUITE, ...fields }, blobs);
  const packages = Array.from({ length: 9 }, (_, i) => Uint8Array.of(i));
  const published = await keys(alice, { op: "publish", lastResort: true }, [Uint8Array.of(99), ...packages]);
  assert.equal(published.fields.unused, 9);
  const claimed: number[] = [];
  for (let i = 0; i < 60; i++) {
    const { fields, blobs } = await keys(mallory, { op: "claim", account: "alice" });
    assert.deepEqual(fields.devices, [alice.device.device]);
    claimed.push(blobs[0][0]);
  }
  assert.deepEqual(claimed.slice(0, 9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(claimed.slice(9).every((byte) => byte === 99), true);
  assert.equal(await codeOf(keys(mallory, { op: "claim", account: "alice" })), "RATE_LIMITED");
  assert.deepEqual((await alice.events.next()).fields, { type: "keys_low", suite: SUITE, unused: 7 });
  const tooMany = Array.from({ length: 65 }, (_, i) => Uint8Array.of(i));
  assert.equal(await codeOf(keys(alice, { op: "publish" }, tooMany)), "QUOTA");
  assert.equal(await codeOf(keys(alice, { op: "claim", account: "nobody" })), "NOT_FOUND");
  assert.equal(await codeOf(keys(alice, { op: "lookup", account: "nobody" })), "NOT_FOUND");
  assert.deepEqual(
    (await keys(alice, { op: "claim", account: "alice" })).fields.devices,
    [],
    "not one's own device",
  );
  await alice.close();
  assert.deepEqual((await relay.connect(alice.device)).login.keyPackages, { [SUITE]: 0 });
});

Deno.test("requests that are unknown or malformed get one answer each; one without an id ends the connection", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const group = relay.randomGroup();
  const cases: [FrameType, Record<string, unknown>, string][] = [
    [FrameType.GROUP, { op: "frobnicate" }, "UNSUPPORTED"],
    [FrameType.GROUP, {}, "UNSUPPORTED"],
    [0x2e as FrameType, { op: "anything" }, "UNSUPPORTED"],
    [FrameType.EVENT, { type: "left" }, "UNSUPPORTED"],
    [FrameType.GROUP, { op: "sync", group: "xyz", epoch: 0 }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "sync", group, epoch: -1 }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "sync", group, epoch: 1.5 }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "create", group, kind: "party", suite: SUITE }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "create", group, kind: "group", suite: 1 }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "create", group, kind: "group", suite: SUITE, name: "a\u202eb" }, "BAD_REQUEST"],
    [
      FrameType.GROUP,
      { op: "create", group, kind: "group", suite: SUITE, name: "x".repeat(65) },
      "BAD_REQUEST",
    ],
    [FrameType.GROUP, { op: "create", group, kind: "channel", suite: SUITE, name: "#\u0430" }, "BAD_REQUEST"],
    [FrameType.GROUP, { op: "commit", group, epoch: 0 }, "BAD_REQUEST"],
    [FrameType.JOIN, { channel: "general" }, "BAD_REQUEST"],
    [FrameType.JOIN, { channel: ["#general"] }, "BAD_REQUEST"],
    [FrameType.KEYS, { op: "publish", suite: SUITE }, "BAD_REQUEST"],
    [FrameType.KEYS, { op: "claim", account: "\u200balice", suite: SUITE }, "BAD_REQUEST"],
  ];
  for (const [type, fields, code] of cases) assert.equal(await codeOf(alice.request(type, fields)), code);
  alice.connection.queue({ type: 0x7f as FrameType, parts: [new Uint8Array(3)] }); // skipped
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "list" })), "OK");
  alice.connection.queue(...encodeControl(FrameType.GROUP, { op: "list" }));
  assert.equal(await alice.ended, "BAD_REQUEST");
});

Deno.test("a reader that stalls does not slow others, and is disconnected", async () => {
  await using relay = await TestRelay.start(FAST);
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob");
  const stalled = await relay.device("stalled");
  const first = await relay.connect(stalled);
  const group = await relay.group(alice, bob, first);
  await first.close();
  // A connection that logs in and then never reads again.
  const { crypto, clock, document } = relay;
  const connection = await connectSecure({
    transport: relay.transport({ bufferBytes: 4_096 }),
    crypto,
    clock,
    document,
  });
  await login(relay, connection, stalled);
  for (let i = 0; i < 100; i++) {
    await alice.send(group, { epoch: 1, payload: new Uint8Array(20_000) });
    await bob.deliveries.next();
  }
  assert.equal(relay.relay.stats().sessions, 3);
  relay.clock.advance(STALL_TIMEOUT_MS + SWEEP_INTERVAL_MS);
  await bob.request(FrameType.GROUP, { op: "list" });
  assert.equal(relay.relay.stats().sessions, 2);
  assert.ok(relay.events.some((event) => event.type === "session_ended" && event.reason === "stalled"));
  const back = await relay.connect(stalled);
  assert.equal((await back.deliveries.take(100)).length, 100, "nothing is lost");
});

Deno.test("a stalled reader whose mailbox overflows is disconnected at once", async () => {
  await using relay = await TestRelay.start({ ...FAST, mailboxes: new MemoryMailboxStore({ entries: 80 }) });
  const alice = await relay.connect("alice");
  const stalled = await relay.device("stalled");
  const first = await relay.connect(stalled);
  const group = await relay.group(alice, first);
  await first.close();
  const { crypto, clock, document } = relay;
  const connection = await connectSecure({
    transport: relay.transport({ bufferBytes: 4_096 }),
    crypto,
    clock,
    document,
  });
  await login(relay, connection, stalled);
  const big = new Uint8Array(60_000);
  for (let i = 0; i < 20; i++) await alice.send(group, { epoch: 1, payload: big });
  relay.clock.advance(5_000);
  assert.equal(await codeOf(alice.send(group, { epoch: 1, payload: big })), "QUOTA");
  await alice.request(FrameType.GROUP, { op: "list" });
  assert.equal(relay.relay.stats().sessions, 1);
});

Deno.test("a reader that never acknowledges is disconnected", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const bob = await relay.connect("bob", { acknowledge: false });
  await relay.group(alice, bob);
  relay.clock.advance(ACKNOWLEDGE_TIMEOUT_MS + SWEEP_INTERVAL_MS);
  assert.equal(await bob.ended, "TRUNCATED");
});

Deno.test("a silent connection is asked for a sign of life; without one it is cut", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  relay.clock.advance(PING_AFTER_MS + SWEEP_INTERVAL_MS);
  await alice.request(FrameType.GROUP, { op: "list" });
  relay.clock.advance(PING_AFTER_MS + SWEEP_INTERVAL_MS);
  await alice.request(FrameType.GROUP, { op: "list" });
  assert.equal(relay.relay.stats().sessions, 1);
  relay.clock.advance(SILENCE_TIMEOUT_MS + SWEEP_INTERVAL_MS);
  assert.equal(await alice.ended, "TRUNCATED");
});

Deno.test("an acknowledgement of what was never sent ends the connection that sent it", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  bob.connection.queue(encodeDelivered(1_000));
  assert.equal(await bob.ended, "BAD_FRAME");
  assert.equal((await alice.send(group, { epoch: 1 })).queued, 1);
});

/** AUTH on a connection whose answers nobody will read. */
async function login(
  relay: TestRelay,
  connection: Awaited<ReturnType<typeof connectSecure>>,
  device: Awaited<ReturnType<TestRelay["device"]>>,
): Promise<void> {
  const { blobs } = await createAuth(relay.crypto, {
    connection,
    account: device.account,
    certificate: device.certificate,
    devicePublicKey: device.keys.publicKey,
    devicePrivateKey: device.keys.privateKey,
  });
  connection.queue(...encodeControl(FrameType.AUTH, { id: 1, account: device.account }, { blobs }));
  const frames = await connection.receive();
  assert.equal(frames?.[0].type, FrameType.AUTH_OK);
}
