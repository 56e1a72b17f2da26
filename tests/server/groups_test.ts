/** Groups on the relay: one commit for each epoch, who may do what, Welcomes, the log, leaving, and what a restart keeps. */

import assert from "node:assert/strict";
import {
  decodeStatement,
  DeliveryKind,
  type DeviceId,
  encodeStatement,
  FrameType,
  type GroupId,
  statementContent,
  toHex,
} from "../../proto/mod.ts";
import {
  ERRAND_INTERVAL_MS,
  MAX_GROUPS_PER_ACCOUNT,
  MAX_WELCOMES_PER_DEVICE,
  MAX_WELCOMES_PER_INVITER,
  MemoryRelayStore,
  openSqliteRelayStore,
} from "../../server/mod.ts";
import { RETURN_BURST, RETURN_INTERVAL_MS } from "../../server/limits.ts";
import type { RawClient } from "./raw_client.ts";
import { codeOf, commit, memberCommit, SUITE, TestRelay } from "./test_relay.ts";

const ask = (client: RawClient, fields: Record<string, unknown>, blobs: Uint8Array[] = []) =>
  client.request(FrameType.GROUP, fields, blobs);
const idOf = (client: RawClient): DeviceId => client.device.device;

Deno.test("a commit is answered, then delivered to everybody else, and its Welcome to the added", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob);
  const bytes = memberCommit(group, 1, new Uint8Array(300).fill(3));
  assert.equal(await commit(alice, group, { epoch: 1, add: [idOf(carol)], bytes }), 2);
  const seen = await bob.deliveries.next();
  assert.deepEqual([seen.kind, seen.epoch, seen.payload], [DeliveryKind.COMMIT, 1, bytes]);
  assert.deepEqual(seen.envelope, relay.crypto.digest("SHA-256", bytes).subarray(0, 16));
  const welcome = await carol.deliveries.next();
  assert.deepEqual([welcome.kind, welcome.epoch, toHex(welcome.group)], [DeliveryKind.WELCOME, 2, group]);
  assert.deepEqual(welcome.payload, new Uint8Array(64).fill(7));
  assert.equal(alice.deliveries.waiting + bob.deliveries.waiting + carol.deliveries.waiting, 0);
});

Deno.test("of ten members that commit at once one wins, nine get CONFLICT with the new epoch", async () => {
  await using relay = await TestRelay.start();
  const names = Array.from({ length: 10 }, (_, i) => `member${i}`);
  const members = await Promise.all(names.map((name) => relay.connect(name)));
  const group = await relay.group(...members);
  const results = await Promise.allSettled(members.map((member) => commit(member, group, { epoch: 1 })));
  const refused = results.filter((result) => result.status === "rejected");
  assert.equal(refused.length, 9);
  for (const { reason } of refused) assert.deepEqual([reason.code, reason.details.epoch], ["CONFLICT", 2]);
});

Deno.test("a commit for an old or a future epoch is refused and changes nothing", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  for (const epoch of [0, 2, 1_000_000]) {
    assert.equal(await codeOf(commit(bob, group, { epoch })), "CONFLICT");
  }
  assert.equal(await commit(bob, group, { epoch: 1 }), 2);
});

Deno.test("the Welcome of a losing commit is never released", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob);
  await commit(alice, group, { epoch: 1 });
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, add: [idOf(carol)] })), "CONFLICT");
  const carolsGroups = await ask(carol, { op: "list" });
  assert.deepEqual(carolsGroups.fields.groups, []);
  assert.equal(carol.deliveries.waiting, 0);
  assert.equal(await codeOf(carol.send(group, { epoch: 2 })), "FORBIDDEN");
});

Deno.test("an outsider can neither commit, send, sync, look nor list members", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, mallory] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("mallory"),
  ];
  const group = await relay.group(alice, bob);
  const tries = [
    commit(mallory, group, { epoch: 1 }),
    commit(mallory, group, { epoch: 1, external: true, channel: true }),
    mallory.send(group, { epoch: 1 }),
    ask(mallory, { op: "sync", group, epoch: 0 }),
    ask(mallory, { op: "info", group }),
    ask(mallory, { op: "members", group }),
    ask(mallory, { op: "reset", group }),
    mallory.send(relay.randomGroup(), { epoch: 1 }),
  ];
  for (const attempt of tries) assert.equal(await codeOf(attempt), "FORBIDDEN");
  for (const length of [2_420, 3_309]) {
    const part = mallory.request(FrameType.PART, { group }, [
      Uint8Array.of(1, ...new Uint8Array(32 + length)),
    ]);
    assert.equal(await codeOf(part), "BAD_REQUEST", "no statement of a leaf in this suite");
  }
});

