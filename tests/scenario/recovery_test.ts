/** Devices that have lost their way: missed commits that are gone, a profile from an older copy, another history of a group. */

import assert from "node:assert/strict";
import type { Conversation } from "../../client/mod.ts";
import { MemoryRelayStore } from "../../server/mod.ts";
import type { Store } from "../../client/store/mod.ts";
import { AronaError, type CryptoProvider, toHex, utf8 } from "../../proto/mod.ts";
import { REFUSED_WAIT_MS } from "../../client/limits.ts";
import { copyStore } from "../helpers/copy_store.ts";
import { quickClock } from "../helpers/quick_clock.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";

const RESTORED = "this profile was put back from an older copy";

Deno.test("a device whose missed commits are gone comes back into a group by another member's hand, and a mark says so", () => {
  const forgetful = new ForgetfulStore();
  return inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    await alice.client.invite(plans, "carol");
    await bob.has("plans");
    const carolPlans = await carol.has("plans");
    await alice.says(plans, "before");
    await bob.hears("before");
    await bob.client.close();
    await alice.says(plans, "follow me");
    await carol.hears("follow me");
    await alice.client.close(); // bob must not need the admin
    await carol.client.renewKeys(carolPlans);
    await carol.says(carolPlans, "meanwhile");
    forgetful.logIsGone = true;
    await world.restartRelay(); // the mailboxes are gone too
    const again = await world.person("bob", { store: bob.store });
    await again.until("to be back", () => again.of("GroupCreated").length > 0);
    forgetful.logIsGone = false;
    const bobPlans = await again.has("plans");
    await carol.says(carolPlans, "welcome back");
    await again.hears("welcome back");
    await again.says(bobPlans, "thanks");
    await carol.hears("thanks");
    assert.deepEqual(again.of("Gap").map(({ reason }) => reason), ["this device was away for too long"]);
    await again.hears("meanwhile"); // the relay's restart had carol send it once more
    const shown = historyOf(again, bobPlans);
    assert.deepEqual(shown.slice(0, 2), ["before", "---"]);
    assert.deepEqual(shown.slice(2).filter((text) => text !== "meanwhile"), ["welcome back", "thanks"]);
    assert.equal(carolPlans.group.members.length, 3);
    sameState([again, carol], "plans");
  }, { store: forgetful });
});

Deno.test("a device whose missed commits are gone joins its channel again from outside, with a mark", () => {
  const forgetful = new ForgetfulStore();
  return inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.says(room, "before");
    await bob.hears("before");
    await bob.client.close();
    await alice.client.renewKeys(room);
    forgetful.logIsGone = true;
    await world.restartRelay();
    const again = await world.person("bob", { store: bob.store });
    await again.until("to be back", () => again.of("GroupCreated").length > 0);
    await alice.says(room, "after");
    await again.hears("after");
    assert.deepEqual(historyOf(again, again.client.find("#room")), ["before", "---", "after"]);
    sameState([alice, again], "#room");
  }, { store: forgetful });
});

Deno.test("what is written while a device is on its way back in goes out once it is back", () => {
  const forgetful = new ForgetfulStore();
  return inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const direct = await alice.client.openDirect("bob");
    await alice.says(direct, "hi");
    await bob.hears("hi");
    await bob.client.close();
    await alice.client.renewKeys(direct);
    await alice.client.close(); // nobody can help for now
    forgetful.logIsGone = true;
    await world.restartRelay();
    let again = await world.person("bob", { store: bob.store });
    await again.until("to be stuck", () => again.of("Gap").length > 0);
    forgetful.logIsGone = false;
    const waitsForReturn = async () => {
      let waiting = again.store.get("profile", `return ${direct.id}`);
      for (; waiting === null; waiting = again.store.get("profile", `return ${direct.id}`)) await turn();
      return waiting;
    };
    const keyPackage = await waitsForReturn();
    for (let i = 0; i < 3; i++) again = await world.restart(again);
    assert.deepEqual(await waitsForReturn(), keyPackage, "it asks with the same one again and again");
    const sending = again.client.send(again.client.find("@alice"), "are you there?");
    const back = await world.person("alice", { store: alice.store });
    await sending.accepted;
    await back.hears("are you there?");
    assert.deepEqual(back.texts("@bob"), ["are you there?"]);
    sameState([back], "@bob");
  }, { store: forgetful });
});

