/** Stories of people who talk: channels, direct messages, private groups, restarts, and races. */

import assert from "node:assert/strict";
import { type CryptoProvider, parseLink, systemClock, toHex } from "../../proto/mod.ts";
import { createGroupEngine } from "../../client/groups/mod.ts";
import { encodeContact } from "../../client/identity/mod.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";

Deno.test("three people talk in a channel, and each message arrives once and in order", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#general");
    await bob.client.join("#general");
    const carolRoom = await carol.client.join("#general");
    for (let i = 0; i < 10; i++) await alice.says(room, `message ${i}`);
    await carol.hears("message 9");
    await carol.says(carolRoom, "done");
    await Promise.all([alice, bob, carol].map((person) => person.hears("done")));
    const expected = [...Array.from({ length: 10 }, (_, i) => `message ${i}`), "done"];
    for (const person of [alice, bob, carol]) assert.deepEqual(person.texts("#general"), expected);
    assert.equal(bob.of("MsgCreated")[0].from, "alice");
    assert.equal(bob.of("MsgCreated")[0].kind, "channel");
    assert.deepEqual(bob.of("Gap"), []);
  }));

Deno.test("a direct message reaches the other one only, and opening it from both sides is one conversation", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const [fromAlice, fromBob] = await Promise.all([
      alice.client.openDirect("bob"),
      bob.client.openDirect("alice"),
    ]);
    assert.equal(fromAlice.id, fromBob.id);
    await alice.says(fromAlice, "psst");
    await bob.hears("psst");
    await bob.says(fromBob, "yes?");
    await alice.hears("yes?");
    assert.equal(fromAlice.title, "@bob");
    assert.equal(fromBob.title, "@alice");
    assert.deepEqual(carol.of("MsgCreated"), []);
    assert.deepEqual(carol.client.conversations(), []);
  }));

Deno.test("a private group gains and loses a member, who cannot read what follows", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    await alice.client.invite(plans, "carol");
    await bob.has("plans");
    const carolPlans = await carol.has("plans");
    await alice.says(plans, "hello both");
    await carol.hears("hello both");
    await alice.client.remove(plans, "carol");
    await carol.until("to be removed", () => carol.of("GroupLeft").length > 0);
    assert.equal(carol.of("GroupLeft")[0].reason, "removed");
    await alice.says(plans, "only us now");
    await bob.hears("only us now");
    assert.ok(!carol.texts("plans").includes("only us now"));
    assert.throws(() => carol.client.send(carolPlans, "still here?"), { code: "FORBIDDEN" });
    assert.deepEqual(bob.client.find("plans").group.members.map((m) => m.account).sort(), ["alice", "bob"]);
  }));

Deno.test("a member who is not an admin cannot remove anybody", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    const bobPlans = await bob.has("plans");
    await assert.rejects(bob.client.remove(bobPlans, "alice"), { code: "POLICY" });
    await alice.client.setAdmin(plans, "bob", true);
    await bob.until("to see the change", () => bob.of("GroupChanged").length > 0);
    await bob.client.remove(bobPlans, "alice");
    await alice.until("to be removed", () => alice.of("GroupLeft").length > 0);
  }));

Deno.test("who leaves a group is removed by who stays", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    const bobRoom = await bob.client.join("#room");
    await carol.client.join("#room");
    await bob.client.leave(bobRoom);
    for (const person of [alice, carol]) {
      await person.until("to see bob go", () => person.of("MemberLeft").some((e) => e.account === "bob"));
    }
    await alice.says(room, "gone");
    await carol.hears("gone");
    assert.ok(!bob.texts("#room").includes("gone"));
    await bob.client.join("#room");
    await alice.says(room, "welcome back");
    await bob.hears("welcome back");
  }));

Deno.test("a banned account does not come back", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.until("to see bob", () => alice.of("MemberJoined").length > 0);
    await alice.client.ban(room, "bob");
    await bob.until("to be removed", () => bob.of("GroupLeft").length > 0);
    await assert.rejects(bob.client.join("#room"), { code: /FORBIDDEN|POLICY/ });
  }));

Deno.test("edits, deletions, replies and reactions change the history of everybody", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    const bobRoom = await bob.client.join("#room");
    const first = await alice.says(room, "helo");
    await bob.hears("helo");
    await alice.client.edit(room, first, "hello").accepted;
    await bob.client.react(bobRoom, first, "👍").accepted;
    const reply = bob.client.send(bobRoom, "hi", { replyTo: first });
    await reply.accepted;
    await alice.hears("hi");
    await bob.until("to see the edit", () => bob.of("MsgEdited").length > 0);
    await bob.client.delete(bobRoom, first).accepted; // not bob's: everybody ignores it
    await bob.client.delete(bobRoom, reply.id).accepted;
    await alice.until("to see the deletion", () => alice.of("MsgDeleted").length > 0);
    for (const [person, conversation] of [[alice, room], [bob, bobRoom]] as const) {
      const [one, two] = person.client.history(conversation, { limit: 10 }).map((entry) => entry.message);
      assert.equal(one.text, "hello");
      assert.equal(one.edited, true);
      assert.deepEqual(one.reactions, { "👍": ["bob"] });
      assert.equal(two.deleted, true);
      assert.equal(two.replyTo, first);
    }
  }));