Deno.test("only an admin removes others, changes admins or bans", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, remove: [idOf(carol)] })), "FORBIDDEN");
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, admins: ["bob"] })), "FORBIDDEN");
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, banned: ["carol"] })), "FORBIDDEN");
  assert.equal(await codeOf(commit(alice, group, { epoch: 1, admins: [] })), "FORBIDDEN");
  assert.equal(await codeOf(commit(alice, group, { epoch: 1, banned: ["alice"] })), "FORBIDDEN");
  assert.equal(await commit(alice, group, { epoch: 1, admins: ["alice", "bob"] }), 2);
  assert.equal(await commit(bob, group, { epoch: 2, remove: [idOf(carol)] }), 3);
  const last = (await carol.deliveries.take(2)).at(-1)!;
  assert.deepEqual(
    [last.kind, last.epoch],
    [DeliveryKind.COMMIT, 2],
    "the removal is the last thing carol gets",
  );
  await bob.send(group, { epoch: 3 });
  assert.equal(await codeOf(carol.send(group, { epoch: 3 })), "FORBIDDEN");
  assert.equal(carol.deliveries.waiting, 0);
});

Deno.test("a device removes neither itself nor a device that is not there", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const group = await relay.group(alice);
  assert.equal(await codeOf(commit(alice, group, { epoch: 0, remove: [idOf(alice)] })), "FORBIDDEN");
  assert.equal(
    await codeOf(commit(alice, group, { epoch: 0, remove: ["0".repeat(32) as DeviceId] })),
    "NOT_FOUND",
  );
  assert.equal(
    await codeOf(commit(alice, group, { epoch: 0, add: ["0".repeat(32) as DeviceId] })),
    "NOT_FOUND",
  );
});

Deno.test("anybody joins a channel from outside, replacing only devices of the own account", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, mallory] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("mallory"),
  ];
  const group = await relay.channel("#general", alice, bob);
  const lookup = await mallory.request(FrameType.JOIN, { channel: "#general" });
  assert.deepEqual({ ...lookup.fields, id: 0 }, {
    id: 0,
    exists: true,
    group,
    epoch: 1,
    suite: SUITE,
    members: 2,
  });
  assert.deepEqual(lookup.blobs, [new Uint8Array(32).fill(0)], "the GroupInfo of the last commit");
  const evict = commit(mallory, group, { epoch: 1, external: true, remove: [idOf(alice)] });
  assert.equal(await codeOf(evict), "FORBIDDEN");
  const smuggle = commit(mallory, group, { epoch: 1, external: true, add: [idOf(bob)] });
  assert.equal(await codeOf(smuggle), "FORBIDDEN");
  assert.equal(
    await codeOf(commit(mallory, group, { epoch: 1, external: true, admins: ["mallory"] })),
    "FORBIDDEN",
  );
  assert.equal(await commit(mallory, group, { epoch: 1, external: true }), 2);
  assert.equal(await commit(mallory, group, { epoch: 2, external: true, remove: [idOf(mallory)] }), 3);
  const { fields } = await ask(mallory, { op: "members", group });
  assert.equal((fields.members as unknown[]).length, 3);
  assert.deepEqual((await ask(alice, { op: "channels" })).fields.channels, [{
    name: "#general",
    members: 3,
  }]);
});

Deno.test("who is banned from a channel can neither look, join again nor be added", async () => {
  await using relay = await TestRelay.start();
  const [alice, mallory] = [await relay.connect("alice"), await relay.connect("mallory")];
  const group = await relay.channel("#general", alice, mallory);
  const ban = { epoch: 1, channel: true, banned: ["mallory"], remove: [idOf(mallory)] };
  assert.equal(await commit(alice, group, ban), 2);
  assert.equal(await codeOf(commit(mallory, group, { epoch: 2, external: true })), "FORBIDDEN");
  assert.equal(await codeOf(mallory.request(FrameType.JOIN, { channel: "#general" })), "FORBIDDEN");
  assert.equal(await codeOf(ask(mallory, { op: "info", group })), "FORBIDDEN");
  const { identity } = mallory.device;
  const second = await relay.connect(await relay.device("mallory", { identity }));
  assert.equal(await codeOf(commit(second, group, { epoch: 2, external: true })), "FORBIDDEN");
  const add = commit(alice, group, { epoch: 2, channel: true, add: [idOf(second)] });
  assert.equal(await codeOf(add), "FORBIDDEN");
});

