/** Somebody on the relay who keeps to no rules, against people who do. */

import assert from "node:assert/strict";
import { ByteWriter, fromHex, type GroupId, parseAccountName, toHex } from "../../proto/mod.ts";
import { Rogue } from "../helpers/rogue.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";

const SUITE = 0x0052 as const;

Deno.test("who only says that he is alice does not become @alice", () =>
  inWorld(async (world) => {
    const bob = await world.person("bob");
    const alice = await world.person("alice");
    const mallory = await Rogue.register(world, "mallory");
    try {
      const id = randomGroupId(world);
      const posing = await mallory.deviceSaying(world, "alice");
      await mallory.api.createGroup({ group: id, kind: "dm", suite: SUITE, peer: "bob" }, done);
      await invite(mallory, { world, id, kind: "dm", name: "", as: posing, whom: "bob" });
      await bob.until("to decline", () => bob.of("Gap").length > 0);
      assert.deepEqual(bob.client.conversations(), []);
      const real = await bob.client.openDirect("alice");
      await bob.says(real, "for alice only");
      await alice.hears("for alice only");
      assert.equal((await bob.client.contact("alice")).fingerprint, alice.client.fingerprint);
    } finally {
      await mallory.close();
    }
  }));

Deno.test("an invitation into something that calls itself a channel is declined", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const mallory = await Rogue.register(world, "mallory");
    try {
      const id = randomGroupId(world);
      await mallory.api.createGroup({ group: id, kind: "group", suite: SUITE, name: "x" }, done);
      await invite(mallory, {
        world,
        id,
        kind: "channel",
        name: "#general",
        as: mallory.device,
        whom: "bob",
      });
      await bob.until("to decline", () => bob.of("Gap").length > 0);
      const room = await alice.client.join("#general");
      await bob.client.join("#general");
      await alice.says(room, "the real one");
      await bob.hears("the real one");
    } finally {
      await mallory.close();
    }
  }));

Deno.test("nobody is put into a channel by somebody else, whatever the relay says", () =>
  inWorld(async (world) => {
    const bob = await world.person("bob");
    const rogue = await Rogue.register(world, "mallory");
    const id = randomGroupId(world);
    const options = { group: id, kind: "channel", suite: SUITE, name: "#trap" } as const;
    const group = await rogue.engine.create(rogue.device, options);
    const groupInfo = await rogue.engine.groupInfo(group);
    await rogue.api.createGroup({ ...options, groupInfo }, done);
    const keyPackages = await rogue.api.claimKeyPackages(parseAccountName("bob"), SUITE);
    const { commit, welcome, added, next } = await rogue.engine.commit(group, { kind: "add", keyPackages });
    await rogue.api.commit({
      ...{ group: id, epoch: 0, add: added, remove: [], external: false, commit, welcome },
      groupInfo: await rogue.engine.groupInfo(next),
    }, done);
    await bob.until("to decline", () => bob.of("Gap").some(({ reason }) => /declined/.test(reason)));
    assert.deepEqual(bob.client.conversations(), []);
    await rogue.close();
  }));

Deno.test("a commit that nobody can verify is taken back, and the group goes on", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const mallory = await Rogue.register(world, "mallory");
    try {
      const room = await alice.client.join("#room");
      const bobRoom = await bob.client.join("#room");
      await enterAndJunk(world, mallory, { id: room.id, seenBy: alice });
      await alice.until("to refuse it", () => alice.of("Gap").length > 0);
      await alice.says(room, "still here");
      await bob.hears("still here");
      await bob.says(bobRoom, "me too");
      await alice.hears("me too");
      await alice.client.renewKeys(room);
      await alice.says(room, "and on");
      await bob.hears("and on");
      assert.equal(bob.of("Gap").length, 1);
    } finally {
      await mallory.close();
    }
  }));

