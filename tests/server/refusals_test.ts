/** GROUP `refuse`: a commit that an admin cannot verify is taken back, completely, and whoever made it stays out. */

import assert from "node:assert/strict";
import { DeliveryKind, type DeviceId, FrameType, type GroupId, toHex } from "../../proto/mod.ts";
import { MemoryRelayStore, openSqliteRelayStore } from "../../server/mod.ts";
import type { RawClient } from "./raw_client.ts";
import { codeOf, commit, externalCommit, memberCommit, TestRelay } from "./test_relay.ts";

const ask = (client: RawClient, fields: Record<string, unknown>) => client.request(FrameType.GROUP, fields);
const idOf = (client: RawClient): DeviceId => client.device.device;

/** Asks for `bytes` to be taken back. */
async function refuse(
  relay: TestRelay,
  client: RawClient,
  options: { group: GroupId; epoch: number; bytes: Uint8Array },
): Promise<number> {
  const { group, epoch, bytes } = options;
  const hash = toHex(relay.crypto.digest("SHA-256", bytes));
  return (await ask(client, { op: "refuse", group, epoch, hash })).fields.epoch as number;
}

async function memberIds(client: RawClient, group: GroupId): Promise<DeviceId[]> {
  const { fields } = await ask(client, { op: "members", group });
  return (fields.members as { device: DeviceId }[]).map(({ device }) => device).sort();
}

for (const kind of ["memory", "SQLite file"]) {
  Deno.test(`an admin has a commit from outside taken back, also after a restart (${kind})`, async () => {
    const folder = Deno.makeTempDirSync();
    const memory = new MemoryRelayStore();
    const open = () => kind === "memory" ? memory : openSqliteRelayStore(`${folder}/relay.db`);
    try {
      let store = open();
      const before = await TestRelay.start({ store });
      const [alice, bob, mallory] = [
        await before.connect("alice"),
        await before.connect("bob"),
        await before.connect("mallory"),
      ];
      const group = await before.channel("#general", alice, bob);
      const bytes = externalCommit(mallory.device, group, 1);
      await commit(mallory, group, { epoch: 1, external: true, bytes });
      await before.stop();
      store.close();

      store = open();
      const after = await TestRelay.start({ store, clock: before.clock });
      const [aliceAgain, bobAgain, malloryAgain] = [
        await after.connect(alice.device),
        await after.connect(bob.device),
        await after.connect(mallory.device),
      ];
      assert.equal(await refuse(after, aliceAgain, { group, epoch: 1, bytes }), 1);
      assert.deepEqual((await bobAgain.events.next()).fields, { type: "reopened", group, epoch: 1 });
      assert.deepEqual((await aliceAgain.events.next()).fields, { type: "reopened", group, epoch: 1 });
      assert.deepEqual(await memberIds(bobAgain, group), [idOf(alice), idOf(bob)].sort());
      const info = await ask(bobAgain, { op: "info", group });
      assert.deepEqual([info.fields.epoch, info.blobs[0]], [1, new Uint8Array(32).fill(0)], "as before");
      assert.deepEqual((await ask(bobAgain, { op: "sync", group, epoch: 1 })).blobs, []);
      assert.equal(await codeOf(malloryAgain.send(group, { epoch: 1 })), "FORBIDDEN");
      assert.equal(
        await codeOf(commit(malloryAgain, group, { epoch: 1, external: true })),
        "FORBIDDEN",
        "banned",
      );
      assert.deepEqual((await malloryAgain.events.next()).fields, { type: "reopened", group, epoch: 1 });
      assert.equal(await commit(bobAgain, group, { epoch: 1, channel: true }), 2);
      await aliceAgain.deliveries.next();
      await after.stop();
      store.close();
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

Deno.test("taking a commit back restores roles and the removed, and forgets the added with their Welcomes", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol, dave] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
    await relay.connect("dave"),
  ];
  const group = await relay.group(alice, bob, carol);
  await dave.close();
  await commit(alice, group, { epoch: 1, admins: ["alice", "bob"] });
  const bytes = memberCommit(group, 2);
  const change = { add: [idOf(dave)], remove: [idOf(carol)], admins: ["bob", "alice"], banned: ["carol"] };
  await commit(bob, group, { epoch: 2, ...change, bytes });
  assert.equal(await codeOf(carol.send(group, { epoch: 3 })), "FORBIDDEN");
  assert.equal(await refuse(relay, alice, { group, epoch: 2, bytes }), 2);
  assert.deepEqual(await memberIds(alice, group), [alice, bob, carol].map(idOf).sort());
  assert.equal(await codeOf(carol.send(group, { epoch: 2 })), "OK");
  const back = await relay.connect(dave.device);
  assert.equal((await back.deliveries.next()).kind, DeliveryKind.GAP, "in the place of the Welcome");
  assert.deepEqual((await ask(back, { op: "list" })).fields.groups, []);
  // An admin that commits what another cannot verify stays one, and carol's ban is gone with the commit.
  assert.equal(await commit(bob, group, { epoch: 2, banned: [] }), 3);
  assert.equal(await commit(carol, group, { epoch: 3 }), 4);
});

Deno.test("a member whose commit was taken back commits no more until it is taken off the list", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob] = [await relay.connect("alice"), await relay.connect("bob")];
  const group = await relay.group(alice, bob);
  const bytes = memberCommit(group, 1);
  await commit(bob, group, { epoch: 1, bytes });
  await refuse(relay, alice, { group, epoch: 1, bytes });
  assert.equal(await codeOf(commit(bob, group, { epoch: 1 })), "FORBIDDEN");
  assert.equal(await commit(alice, group, { epoch: 1, unbanned: ["bob"] }), 2);
  assert.equal(await commit(bob, group, { epoch: 2 }), 3);
});

