/** What becomes of a message: the words for it, in order, and what its sender hears when it does not arrive. */

import assert from "node:assert/strict";
import { type CryptoProvider, FakeClock } from "../../proto/mod.ts";
import {
  FOLLOW_WAIT_MS,
  OUTBOX_LIFETIME_MS,
  SELF_UPDATE_AFTER_MS,
  SELF_UPDATE_MESSAGES,
} from "../../client/limits.ts";
import type { Conversation } from "../../client/mod.ts";
import { decodeOutboxRow } from "../../client/outbox_row.ts";
import { MemoryMailboxStore } from "../../server/mod.ts";
import { copyStore } from "../helpers/copy_store.ts";
import { DeafLine } from "../helpers/deaf_line.ts";
import { quickClock } from "../helpers/quick_clock.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";

Deno.test("a message is waiting, accepted, delivered and read, in this order, and its history says which", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    await bob.client.close();
    const first = alice.client.send(direct, "one");
    assert.equal(stateOf(alice, direct, first.id), "waiting");
    await first.accepted;
    assert.equal(stateOf(alice, direct, first.id), "accepted");
    const second = await alice.says(direct, "two");
    const again = await world.person("bob", { store: bob.store });
    await again.hears("two");
    await alice.until("to hear of the delivery", () => reached(alice, second).includes("delivered"));
    assert.equal(stateOf(alice, direct, first.id), "delivered");
    const bobDirect = again.client.find("@alice");
    assert.equal(again.client.history(bobDirect, { limit: 1 })[0].message.state, undefined, "not bob's own");
    await again.client.markAllRead(bobDirect)?.accepted;
    assert.equal(again.client.markAllRead(bobDirect), null, "alice knows already");
    await alice.until("to hear that it is read", () => reached(alice, second).includes("read"));
    for (const id of [first.id, second]) {
      assert.deepEqual(reached(alice, id), ["accepted", "delivered", "read"]);
      assert.equal(stateOf(alice, direct, id), "read");
    }
  }));

Deno.test("in a channel a message is read once everybody else has read it", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    const bobRoom = await bob.client.join("#room");
    const carolRoom = await carol.client.join("#room");
    const id = await alice.says(room, "everybody?");
    await Promise.all([bob, carol].map((person) => person.hears("everybody?")));
    await bob.client.markAllRead(bobRoom)!.accepted;
    await alice.until("to hear that bob has read it", () => alice.of("Read").length === 1);
    assert.ok(!reached(alice, id).includes("read"));
    await carol.client.markRead(carolRoom, id).accepted;
    await alice.until("to hear that it is read", () => reached(alice, id).includes("read"));
  }));

Deno.test("a message that waits for 7 days expires, and its sender is told", () =>
  inWorld(async (world) => {
    const clock = new FakeClock(Date.now());
    const alice = await world.person("alice", { clock });
    const bob = await world.person("bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.until("to see bob", () => alice.of("MemberJoined").length > 0);
    await world.relay.stop();
    await alice.until("to be offline", () => alice.of("Status").at(-1)?.status === "offline");
    const sending = alice.client.send(room, "too late");
    const failed = assert.rejects(sending.accepted, { code: "TIMEOUT" });
    clock.advance(OUTBOX_LIFETIME_MS - 1);
    assert.deepEqual(alice.of("MsgFailed"), []);
    clock.advance(1);
    await failed;
    const [{ id, code, reason }] = alice.of("MsgFailed");
    assert.deepEqual([id, code], [sending.id, "TIMEOUT"]);
    assert.match(reason, /7 days/);
    assert.equal(stateOf(alice, room, id), "failed");
    assert.deepEqual(alice.store.all("outbox"), []);
  }));

Deno.test("an accepted message that nobody fetches for 7 days expires too; one that somebody has is only forgotten", () =>
  inWorld(async (world) => {
    const clock = new FakeClock(Date.now());
    const alice = await world.person("alice", { clock });
    const [bob, carol] = await people(world, "bob", "carol");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await carol.client.join("#room");
    await alice.until("to see both", () => room.group.members.length === 3);
    await bob.client.close();
    const toBob = await alice.says(direct, "are you there?");
    const toAll = await alice.says(room, "anybody?");
    await carol.hears("anybody?");
    await carol.client.close(); // its acknowledgement is out now
    const alone = await alice.client.join("#alone");
    while (!someReached(alice)) await alice.says(alone, "…"); // whatever came before its answer is handled soon
    clock.advance(OUTBOX_LIFETIME_MS);
    assert.deepEqual(alice.of("MsgFailed").map(({ id }) => id), [toBob]);
    assert.equal(stateOf(alice, direct, toBob), "failed");
    assert.equal(stateOf(alice, room, toAll), "accepted");
    assert.deepEqual(alice.store.all("outbox"), []);
  }));

Deno.test("after a restart of the relay an accepted message goes out again, is shown once, and is not reported twice", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await carol.client.join("#room");
    await carol.client.close();
    const ids: string[] = [];
    for (const text of ["one", "two", "three"]) ids.push(await alice.says(room, text));
    await bob.hears("three");
    await world.restartRelay(); // forgets what waits for carol
    const again = await world.person("carol", { store: carol.store });
    await again.hears("three");
    await alice.says(room, "four");
    await Promise.all([bob, again].map((person) => person.hears("four")));
    assert.deepEqual(bob.texts("#room"), ["one", "two", "three", "four"]);
    assert.deepEqual(again.texts("#room"), ["one", "two", "three", "four"]);
    assert.deepEqual([...bob.of("Gap"), ...again.of("Gap")], []);
    await alice.until("to hear of the delivery", () => reached(alice, ids[2]).includes("delivered"));
    for (const id of ids) assert.deepEqual(reached(alice, id), ["accepted", "delivered"]);
  }));

