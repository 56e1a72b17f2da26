/** Several devices of one account: how one is let in, what the others hear, and how one is taken back. */

import assert from "node:assert/strict";
import {
  connectSecure,
  decodeControl,
  type DeviceId,
  encodeControl,
  encodeStatement,
  FakeClock,
  FrameType,
  ObjectAssembler,
  type RendezvousId,
  revokeContent,
  solvePow,
} from "../../proto/mod.ts";
import type { RawClient, TestDevice } from "./raw_client.ts";
import { codeOf, commit, SUITE, TestRelay } from "./test_relay.ts";

const MEETING = "ab".repeat(16) as RendezvousId;
const REQUEST = new Uint8Array(3_000).fill(1);
const ANSWER = new Uint8Array(10_900).fill(2);

/** Asks at a rendezvous like a device without an account. @returns the answer's bytes, or the code of the refusal */
async function ask(
  relay: TestRelay,
  rendezvous: string,
  options: { box?: Uint8Array; pow?: string } = {},
): Promise<Uint8Array | string> {
  const { crypto, clock, document } = relay;
  const connection = await connectSecure({ transport: relay.transport(), document, crypto, clock });
  const { exporter, greeting } = connection;
  const bits = greeting.powBits;
  const pow = options.pow ??
    await solvePow(crypto, { exporter, rendezvous: rendezvous as RendezvousId, bits });
  const blobs = [options.box ?? REQUEST];
  connection.queue(...encodeControl(FrameType.LINK, { id: 7, rendezvous, pow }, { blobs }));
  try {
    const [frame] = await connection.receive() ?? [];
    if (frame === undefined) return "BYE";
    const { fields, blobs } = decodeControl(frame.body, new ObjectAssembler());
    assert.equal(fields.id, 7);
    assert.equal(await connection.receive(), null, "the relay closes");
    return frame.type === FrameType.OK ? blobs[0] : String(fields.code);
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const keys = (client: RawClient, fields: Record<string, unknown>, ...blobs: Uint8Array[]) =>
  client.request(FrameType.KEYS, fields, blobs);

/** A further device of the client's person. */
function another(relay: TestRelay, client: RawClient): Promise<TestDevice> {
  return relay.device(client.device.account, { identity: client.device.identity });
}

async function revocation(
  relay: TestRelay,
  signer: TestDevice,
  device: DeviceId,
  account = signer.account,
): Promise<Uint8Array> {
  const content = revokeContent({ account, device });
  const signature = await relay.crypto.sign("ML-DSA-65", signer.identity.privateKey, content);
  return encodeStatement({ kind: "revoke", device, signature });
}

Deno.test("LINK: the request reaches whoever opened the rendezvous, the answer goes back, and it is used up", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  await keys(alice, { op: "link", rendezvous: MEETING });
  const asking = ask(relay, MEETING);
  const event = await alice.events.next();
  assert.deepEqual(event.fields, { type: "link", rendezvous: MEETING });
  assert.deepEqual(event.blobs[0].slice(), REQUEST);
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "one asks at a time");
  const bob = await relay.connect("bob");
  const answer = { op: "link_answer", rendezvous: MEETING };
  assert.equal(await codeOf(keys(bob, answer, ANSWER)), "NOT_FOUND", "it is not bob's");
  assert.equal(await codeOf(keys(bob, { op: "link", rendezvous: MEETING })), "CONFLICT");
  await keys(alice, answer, ANSWER);
  assert.deepEqual((await asking as Uint8Array).slice(), ANSWER);
  assert.equal(await codeOf(keys(alice, answer, ANSWER)), "NOT_FOUND");
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "used up");
});

Deno.test("LINK: wrong, expired, closed and unattended all look the same", async () => {
  const clock = new FakeClock();
  await using relay = await TestRelay.start({ clock });
  const alice = await relay.connect("alice");
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "nobody has opened it");
  await keys(alice, { op: "link", rendezvous: MEETING });
  const wrong = [{ pow: "zz" }, { box: new Uint8Array() }, { box: new Uint8Array(11_265) }];
  for (const options of wrong) assert.equal(await ask(relay, MEETING, options), "AUTH_FAILED");
  assert.equal(await ask(relay, "xyz", { pow: "0".repeat(16) }), "AUTH_FAILED");
  await keys(alice, { op: "link", rendezvous: "cd".repeat(16) });
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "a device has one rendezvous");
  await keys(alice, { op: "link" });
  assert.equal(await ask(relay, "cd".repeat(16)), "AUTH_FAILED", "closed");
  await keys(alice, { op: "link", rendezvous: MEETING });
  await alice.close();
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "nobody is there to answer");
  await relay.connect(alice.device);
  await clock.advance(600_000);
  assert.equal(await ask(relay, MEETING), "AUTH_FAILED", "expired");
  assert.equal(relay.events.filter(({ type }) => type === "internal_error").length, 0);
});

Deno.test("LINK without an answer ends at the deadline, and the rendezvous waits for the next", async () => {
  const clock = new FakeClock();
  await using relay = await TestRelay.start({ clock });
  const alice = await relay.connect("alice");
  await keys(alice, { op: "link", rendezvous: MEETING });
  const late = ask(relay, MEETING);
  await alice.events.next();
  await clock.advance(10_000);
  assert.notEqual(typeof await late, "object");
  const answer = { op: "link_answer", rendezvous: MEETING };
  const asking = ask(relay, MEETING);
  await alice.events.next();
  await keys(alice, answer, ANSWER);
  assert.equal((await asking).length, ANSWER.length);
});