Deno.test("a commit that nobody can verify does not stop a group whose admin is away", () =>
  inWorld(async (world) => {
    const [alice, bob, carol] = await Promise.all(
      ["alice", "bob", "carol"].map((name) => world.person(name)),
    );
    const mallory = await Rogue.register(world, "mallory");
    try {
      const { id } = await alice.client.join("#room");
      const bobRoom = await bob.client.join("#room");
      const carolRoom = await carol.client.join("#room");
      await alice.client.close();
      await enterAndJunk(world, mallory, { id, seenBy: bob });
      await bob.until("to refuse it", () => bob.of("Gap").length > 0);
      await bob.says(bobRoom, "still here");
      await carol.hears("still here");
      await carol.client.renewKeys(carolRoom);
      await carol.says(carolRoom, "me too");
      await bob.hears("me too");
      const back = await world.person("alice", { store: alice.store });
      await back.hears("me too");
      assert.deepEqual([bob.of("Gap").length, carol.of("Gap").length], [1, 1]);
    } finally {
      await mallory.close();
    }
  }));

/** Mallory joins the channel as anybody may, and commits what nobody can verify. */
async function enterAndJunk(
  world: World,
  mallory: Rogue,
  { id, seenBy }: { id: GroupId; seenBy: Person },
): Promise<void> {
  const found = await mallory.api.lookupChannel("#room");
  assert.ok(found.exists);
  const joined = await mallory.engine.joinFromGroupInfo(mallory.device, {
    groupInfo: found.groupInfo,
    expect: { group: id, name: "#room" },
  });
  const groupInfo = await mallory.engine.groupInfo(joined.next);
  const request = { group: id, add: [], remove: [] };
  await mallory.api.commit(
    { ...request, epoch: found.epoch, external: true, commit: joined.commit, groupInfo },
    done,
  );
  await seenBy.until(
    "to see mallory",
    () => seenBy.of("MemberJoined").some((event) => event.account === "mallory"),
  );
  await mallory.api.commit({
    ...request,
    epoch: found.epoch + 1,
    external: false,
    commit: junkCommit(world, id, found.epoch + 1),
    groupInfo,
  }, done);
}

Deno.test("what an absent member was sent before a restart of the relay still arrives", () =>
  inWorld(async (world) => {
    const alice = await world.person("alice");
    const bob = await world.person("bob");
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.says(room, "one");
    await bob.hears("one");
    await bob.client.close();
    await alice.says(room, "two");
    await world.restartRelay();
    await alice.says(room, "three");
    const again = await world.person("bob", { store: bob.store });
    await again.hears("three");
    await again.hears("two");
    assert.deepEqual(again.texts("#room").sort(), ["three", "two"]);
    const before = again.texts("#room").length;
    await alice.says(room, "four");
    await again.hears("four");
    assert.equal(again.texts("#room").length, before + 1);
  }));

/** Adds `whom` to a group that the relay and MLS may know differently. */
async function invite(
  rogue: Rogue,
  options: {
    world: World;
    id: GroupId;
    kind: "dm" | "group" | "channel";
    name: string;
    as: Rogue["device"];
    whom: string;
  },
): Promise<void> {
  const { id, kind, name } = options;
  const group = await rogue.engine.create(options.as, { group: id, suite: SUITE, kind, name });
  const keyPackages = await rogue.api.claimKeyPackages(parseAccountName(options.whom), SUITE);
  const { commit, welcome, added } = await rogue.engine.commit(group, { kind: "add", keyPackages });
  await rogue.api.commit(
    { group: id, epoch: 0, add: added, remove: [], external: false, commit, welcome },
    done,
  );
}

/** An MLS PrivateMessage that says it is a commit, with noise for its ciphertext. */
function junkCommit(world: World, group: GroupId, epoch: number): Uint8Array {
  const noise = world.crypto.randomBytes(200);
  return new ByteWriter().u16(1).u16(2).u8(16).raw(fromHex(group)).u64(epoch).u8(3).u8(0).u8(28)
    .raw(noise.subarray(0, 28)).u16(0x4000 | noise.length).raw(noise).finish();
}

function randomGroupId(world: World): GroupId {
  return toHex(world.crypto.randomBytes(16)) as GroupId;
}

function done(): Promise<void> {
  return Promise.resolve();
}