Deno.test("where the relay and the sender's machine are both gone, the next message leaves a mark for what is lost", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    const carolRoom = await carol.client.join("#room");
    await bob.until("to see all", () => bob.client.find("#room").group.members.length === 3);
    const before = await alice.says(room, "before");
    await alice.until("to hear of the delivery", () => reached(alice, before).includes("delivered"));
    await carol.client.close();
    await alice.says(room, "lost for carol");
    await bob.hears("lost for carol");
    const rows = alice.store.all("outbox");
    assert.equal(rows.length, 1, "kept for carol");
    await alice.client.close();
    await world.restartRelay();
    alice.store.write((writer) => writer.delete("outbox", rows[0].id)); // as if that disk had died before
    const again = await world.person("carol", { store: carol.store });
    const back = await world.person("alice", { store: alice.store });
    await back.says(back.client.find("#room"), "after");
    await again.hears("after");
    const shown = again.client.history(carolRoom, { limit: 10 }).map(({ message }) =>
      message.gap ?? message.text
    );
    assert.deepEqual(shown, ["before", "a message from alice did not come", "after"]);
    assert.deepEqual(bob.of("Gap"), []);
  }));

Deno.test("what is sent at login does not overtake what waited in the mailbox, however long that takes to read", () =>
  inWorld(async (world) => {
    const slow = { isOn: false };
    const crypto = slowVerifying(world.crypto, slow);
    const alice = await world.person("alice");
    const bob = await world.person("bob", { crypto });
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    await bob.has("plans");
    await bob.client.close();
    const said: string[] = [];
    for (let epoch = 0; epoch < 6; epoch++) {
      for (let i = 0; i < 4; i++) {
        said.push(`${epoch}.${i}`);
        await alice.says(plans, said.at(-1)!);
      }
      await alice.client.renewKeys(plans);
    }
    slow.isOn = true;
    // Whoever waits for something that is on its way gives up at once; and bob's keys are due for renewal too.
    const clock = quickClock([FOLLOW_WAIT_MS], { aheadMs: SELF_UPDATE_AFTER_MS });
    const again = await world.person("bob", { store: bob.store, crypto, clock, connect: false });
    const mine = again.client.send(again.client.find("plans"), "written offline");
    await again.client.connect();
    await mine.accepted;
    await again.client.caughtUp();
    await alice.hears("written offline");
    const shown = again.client.history(again.client.find("plans"), { limit: 100 }).map(({ message }) =>
      message.gap ?? message.text
    );
    assert.deepEqual(shown.filter((text) => text !== "written offline"), said);
  }));

Deno.test("a change whose answer was lost does not overtake what came before it", () =>
  inWorld(async (world) => {
    const line = new DeafLine();
    const alice = await world.person("alice", { dial: line.dial });
    const [mona, carol] = await people(world, "mona", "carol");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "mona");
    await alice.client.invite(plans, "carol");
    const monas = await mona.has("plans");
    await carol.has("plans");
    await mona.until("to see all", () => monas.group.members.length === 3);
    for (const text of ["m1", "m2"]) await mona.says(monas, text);
    await alice.hears("m2");
    line.deafen();
    await mona.says(monas, "m3");
    const removing = assert.rejects(alice.client.remove(plans, "mona"), { code: "CLOSED" });
    await mona.until("to be removed", () => mona.of("GroupLeft").length > 0);
    line.cut();
    await removing;
    await alice.hears("m3");
    await carol.says(carol.client.find("plans"), "and on");
    await alice.hears("and on");
    const shown = alice.client.history(plans, { limit: 10 }).map(({ message }) =>
      message.gap ?? message.text
    );
    assert.deepEqual(shown, ["m1", "m2", "m3", "and on"]);
    assert.equal(alice.client.find("plans").group.members.length, 2);
  }));