Deno.test("an account's devices hear of a new one, and of its first KeyPackages", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const phone = await relay.connect(await another(relay, alice));
  assert.deepEqual((await alice.events.next()).fields, { type: "devices" });
  await keys(phone, { op: "publish", suite: SUITE, lastResort: true }, new Uint8Array(9));
  assert.deepEqual((await alice.events.next()).fields, { type: "devices" });
  await keys(phone, { op: "publish", suite: SUITE, lastResort: false }, new Uint8Array(9).fill(1));
  const claimed = await keys(alice, { op: "claim", account: "alice", suite: SUITE, devices: [] });
  assert.deepEqual(claimed.fields.devices, [], "only of the devices that are asked for");
  const found = await keys(alice, {
    op: "claim",
    account: "alice",
    suite: SUITE,
    devices: [phone.device.device, alice.device.device],
  });
  assert.deepEqual(found.fields.devices, [phone.device.device]);
  const own = await keys(alice, { op: "lookup", account: "alice" });
  assert.deepEqual((own.fields.online as string[]).sort(), [phone, alice].map((c) => c.device.device).sort());
  const bob = await relay.connect("bob");
  const other = await keys(bob, { op: "lookup", account: "alice" });
  assert.equal(other.fields.online, undefined, "others are not told");
  assert.equal(alice.events.waiting, 0);
});

Deno.test("a device that is taken back is cut off, never logs in again, and another member removes its leaf", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const phone = await relay.connect(await another(relay, alice));
  await alice.events.next();
  const bob = await relay.connect("bob");
  const group = await relay.group(bob, alice, phone);
  const { device } = phone.device;

  const mallory = await relay.connect("mallory");
  const statement = await revocation(relay, alice.device, device);
  const broken = statement.slice();
  broken[100] ^= 1;
  const revoke = (client: RawClient, ...blobs: Uint8Array[]) =>
    codeOf(keys(client, { op: "revoke" }, ...blobs));
  assert.equal(await revoke(alice, broken), "BAD_REQUEST");
  assert.equal(await revoke(alice, statement.slice(1)), "BAD_REQUEST");
  assert.equal(await revoke(alice), "BAD_REQUEST");
  assert.equal(await revoke(mallory, statement), "BAD_REQUEST", "by another identity");
  const foreign = await revocation(relay, mallory.device, device);
  assert.equal(await revoke(mallory, foreign), "NOT_FOUND", "a device of another account");
  const own = await revocation(relay, alice.device, alice.device.device);
  assert.equal(await revoke(alice, own), "BAD_REQUEST", "nobody takes itself back");

  assert.equal(await revoke(alice, statement), "OK");
  assert.equal(await phone.ended, "AUTH_FAILED");
  assert.deepEqual((await bob.events.next()).fields, { type: "left", group, device });
  assert.deepEqual((await alice.events.next()).fields, { type: "devices" });
  assert.equal(await revoke(alice, statement), "OK", "an answer may have been lost");
  assert.equal(await codeOf(relay.connect(phone.device)), "AUTH_FAILED");
  const elsewhere = await relay.device("carol", { device });
  assert.equal(await codeOf(relay.connect(elsewhere)), "AUTH_FAILED", "the id is used up for everybody");

  assert.equal(await commit(alice, group, { epoch: 1, remove: [device] }), 2);
});

Deno.test("the Remove of a device that was taken back is asked of whoever connects, and anybody may commit it", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const phone = await relay.connect(await another(relay, alice));
  const bob = await relay.connect("bob");
  const group = await relay.group(bob, phone);
  await bob.close();
  const statement = await revocation(relay, alice.device, phone.device.device);
  await keys(alice, { op: "revoke" }, statement);
  await alice.close();
  const back = await relay.connect(bob.device);
  const event = await back.events.next();
  assert.deepEqual(event.fields, { type: "left", group, device: phone.device.device });
  assert.deepEqual(event.blobs[0].slice(), statement);
  assert.equal(await commit(back, group, { epoch: 1, remove: [phone.device.device] }), 2);
  const add = commit(back, group, { epoch: 2, add: [phone.device.device] });
  assert.equal(await codeOf(add), "NOT_FOUND");
});

Deno.test("own devices come into a direct message at any time, nobody else's", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const laptop = await relay.connect(await another(relay, alice));
  const phone = await relay.connect(await another(relay, bob));
  const carol = await relay.connect("carol");
  const group = relay.randomGroup();
  await alice.request(FrameType.GROUP, { op: "create", group, kind: "dm", suite: SUITE, peer: "bob" });
  await commit(alice, group, { epoch: 0, add: [laptop.device.device] });
  await commit(alice, group, { epoch: 1, add: [bob.device.device] });
  assert.equal(await codeOf(commit(alice, group, { epoch: 2, add: [phone.device.device] })), "FORBIDDEN");
  assert.equal(await codeOf(commit(bob, group, { epoch: 2, add: [carol.device.device] })), "FORBIDDEN");
  assert.equal(await commit(bob, group, { epoch: 2, add: [phone.device.device] }), 3);
});
