/** Groups from their making to the last removal, in both suites and on both providers. */

import assert from "node:assert/strict";
import type { CryptoProvider } from "../../proto/mod.ts";
import { SUITE_IDS, suiteName } from "../../client/groups/mod.ts";
import { createWorld, native, noble, type Peer, refused, Room } from "./groups_support.ts";

const providers: CryptoProvider[] = native === noble ? [noble] : [native, noble];

for (const crypto of providers) {
  for (const suite of SUITE_IDS) {
    Deno.test(`a group lives through every change: ${suiteName(suite)}, ${crypto.name}`, async () => {
      const world = createWorld(crypto);
      const [anna, bert, carl] = [
        await world.peer("anna"),
        await world.peer("bert"),
        await world.peer("carl"),
      ];
      const room = await Room.open(world, anna, { kind: "group", suite });
      await room.check();
      await room.add(0, [bert, carl]);
      await room.check();
      await room.commit(1, { kind: "update" });
      await room.check();
      await room.commit(0, { kind: "settings", name: "best friends" });
      assert.equal(room.at(2).group.name, "best friends");
      await room.check();
      await room.commit(0, { kind: "remove", devices: [bert.device.device] });
      assert.equal(room.seats.length, 2);
      await room.check();
      assert.equal(room.at(0).group.suite, suite);
    });
  }
}

if (native !== noble) {
  Deno.test("members on the native and on the noble provider understand each other", async () => {
    const world = createWorld();
    const room = await Room.open(world, await world.peer("anna", { crypto: native }), { kind: "channel" });
    await room.add(0, [await world.peer("bert", { crypto: noble })]);
    await room.join(await world.peer("carl", { crypto: noble }));
    await room.join(await world.peer("dora", { crypto: native }));
    await room.commit(1, { kind: "update" });
    await room.check();
  });
}

Deno.test("a group of 40 grows by Welcomes and every newcomer accepts its tree", async () => {
  const world = createWorld();
  const room = await Room.open(world, await world.peer("member-0"), { kind: "group" });
  let made = 1;
  const some = async (count: number) => {
    const peers: Peer[] = [];
    for (let i = 0; i < count; i++) peers.push(await world.peer(`member-${made++}`));
    return peers;
  };
  // Between the additions members renew their leaves, so that parents have unmerged leaves below parents that have none.
  for (const [count, committer] of [[2, 0], [3, 1], [5, 4], [7, 2], [9, 10], [13, 20]] as const) {
    await room.add(committer % room.seats.length, await some(count));
    await room.commit((committer * 3 + 1) % room.seats.length, { kind: "update" });
  }
  assert.equal(room.seats.length, 40);
  await room.check();
});

Deno.test("a newcomer accepts a tree in which a node has more unmerged leaves than the one above it", async () => {
  const world = createWorld();
  const room = await Room.open(world, await world.peer("member-0"), { kind: "group" });
  const peers: Peer[] = [];
  for (let i = 1; i < 15; i++) peers.push(await world.peer(`member-${i}`));
  await room.add(0, peers.slice(0, 12)); // leaves 0 to 12
  await room.commit(8, { kind: "update" }); // fills the node over leaves 8 to 15, and the root
  await room.add(0, peers.slice(12, 13)); // leaf 13 is unmerged at both
  await room.commit(0, { kind: "update" }); // and now only at the lower one
  await room.add(0, peers.slice(13)); // leaf 14 at both
  await room.check();
});

Deno.test("whoever is removed cannot follow: not by the commit, not by anything later", async () => {
  const world = createWorld();
  const [anna, bert, carl] = [await world.peer("anna"), await world.peer("bert"), await world.peer("carl")];
  const room = await Room.open(world, anna, { kind: "group" });
  await room.add(0, [bert, carl]);
  const before = room.seatOf(bert).group;
  const stolen = bert.engine.decode(bert.engine.encode(before));

  const made = await anna.engine.commit(room.at(0).group, { kind: "remove", devices: [bert.device.device] });
  const { next, summary } = await bert.engine.process(before, made.commit);
  assert.equal(summary.selfRemoved, true);
  assert.equal(next.active, false);
  assert.equal(next.epoch, before.epoch);
  assert.deepEqual(summary.removed.map(({ device }) => device), [bert.device.device]);
  await refused(() => bert.engine.encrypt(next, new Uint8Array(1)), "POLICY");
  await refused(() => bert.engine.commit(next, { kind: "update" }), "POLICY");

  const secret = await anna.engine.encrypt(made.next, new TextEncoder().encode("without bert"));
  for (const group of [before, stolen]) {
    await refused(() => bert.engine.decrypt(group, secret.ciphertext), "BAD_MLS");
    assert.notDeepEqual(group.authenticator, made.next.authenticator);
  }
  const later = await anna.engine.commit(made.next, { kind: "update" });
  await refused(() => bert.engine.process(stolen, later.commit), "BAD_MLS");
  assert.equal(bert.engine.decode(bert.engine.encode(next)).active, false);
});

