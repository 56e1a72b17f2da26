/** A device that comes back while the relay still believes in its old connection. */

import assert from "node:assert/strict";
import { FrameType } from "../../proto/mod.ts";
import { HalfOpenTransport } from "../helpers/half_open.ts";
import type { RawClient } from "./raw_client.ts";
import { TestRelay } from "./test_relay.ts";

async function send(from: RawClient, group: Parameters<RawClient["send"]>[0], ...bytes: number[]) {
  for (const byte of bytes) await from.send(group, { epoch: 1, payload: Uint8Array.of(byte) });
}

Deno.test("what went into a dead connection comes again on the new one: all of it, in order, under the same numbers", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const line = new HalfOpenTransport(relay.transport());
  const bob = await relay.connect("bob", { transport: line });
  const group = await relay.group(alice, bob);
  await send(alice, group, 0);
  await bob.deliveries.next();
  await bob.request(FrameType.GROUP, { op: "list" }); // its acknowledgement has come before this
  line.cut();
  await send(alice, group, 1, 2, 3);

  const back = await relay.connect(bob.device);
  assert.deepEqual([back.login.next, back.login.backlog, back.login.gap], [2, 3, false]);
  await send(alice, group, 4, 5);
  const deliveries = await back.deliveries.take(5);
  assert.deepEqual(deliveries.map(({ payload }) => payload[0]), [1, 2, 3, 4, 5]);
  assert.deepEqual(deliveries.map(({ number }) => number), [2, 3, 4, 5, 6]);
  assert.equal(bob.deliveries.waiting, 0);
  line.dispose();
});

Deno.test("a dead connection is replaced at once, however much waits in it, and its end takes nothing from the new one", async () => {
  await using relay = await TestRelay.start({ limits: { messagesPerSecond: 10_000, messageBurst: 10_000 } });
  const alice = await relay.connect("alice");
  const line = new HalfOpenTransport(relay.transport({ bufferBytes: 4_096 }));
  const bob = await relay.connect("bob", { transport: line, acknowledge: false });
  const group = await relay.group(alice, bob);
  bob.acknowledge();
  await bob.request(FrameType.GROUP, { op: "list" });
  line.cut();
  const payload = (byte: number) => new Uint8Array(20_000).fill(byte);
  for (let i = 0; i < 40; i++) await alice.send(group, { epoch: 1, payload: payload(i) });

  const back = await relay.connect(bob.device);
  assert.deepEqual((await back.deliveries.take(40)).map(({ payload }) => payload[0]), [...Array(40).keys()]);
  relay.clock.advance(5_000); // longer than the goodbye to the old connection may take
  await send(alice, group, 40);
  assert.equal((await back.deliveries.next()).payload[0], 40);
  await alice.request(FrameType.GROUP, { op: "list" });
  assert.equal(relay.relay.stats().sessions, 2);
  const ends = relay.events.filter((event) => event.type === "session_ended");
  assert.deepEqual(ends.map((event) => "reason" in event && event.reason), ["replaced"]);
  line.dispose();
});