Deno.test("only the newest commit is taken back, once, by hash, and not by its committer", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, mallory] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("mallory"),
  ];
  const group = await relay.group(alice, bob);
  const [first, second, third] = [1, 2, 3].map((epoch) => memberCommit(group, epoch));
  await commit(bob, group, { epoch: 1, bytes: first });
  await commit(bob, group, { epoch: 2, bytes: second });
  const tries: [RawClient, number, Uint8Array, string][] = [
    [alice, 1, first, "CONFLICT"],
    [alice, 2, first, "CONFLICT"],
    [alice, 3, second, "CONFLICT"],
    [bob, 2, second, "FORBIDDEN"],
    [mallory, 2, second, "FORBIDDEN"],
  ];
  for (const [client, epoch, bytes, code] of tries) {
    assert.equal(await codeOf(refuse(relay, client, { group, epoch, bytes })), code);
  }
  const elsewhere = refuse(relay, alice, { group: relay.randomGroup(), epoch: 2, bytes: second });
  assert.equal(await codeOf(elsewhere), "NOT_FOUND");
  assert.equal(await codeOf(ask(alice, { op: "refuse", group, epoch: 2, hash: "no" })), "BAD_REQUEST");
  assert.equal(await refuse(relay, alice, { group, epoch: 2, bytes: second }), 2);
  await assert.rejects(
    refuse(relay, alice, { group, epoch: 2, bytes: second }),
    (error: { details: Record<string, unknown> }) => {
      assert.deepEqual([error.details.code, error.details.epoch], ["CONFLICT", 2]);
      return true;
    },
  );
  assert.equal(await codeOf(refuse(relay, alice, { group, epoch: 1, bytes: first })), "NOT_FOUND");
  await commit(alice, group, { epoch: 2 });
  await commit(alice, group, { epoch: 3, bytes: third });
  assert.equal(await codeOf(refuse(relay, alice, { group, epoch: 3, bytes: third })), "FORBIDDEN", "her own");
});

Deno.test("while no admin is there, most of who is there have a member's commit taken back, and nobody is banned", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol, dave, mallory] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
    await relay.connect("dave"),
    await relay.connect("mallory"),
  ];
  const group = await relay.group(alice, bob, carol, dave, mallory);
  const first = memberCommit(group, 1);
  await commit(mallory, group, { epoch: 1, bytes: first });
  assert.equal(await refuse(relay, bob, { group, epoch: 1, bytes: first }), 2, "alice is there to decide");
  assert.equal(await refuse(relay, carol, { group, epoch: 1, bytes: first }), 2);
  await alice.close();
  assert.equal(await refuse(relay, bob, { group, epoch: 1, bytes: first }), 1, "two of three");
  assert.deepEqual((await dave.events.next()).fields, { type: "reopened", group, epoch: 1 });

  const second = memberCommit(group, 1, new Uint8Array(300).fill(9));
  assert.equal(await commit(mallory, group, { epoch: 1, bytes: second }), 2, "not banned");
  assert.equal(await codeOf(refuse(relay, mallory, { group, epoch: 1, bytes: second })), "FORBIDDEN");
  assert.equal(await refuse(relay, bob, { group, epoch: 1, bytes: second }), 2, "one of three");
  assert.equal(await refuse(relay, bob, { group, epoch: 1, bytes: second }), 2, "once is once");
  assert.equal(await commit(carol, group, { epoch: 2 }), 3, "she could follow, and it stands");
});

Deno.test("who has come in by a commit that is taken back hears that it is out again", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const channel = await relay.channel("#general", alice, bob);
  const bytes = externalCommit(carol.device, channel, 1);
  assert.equal(await commit(carol, channel, { epoch: 1, external: true, bytes }), 2);
  assert.equal(await refuse(relay, alice, { group: channel, epoch: 1, bytes }), 1);
  assert.deepEqual((await carol.events.next()).fields, { type: "reopened", group: channel, epoch: 1 });
  assert.equal(await codeOf(ask(carol, { op: "sync", group: channel, epoch: 2 })), "FORBIDDEN");
});

Deno.test("what an admin has committed is for admins to take back", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.group(alice, bob, carol);
  const bytes = memberCommit(group, 1);
  await commit(alice, group, { epoch: 1, bytes });
  await alice.close();
  for (const client of [bob, carol]) {
    assert.equal(await refuse(relay, client, { group, epoch: 1, bytes }), 2);
  }
});