Deno.test("ten members commit at once in random order and agree after every round", async () => {
  const world = createWorld();
  const room = await Room.open(world, await world.peer("member-0"), { kind: "group" });
  const peers: Peer[] = [];
  for (let i = 1; i < 10; i++) peers.push(await world.peer(`member-${i}`));
  await room.add(0, peers);
  let random = 12345;
  const next = (limit: number) => (random = (random * 1103515245 + 12345) % 2147483648) % limit;
  for (let round = 0; round < 6; round++) {
    const contenders = [...new Set(Array.from({ length: 4 }, () => next(10)))];
    const commits = [];
    for (const index of contenders) {
      const { peer, group } = room.at(index);
      commits.push({ index, made: await peer.engine.commit(group, { kind: "update" }) });
    }
    await room.say(next(10), "meanwhile"); // those who wait for their commit go on from the old epoch
    const winner = commits[next(commits.length)];
    await room.deliver(winner.made.commit, { except: room.at(winner.index) });
    room.at(winner.index).group = winner.made.next;
    await room.say(winner.index, "after");
  }
  await room.check();
});

Deno.test("a pending commit that wins still opens late messages of the epoch before", async () => {
  const world = createWorld();
  const [anna, bert] = [await world.peer("anna"), await world.peer("bert")];
  const room = await Room.open(world, anna, { kind: "group" });
  await room.add(0, [bert]);
  const texts = ["one", "two", "three"].map((text) => new TextEncoder().encode(text));
  let sending = room.at(1).group;
  const sealed: Uint8Array[] = [];
  for (const text of texts) {
    const { next, ciphertext } = await bert.engine.encrypt(sending, text);
    sending = next;
    sealed.push(ciphertext);
  }
  const pending = await anna.engine.commit(room.at(0).group, { kind: "update" });
  // Anna reads two while her commit waits, which overwrites what they used up.
  let group = room.at(0).group;
  for (const ciphertext of sealed.slice(0, 2)) group = (await anna.engine.decrypt(group, ciphertext)).next;
  const late = await anna.engine.decrypt(pending.next, sealed[2]);
  assert.deepEqual(late.plaintext, texts[2]);
  assert.equal(late.sender.account, "bert");
  const { next } = await bert.engine.process(sending, pending.commit);
  assert.deepEqual(next.authenticator, late.next.authenticator);
});

Deno.test("a commit that lost can be made anew from the winner's epoch", async () => {
  const world = createWorld();
  const [anna, bert, carl] = [await world.peer("anna"), await world.peer("bert"), await world.peer("carl")];
  const room = await Room.open(world, anna, { kind: "group" });
  await room.add(0, [bert]);
  const keyPackage = (await carl.engine.keyPackage(carl.device, 0x0052, { lastResort: false })).publicBytes;
  const lost = await anna.engine.commit(room.at(0).group, { kind: "add", keyPackages: [keyPackage] });
  assert.deepEqual(lost.added, [carl.device.device]);
  await room.commit(1, { kind: "update" });
  await refused(() => bert.engine.process(room.at(1).group, lost.commit), "BAD_MLS");
  await room.commit(0, { kind: "add", keyPackages: [keyPackage] });
  assert.equal(room.at(1).group.members.length, 3);
});

