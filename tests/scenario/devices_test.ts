/** Stories of people with several devices: letting one in, reading and writing on all of them, taking one back. */

import assert from "node:assert/strict";
import type { Conversation } from "../../client/mod.ts";
import { linkDevice } from "../../client/mod.ts";
import { decodeIdentity } from "../../client/identity/mod.ts";
import {
  connectTcp,
  type DeviceId,
  encodeStatement,
  formatDeviceCode,
  parseDeviceCode,
  revokeContent,
  systemClock,
} from "../../proto/mod.ts";
import { Rogue } from "../helpers/rogue.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";

const link = (world: World, code: string, label = "phone") =>
  linkDevice({
    crypto: world.crypto,
    clock: systemClock,
    dial: connectTcp,
    code: parseDeviceCode(code),
    label,
  });

/** The devices of an account that are in a conversation, as somebody sees it. */
const devicesIn = (conversation: Conversation, account: string) =>
  conversation.group.members.filter((member) => member.account === account).map(({ device }) => device)
    .sort();

/** The conversation as a person has it now. */
const now = (person: Person, title: string) => person.client.find(title);

async function has(person: Person, title: string, account: string, count: number): Promise<void> {
  const conversation = await person.has(title);
  await person.until(
    `for ${count} devices of ${account} in ${title}`,
    () => devicesIn(now(person, conversation.title), account).length === count,
  );
}

Deno.test("a further device is in every conversation, reads what others write, and shows what its person writes elsewhere", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const room = await alice.client.join("#general");
    await bob.client.join("#general");
    const direct = await alice.client.openDirect("bob");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    const phone = await world.furtherDevice(alice, "phone");
    assert.equal(phone.client.account, "alice");
    assert.equal(phone.client.fingerprint, alice.client.fingerprint);
    assert.notEqual(phone.client.deviceId, alice.client.deviceId);
    assert.deepEqual([alice.client.isPrimary, phone.client.isPrimary], [true, false]);
    assert.deepEqual(alice.of("DeviceAdded").map(({ device }) => device), [phone.client.deviceId]);

    for (const [mine, theirs] of [["#general", "#general"], ["@bob", "@alice"], ["plans", "plans"]]) {
      await has(phone, mine, "alice", 2);
      await has(bob, theirs, "alice", 2);
      await bob.says(now(bob, theirs), `to ${mine}`);
      await Promise.all([alice.hears(`to ${mine}`), phone.hears(`to ${mine}`)]);
      await phone.says(now(phone, mine), `phone in ${mine}`);
      await Promise.all([alice.hears(`phone in ${mine}`), bob.hears(`phone in ${mine}`)]);
    }
    await alice.says(room, "from the laptop");
    await phone.hears("from the laptop");
    const seen = phone.of("MsgCreated").find(({ text }) => text === "from the laptop")!;
    assert.deepEqual([seen.own, seen.from, seen.device], [true, "alice", alice.client.deviceId]);
    const heard = bob.of("MsgCreated").find(({ text }) => text === "phone in plans")!;
    assert.deepEqual([heard.own, heard.from, heard.device], [false, "alice", phone.client.deviceId]);
    assert.equal(phone.texts("@bob").length, 2, "each message once");
    assert.equal(now(phone, "@bob").id, direct.id);
    await phone.client.edit(now(phone, "plans"), heard.id, "phone, edited").accepted;
    await alice.until(
      "for the edit",
      () => alice.of("MsgEdited").some(({ text }) => text === "phone, edited"),
    );
    assert.deepEqual([...alice.of("Gap"), ...phone.of("Gap"), ...bob.of("Gap")], []);
  }));

Deno.test("conversations that begin later have all devices, whichever of them began", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const phone = await world.furtherDevice(alice, "phone");
    await bob.client.join("#open");
    await phone.client.join("#open");
    await has(alice, "#open", "alice", 2);
    await phone.client.openDirect("bob");
    await has(alice, "@bob", "alice", 2);
    const plans = await alice.client.createGroup("plans");
    await has(phone, "plans", "alice", 2);
    const party = await bob.client.createGroup("party");
    await bob.client.invite(party, "alice");
    await Promise.all([alice.has("party"), phone.has("party")]);
    assert.equal(devicesIn(now(bob, "party"), "alice").length, 2);

    const sending = alice.client.send(plans, "only us");
    await alice.until(
      "for delivered",
      () => alice.of("MsgSent").some((e) => e.id === sending.id && e.state === "delivered"),
    );
    await phone.hears("only us");
    assert.equal(phone.of("GroupCreated").find(({ group }) => group === "plans")!.by, "alice");
  }));