Deno.test("a message whose receipt overtakes the lost answer is accepted, then delivered", () =>
  inWorld(async (world) => {
    const line = new DeafLine();
    const alice = await world.person("alice", { dial: line.dial });
    let bob = await world.person("bob");
    const direct = await alice.client.openDirect("bob");
    const one = await alice.says(direct, "one");
    await alice.until("to hear of the delivery", () => reached(alice, one).includes("delivered"));
    await bob.client.close();
    const sent = direct.sent;
    line.deafen();
    const sending = alice.client.send(direct, "two");
    while (world.relay.stats().accepted < 2) await turn();
    line.cut({ hold: true });
    bob = await world.person("bob", { store: bob.store });
    await bob.hears("two");
    await bob.client.close(); // its acknowledgement is out now
    line.release();
    await sending.accepted;
    await alice.until("to hear of the delivery", () => reached(alice, sending.id).includes("delivered"));
    assert.deepEqual(reached(alice, sending.id), ["accepted", "delivered"]);
    assert.equal(direct.sent, sent + 1);
    assert.equal(alice.store.all("outbox").length, 0);
  }));

Deno.test("what says that somebody types counts toward the next renewal of the keys, as it uses them up", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    const { epoch } = direct.group;
    for (let i = 0; i < SELF_UPDATE_MESSAGES; i++) await alice.client.typing(direct, i % 2 === 0);
    await alice.says(direct, "done");
    await bob.hears("done");
    while (alice.client.find("@bob").group.epoch === epoch) await turn();
  }));

Deno.test("a receipt that a dying connection has swallowed comes again with the next one", () =>
  inWorld(async (world) => {
    const line = new DeafLine();
    const alice = await world.person("alice", { dial: line.dial });
    let bob = await world.person("bob");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    await bob.client.close();
    const id = await alice.says(direct, "one");
    line.deafen(); // the machine sleeps, say
    const { delivered } = world.relay.stats();
    bob = await world.person("bob", { store: bob.store });
    await bob.hears("one");
    while (world.relay.stats().delivered === delivered) await turn(); // the receipt is on its way
    line.cut();
    await alice.until("to hear of the delivery", () => reached(alice, id).includes("delivered"));
    assert.deepEqual(alice.store.all("outbox"), []);
  }));

Deno.test("messages that wait until a full mailbox has room arrive in order, and nothing is marked", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    let bob = await world.person("bob");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    const phone = await world.furtherDevice(alice, "phone"); // has room, which must not count
    await phone.has("@bob");
    await bob.until("to see both", () => bob.client.find("@alice").group.members.length === 3);
    await bob.client.close();
    const texts = ["1", "2", "3", "4", "5", "6"];
    const sending = texts.map((text) => alice.client.send(direct, text));
    await sending[2].accepted;
    while (world.relay.stats().refused === 0) await turn();
    assert.deepEqual(sending.map(({ id }) => reached(alice, id).length > 0), [
      ...[true, true, true, false, false, false],
    ]);
    bob = await world.person("bob", { store: bob.store });
    await Promise.all(sending.map(({ accepted }) => accepted));
    for (const person of [bob, phone]) {
      await person.hears("6");
      const title = person === bob ? "@alice" : "@bob";
      assert.deepEqual(shownTo(person, title).slice(-6), texts);
    }
    assert.deepEqual([...bob.of("Gap"), ...phone.of("Gap")], []);
  }, { mailboxes: () => new MemoryMailboxStore({ entries: 12 }) }));

Deno.test("who had no room in the mailbox gets what is missing once there is some, and the sender nothing to do", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    await alice.client.invite(plans, "carol");
    await bob.has("plans");
    await carol.has("plans");
    await bob.until("to see all", () => bob.client.find("plans").group.members.length === 3);
    await bob.client.close();
    const texts = ["1", "2", "3", "4", "5", "6"];
    for (const text of texts) {
      await alice.says(plans, text);
      await carol.hears(text);
    }
    const again = await world.person("bob", { store: bob.store });
    for (const text of texts) await again.hears(text);
    assert.deepEqual(shownTo(again, "plans"), [
      ...["1", "2", "3", "some messages were not kept while this device was away"],
      ...["4", "5", "6"],
    ]);
    await alice.until(
      "all delivered",
      () => alice.of("MsgSent").filter(({ state }) => state === "delivered").length === 6,
    );
    assert.deepEqual(carol.texts("plans"), texts);
    assert.deepEqual(carol.of("Gap"), []);
  }, { mailboxes: () => new MemoryMailboxStore({ entries: 12 }) }));