Deno.test("bans add up, are lifted by name, and hold for every account of the identity", async () => {
  await using relay = await TestRelay.start();
  const [alice, mallory, eve] = [
    await relay.connect("alice"),
    await relay.connect("mallory"),
    await relay.connect("eve"),
  ];
  const { identity } = mallory.device;
  const alias = await relay.connect(await relay.device("malice", { identity }));
  const group = await relay.channel("#general", alice);
  await commit(alice, group, { epoch: 0, channel: true, banned: ["mallory"] });
  await commit(alice, group, { epoch: 1, channel: true, banned: ["eve"] });
  for (const client of [mallory, eve, alias]) {
    assert.equal(await codeOf(client.request(FrameType.JOIN, { channel: "#general" })), "FORBIDDEN");
    assert.equal(await codeOf(ask(client, { op: "info", group })), "FORBIDDEN");
    assert.equal(await codeOf(commit(client, group, { epoch: 2, external: true })), "FORBIDDEN");
    const add = commit(alice, group, { epoch: 2, channel: true, add: [idOf(client)] });
    assert.equal(await codeOf(add), "FORBIDDEN");
  }
  assert.equal(
    await codeOf(commit(eve, group, { epoch: 2, external: true, unbanned: ["eve"] })),
    "FORBIDDEN",
  );
  const both = { epoch: 2, channel: true, banned: ["eve"], unbanned: ["eve"] };
  assert.equal(await codeOf(commit(alice, group, both)), "BAD_REQUEST");
  const promotion = { epoch: 2, channel: true, admins: ["alice", "eve"] };
  assert.equal(await codeOf(commit(alice, group, promotion)), "FORBIDDEN", "an admin cannot be banned");
  assert.equal(await commit(alice, group, { epoch: 2, channel: true, unbanned: ["mallory"] }), 3);
  assert.equal(await commit(alias, group, { epoch: 3, external: true }), 4);
  assert.equal(await codeOf(commit(eve, group, { epoch: 4, external: true })), "FORBIDDEN");
});

Deno.test("a channel's commits carry a GroupInfo and others do not", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const channel = await relay.channel("#general", alice);
  const group = await relay.group(alice);
  assert.equal(await codeOf(commit(alice, channel, { epoch: 0, channel: false })), "BAD_REQUEST");
  assert.equal(await codeOf(commit(alice, group, { epoch: 0, channel: true })), "BAD_REQUEST");
});

Deno.test("a dm exists once for each pair, has two accounts, and can be reset by either", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = relay.randomGroup();
  const create = (client: RawClient, peer: string, id: GroupId) =>
    ask(client, { op: "create", group: id, kind: "dm", suite: SUITE, peer });
  await create(alice, "bob", group);
  const again = create(bob, "alice", relay.randomGroup());
  await assert.rejects(again, { code: "CONFLICT", details: { id: 2, code: "CONFLICT", group } });
  assert.equal(await codeOf(create(alice, "nobody", relay.randomGroup())), "NOT_FOUND");
  assert.equal(await codeOf(create(alice, "alice", relay.randomGroup())), "BAD_REQUEST");
  assert.equal(await codeOf(commit(alice, group, { epoch: 0, add: [idOf(carol)] })), "FORBIDDEN");
  assert.equal(await commit(alice, group, { epoch: 0, add: [idOf(bob)] }), 1);
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, add: [idOf(carol)] })), "FORBIDDEN");
  assert.equal(await codeOf(ask(carol, { op: "reset", group })), "FORBIDDEN");
  await ask(bob, { op: "reset", group });
  assert.deepEqual((await alice.events.next()).fields, { type: "dropped", group });
  assert.equal(await codeOf(alice.send(group, { epoch: 1 })), "FORBIDDEN");
  await create(bob, "alice", relay.randomGroup());
});