Deno.test("messages come out of order, once, and not from too far ahead", async () => {
  const world = createWorld();
  const [anna, bert] = [await world.peer("anna"), await world.peer("bert")];
  const room = await Room.open(world, anna, { kind: "dm" });
  await room.add(0, [bert]);
  let sending = room.at(0).group;
  const sealed: Uint8Array[] = [];
  for (let i = 0; i < 40; i++) {
    const { next, ciphertext } = await anna.engine.encrypt(sending, Uint8Array.of(i));
    sending = next;
    sealed.push(ciphertext);
  }
  let group = room.at(1).group;
  const open = async (i: number) => {
    const opened = await bert.engine.decrypt(group, sealed[i]);
    group = opened.next;
    assert.deepEqual(opened.plaintext, Uint8Array.of(i));
  };
  for (const i of [3, 0, 2, 1, 20, 10]) await open(i);
  for (const i of [3, 0, 20]) await refused(() => open(i), "BAD_MLS");
  await open(39);
  await refused(() => open(4), "BAD_MLS"); // 35 behind
  await open(38);
  await open(11);
});

Deno.test("a conversation goes on from its stored form at any point", async () => {
  const world = createWorld();
  const [anna, bert, carl] = [await world.peer("anna"), await world.peer("bert"), await world.peer("carl")];
  const room = await Room.open(world, anna, { kind: "channel" });
  await room.add(0, [bert]);
  await room.join(carl);
  const reload = () => {
    for (const seat of room.seats) {
      const { engine } = seat.peer;
      const bytes = engine.encode(seat.group);
      const parts = engine.encodeParts(seat.group);
      const again = engine.decode(bytes.slice());
      assert.deepEqual(engine.encode(again), bytes);
      assert.deepEqual(engine.encode(engine.decodeParts(parts)), bytes);
      assert.deepEqual(again.members, seat.group.members);
      assert.deepEqual(again.self, seat.group.self);
      seat.group = again;
    }
  };
  for (let round = 0; round < 3; round++) {
    reload();
    await room.say(round, "hello");
    reload();
    const late = await room.at(1).peer.engine.encrypt(room.at(1).group, Uint8Array.of(round));
    room.at(1).group = late.next;
    await room.commit(2, { kind: "update" });
    reload();
    const opened = await room.at(0).peer.engine.decrypt(room.at(0).group, late.ciphertext);
    assert.equal(opened.sender.account, "bert");
    room.at(0).group = opened.next;
    await room.commit(0, { kind: "settings", banned: [] });
  }
  await room.commit(0, { kind: "remove", devices: [bert.device.device] });
  reload();
  await room.check();
});

Deno.test("the tree's stored form is the same array for the whole of an epoch", async () => {
  const world = createWorld();
  const anna = await world.peer("anna");
  const room = await Room.open(world, anna, { kind: "channel" });
  await room.join(await world.peer("bert"));
  const before = anna.engine.encodeParts(room.at(0).group);
  await room.say(1, "hello");
  const after = anna.engine.encodeParts(room.at(0).group);
  assert.equal(before.tree, after.tree);
  assert.notDeepEqual(before.secrets, after.secrets);
  await room.commit(1, { kind: "update" });
  assert.notDeepEqual(anna.engine.encodeParts(room.at(0).group).tree, before.tree);
});

Deno.test("a channel is joined from outside, again and again by the same device", async () => {
  const world = createWorld();
  const anna = await world.peer("anna");
  const room = await Room.open(world, anna, { kind: "channel", name: "#general" });
  const bert = await world.peer("bert");
  for (const peer of [bert, await world.peer("carl"), await world.peer("dora")]) {
    await room.join(peer);
    await room.check();
  }
  const host = room.at(0);
  const groupInfo = await anna.engine.groupInfo(host.group);
  const again = await bert.engine.joinFromGroupInfo(bert.device, {
    groupInfo,
    expect: { group: host.group.id, name: "#general" },
  });
  const { summary } = await anna.engine.process(host.group, again.commit);
  assert.equal(summary.external, true);
  assert.equal(summary.committer.account, "bert");
  assert.deepEqual(summary.added.map(({ device }) => device), [bert.device.device]);
  assert.deepEqual(summary.removed.map(({ device }) => device), [bert.device.device]);
  assert.equal(summary.selfRemoved, false);
  await room.join(bert);
  await room.check();
  await refused(
    () => bert.engine.joinFromGroupInfo(bert.device, { groupInfo, expect: { group: world.groupId() } }),
    "POLICY",
  );
  await refused(
    () =>
      bert.engine.joinFromGroupInfo(bert.device, {
        groupInfo,
        expect: { group: host.group.id, name: "#other" },
      }),
    "POLICY",
  );
});