Deno.test("what another device of the sender has counts for nobody: after 7 days the sender is told", () =>
  inWorld(async (world) => {
    const clock = new FakeClock(Date.now());
    const alice = await world.person("alice", { clock });
    const bob = await world.person("bob");
    const direct = await alice.client.openDirect("bob");
    await bob.has("@alice");
    const phone = await world.furtherDevice(alice, "phone", { connect: false });
    await phone.client.connect();
    await phone.has("@bob");
    await bob.client.close();
    const id = await alice.says(direct, "are you there?");
    await phone.hears("are you there?");
    await phone.client.close(); // its acknowledgement is out now
    const alone = await alice.client.join("#alone");
    await alice.says(alone, "…"); // whatever came before its answer is handled
    clock.advance(OUTBOX_LIFETIME_MS);
    await alice.until("to be told", () => alice.of("MsgFailed").some((failed) => failed.id === id));
    assert.equal(stateOf(alice, direct, id), "failed");
  }));

Deno.test("what expires in the relay's mailbox leaves a mark", () => {
  const mailboxes = new MemoryMailboxStore();
  return inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    await carol.client.join("#room");
    await bob.client.join("#room");
    await alice.until("to see all", () => room.group.members.length === 3);
    await alice.says(room, "one");
    await bob.hears("one");
    await bob.client.close();
    await alice.says(room, "lost for bob");
    await carol.hears("lost for bob");
    mailboxes.expire(Date.now() + 1_000); // as 7 days later
    const again = await world.person("bob", { store: bob.store });
    await again.client.caughtUp();
    assert.deepEqual(shownTo(again, "#room"), [
      "one",
      "some messages were not kept while this device was away",
    ]);
  }, { mailboxes: () => mailboxes });
});

Deno.test("what a device has thrown away is not delivered to it; it gets it once it is back", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const direct = await alice.client.openDirect("bob");
    const room = await alice.client.join("#room");
    const plans = await carol.client.createGroup("plans");
    for (const name of ["alice", "bob"]) await carol.client.invite(plans, name);
    await bob.has("@alice");
    await bob.client.join("#room");
    await alice.until("to see bob", () => room.group.members.length === 2);
    const alicePlans = await alice.has("plans");
    await bob.has("plans");
    await alice.until("to see all", () => alicePlans.group.members.length === 3);
    await bob.client.close();
    const copy = copyStore(bob.store);
    const later = await world.restart(bob);
    await later.client.close();
    const sent = [direct, room, alicePlans].map(async (conversation) => ({
      conversation,
      id: await alice.says(conversation, `important in ${conversation.title}`),
    }));
    const ids = await Promise.all(sent);
    const restored = await world.person("bob", { store: copy });
    for (const { conversation, id } of ids) {
      await restored.hears(`important in ${conversation.title}`);
      const title = conversation === direct ? "@alice" : conversation.title;
      assert.deepEqual(shownTo(restored, title), [
        "this profile was put back from an older copy",
        `important in ${conversation.title}`,
      ]);
      await alice.until("to hear of it", () => reached(alice, id).includes("delivered"));
    }
    assert.deepEqual(carol.texts("plans"), ["important in plans"]);
    for (const person of [alice, carol]) assert.deepEqual(person.of("Gap"), []);
  }));

/** Crypto on which every signature takes a while to verify, while that is on. */
function slowVerifying(crypto: CryptoProvider, slow: { readonly isOn: boolean }): CryptoProvider {
  return {
    ...crypto,
    async verify(...args) {
      for (let i = 0; slow.isOn && i < 20; i++) await turn();
      return await crypto.verify(...args);
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function shownTo(person: Person, title: string): string[] {
  return person.client.history(person.client.find(title), { limit: 100 })
    .map(({ message }) => message.gap ?? message.text);
}

function people(world: World, ...names: string[]): Promise<Person[]> {
  return Promise.all(names.map((name) => world.person(name)));
}

function stateOf(person: Person, conversation: Conversation, id: string): string | undefined {
  return person.client.history(conversation, { limit: 50 }).find(({ message }) => message.id === id)?.message
    .state;
}

function reached(person: Person, id: string): string[] {
  return person.of("MsgSent").filter((event) => event.id === id).map(({ state }) => state);
}

/** Whether the relay has said of a message in the outbox that somebody has it. */
function someReached(person: Person): boolean {
  return person.store.all("outbox").some(({ id, row }) => decodeOutboxRow(id, row).reached > 0);
}
