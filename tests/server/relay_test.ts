/** The relay as a whole: over TCP, under caps, through key rotations, and to its end. */

import assert from "node:assert/strict";
import {
  connectTcp,
  FakeClock,
  fetchDocument,
  FrameType,
  parseEndpoint,
  parseLink,
  selectProvider,
  toBase64Url,
  type Transport,
  verifyDocument,
} from "../../proto/mod.ts";
import {
  MAINTENANCE_INTERVAL_MS,
  MAX_CONNECTIONS_PER_ADDRESS,
  MAX_PENDING_CONNECTIONS,
  MemoryRelayStore,
  PENDING_GRACE_MS,
  RELAY_KEY_ROTATION_MS,
  type RelayLogEvent,
} from "../../server/mod.ts";
import { RelayIdentity } from "../../server/relay_identity.ts";
import { codeOf, commit, TestRelay } from "./test_relay.ts";

const LOOPBACK = { listen: { hostname: "127.0.0.1", port: 0 }, publicAddresses: undefined };
const DAY_MS = 86_400_000;

Deno.test("over TCP: document, login, group, message, receipt, goodbye", async () => {
  await using relay = await TestRelay.start(LOOPBACK);
  const endpoint = parseEndpoint(relay.relay.address);
  const bytes = await fetchDocument({ transport: await connectTcp(endpoint), clock: relay.clock });
  assert.deepEqual(bytes, relay.relay.document());
  const { fingerprint } = parseLink(relay.relay.link);
  await verifyDocument(relay.crypto, bytes, { nowMs: relay.clock.now(), fingerprint });
  assert.equal(relay.relay.fingerprint, toBase64Url(fingerprint));
  const [alice, bob] = [await relay.connectTcp("alice"), await relay.connectTcp("bob")];
  const group = await relay.group(alice, bob);
  const payload = relay.crypto.randomBytes(2_800);
  assert.equal((await alice.send(group, { epoch: 1, payload, flags: 1 })).queued, 1);
  assert.deepEqual((await bob.deliveries.next()).payload, payload);
  assert.equal((await alice.receipts.next()).devices, 1);
  await relay.relay.stop();
  assert.deepEqual((await alice.events.next()).fields, { type: "shutdown", afterMs: 0 });
  assert.equal(await alice.ended, "SHUTTING_DOWN");
  assert.equal(await bob.ended, "SHUTTING_DOWN");
});

Deno.test("over TCP: noise, half a handshake and sudden ends close their connection and nothing else", async () => {
  await using relay = await TestRelay.start(LOOPBACK);
  const endpoint = parseEndpoint(relay.relay.address);
  const alice = await relay.connectTcp("alice");
  const noises = [
    new Uint8Array(4),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    relay.crypto.randomBytes(5_000),
    Uint8Array.of(0, 0, 0x10, 0, 0x10, 2),
  ];
  for (const noise of noises) {
    const transport = await connectTcp(endpoint);
    await transport.send(noise);
    if (noise.length > 6 || noise[0] === 0xff) assert.equal(await received(transport), 0);
    transport.close();
  }
  for (let i = 0; i < 5; i++) (await connectTcp(endpoint)).close();
  const bob = await relay.connectTcp("bob");
  bob.connection.abort();
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "channels" })), "OK");
  assert.equal(relay.events.filter((event) => event.type === "internal_error").length, 0);
});

Deno.test("one address gets 16 connections, another is served meanwhile, loopback has no limit", async () => {
  await using relay = await TestRelay.start();
  const from = (address: string) => relay.transport({ from: address });
  const held: Transport[] = [];
  for (let i = 0; i < MAX_CONNECTIONS_PER_ADDRESS; i++) held.push(from(`192.0.2.7:${5_000 + i}`));
  assert.equal(await received(from("192.0.2.7:6000")), 0);
  assert.equal(relay.relay.stats().connections, MAX_CONNECTIONS_PER_ADDRESS);
  for (let i = 0; i < 20; i++) held.push(relay.transport());
  await relay.connect("alice", { transport: from("192.0.2.8:5000") });
  held.shift()!.close();
  await until(() => relay.relay.stats().connections < MAX_CONNECTIONS_PER_ADDRESS + 21);
  await relay.connect("bob", { transport: from("192.0.2.7:6001") });
  for (const transport of held) transport.close();
  const refusals = relay.events.filter((event) => event.type === "connection_refused");
  assert.deepEqual(refusals, [{ type: "connection_refused", reason: "too_many_from_address" }]);
});