Deno.test("a group with the AES-256 suite talks as well", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const vault = await alice.client.createGroup("vault", 0x0051);
    await alice.client.invite(vault, "bob");
    await bob.has("vault");
    await alice.says(vault, "AES in here");
    await bob.hears("AES in here");
    assert.equal(bob.client.find("vault").group.suite, 0x0051);
    assert.match(bob.of("GroupCreated")[0].suite, /AES256GCM/);
  }));

Deno.test("after a restart of a client its conversations go on, and what was sent meanwhile comes", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.says(room, "before");
    await bob.hears("before");
    await bob.client.close();
    await alice.says(room, "meanwhile");
    await alice.client.renewKeys(room);
    await alice.says(room, "in the next epoch");
    const again = await world.person("bob", { store: bob.store });
    await again.hears("in the next epoch");
    assert.deepEqual(again.texts("#room"), ["meanwhile", "in the next epoch"]);
    await again.says(again.client.find("#room"), "back");
    await alice.hears("back");
    assert.deepEqual(again.of("Gap"), []);
    sameState([alice, again], "#room");
  }));

Deno.test("after a restart of the relay people reconnect by themselves and go on", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await world.restartRelay();
    await alice.says(room, "still there?");
    await bob.hears("still there?");
    await alice.client.renewKeys(room);
    await alice.says(room, "good");
    await bob.hears("good");
    sameState([alice, bob], "#room");
  }));

Deno.test("a message written while the relay is away is sent when it is back", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await world.relay.stop();
    await alice.until("to be offline", () => alice.of("Status").at(-1)?.status !== "online");
    const sending = alice.client.send(room, "are you back?");
    await world.restartRelay();
    await sending.accepted;
    await bob.hears("are you back?");
    assert.deepEqual(bob.texts("#room"), ["are you back?"]);
  }));

Deno.test("ten people join one channel at once: all end in the same epoch and all can talk", () =>
  inWorld(async (world) => {
    const everybody = await tenPeople(world);
    await Promise.all(everybody.map((person) => person.client.join("#crowd")));
    await settled(everybody, "#crowd", 10);
    sameState(everybody, "#crowd");
    await Promise.all(everybody.map((p) => p.says(p.client.find("#crowd"), `I am ${p.name}`)));
    await Promise.all(
      everybody.flatMap((person) => everybody.map((other) => person.hears(`I am ${other.name}`))),
    );
  }));

Deno.test("ten people commit at once: all end in the same epoch, nobody is stuck", () =>
  inWorld(async (world) => {
    const everybody = await tenPeople(world);
    for (const person of everybody) await person.client.join("#crowd");
    await settled(everybody, "#crowd", 10);
    const before = everybody[0].client.find("#crowd").group.epoch;
    await Promise.all(everybody.map((person) => person.client.renewKeys(person.client.find("#crowd"))));
    for (const person of everybody) {
      const followed = await person.client.find("#crowd").epochAbove(before + 9, {
        clock: systemClock,
        timeoutMs: 20_000,
      });
      assert.ok(followed, `${person.name} is stuck`);
    }
    sameState(everybody, "#crowd");
    assert.equal(everybody[0].client.find("#crowd").group.epoch, before + 10);
    await everybody[3].says(everybody[3].client.find("#crowd"), "all well");
    await Promise.all(everybody.map((person) => person.hears("all well")));
  }));

Deno.test("a change is made of a state that messages do not use up meanwhile", () =>
  inWorld(async (world) => {
    const gate = Promise.withResolvers<void>();
    let isMaking = false;
    let making = () => {};
    // Beside a handshake only the making of a commit encapsulates: it seals the path to the others.
    const crypto: CryptoProvider = {
      ...world.crypto,
      async encapsulate(...args) {
        if (isMaking) {
          making();
          await gate.promise;
        }
        return await world.crypto.encapsulate(...args);
      },
    };
    const alice = await world.person("alice", { crypto });
    const bob = await world.person("bob");
    const room = await alice.client.join("#room");
    const bobRoom = await bob.client.join("#room");
    await alice.until("to see bob", () => alice.of("MemberJoined").length > 0);
    const begun = new Promise<void>((resolve) => making = resolve);
    isMaking = true;
    const renewed = alice.client.renewKeys(room);
    await begun;
    const texts = ["one", "two", "three"];
    for (const text of texts) await bob.says(bobRoom, text);
    // Opened now, if anything lets them be.
    for (let turn = 0; turn < 100; turn++) await new Promise<void>((done) => setImmediate(done));
    gate.resolve();
    await renewed;
    for (const text of texts) await alice.hears(text);
    await alice.says(room, "renewed");
    await bob.hears("renewed");
    for (const person of [alice, bob]) assert.deepEqual(person.of("Gap"), []);
    sameState([alice, bob], "#room");
  }));