Deno.test("a profile that is put back from an older copy is found out, and every conversation healed", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    const direct = await alice.client.openDirect("bob");
    const plans = await alice.client.createGroup("plans");
    await alice.client.invite(plans, "bob");
    await bob.has("plans");
    for (const conversation of [room, direct, plans]) await alice.says(conversation, "before the copy");
    await bob.until("to hear all", () => bob.of("MsgCreated").length === 3);
    await bob.client.close();
    const copy = copyStore(bob.store);

    // What the copy does not have: messages, own commits, another group.
    const later = await world.restart(bob);
    await alice.says(room, "after the copy");
    await later.hears("after the copy");
    for (const title of ["#room", "@alice", "plans"]) {
      await later.client.renewKeys(later.client.find(title));
      await later.says(later.client.find(title), `mine in ${title}`);
    }
    const newer = await alice.client.createGroup("newer");
    await alice.client.invite(newer, "bob");
    await later.has("newer");
    await later.client.close();

    const restored = await world.person("bob", { store: copy });
    await restored.until("to be back everywhere", () => restored.of("GroupCreated").length === 4);
    for (const title of ["#room", "plans", "newer", "@alice"]) {
      const theirs = alice.client.find(title === "@alice" ? "@bob" : title);
      await alice.says(theirs, `now in ${title}`);
      await restored.hears(`now in ${title}`);
      await restored.says(restored.client.find(title), `again in ${title}`);
      await alice.hears(`again in ${title}`);
    }
    for (const title of ["#room", "@alice", "plans"]) {
      assert.deepEqual(historyOf(restored, restored.client.find(title)), [
        "before the copy",
        "---",
        `now in ${title}`,
        `again in ${title}`,
      ]);
    }
    assert.deepEqual(new Set(restored.of("Gap").map(({ reason }) => reason)), new Set([RESTORED]));
    assert.deepEqual(alice.of("Gap"), []);
    // It can be invited: its KeyPackages are new.
    const third = await alice.client.createGroup("third");
    await alice.client.invite(third, "bob");
    await restored.has("third");
  }));

Deno.test("a profile that was put back and healed is a profile like any other from then on", () =>
  inWorld(async (world) => {
    const { alice, copies: [copy] } = await twoPeopleAndCopies(world, { copies: 1, laterLogins: 4 });
    let restored = await world.person("bob", { store: copy });
    await restored.until("to be back", () => restored.of("GroupCreated").length === 1);
    await alice.says(alice.client.find("@bob"), "two");
    await restored.hears("two");
    for (let i = 0; i < 3; i++) {
      restored = await world.restart(restored);
      await restored.client.caughtUp();
      await alice.says(alice.client.find("@bob"), `again ${i}`);
      await restored.hears(`again ${i}`);
      assert.deepEqual(restored.of("Gap"), []);
      assert.equal(copy.get("profile", "healing"), null);
    }
    assert.deepEqual(historyOf(restored, restored.client.find("@alice")), [
      "one",
      "---",
      "two",
      "again 0",
      "again 1",
      "again 2",
    ]);
  }));

Deno.test("a profile that was put back is found out however often it dies before it has written that down", () =>
  inWorld(async (world) => {
    const { alice, copies: [copy] } = await twoPeopleAndCopies(world, { copies: 1, laterLogins: 1 });
    for (let i = 0; i < 3; i++) {
      await assert.rejects(world.person("bob", { store: dyingAtTicket(copy) }), /dies/);
      await world.people.get("bob")!.client.close();
    }
    const restored = await world.person("bob", { store: copy });
    await restored.until("to be back", () => restored.of("GroupCreated").length === 1);
    await alice.says(alice.client.find("@bob"), "two");
    await restored.hears("two");
    await restored.says(restored.client.find("@alice"), "mine");
    await alice.hears("mine");
    assert.deepEqual(historyOf(restored, restored.client.find("@alice")), ["one", "---", "two", "mine"]);
    assert.deepEqual(alice.of("Gap"), []);
  }));

Deno.test("two older copies that are put back in turn are both found out, and so is the first when it comes again", () =>
  inWorld(async (world) => {
    const { alice, copies } = await twoPeopleAndCopies(world, { copies: 2, laterLogins: 1 });
    for (const [i, store] of [copies[0], copies[1], copies[0]].entries()) {
      const restored = await world.person("bob", { store });
      await restored.until("to be back", () => restored.of("GroupCreated").length === 1);
      assert.equal(restored.of("Gap")[0].reason, RESTORED);
      await alice.says(alice.client.find("@bob"), `to copy ${i}`);
      await restored.hears(`to copy ${i}`);
      await restored.client.close();
    }
  }));