Deno.test("groups and channels are created once, within the account's quota", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const channel = await relay.channel("#general", alice);
  const group = relay.randomGroup();
  const twice = ask(bob, { op: "create", group, kind: "channel", suite: SUITE, name: "#general" }, [
    new Uint8Array(1),
  ]);
  await assert.rejects(twice, (error: { details: unknown }) => {
    assert.deepEqual(error.details, { id: 2, code: "CONFLICT", group: channel });
    return true;
  });
  const same = ask(bob, { op: "create", group: channel, kind: "group", suite: SUITE });
  assert.equal(await codeOf(same), "CONFLICT");
  for (let i = 1; i < MAX_GROUPS_PER_ACCOUNT; i++) await relay.group(alice);
  const onceMore = ask(alice, { op: "create", group, kind: "group", suite: SUITE });
  assert.equal(await codeOf(onceMore), "QUOTA");
  const { groups } = (await ask(alice, { op: "list" })).fields as { groups: Record<string, unknown>[] };
  assert.equal(groups.length, MAX_GROUPS_PER_ACCOUNT);
  assert.deepEqual(groups.find((entry) => entry.group === channel), {
    group: channel,
    kind: "channel",
    name: "#general",
    epoch: 0,
    suite: SUITE,
    members: 1,
    admins: ["alice"],
  });
});

Deno.test("Welcomes that nobody fetches are bounded for each device, and for each account that invites it", async () => {
  await using relay = await TestRelay.start();
  const inviters = await Promise.all(
    Array.from({ length: 9 }, (_, i) => relay.connect(`inviter${i}`)),
  );
  const bob = await relay.connect("bob");
  await bob.close();
  const invite = async (inviter: RawClient) => {
    const group = await relay.group(inviter);
    return await codeOf(commit(inviter, group, { epoch: 0, add: [idOf(bob)] }));
  };
  for (const inviter of inviters.slice(0, 8)) {
    for (let i = 0; i < MAX_WELCOMES_PER_INVITER; i++) assert.equal(await invite(inviter), "OK");
    assert.equal(await invite(inviter), "QUOTA", "its share");
  }
  assert.equal(await invite(inviters[8]), "QUOTA", "all of them");
  const back = await relay.connect(bob.device);
  await back.deliveries.take(MAX_WELCOMES_PER_DEVICE);
  await ask(back, { op: "list" }); // the acknowledgements came before it
  assert.equal(await invite(inviters[0]), "OK");
});

Deno.test("invitations count towards an account's groups once a device has the Welcome, and not before", async () => {
  const store = new MemoryRelayStore();
  await using relay = await TestRelay.start({ store });
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob", { acknowledge: false })];
  const group = await relay.group(alice);
  await commit(alice, group, { epoch: 0, add: [idOf(bob)] });
  assert.equal(store.groupCountOf("bob"), 0);
  await bob.deliveries.next();
  bob.acknowledge();
  await ask(bob, { op: "list" });
  assert.equal(store.groupCountOf("bob"), 1);
  await relay.channel("#general", alice, bob);
  assert.deepEqual([store.groupCountOf("alice"), store.groupCountOf("bob")], [2, 2]);
});

Deno.test("PART without a statement declines: no leaver, no Welcome left, and the leaf can be removed", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob", { acknowledge: false }),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  await bob.request(FrameType.PART, { group });
  assert.equal(await codeOf(bob.request(FrameType.PART, { group })), "FORBIDDEN");
  assert.equal((await alice.send(group, { epoch: 1 })).queued, 1);
  assert.equal(alice.events.waiting + carol.events.waiting, 0, "nobody is asked");
  assert.equal(await codeOf(commit(carol, group, { epoch: 1, remove: [idOf(bob)] })), "NOT_FOUND");
  assert.equal(await commit(alice, group, { epoch: 1, remove: [idOf(bob)] }), 2);
  assert.equal(await commit(alice, group, { epoch: 2, add: [idOf(bob)] }), 3);
});

Deno.test("a device that missed commits fetches them from its epoch on", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  const commits = [1, 2, 3].map((epoch) => memberCommit(group, epoch));
  for (const [i, bytes] of commits.entries()) await commit(alice, group, { epoch: 1 + i, bytes });
  const { fields, blobs } = await ask(bob, { op: "sync", group, epoch: 2 });
  const base = toHex(relay.crypto.digest("SHA-256", commits[0]));
  assert.deepEqual({ ...fields, id: 0, queued: 0 }, {
    id: 0,
    epoch: 4,
    from: 2,
    gone: false,
    base,
    queued: 0,
  });
  assert.equal((await ask(bob, { op: "sync", group, epoch: 0 })).fields.base, undefined);
  assert.deepEqual(blobs, commits.slice(1));
  assert.deepEqual((await ask(bob, { op: "sync", group, epoch: 4 })).blobs, []);
});