Deno.test("a message is delivered when each person has it on one device, and kept until every device has", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const phone = await world.furtherDevice(bob, "phone");
    await alice.client.openDirect("bob");
    await Promise.all([bob.has("@alice"), phone.has("@alice")]);
    await phone.client.close();
    const sending = alice.client.send(now(alice, "@bob"), "are you there?");
    await alice.until("for delivered", () => alice.of("MsgSent").some((e) => e.state === "delivered"));
    assert.equal(alice.store.all("outbox").length, 1, "the phone does not have it yet");
    const again = await world.restart(phone);
    await again.hears("are you there?");
    await again.client.close();
    await alice.says(now(alice, "@bob"), "still?");
    await bob.hears("still?");
    assert.equal(alice.of("MsgSent").filter((e) => e.id === sending.id && e.state === "delivered").length, 1);
  }));

Deno.test("a device that was removed reads nothing that follows, cannot log in, and is gone from every group", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const room = await alice.client.join("#general");
    await bob.client.join("#general");
    await alice.client.openDirect("bob");
    const phone = await world.furtherDevice(alice, "phone");
    await has(bob, "#general", "alice", 2);
    await has(bob, "@alice", "alice", 2);
    const gone = phone.client.deviceId;
    await alice.client.removeDevice(
      alice.client.conversations()[0].group.members.find((m) => m.device === gone)!.device,
    );
    await phone.until("to be told", () => phone.of("Status").some(({ final }) => final === true));
    assert.deepEqual(alice.of("DeviceRemoved").map(({ device }) => device), [gone]);
    await has(bob, "#general", "alice", 1);
    await has(bob, "@alice", "alice", 1);
    await alice.says(room, "without the phone");
    await bob.hears("without the phone");
    assert.ok(!phone.texts("#general").includes("without the phone"));
    await assert.rejects(() => world.restart(phone), { code: "AUTH_FAILED" });
    assert.deepEqual((await alice.client.devices()).map(({ device }) => device), [alice.client.deviceId]);
    await assert.rejects(() => alice.client.removeDevice(alice.client.deviceId as never), {
      code: "BAD_REQUEST",
    });

    // It has no identity to make itself another certificate with, and the code that it came by is used up.
    const offer = await alice.client.offerDevice({ label: "laptop" });
    const refused: string[] = [];
    offer.linked.catch(() => {});
    offer.cancel();
    await assert.rejects(link(world, offer.code), { code: "AUTH_FAILED" });
    const heard = new AbortController();
    const second = await alice.client.offerDevice({
      label: "laptop",
      onRefused: (why) => {
        refused.push(why);
        heard.abort(new Error("refused"));
      },
    });
    const asking = linkDevice({
      crypto: world.crypto,
      clock: systemClock,
      dial: connectTcp,
      code: parseDeviceCode(second.code),
      label: "phone",
      existing: phone.store,
      signal: heard.signal,
    });
    await assert.rejects(asking, { message: "refused" });
    assert.match(refused[0], /removed before/);
  }));

Deno.test("the leaves of a removed device go also while the one that removed it is away: other members see to it", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const plans = await bob.client.createGroup("plans");
    const phone = await world.furtherDevice(alice, "phone");
    await bob.client.invite(plans, "alice");
    await Promise.all([alice.has("plans"), phone.has("plans")]);
    const device = phone.client.deviceId as DeviceId;
    await Promise.all([alice.client.close(), bob.client.close()]);
    // Alice's device takes the phone back and is gone before it has changed a single group.
    const identity = decodeIdentity(alice.store.get("profile", "identity")!);
    const content = revokeContent({ account: identity.account, device });
    const signature = await world.crypto.sign("ML-DSA-65", identity.identitySeed!, content);
    const laptop = await Rogue.login(world, identity);
    await laptop.api.revokeDevice(encodeStatement({ kind: "revoke", device, signature }));
    await laptop.close();
    await world.restartRelay(); // it asks anew, without having to wait for the laptop's answer
    const again = await world.restart(bob);
    await has(again, "plans", "alice", 1);
    await again.says(now(again, "plans"), "who is left?");
    assert.ok(!phone.texts("plans").includes("who is left?"));
    const back = await world.restart(alice);
    await back.hears("who is left?");
  }));

Deno.test("two own devices that add a third at the same moment do not part ways", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const rooms = ["#one", "#two", "#three"];
    for (const room of rooms) {
      await alice.client.join(room);
      await bob.client.join(room);
    }
    const phone = await world.furtherDevice(alice, "phone");
    for (const room of rooms) await has(phone, room, "alice", 2);
    const tablet = await world.furtherDevice(alice, "tablet", { connect: false });
    // Both come to know of it at once.
    await tablet.client.connect();
    for (const room of rooms) {
      await has(tablet, room, "alice", 3);
      for (const person of [alice, phone]) await has(person, room, "alice", 3);
    }
    for (const room of rooms) {
      await tablet.says(now(tablet, room), `tablet in ${room}`);
      await Promise.all([alice, phone, bob].map((person) => person.hears(`tablet in ${room}`)));
    }
    const epochs = [alice, phone, tablet, bob].map((person) => now(person, "#one").group.epoch);
    assert.equal(new Set(epochs).size, 1);
  }));