Deno.test("a relay whose own disk was put back takes no profile for an older copy", () => {
  const store = new MemoryRelayStore();
  return inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const device = bob.client.deviceId as Parameters<typeof store.ticketsOf>[0];
    const direct = await alice.client.openDirect("bob");
    await alice.says(direct, "one");
    await bob.hears("one");
    const earlier = store.ticketsOf(device);
    let again = bob;
    for (let i = 0; i < 3; i++) again = await world.restart(again);
    await world.relay.stop();
    store.saveTickets(new Map([[device, earlier]]));
    await world.restartRelay();
    for (let i = 0; i < 2; i++) {
      await alice.says(direct, `two ${i}`);
      await again.hears(`two ${i}`);
      assert.deepEqual(again.of("Gap"), []);
      again = await world.restart(again);
    }
  }, { store });
});

Deno.test("a profile and a relay that counted logins go on from there, and an older copy from then is found out", () => {
  const store = new MemoryRelayStore();
  return inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const device = bob.client.deviceId as Parameters<typeof store.ticketsOf>[0];
    await alice.client.openDirect("bob");
    await bob.has("@alice");
    await bob.client.close();
    // As the earlier version left both, and as it had left the profile one login before.
    const [profile, copy] = [[bob.store, "2"], [copyStore(bob.store), "1"]].map(([from, logins]) => {
      (from as Store).write((writer) => {
        writer.delete("profile", "ticket");
        writer.put("profile", "logins", utf8(logins as string));
      });
      return from as Store;
    });
    await world.relay.stop();
    store.saveTickets(new Map([[device, { held: "2.", offered: "" }]]));
    await world.restartRelay();
    const again = await world.person("bob", { store: profile });
    await alice.says(alice.client.find("@bob"), "hello");
    await again.hears("hello");
    assert.deepEqual(again.of("Gap"), []);
    assert.equal(profile.get("profile", "logins"), null);
    await again.client.close();
    const restored = await world.person("bob", { store: copy });
    await restored.until("to be found out", () => restored.of("Gap").length > 0);
    assert.equal(restored.of("Gap")[0].reason, RESTORED);
  }, { store });
});

Deno.test("a profile that was only restarted is no older copy", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    let again = bob;
    for (let i = 0; i < 3; i++) {
      again = await world.restart(again);
      await world.restartRelay();
    }
    await alice.says(room, "hello");
    await again.hears("hello");
    assert.deepEqual(again.of("Gap"), []);
  }));

Deno.test("members whose history of a group is not the relay's find it out when they connect, and follow it", () => {
  const forking = new ForgetfulStore();
  return inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const room = await alice.client.join("#room");
    const bobRoom = await bob.client.join("#room");
    const carolRoom = await carol.client.join("#room");
    await alice.until("to see all", () => room.group.members.length === 3);
    await bob.until("to see all", () => bobRoom.group.members.length === 3);
    await bob.client.close();
    await alice.client.renewKeys(room);
    await alice.says(room, "over here");
    await carol.hears("over here");
    assert.equal(carolRoom.group.epoch, room.group.epoch);
    // The relay's disk is put back to before that change; bob makes another one.
    await Promise.all([alice.client.close(), carol.client.close()]);
    assert.ok(forking.takeBack(room.id, room.group.epoch - 1));
    await world.restartRelay();
    const again = await world.person("bob", { store: bob.store });
    await again.client.renewKeys(again.client.find("#room"));
    assert.equal(again.client.find("#room").group.epoch, room.group.epoch, "the same number");
    const others = [
      await world.person("alice", { store: alice.store }),
      await world.person("carol", { store: carol.store }),
    ];
    for (const person of others) {
      await person.until("to be back", () => person.of("GroupCreated").length > 0);
      assert.match(person.of("Gap")[0].reason, /another history/);
    }
    const everybody = [again, ...others];
    for (const person of everybody) await person.says(person.client.find("#room"), `I am ${person.name}`);
    for (const person of everybody) {
      for (const other of everybody) await person.hears(`I am ${other.name}`);
    }
    sameState(everybody, "#room");
  }, { store: forking });
});