Deno.test("large Welcomes and commits arrive whole, beside small messages", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice);
  const welcome = relay.crypto.randomBytes(3_000_000);
  await commit(alice, group, { epoch: 0, add: [idOf(bob)], welcome });
  const bytes = memberCommit(group, 1, relay.crypto.randomBytes(2_000_000));
  await commit(alice, group, { epoch: 1, bytes });
  await alice.send(group, { epoch: 2 });
  const [first, second, third] = await bob.deliveries.take(3);
  assert.deepEqual([first.kind, second.kind, third.kind], [
    DeliveryKind.WELCOME,
    DeliveryKind.COMMIT,
    DeliveryKind.APPLICATION,
  ]);
  assert.deepEqual(first.payload, welcome);
  assert.deepEqual(second.payload, bytes);
});

Deno.test("PART ends routing at once and asks one member after the other for the Remove", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  const statement = await leaveStatement(relay, carol, group);
  const forged = statement.slice();
  forged[100] ^= 1;
  assert.equal(await codeOf(carol.request(FrameType.PART, { group }, [forged])), "BAD_REQUEST");
  assert.equal(await codeOf(carol.request(FrameType.PART, { group }, [statement.slice(1)])), "BAD_REQUEST");
  await carol.request(FrameType.PART, { group }, [statement]);
  const asked = await alice.events.next();
  assert.deepEqual(asked.fields, { type: "left", group, device: idOf(carol) });
  assert.deepEqual(asked.blobs, [statement]);
  assert.equal(bob.events.waiting, 0);
  await alice.send(group, { epoch: 1 });
  assert.equal(await codeOf(carol.send(group, { epoch: 1 })), "FORBIDDEN");
  relay.clock.advance(ERRAND_INTERVAL_MS);
  await bob.events.next();
  // Not an admin: the statement that the relay holds is what allows it.
  assert.equal(await commit(bob, group, { epoch: 1, remove: [idOf(carol)] }), 2);
  assert.equal(await codeOf(commit(alice, group, { epoch: 1, remove: [idOf(carol)] })), "CONFLICT");
  relay.clock.advance(ERRAND_INTERVAL_MS);
  await ask(alice, { op: "list" });
  assert.equal(alice.events.waiting, 0);
  assert.equal(carol.deliveries.waiting, 0);
});

Deno.test("a member that connects later is asked about leavers too", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  await alice.close();
  await bob.request(FrameType.PART, { group }, [await leaveStatement(relay, bob, group)]);
  const back = await relay.connect(alice.device);
  assert.equal((await back.events.next()).fields.device, idOf(bob));
});

Deno.test("a group whose last member leaves is forgotten", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const group = await relay.channel("#general", alice);
  await alice.request(FrameType.PART, { group }, [await leaveStatement(relay, alice, group)]);
  assert.deepEqual((await alice.request(FrameType.JOIN, { channel: "#general" })).fields.exists, false);
  assert.equal(relay.relay.stats().groups, 0);
  assert.equal(relay.relay.stats().sessions, 1);
});

Deno.test("each connection is asked once about a leaver; then the relay waits for new ones", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  await carol.request(FrameType.PART, { group }, [await leaveStatement(relay, carol, group)]);
  relay.clock.advance(ERRAND_INTERVAL_MS);
  for (const client of [alice, bob]) assert.equal((await client.events.next()).fields.type, "left");
  await bob.close();
  relay.clock.advance(ERRAND_INTERVAL_MS * 3);
  const back = await relay.connect(bob.device);
  assert.equal((await back.events.next()).fields.type, "left");
  for (let i = 0; i < 5; i++) relay.clock.advance(ERRAND_INTERVAL_MS);
  for (const client of [alice, back]) {
    await ask(client, { op: "list" });
    assert.equal(client.events.waiting, 0);
  }
});