Deno.test("a client that is closed while it logs in ends, whenever that is", () =>
  inWorld(async (world) => {
    for (let turns = 0; turns < 24; turns++) {
      const person = await world.person(`person${turns}`, { connect: false });
      const connecting = person.client.connect();
      connecting.catch(() => {}); // closed, or just in time
      for (let turn = 0; turn < turns; turn++) await new Promise<void>((done) => setImmediate(done));
      await person.client.close();
    }
  }));

Deno.test("who was removed while a change of his own was under way is told so, and can go on", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    const bobPlans = await bob.has("plans");
    const before = bobPlans.group;
    await bob.client.close();
    await alice.client.remove(plans, "bob");
    // As if bob's machine had stopped between making a commit and sending it.
    bobPlans.pending = { hash: "00".repeat(32), next: before };
    const engine = createGroupEngine({
      crypto: world.crypto,
      clock: systemClock,
      trust: { check: () => "trusted" },
    });
    bob.store.write((writer) => bobPlans.save(engine, writer));
    const again = await world.person("bob", { store: bob.store });
    await again.until("to be removed", () => again.of("GroupLeft").length > 0);
    await again.client.join("#elsewhere");
  }));

Deno.test("a client that holds one relay's link refuses another relay at the same address", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    await alice.client.close();
    const { link } = world.relay;
    const { port } = parseLink(link);
    await world.relay.stop();
    const { startRelay, MemoryMailboxStore, MemoryRelayStore } = await import("../../server/mod.ts");
    const other = await startRelay({
      listen: { hostname: "127.0.0.1", port },
      store: new MemoryRelayStore(),
      mailboxes: new MemoryMailboxStore(),
      crypto: world.crypto,
      clock: systemClock,
      name: "impostor",
      log: () => {},
    });
    try {
      const again = await world.person("alice", { store: alice.store, link, connect: false });
      await assert.rejects(again.client.connect(), {
        code: "WRONG_RELAY",
        message: /not the one this profile knows/,
      });
      const fresh = await world.person("bob", { link, connect: false });
      await assert.rejects(fresh.client.connect(), { code: "WRONG_RELAY" });
    } finally {
      await other.stop();
    }
  }));

Deno.test("a changed identity blocks sending until it is accepted", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const direct = await alice.client.openDirect("bob");
    await alice.says(direct, "hi");
    await bob.hears("hi");
    await alice.client.close();
    // As if alice had known another bob before.
    const pinned = { fingerprint: "ab".repeat(32), identityKey: new Uint8Array(1952) };
    const account = "bob" as Parameters<typeof encodeContact>[0]["account"];
    alice.store.write((writer) =>
      writer.put(
        "contacts",
        "bob",
        encodeContact({
          ...pinned as {
            fingerprint: Parameters<typeof encodeContact>[0]["fingerprint"];
            identityKey: Uint8Array;
          },
          account,
          firstSeenMs: 0,
          verified: true,
        }),
      )
    );
    const again = await world.person("alice", { store: alice.store });
    const conversation = again.client.find("@bob");
    assert.throws(() => again.client.send(conversation, "secret"), { code: "IDENTITY_CHANGED" });
    await again.client.refreshContact("bob");
    again.client.verify("bob", { accept: true });
    await again.says(conversation, "accepted");
    await bob.hears("accepted");
  }));

function people(world: World, ...names: string[]): Promise<Person[]> {
  return Promise.all(names.map((name) => world.person(name)));
}

function tenPeople(world: World): Promise<Person[]> {
  return people(world, ...Array.from({ length: 10 }, (_, i) => `person${i}`));
}

async function settled(everybody: readonly Person[], title: string, members: number): Promise<void> {
  for (const person of everybody) {
    await person.until(
      `for ${members} members`,
      () => person.client.find(title).group.members.length === members,
    );
  }
  const epochs = () => everybody.map((person) => person.client.find(title).group.epoch);
  for (const person of everybody) {
    await person.until("to catch up", () => person.client.find(title).group.epoch === Math.max(...epochs()));
  }
}

function sameState(everybody: readonly Person[], title: string): void {
  const states = everybody.map((person) => {
    const { epoch, authenticator } = person.client.find(title).group;
    return `${epoch} ${toHex(authenticator)}`;
  });
  assert.equal(new Set(states).size, 1, states.join("\n"));
}