Deno.test("a change of a group that only one member cannot follow does not shut that member out", () =>
  inWorld(async (world) => {
    for (const title of ["plans", "#room"]) {
      const clock = quickClock([REFUSED_WAIT_MS]);
      const spoiler = new Spoiler(world.crypto);
      const names = ["alice", "bob", "carol"].map((name) => `${name}${title === "plans" ? 1 : 2}`);
      const alice = await world.person(names[0]);
      const bob = await world.person(names[1], { crypto: spoiler.crypto, clock });
      const carol = await world.person(names[2]);
      const everybody = [alice, bob, carol];
      if (title === "plans") {
        const plans = await alice.client.createGroup(title);
        for (const name of names.slice(1)) await alice.client.invite(plans, name);
      } else for (const person of everybody) await person.client.join(title);
      for (const person of everybody) {
        await person.has(title);
        await person.until("three", () => person.client.find(title).group.members.length === 3);
      }
      spoiler.isOn = true;
      await carol.client.renewKeys(carol.client.find(title)); // garbled for bob only
      await bob.until("to refuse it", () => bob.of("Gap").length > 0);
      spoiler.isOn = false;
      await alice.says(alice.client.find(title), "not for bob");
      await carol.hears("not for bob");
      await bob.until("to be back", () => bob.of("GroupCreated").length === 2);
      await alice.says(alice.client.find(title), "for all");
      await bob.hears("for all");
      await bob.says(bob.client.find(title), "and back");
      await carol.hears("and back");
      sameState(everybody, title);
      await bob.hears("not for bob"); // sent once more
      const shown = historyOf(bob, bob.client.find(title));
      assert.deepEqual(shown.filter((text) => text !== "not for bob").slice(-3), [
        "---",
        "for all",
        "and back",
      ]);
    }
  }));

Deno.test("a device that cannot follow a change because it went another way before says so, and comes back", () => {
  const forking = new ForgetfulStore();
  return inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.until("to see bob", () => room.group.members.length === 2);
    await bob.client.close();
    await alice.client.renewKeys(room);
    await alice.client.close();
    assert.ok(forking.takeBack(room.id, room.group.epoch - 1)); // the relay's disk is put back
    await world.restartRelay();
    const again = await world.person("bob", { store: bob.store });
    const bobRoom = again.client.find("#room");
    await again.client.renewKeys(bobRoom);
    assert.equal(bobRoom.group.epoch, room.group.epoch, "the same number");
    await again.client.renewKeys(bobRoom); // waits for alice
    const back = await world.person("alice", { store: alice.store });
    await back.until("to be back", () => back.of("GroupCreated").length > 0);
    assert.match(back.of("Gap")[0].reason, /another history/);
    await again.says(bobRoom, "hello");
    await back.hears("hello");
  }, { store: forking });
});

Deno.test("a group whose members have all lost its state is made anew by an admin, and what waited goes out there", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await people(world, "alice", "bob", "carol");
    const plans = await alice.client.createGroup("plans");
    for (const name of ["bob", "carol"]) await alice.client.invite(plans, name);
    for (const person of [bob, carol]) await person.has("plans");
    await carol.until("to see all", () => carol.client.find("plans").group.members.length === 3);
    await alice.says(plans, "before");
    for (const person of [bob, carol]) await person.hears("before");
    const copies = await allRestored(world, [alice, bob, carol]);
    const restored: Person[] = [];
    for (const [i, name] of ["alice", "carol", "bob"].entries()) {
      restored.push(await world.person(name, { store: copies.get(name) }));
      if (i > 0) continue;
      void restored[0].client.send(restored[0].client.find("plans"), "while it was lost").accepted;
    }
    for (const person of restored) {
      const { id } = await person.has("plans");
      assert.notEqual(id, plans.id);
      await person.hears("while it was lost");
      await person.until("the old one to be over", () => person.of("GroupLeft").length > 0);
      assert.equal(person.client.find("plans").id, id);
    }
    await restored[0].until("to see all", () => restored[0].client.find("plans").group.members.length === 3);
    await restored[1].says(restored[1].client.find("plans"), "here we are");
    for (const person of restored) await person.hears("here we are");
    sameState(restored, "plans");
  }));