for (const kind of ["memory", "SQLite file"]) {
  Deno.test(`a restart keeps accounts, groups, epochs, leavers and Welcomes (${kind})`, async () => {
    const folder = Deno.makeTempDirSync();
    const memory = new MemoryRelayStore();
    const open = () => kind === "memory" ? memory : openSqliteRelayStore(`${folder}/relay.db`);
    try {
      let store = open();
      const before = await TestRelay.start({ store });
      const [alice, bob, carol] = [
        await before.connect("alice"),
        await before.connect("bob"),
        await before.connect("carol"),
      ];
      await carol.close();
      const group = await before.group(alice, bob);
      await commit(alice, group, { epoch: 1, add: [idOf(carol)] });
      await bob.request(FrameType.PART, { group }, [await leaveStatement(before, bob, group)]);
      await before.stop();
      store.close();

      store = open();
      const after = await TestRelay.start({ store, clock: before.clock });
      assert.equal(after.relay.fingerprint, before.relay.fingerprint);
      assert.ok(after.document.sequence > before.document.sequence);
      assert.deepEqual(after.document.relayKey.id, before.document.relayKey.id);
      const carolAgain = await after.connect(carol.device, { register: false });
      assert.deepEqual([carolAgain.login.gap, carolAgain.login.backlog], [true, 1]);
      assert.equal((await carolAgain.deliveries.next()).kind, DeliveryKind.WELCOME);
      assert.equal((await carolAgain.events.next()).fields.type, "left");
      const aliceAgain = await after.connect(alice.device, { register: false });
      assert.equal(await codeOf(commit(aliceAgain, group, { epoch: 1 })), "CONFLICT");
      assert.equal(await commit(aliceAgain, group, { epoch: 2, remove: [idOf(bob)] }), 3);
      assert.equal((await ask(carolAgain, { op: "sync", group, epoch: 1 })).blobs.length, 2);
      await carolAgain.close();
      assert.deepEqual(store.welcomes(idOf(carol)), [], "acknowledged, so forgotten");
      await after.stop();
      store.close();
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

Deno.test("a device that has lost its state asks, and one member after the other is asked to give it a new leaf", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  const keyPackage = new Uint8Array(100).fill(7);
  const statement = await returnStatement(relay, carol, { group, keyPackage });
  const forged = statement.slice();
  forged[60] ^= 1;
  const bobs = await returnStatement(relay, bob, { group, keyPackage });
  for (const wrong of [forged, bobs, await leaveStatement(relay, carol, group)]) {
    assert.equal(await codeOf(ask(carol, { op: "return", group }, [keyPackage, wrong])), "BAD_REQUEST");
  }
  const replace = (client: RawClient) =>
    commit(client, group, { epoch: 1, add: [idOf(carol)], remove: [idOf(carol)] });
  assert.equal(await codeOf(replace(bob)), "FORBIDDEN", "carol has not asked");
  const { fields } = await ask(carol, { op: "return", group }, [keyPackage, statement]);
  assert.equal(fields.others, 2);
  const asked = await alice.events.next();
  assert.deepEqual(asked.fields, { type: "return", group, device: idOf(carol) });
  assert.deepEqual(asked.blobs, [keyPackage, statement]);
  assert.deepEqual([bob.events.waiting, carol.events.waiting], [0, 0]);
  relay.clock.advance(ERRAND_INTERVAL_MS);
  await bob.events.next();
  assert.equal(await codeOf(commit(bob, group, { epoch: 1, remove: [idOf(carol)] })), "FORBIDDEN", "alone");
  assert.equal(await replace(bob), 2);
  const [removal, welcome] = await carol.deliveries.take(2);
  assert.deepEqual([removal.kind, welcome.kind], [DeliveryKind.COMMIT, DeliveryKind.WELCOME]);
  assert.equal(
    await codeOf(commit(alice, group, { epoch: 2, add: [idOf(carol)], remove: [idOf(carol)] })),
    "FORBIDDEN",
  );
  await alice.send(group, { epoch: 2 });
  assert.equal((await carol.deliveries.next()).kind, DeliveryKind.APPLICATION);
});

Deno.test("a member that connects later is asked about returning devices too, and nobody returns to a channel", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  const channel = await relay.channel("#general", alice);
  await alice.close();
  const keyPackage = new Uint8Array(100);
  await ask(bob, { op: "return", group }, [
    keyPackage,
    await returnStatement(relay, bob, { group, keyPackage }),
  ]);
  const back = await relay.connect(alice.device);
  assert.deepEqual((await back.events.next()).fields, { type: "return", group, device: idOf(bob) });
  const statement = await returnStatement(relay, back, { group: channel, keyPackage });
  assert.equal(
    await codeOf(ask(back, { op: "return", group: channel }, [keyPackage, statement])),
    "FORBIDDEN",
  );
});

Deno.test("a group whose devices all wait for their return is an admin's to make anew, and nobody else's to forget", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  const keyPackage = new Uint8Array(100);
  const asks = async (client: RawClient) => {
    const statement = await returnStatement(relay, client, { group, keyPackage });
    const { fields } = await ask(client, { op: "return", group }, [keyPackage, statement]);
    return fields.anew ? "anew" : fields.lost ? "lost" : "waits";
  };
  assert.equal(await codeOf(ask(alice, { op: "reset", group })), "FORBIDDEN");
  assert.equal(await asks(alice), "waits", "bob may have its state");
  assert.equal(await codeOf(ask(alice, { op: "reset", group })), "FORBIDDEN");
  assert.equal(await asks(bob), "lost", "bob is no admin");
  const [asked, lost] = await alice.events.take(2);
  assert.deepEqual([asked.fields.type, lost.fields], ["return", { type: "lost", group }]);
  assert.equal(await asks(alice), "anew");
  assert.equal(await codeOf(ask(bob, { op: "reset", group })), "FORBIDDEN");
  assert.equal(await codeOf(ask(alice, { op: "reset", group })), "OK");
  while ((await bob.events.next()).fields.type !== "dropped");
});

Deno.test("a device that asks for a new leaf again and again has to wait, and only its latest request is passed on", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  const keyPackage = new Uint8Array(100);
  const statement = await returnStatement(relay, bob, { group, keyPackage });
  const again = () => codeOf(ask(bob, { op: "return", group }, [keyPackage, statement]));
  for (let i = 0; i < RETURN_BURST; i++) assert.equal(await again(), "OK");
  assert.equal(await again(), "RATE_LIMITED");
  relay.clock.advance(RETURN_INTERVAL_MS);
  assert.equal(await again(), "OK");
  assert.equal(await again(), "RATE_LIMITED");
  // A signature that only members could judge is none in this suite.
  const other = [...encodeStatement({ ...decodeStatement(statement), signature: new Uint8Array(3_309) })];
  relay.clock.advance(RETURN_INTERVAL_MS);
  const unjudged = ask(bob, { op: "return", group }, [keyPackage, Uint8Array.from(other)]);
  assert.equal(await codeOf(unjudged), "BAD_REQUEST");
});