Deno.test("connections that do not log in are capped, and who is logged in goes on", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const held = Array.from({ length: MAX_PENDING_CONNECTIONS }, () => relay.transport());
  assert.equal(await received(relay.transport()), 0);
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "list" })), "OK");
  for (const transport of held) transport.close();
});

Deno.test("a flood through a tunnel, where all come from loopback, stops neither who is there nor who comes", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice", { transport: relay.transport({ from: "127.0.0.1:1" }) });
  const flood = Array.from(
    { length: MAX_PENDING_CONNECTIONS },
    () => relay.transport({ from: "127.0.0.1:2" }),
  );
  const bob = await relay.connect("bob", { transport: relay.transport({ from: "192.0.2.7:1" }) });
  flood.push(relay.transport({ from: "127.0.0.1:2" }));
  assert.equal(await received(relay.transport({ from: "127.0.0.1:3" })), 0, "too many just now");
  relay.clock.advance(PENDING_GRACE_MS);
  for (let i = 0; i < 100; i++) flood.push(relay.transport({ from: "127.0.0.1:2" }));
  const carol = await relay.connect("carol", { transport: relay.transport({ from: "127.0.0.1:4" }) });
  for (const client of [alice, bob, carol]) {
    assert.equal(await codeOf(client.request(FrameType.GROUP, { op: "list" })), "OK");
  }
  assert.equal(await received(flood[0]), 0, "the oldest was displaced");
  for (const transport of flood) transport.close();
  await until(() => relay.relay.stats().connections === 3);
});

Deno.test("maxPerIp changes the cap, and 0 lifts it", async () => {
  await using strict = await TestRelay.start({ limits: { maxPerIp: 1 } });
  const first = strict.transport({ from: "192.0.2.7:1" });
  assert.equal(await received(strict.transport({ from: "192.0.2.7:2" })), 0);
  first.close();
  await using open = await TestRelay.start({ limits: { maxPerIp: 0 } });
  const held = Array.from({ length: 40 }, (_, i) => open.transport({ from: `192.0.2.7:${i}` }));
  assert.equal(open.relay.stats().connections, 40);
  for (const transport of held) transport.close();
});

Deno.test("the relay key is replaced before 30 days and the document before it expires, with as few documents as that takes", async () => {
  const clock = new FakeClock();
  const crypto = await selectProvider();
  const identity = await RelayIdentity.load({ store: new MemoryRelayStore(), crypto, clock, log: () => {} });
  await identity.publish({ name: "test", endpoints: ["relay.test:7700"] });
  const keyIds = new Set<string>();
  let sequence = 0;
  for (let hour = 0; hour < 60 * 24; hour++) {
    const document = await verifyDocument(crypto, identity.document, { nowMs: clock.now() });
    assert.ok(document.expiresAtMs - clock.now() > 3 * DAY_MS && document.sequence >= sequence);
    sequence = document.sequence;
    keyIds.add(toBase64Url(document.relayKey.id));
    clock.advance(MAINTENANCE_INTERVAL_MS);
    await identity.maintain();
  }
  assert.equal(keyIds.size, 1 + Math.floor(60 * DAY_MS / RELAY_KEY_ROTATION_MS));
  assert.ok(sequence <= 25, `${sequence} documents`);
  assert.equal(identity.keys.length, 2, "the one in use and the one that documents may still name");
});

Deno.test("a client with an older document gets in after the relay key was replaced", async () => {
  const documents: Uint8Array[] = [];
  await using relay = await TestRelay.start({ onDocument: (document) => documents.push(document) });
  relay.clock.jump(relay.clock.now() + RELAY_KEY_ROTATION_MS);
  relay.clock.advance(MAINTENANCE_INTERVAL_MS);
  await until(() => documents.length === 2);
  const { crypto, clock } = relay;
  const document = await verifyDocument(crypto, documents[1], { nowMs: clock.now() });
  assert.notDeepEqual(document.relayKey.id, relay.document.relayKey.id);
  await relay.connect("alice");
  await relay.connect("bob", { document });
});

Deno.test("other addresses make a new document with the next sequence number, and a new link", async () => {
  await using relay = await TestRelay.start();
  await relay.relay.setPublicAddresses(["tunnel.example:4321", "[2001:db8::7]:7700"]);
  const { crypto, clock } = relay;
  const document = await verifyDocument(crypto, relay.relay.document(), { nowMs: clock.now() });
  assert.deepEqual(document.endpoints, ["tunnel.example:4321", "[2001:db8::7]:7700"]);
  assert.equal(document.sequence, relay.document.sequence + 1);
  assert.equal(parseLink(relay.relay.link).hostname, "tunnel.example");
});