Deno.test("two own devices that go into a channel at the same moment are both in it, once", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const phone = await world.furtherDevice(alice, "phone");
    await bob.client.join("#race");
    await Promise.all([alice.client.join("#race"), phone.client.join("#race")]);
    for (const person of [alice, phone, bob]) await has(person, "#race", "alice", 2);
    await phone.says(now(phone, "#race"), "first");
    await alice.hears("first");
    await alice.says(now(alice, "#race"), "second");
    await Promise.all([phone.hears("second"), bob.hears("second")]);
    assert.deepEqual(bob.texts("#race"), ["first", "second"]);
  }));

Deno.test("who leaves goes with all devices, and comes back with all", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    await bob.client.join("#general");
    const phone = await world.furtherDevice(alice, "phone");
    await alice.client.join("#general");
    await has(phone, "#general", "alice", 2);
    await phone.client.leave(now(phone, "#general"));
    await alice.until("to have left", () => alice.of("GroupLeft").length > 0);
    await has(bob, "#general", "alice", 0);
    await alice.client.join("#general");
    await has(phone, "#general", "alice", 2);
  }));

Deno.test("a code works once, and nobody gets in by another one", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const offer = await alice.client.offerDevice({ label: "laptop" });
    assert.ok(offer.code.length <= 120);
    const code = parseDeviceCode(offer.code);
    const wrong = formatDeviceCode({ ...code, secret: code.secret.map((byte) => byte ^ 1) });
    await assert.rejects(link(world, wrong), { code: "AUTH_FAILED" });
    const linked = await link(
      world,
      offer.code.toLowerCase().replace(/#.*\./, () => offer.code.match(/#.*\./)![0]),
      "my phone\u202e",
    );
    assert.equal(linked.primaryLabel, "laptop");
    assert.equal(linked.identity.identitySeed, null);
    assert.deepEqual(await offer.linked, { device: linked.identity.device, label: "my phone" });
    await assert.rejects(link(world, offer.code), { code: "AUTH_FAILED" });
    const older = await alice.client.offerDevice({ label: "laptop" });
    const newer = await alice.client.offerDevice({ label: "laptop" });
    await assert.rejects(older.linked, { code: "CONFLICT" });
    await assert.rejects(link(world, older.code), { code: "AUTH_FAILED" });
    await link(world, newer.code);
  }));

Deno.test("only the device that made the identity adds and removes; the same profile gets new certificates", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const phone = await world.furtherDevice(alice, "phone");
    const forbidden = {
      code: "FORBIDDEN",
      hint: new RegExp(`${alice.client.deviceId.slice(0, 8)} \\(first\\)`),
    };
    await assert.rejects(phone.client.offerDevice({ label: "phone" }), forbidden);
    await assert.rejects(phone.client.removeDevice(alice.client.deviceId as never), forbidden);
    const list = await alice.client.devices();
    assert.deepEqual(
      list.map(({ label, self, primary, online }) => ({ label, self, primary, online })),
      [
        { label: null, self: true, primary: true, online: true },
        { label: "phone", self: false, primary: false, online: true },
      ],
    );
    const fromPhone = await phone.client.devices();
    assert.deepEqual(fromPhone.map(({ label, primary }) => ({ label, primary })), [
      { label: "first", primary: true },
      { label: null, primary: false },
    ]);
    await phone.client.close();
    const offer = await alice.client.offerDevice({ label: "first" });
    const options = {
      crypto: world.crypto,
      clock: systemClock,
      dial: connectTcp,
      code: parseDeviceCode(offer.code),
    };
    await assert.rejects(linkDevice({ ...options, label: "x", existing: alice.store }), { code: "USAGE" });
    const renewed = await linkDevice({ ...options, label: "phone", existing: phone.store });
    assert.equal(renewed.identity.device, phone.client.deviceId);
    renewed.save(phone.store);
    const again = await world.restart(phone);
    assert.equal(again.client.deviceId, phone.client.deviceId);
    assert.ok(again.client.certificateEndsMs >= phone.client.certificateEndsMs);

    const bob = await world.person("bob");
    const other = await bob.client.offerDevice({ label: "bob's" });
    const stranger = linkDevice({
      ...options,
      code: parseDeviceCode(other.code),
      label: "x",
      existing: phone.store,
    });
    await assert.rejects(stranger, { code: "USAGE" });
  }));

Deno.test("a rendezvous survives the relay's restart", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const offer = await alice.client.offerDevice({ label: "laptop" });
    await world.restartRelay();
    await alice.until("to be back", () =>
      alice.of("Status").filter(({ status }) => status === "online").length > 1);
    await alice.client.devices(); // requests are answered in order
    await link(world, offer.code);
    await offer.linked;
  }));