Deno.test("the only member of a channel joins it again, having lost its state, and others join after it", async () => {
  const world = createWorld();
  const anna = await world.peer("anna");
  const room = await Room.open(world, anna, { kind: "channel", name: "#general" });
  const { group } = room.at(0);
  const { next } = await anna.engine.joinFromGroupInfo(anna.device, {
    groupInfo: await anna.engine.groupInfo(group),
    expect: { group: group.id, name: "#general" },
  });
  assert.deepEqual(next.members.map(({ device }) => device), [anna.device.device]);
  assert.equal(next.self.admin, true);
  room.at(0).group = next;
  await room.join(await world.peer("bert"));
  await room.say(0, "back again");
  await room.check();
});

Deno.test("a former state of a device that has rejoined from outside learns that it is out", async () => {
  const world = createWorld();
  const bert = await world.peer("bert");
  const room = await Room.open(world, await world.peer("anna"), { kind: "channel" });
  await room.join(bert);
  const former = room.seatOf(bert).group;
  const { next, commit } = await bert.engine.joinFromGroupInfo(bert.device, {
    groupInfo: await room.at(0).peer.engine.groupInfo(room.at(0).group),
    expect: { group: former.id },
  });
  const { summary } = await bert.engine.process(former, commit);
  assert.equal(summary.selfRemoved, true);
  assert.equal(summary.committer.device, bert.device.device);
  assert.equal(next.active, true);
});

Deno.test("a changed identity is reported on the member and does not stop the group", async () => {
  const world = createWorld();
  const wary = { check: (account: string) => account === "bert" ? "changed" as const : "trusted" as const };
  const anna = await world.peer("anna", { trust: wary });
  const room = await Room.open(world, anna, { kind: "group" });
  await room.add(0, [await world.peer("bert")]);
  await room.check();
  assert.deepEqual(room.at(0).group.members.map((member) => member.identityChanged), [false, true]);
  assert.deepEqual(room.at(0).group.members.map((member) => member.admin), [true, false]);
});

Deno.test("a last-resort key package lets the same device into several groups", async () => {
  const world = createWorld();
  const [anna, bert] = [await world.peer("anna"), await world.peer("bert")];
  const pair = await bert.engine.keyPackage(bert.device, 0x0052, { lastResort: true });
  const owner = await anna.engine.inspectKeyPackage(pair.publicBytes, { suite: 0x0052 });
  assert.equal(owner.account, "bert");
  assert.equal(owner.device, bert.device.device);
  for (let i = 0; i < 2; i++) {
    const group = await anna.engine.create(anna.device, {
      group: world.groupId(),
      suite: 0x0052,
      kind: "group",
      name: `group ${i}`,
    });
    const { welcome } = await anna.engine.commit(group, { kind: "add", keyPackages: [pair.publicBytes] });
    const other = await bert.engine.keyPackage(bert.device, 0x0052, { lastResort: false });
    const joined = await bert.engine.joinFromWelcome(bert.device, {
      welcome: welcome!,
      keyPackages: [other, pair],
      expect: { group: group.id, kind: "group" },
    });
    assert.equal(joined.usedKeyPackage, 1);
  }
});

Deno.test("two members of one epoch in different states find it out by the first message, and lose nothing by it", async () => {
  const world = createWorld();
  const [anna, bert] = [await world.peer("anna"), await world.peer("bert")];
  const room = await Room.open(world, anna, { kind: "group" });
  await room.add(0, [bert]);
  const [ours, theirs] = [
    await anna.engine.commit(room.at(0).group, { kind: "update" }),
    await bert.engine.commit(room.at(1).group, { kind: "update" }),
  ];
  assert.equal(ours.next.epoch, theirs.next.epoch);
  const { ciphertext } = await anna.engine.encrypt(ours.next, new Uint8Array(9), { sequence: 1, earlier: 0 });
  await refused(() => bert.engine.decrypt(theirs.next, ciphertext), "FORKED");
  // Bert's own commit has not won: the group that it was made from follows anna's, and reads the message.
  const { next } = await bert.engine.process(room.at(1).group, ours.commit);
  const { place, plaintext } = await bert.engine.decrypt(next, ciphertext);
  assert.deepEqual([place, plaintext.length], [{ sequence: 1, earlier: 0 }, 9]);
});