Deno.test("startRelay() says so when the port is taken, and leaves nothing behind", async () => {
  await using relay = await TestRelay.start(LOOPBACK);
  await assert.rejects(TestRelay.start({ listen: parseEndpoint(relay.relay.address) }), {
    code: "UNREACHABLE",
  });
  const listen = { hostname: "127.0.0.1", port: 0 };
  await assert.rejects(TestRelay.start({ listen, publicAddresses: ["no address"] }));
});

Deno.test("an abort signal stops the relay", async () => {
  const controller = new AbortController();
  const relay = await TestRelay.start({ signal: controller.signal });
  const alice = await relay.connect("alice");
  controller.abort();
  assert.equal(await alice.ended, "SHUTTING_DOWN");
  await relay.stop();
});

Deno.test("a log that throws ends nothing, and no log event names an account, a device or a group", async () => {
  const events: RelayLogEvent[] = [];
  const log = (event: RelayLogEvent) => {
    events.push(event);
    throw new Error("the disk is full");
  };
  await using relay = await TestRelay.start({ log });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  await codeOf(alice.send(group, { epoch: 9 }));
  await codeOf(relay.connect("alice"));
  await relay.stop();
  const text = JSON.stringify(events);
  for (const secret of ["alice", "bob", group, alice.device.device, bob.device.device]) {
    assert.equal(text.includes(secret), false, text);
  }
});

Deno.test("an error inside the relay is INTERNAL for who asked, logged, and nothing for others", async () => {
  class BrokenStore extends MemoryRelayStore {
    override channels(): never {
      throw new Error("disk I/O error");
    }
  }
  await using relay = await TestRelay.start({ store: new BrokenStore() });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "channels" })), "INTERNAL");
  assert.equal(await codeOf(alice.request(FrameType.GROUP, { op: "list" })), "OK");
  assert.equal(await codeOf(bob.request(FrameType.GROUP, { op: "list" })), "OK");
  assert.equal(relay.events.filter((event) => event.type === "internal_error").length, 1);
});

Deno.test("a commit that cannot be written is neither answered OK nor delivered", async () => {
  let broken = false;
  class BrokenStore extends MemoryRelayStore {
    override commit(...args: Parameters<MemoryRelayStore["commit"]>): boolean {
      if (broken) throw new Error("disk full");
      return super.commit(...args);
    }
  }
  await using relay = await TestRelay.start({ store: new BrokenStore() });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  broken = true;
  assert.equal(await codeOf(commit(alice, group, { epoch: 1 })), "INTERNAL");
  broken = false;
  assert.equal(await commit(alice, group, { epoch: 1 }), 2);
  assert.equal((await bob.deliveries.next()).kind, 2);
  assert.equal(bob.deliveries.waiting, 0);
});

Deno.test("a channel of a thousand members can be listed", async () => {
  const store = new MemoryRelayStore();
  await using large = await TestRelay.start({ store });
  const alice = await large.connect("alice");
  const group = await large.channel("#general", alice);
  const members = Array.from({ length: 999 }, (_, i) => ({
    account: `somebody-with-a-long-name-${String(i).padStart(6, "0")}` as typeof alice.device.account,
    device: i.toString(16).padStart(32, "0") as typeof alice.device.device,
  }));
  store.commit({
    group,
    epoch: 0,
    hash: new Uint8Array(32),
    commit: new Uint8Array(1),
    add: members,
    remove: [],
    atMs: 0,
  });
  await large.relay.stop();
  await using again = await TestRelay.start({ store });
  const back = await again.connect(alice.device);
  const { fields } = await back.request(FrameType.GROUP, { op: "members", group });
  assert.equal((fields.members as unknown[]).length, 1_000);
  const full = await again.connect("late");
  assert.equal(await codeOf(commit(full, group, { epoch: 1, external: true })), "QUOTA");
});

/** Bytes that come until the other side closes. */
async function received(transport: Transport): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of transport) bytes += chunk.length;
  } catch {
    // A reset is an end as well.
  }
  transport.close();
  return bytes;
}

/** Gives others their turn until `holds`. */
async function until(holds: () => boolean): Promise<void> {
  const crypto = await selectProvider();
  for (let turn = 0; turn < 1_000 && !holds(); turn++) await crypto.signatureKeyPair("ML-DSA-44");
  assert.ok(holds());
}