Deno.test("a direct message whose sides have both lost its state goes on as a new one, and what waited goes out there", () =>
  inWorld(async (world) => {
    const [alice, bob] = await people(world, "alice", "bob");
    const direct = await alice.client.openDirect("bob");
    await alice.says(direct, "before");
    await bob.hears("before");
    const copies = await allRestored(world, [alice, bob]);
    const first = await world.person("alice", { store: copies.get("alice"), connect: false });
    const second = await world.person("bob", { store: copies.get("bob"), connect: false });
    const sending = [
      first.client.send(first.client.find("@bob"), "from alice"),
      second.client.send(second.client.find("@alice"), "from bob"),
    ];
    await first.client.connect();
    await second.client.connect();
    await Promise.all(sending.map(({ accepted }) => accepted));
    for (const person of [first, second]) {
      await person.hears("from alice");
      await person.hears("from bob");
    }
    assert.deepEqual([...first.of("MsgFailed"), ...second.of("MsgFailed")], []);
    assert.notEqual(first.client.find("@bob").id, direct.id);
    assert.equal(first.client.find("@bob").id, second.client.find("@alice").id);
  }));

/** Copies of everybody's profile, which they have all used once more since, so that the copies count as older ones. */
async function allRestored(world: World, everybody: readonly Person[]): Promise<Map<string, Store>> {
  const copies = new Map<string, Store>();
  for (const person of everybody) await person.client.close();
  for (const { name, store } of everybody) copies.set(name, copyStore(store));
  for (const person of everybody) await (await world.restart(person)).client.close();
  return copies;
}

/** Crypto by which a device cannot open what is encapsulated to it while it is on, nor later what it could not open then. */
class Spoiler {
  isOn = false;
  readonly #spoiled = new Set<string>();
  readonly crypto: CryptoProvider;

  constructor(crypto: CryptoProvider) {
    this.crypto = {
      ...crypto,
      decapsulate: (...args) => {
        const key = args.filter((arg) => arg instanceof Uint8Array).map((arg) => toHex(arg.subarray(-32)))
          .join();
        if (this.isOn) this.#spoiled.add(key);
        if (this.#spoiled.has(key)) throw new Error("garbled");
        return crypto.decapsulate(...args);
      },
    };
  }
}

/** A relay's store whose log can seem to be gone. */
class ForgetfulStore extends MemoryRelayStore {
  logIsGone = false;

  override commits(
    ...args: Parameters<MemoryRelayStore["commits"]>
  ): ReturnType<MemoryRelayStore["commits"]> {
    const found = super.commits(...args);
    return this.logIsGone && found.commits.length > 0 ? { ...found, commits: [], gone: true } : found;
  }
}

/** Alice and bob with a message between them; copies of bob's profile, after which he logs in again and hears more. */
async function twoPeopleAndCopies(
  world: World,
  options: { copies: number; laterLogins: number },
): Promise<{ alice: Person; copies: Store[] }> {
  const [alice, bob] = await people(world, "alice", "bob");
  const direct = await alice.client.openDirect("bob");
  await alice.says(direct, "one");
  await bob.hears("one");
  await bob.client.close();
  const copies = Array.from({ length: options.copies }, () => copyStore(bob.store));
  for (let i = 0; i < options.laterLogins; i++) {
    const later = await world.restart(bob);
    await alice.says(direct, `later ${i}`);
    await later.hears(`later ${i}`);
    await later.client.close();
  }
  return { alice, copies };
}

/** The same store, but what runs on it dies when it is to write a login ticket down. */
function dyingAtTicket(store: Store): Store {
  return {
    get: (table, id) => store.get(table, id),
    all: (table) => store.all(table),
    readLog: (log, options) => store.readLog(log, options),
    close: () => store.close(),
    write: (action) =>
      store.write((writer) =>
        action({
          ...writer,
          put(table, id, row) {
            if (id === "ticket") throw new AronaError("CLOSED", "Cannot go on: the process dies");
            writer.put(table, id, row);
          },
        })
      ),
  };
}

function people(world: World, ...names: string[]): Promise<Person[]> {
  return Promise.all(names.map((name) => world.person(name)));
}

/** Texts of a conversation as it is stored; a mark is `---`. */
function historyOf(person: Person, conversation: Conversation): string[] {
  return person.client.history(conversation, { limit: 100 })
    .map(({ message }) => message.gap === undefined ? message.text : "---");
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function sameState(everybody: readonly Person[], title: string): void {
  const states = everybody.map((person) => {
    const { epoch, authenticator } = person.client.find(title).group;
    return `${epoch} ${toHex(authenticator)}`;
  });
  assert.equal(new Set(states).size, 1, states.join("\n"));
}