Deno.test("new KeyPackages can take the place of all unused ones", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  const publish = (fields: Record<string, unknown>, ...blobs: Uint8Array[]) =>
    alice.request(FrameType.KEYS, { op: "publish", suite: SUITE, ...fields }, blobs);
  const before = (await publish({}, new Uint8Array(9), new Uint8Array(9))).fields.unused as number;
  assert.ok(before >= 2);
  assert.equal((await publish({ lastResort: true, replace: true }, new Uint8Array(8))).fields.unused, 0);
  assert.equal((await publish({ replace: true }, new Uint8Array(7))).fields.unused, 1);
});

async function returnStatement(
  relay: TestRelay,
  client: RawClient,
  { group, keyPackage }: { group: GroupId; keyPackage: Uint8Array },
): Promise<Uint8Array> {
  const device = idOf(client);
  const keyPackageHash = relay.crypto.digest("SHA-256", keyPackage);
  const unsigned = { kind: "return", device, epoch: 1, keyPackageHash } as const;
  const content = statementContent(unsigned, { group, account: client.device.account, device });
  const signature = await relay.crypto.sign("ML-DSA-44", client.device.keys.privateKey, content);
  return encodeStatement({ ...unsigned, signature });
}

async function leaveStatement(relay: TestRelay, client: RawClient, group: GroupId): Promise<Uint8Array> {
  const unsigned = { kind: "leave", leafKeyHash: new Uint8Array(32).fill(5) } as const;
  const content = statementContent(unsigned, {
    group,
    account: client.device.account,
    device: idOf(client),
  });
  const signature = await relay.crypto.sign("ML-DSA-44", client.device.keys.privateKey, content);
  return encodeStatement({ ...unsigned, signature });
}
