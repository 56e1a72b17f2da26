/** What every RelayStore adapter does. */

import assert from "node:assert/strict";
import type { AccountName, DeviceId, GroupId } from "../../proto/mod.ts";
import {
  type GroupHead,
  MAX_LOG_COMMITS,
  MAX_SYNC_COMMITS,
  type RelayStore,
  type StoredCommit,
  type StoredDevice,
  type StoredInvite,
} from "../../server/mod.ts";

const NOW = Date.UTC(2026, 0, 1);
const GROUP = "a".repeat(32) as GroupId;
const alice = person("alice", "1");
const bob = person("bob", "2");
const carol = person("carol", "3");

/** Registers the suite for one adapter. */
export function relayStoreSuite(name: string, open: () => RelayStore): void {
  const test = (what: string, action: (store: RelayStore) => void) =>
    Deno.test(`${name}: ${what}`, () => {
      const store = open();
      try {
        action(store);
      } finally {
        store.close();
      }
    });

  test("keeps the identity and the relay keys until they expire", (store) => {
    assert.equal(store.identity(), null);
    store.saveIdentity({ publicKey: bytes(1), privateKey: bytes(2) });
    assert.deepEqual({ ...store.identity() }, { publicKey: bytes(1), privateKey: bytes(2) });
    store.saveRelayKey({ publicKey: bytes(3), privateKey: bytes(4), notBeforeMs: NOW, notAfterMs: NOW + 10 });
    store.saveRelayKey({
      publicKey: bytes(5),
      privateKey: bytes(6),
      notBeforeMs: NOW + 5,
      notAfterMs: NOW + 20,
    });
    store.expireRelayKeys(NOW + 15);
    assert.deepEqual(store.relayKeys().map((key) => key.publicKey), [bytes(5)]);
  });

  test("counts the document's sequence up from 1", (store) => {
    assert.deepEqual([store.nextSequence(), store.nextSequence(), store.nextSequence()], [1, 2, 3]);
  });

  test("leaves numbers out and forgets KeyPackages when it was put back from a backup", (store) => {
    register(store, alice);
    store.addKeyPackages(alice.device, {
      suite: 82,
      keyPackages: [bytes(1)],
      lastResort: bytes(2),
      limit: 8,
    });
    assert.equal(store.nextSequence(), 1);
    store.wasRestored({ skippedSequences: 10 });
    assert.equal(store.nextSequence(), 12);
    assert.equal(store.keyPackageCounts(alice.device).size, 0);
    assert.equal(store.takeKeyPackage(alice.device, 82), null);
    assert.equal(store.account("alice")?.account, "alice");
  });

  test("counts on after that in a store that has given out none", (store) => {
    store.wasRestored({ skippedSequences: 10 });
    assert.equal(store.nextSequence(), 11);
  });

  test("remembers the Gist that the document was published in last", (store) => {
    assert.equal(store.publishedGist(), null);
    store.savePublishedGist({ id: "0a", login: "octocat" });
    store.savePublishedGist({ id: "0b", login: "" });
    assert.deepEqual(store.publishedGist(), { id: "0b", login: "" });
  });

  test("keeps names and identities out, and lets them in again", (store) => {
    const alice = { account: "alice" as AccountName, fingerprint: "a".repeat(64) };
    const alicia = { ...alice, account: "alicia" as AccountName };
    assert.equal(store.isBanned(alice), false);
    assert.equal(store.ban({ kind: "account", subject: "alice", atMs: NOW }), true);
    assert.equal(store.ban({ kind: "account", subject: "alice", atMs: NOW + 1 }), false);
    assert.deepEqual([store.isBanned(alice), store.isBanned(alicia)], [true, false]);
    assert.equal(store.ban({ kind: "fingerprint", subject: alice.fingerprint, atMs: NOW + 2 }), true);
    assert.equal(store.isBanned(alicia), true);
    assert.deepEqual(store.bans(), [
      { kind: "account", subject: "alice", atMs: NOW },
      { kind: "fingerprint", subject: alice.fingerprint, atMs: NOW + 2 },
    ]);
    assert.equal(store.unban({ kind: "fingerprint", subject: "alice" }), false);
    assert.equal(store.unban({ kind: "fingerprint", subject: alice.fingerprint }), true);
    assert.deepEqual([store.isBanned(alice), store.isBanned(alicia)], [true, false]);
  });

  test("registers a name once", (store) => {
    assert.equal(register(store, alice), "registered");
    assert.equal(register(store, { ...bob, account: "alice" as AccountName }), "taken");
    assert.equal(store.accountCount(), 1);
    assert.equal(store.account("alice")?.fingerprint, "alice-fingerprint");
    assert.equal(store.account("bob"), null);
    assert.deepEqual(store.devicesOf("alice").map(({ device }) => device), [alice.device]);
    assert.equal(store.device(bob.device), null);
  });

  test("replaces a device's certificate and key", (store) => {
    register(store, alice);
    store.saveDevice({ ...alice, certificate: bytes(9), deviceKey: bytes(8) });
    assert.deepEqual(store.device(alice.device)?.certificate, bytes(9));
    assert.equal(store.devicesOf("alice").length, 1);
  });

  test("keeps the login tickets of a device, which a renewed certificate does not touch", (store) => {
    registerAll(store);
    assert.deepEqual(store.ticketsOf(alice.device), { held: "", offered: "" });
    const [ofAlice, ofBob] = [{ held: "7.a", offered: "8.b" }, { held: "", offered: "1.c" }];
    store.saveTickets(new Map([[alice.device, ofAlice], [bob.device, ofBob]]));
    store.saveDevice({ ...store.device(alice.device)!, certificate: bytes(99) });
    assert.deepEqual([store.ticketsOf(alice.device), store.ticketsOf(bob.device)], [ofAlice, ofBob]);
  });

  test("uses an invite up with the registration, or not at all", (store) => {
    assert.equal(addInvite(store, 1, { expiresAtMs: NOW + 100 }), true);
    assert.equal(register(store, alice, bytes(2)), "bad_invite");
    assert.equal(store.account("alice"), null);
    assert.equal(register(store, alice, bytes(1)), "registered");
    assert.equal(register(store, bob, bytes(1)), "bad_invite");
    assert.equal(store.account("bob"), null);
    assert.deepEqual(store.invite(bytes(1)), invite(1, { endedAtMs: NOW, usedBy: "alice" }));
    assert.equal(store.revokeInvite(bytes(1), { nowMs: NOW }), false);
  });

  test("lets nobody in with an invite that was revoked, and says what became of each", (store) => {
    for (const mark of [1, 2, 3]) addInvite(store, mark, { expiresAtMs: NOW + 100 });
    assert.equal(store.revokeInvite(bytes(2), { nowMs: NOW + 5 }), true);
    assert.equal(store.revokeInvite(bytes(2), { nowMs: NOW + 6 }), false);
    assert.equal(store.revokeInvite(bytes(9), { nowMs: NOW }), false);
    assert.equal(store.revokeInvite(bytes(3), { nowMs: NOW + 101 }), false, "it has expired");
    assert.equal(register(store, alice, bytes(2)), "bad_invite");
    assert.deepEqual(store.invites(), [invite(1), invite(2, { endedAtMs: NOW + 5 }), invite(3)]);
    assert.equal(store.invite(bytes(9)), null);
  });

  test("forgets what became of invites after a time, and of the oldest where there are too many", (store) => {
    for (const mark of [1, 2, 3, 4]) addInvite(store, mark, { limit: 9 });
    register(store, alice, bytes(1));
    for (const mark of [2, 3]) store.revokeInvite(bytes(mark), { nowMs: NOW + 10 });
    addInvite(store, 5, { forgetBeforeMs: NOW + 10, limit: 9 });
    assert.deepEqual(marks(store), [2, 3, 4, 5], "used before that time");
    addInvite(store, 6, { limit: 3 });
    addInvite(store, 7, { limit: 1 });
    assert.deepEqual(marks(store), [3, 4, 5, 6], "no more that have ended than may wait");
    assert.equal(register(store, alice, bytes(1)), "taken");
    assert.equal(register(store, bob, bytes(4)), "registered");
  });

  test("refuses an invite that has expired, and more invites than the limit", (store) => {
    addInvite(store, 1, { expiresAtMs: NOW - 1, limit: 1 });
    assert.equal(register(store, alice, bytes(1)), "bad_invite");
    assert.equal(addInvite(store, 2, { limit: 1 }), true);
    assert.equal(addInvite(store, 3, { limit: 1 }), false);
  });

  test("hands each KeyPackage out once, oldest first, then the last resort again and again", (store) => {
    register(store, alice);
    store.addKeyPackages(alice.device, {
      suite: 82,
      keyPackages: [bytes(1), bytes(2)],
      lastResort: bytes(3),
      limit: 64,
    });
    assert.deepEqual([...store.keyPackageCounts(alice.device)], [[82, 2]]);
    const taken = [1, 2, 3, 4].map(() => store.takeKeyPackage(alice.device, 82));
    assert.deepEqual(taken, [bytes(1), bytes(2), bytes(3), bytes(3)]);
    assert.equal(store.keyPackageCount(alice.device, 82), 0);
    assert.deepEqual([...store.keyPackageCounts(alice.device)], [[82, 0]]);
    assert.equal(store.takeKeyPackage(alice.device, 81), null);
  });

  test("keeps none of the KeyPackages that go over the limit", (store) => {
    register(store, alice);
    assert.equal(store.addKeyPackages(alice.device, { suite: 82, keyPackages: [bytes(1)], limit: 2 }), true);
    assert.equal(
      store.addKeyPackages(alice.device, { suite: 82, keyPackages: [bytes(2), bytes(3)], limit: 2 }),
      false,
    );
    assert.equal(store.keyPackageCount(alice.device, 82), 1);
  });

  test("creates a group with its first member and admin", (store) => {
    registerAll(store);
    assert.equal(create(store, { kind: "channel", name: "#general" }), true);
    const group = store.group(GROUP)!;
    assert.deepEqual({ ...group, members: [...group.members].map(plain), leavers: [...group.leavers] }, {
      group: GROUP,
      kind: "channel",
      suite: 82,
      name: "#general",
      creator: "alice",
      peer: null,
      epoch: 0,
      admins: ["alice"],
      banned: [],
      members: [{ device: alice.device, account: "alice" }],
      leavers: [],
    });
    assert.equal(store.channel("#general"), GROUP);
    assert.deepEqual(store.groupInfo(GROUP), bytes(7));
    assert.deepEqual(store.groupsOfDevice(alice.device), [GROUP]);
    assert.equal(store.groupCountOf("alice"), 1);
    assert.equal(store.groupCountOf("bob"), 0);
    assert.deepEqual(store.channels(10).map(plain), [{ name: "#general", members: 1 }]);
  });

  test("refuses a second group of the same id, channel or pair", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    assert.equal(create(store, { kind: "group", name: "" }), false);
    assert.equal(create(store, { kind: "channel", name: "#general", group: other(1) }), false);
    assert.equal(create(store, { kind: "dm", name: "", peer: bob.account, group: other(2) }), true);
    assert.equal(
      create(store, { kind: "dm", name: "", creator: bob.account, peer: alice.account, group: other(3) }),
      false,
    );
    assert.equal(store.dm("bob", "alice"), other(2));
    assert.equal(store.dm("alice", "carol"), null);
    assert.equal(store.groupCount(), 2);
  });

  test("accepts one commit for an epoch, with everything that belongs to it", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    const first = commitOf(0, {
      add: [bob, carol],
      admins: ["alice", "bob"],
      banned: ["mallory"],
      welcome: { envelope: "e1", payload: bytes(5), devices: [bob.device, carol.device] },
    });
    assert.equal(store.commit(first), true);
    assert.equal(store.commit(commitOf(0, { add: [] })), false);
    assert.equal(store.commit(commitOf(2, { add: [] })), false);
    const group = store.group(GROUP)!;
    assert.equal(group.epoch, 1);
    assert.deepEqual(group.members.map(({ device }) => device).sort(), [
      alice.device,
      bob.device,
      carol.device,
    ]);
    assert.deepEqual([group.admins, group.banned], [["alice", "bob"], ["mallory"]]);
    store.commit(commitOf(1, { remove: [bob.device] }));
    assert.deepEqual(store.group(GROUP)!.members.map(({ device }) => device).sort(), [
      alice.device,
      carol.device,
    ]);
    assert.deepEqual(store.group(GROUP)!.admins, ["alice", "bob"]);
  });

  test("keeps a Welcome until each device has it", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    const devices = [bob.device, carol.device];
    const welcome = { envelope: "e1", payload: bytes(5), devices };
    store.commit(commitOf(0, { add: [bob, carol], welcome, committer: alice }));
    assert.deepEqual(store.welcomes(bob.device).map(plain), [
      { envelope: "e1", inviter: "alice", group: GROUP, epoch: 1, atMs: NOW, bytes: bytes(5).length },
    ]);
    store.forgetWelcome(bob.device, "e1");
    assert.deepEqual(store.welcomes(bob.device), []);
    assert.deepEqual(store.welcome("e1"), bytes(5));
    store.forgetWelcome(carol.device, "e1");
    assert.equal(store.welcome("e1"), null);
  });

  test("answers the log in pieces, and says when it no longer reaches back", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    const total = MAX_LOG_COMMITS + 10;
    for (let epoch = 0; epoch < total; epoch++) store.commit(commitOf(epoch, { commit: bytes(epoch % 256) }));
    assert.deepEqual(plain(store.commits(GROUP, 5)), { from: 5, commits: [], gone: true });
    const range = store.commits(GROUP, 10);
    assert.equal(range.gone, false);
    assert.equal(range.commits.length, MAX_SYNC_COMMITS);
    assert.deepEqual(range.commits[0], bytes(10));
    assert.equal(store.commits(GROUP, total - 3).commits.length, 3);
    assert.deepEqual(plain(store.commits(GROUP, total)), { from: total, commits: [], gone: false });
  });

  test("knows by which commit an epoch came about, as long as the log has it", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { hash: bytes(1) }));
    store.commit(commitOf(1, { hash: bytes(2) }));
    assert.deepEqual([store.commitHash(GROUP, 0), store.commitHash(GROUP, 1)], [bytes(1), bytes(2)]);
    assert.deepEqual([store.commitHash(GROUP, 2), store.commitHash(GROUP, -1)], [null, null]);
  });

  test("bounds the log and one answer by bytes too", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    for (let epoch = 0; epoch < 5; epoch++) {
      store.commit(commitOf(epoch, { commit: new Uint8Array(2_500_000) }));
    }
    assert.equal(store.commits(GROUP, 1).gone, true);
    assert.equal(store.commits(GROUP, 2).commits.length, 1);
  });

  test("remembers a leaver until a commit removes it or it comes back", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    store.commit(commitOf(0, { add: [bob, carol] }));
    store.leave(GROUP, { device: bob.device, account: bob.account, statement: bytes(1) });
    store.leave(GROUP, { device: carol.device, account: carol.account, statement: bytes(2) });
    assert.equal(store.group(GROUP)!.members.length, 1);
    assert.deepEqual(store.group(GROUP)!.leavers.map(plain).map(({ statement }) => statement).sort(), [
      bytes(1),
      bytes(2),
    ]);
    store.commit(commitOf(1, { remove: [bob.device], add: [carol] }));
    assert.deepEqual(store.group(GROUP)!.leavers, []);
    assert.equal(store.group(GROUP)!.members.length, 2);
  });

  test("counts the groups of an account that it is not only invited to", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    const welcome = { envelope: "e1", payload: bytes(5), devices: [bob.device, carol.device] };
    store.commit(commitOf(0, { add: [bob, carol], welcome }));
    const counts = () => [alice, bob, carol].map(({ account }) => store.groupCountOf(account));
    assert.deepEqual(counts(), [1, 0, 0]);
    store.forgetWelcome(bob.device, "e1");
    assert.deepEqual(counts(), [1, 1, 0]);
    store.commit(commitOf(1, { add: [carol], remove: [carol.device] })); // joins from outside
    assert.deepEqual(counts(), [1, 1, 1]);
  });

  test("lets a device decline, with the Welcomes that wait for it", (store) => {
    registerAll(store);
    create(store, { kind: "group", name: "" });
    const welcome = { envelope: "e1", payload: bytes(5), devices: [bob.device, carol.device] };
    store.commit(commitOf(0, { add: [bob, carol], welcome }));
    store.decline(GROUP, bob.device);
    assert.deepEqual([store.welcomes(bob.device), store.welcomes(carol.device).length], [[], 1]);
    assert.deepEqual([store.group(GROUP)!.members.length, store.group(GROUP)!.leavers], [2, []]);
    store.decline(GROUP, carol.device);
    assert.equal(store.welcome("e1"), null);
  });

  test("knows the accounts of one identity", (store) => {
    registerAll(store);
    const alias = { ...person("malice", "4"), account: "malice" as AccountName };
    store.register({
      account: { account: alias.account, fingerprint: "bob-fingerprint" },
      device: alias,
      nowMs: NOW,
    });
    assert.deepEqual(store.namesOf("malice").sort(), ["bob", "malice"]);
    assert.deepEqual([store.namesOf("alice"), store.namesOf("nobody")], [["alice"], []]);
  });

  test("takes exactly the newest commit back, with everything that belongs to it", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { add: [bob], committer: bob, groupInfo: bytes(10) }));
    const asBefore = () => {
      const { members, leavers, ...rest } = store.group(GROUP)!;
      const sorted = members.map(plain).sort((a, b) => a.device < b.device ? -1 : 1);
      return { ...rest, members: sorted, leavers: leavers.map(plain), info: store.groupInfo(GROUP) };
    };
    const before = asBefore();
    const newest = commitOf(1, {
      add: [carol],
      remove: [bob.device],
      admins: ["alice", "carol"],
      banned: ["bob"],
      groupInfo: bytes(11),
      hash: bytes(12),
      committer: alice,
      welcome: { envelope: "e1", payload: bytes(5), devices: [carol.device] },
    });
    store.commit(newest);
    const { epoch, hash, committer } = store.newestCommit(GROUP)!;
    assert.deepEqual([epoch, hash, committer.device, committer.account], [
      1,
      bytes(12),
      alice.device,
      "alice",
    ]);
    assert.equal(store.takeBack(GROUP, 0), false);
    assert.equal(store.takeBack(GROUP, 1), true);
    assert.deepEqual(asBefore(), before, "an admin is not banned");
    assert.deepEqual([store.welcomes(carol.device), store.welcome("e1")], [[], null]);
    assert.deepEqual(plain(store.commits(GROUP, 1)), { from: 1, commits: [], gone: false });
    assert.equal(store.commits(GROUP, 0).commits.length, 1);
    assert.deepEqual([store.newestCommit(GROUP), store.takeBack(GROUP, 0)], [null, false], "only the newest");
    assert.equal(store.commit(newest), true);
    assert.equal(store.takeBack(GROUP, 1), true);
  });

  test("bans who made a commit that is taken back, and brings leavers back", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { add: [bob, carol] }));
    assert.equal(store.newestCommit(GROUP), null, "nobody is known to have made it");
    store.leave(GROUP, { device: bob.device, account: bob.account, statement: bytes(1) });
    store.leave(GROUP, { device: carol.device, account: carol.account, statement: bytes(2) });
    store.commit(commitOf(1, { add: [bob], remove: [carol.device], committer: bob }));
    assert.deepEqual(store.group(GROUP)!.leavers, []);
    store.takeBack(GROUP, 1);
    const group = store.group(GROUP)!;
    assert.deepEqual(group.banned, ["bob"]);
    assert.deepEqual(group.members.map(({ device }) => device), [alice.device]);
    const statements = group.leavers.map(({ statement }) => statement[0]).sort();
    assert.deepEqual(statements, [1, 2]);
  });

  test("takes a device back: it leaves every group, its id is kept, and nothing brings it in again", (store) => {
    registerAll(store);
    const phone: StoredDevice = { ...alice, device: "4".repeat(32) as DeviceId };
    store.saveDevice(phone);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { add: [phone, bob] }));
    const welcome = { envelope: "e1", payload: bytes(5), devices: [phone.device] };
    store.commit(commitOf(1, { remove: [phone.device], committer: alice }));
    const alone = { member: phone, atMs: NOW };
    const head = { suite: 82, creator: phone.account, peer: null, kind: "group", name: "" } as const;
    store.createGroup({ ...head, group: other(7) }, alone);
    store.createGroup({ ...head, group: other(8) }, { ...alone, member: alice });
    store.commit({ ...commitOf(0, { add: [phone], welcome }), group: other(8) });
    const packages = { suite: 82, keyPackages: [bytes(1)], lastResort: bytes(2), limit: 64 };
    store.addKeyPackages(phone.device, packages);
    assert.deepEqual([store.revokedAccount(phone.device), store.revokedCount("alice")], [null, 0]);

    const statement = bytes(9);
    store.revokeDevice({ device: phone.device, account: phone.account, statement });
    assert.deepEqual([store.revokedAccount(phone.device), store.revokedCount("alice")], ["alice", 1]);
    assert.equal(store.device(phone.device), null);
    assert.deepEqual(store.devicesOf("alice").map(({ device }) => device), [alice.device]);
    assert.deepEqual([store.takeKeyPackage(phone.device, 82), store.welcome("e1")], [null, null]);
    assert.deepEqual(store.groupsOfDevice(phone.device), []);
    assert.equal(store.group(other(7)), null, "nobody else was in it");
    const leaver = { device: phone.device, account: "alice", statement };
    assert.deepEqual(store.group(other(8))!.leavers.map(plain), [leaver]);
    assert.deepEqual(store.group(GROUP)!.leavers, [], "a commit had removed it");
    assert.equal(store.takeBack(GROUP, 1), true);
    const again = store.group(GROUP)!;
    assert.deepEqual(again.leavers.map(plain), [leaver], "the commit is taken back, and it is still gone");
    assert.deepEqual(again.members.map(({ device }) => device).sort(), [alice.device, bob.device]);
  });

  test("bans nobody where that is not wanted", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { add: [bob] }));
    store.commit(commitOf(1, { committer: bob }));
    assert.equal(store.takeBack(GROUP, 1, { ban: false }), true);
    assert.deepEqual(store.group(GROUP)!.banned, []);
  });

  test("leaves alone who left after the commit that is taken back", (store) => {
    registerAll(store);
    create(store, { kind: "channel", name: "#general" });
    store.commit(commitOf(0, { add: [bob, carol] }));
    store.commit(commitOf(1, { add: [bob], remove: [bob.device], committer: bob }));
    store.leave(GROUP, { device: bob.device, account: bob.account, statement: bytes(1) });
    store.decline(GROUP, carol.device);
    store.takeBack(GROUP, 1);
    const { members, leavers } = store.group(GROUP)!;
    assert.deepEqual([members.length, leavers.length], [1, 1]);
  });

  test("forgets a deleted group completely", (store) => {
    registerAll(store);
    create(store, { kind: "dm", name: "", peer: bob.account });
    store.commit(
      commitOf(0, { add: [bob], welcome: { envelope: "e1", payload: bytes(5), devices: [bob.device] } }),
    );
    store.deleteGroup(GROUP);
    assert.equal(store.group(GROUP), null);
    assert.equal(store.dm("alice", "bob"), null);
    assert.deepEqual(store.welcomes(bob.device), []);
    assert.equal(store.welcome("e1"), null);
    assert.deepEqual(store.groupsOfDevice(bob.device), []);
    assert.equal(create(store, { kind: "dm", name: "", peer: bob.account }), true);
    assert.equal(store.group(GROUP)!.epoch, 0);
    assert.deepEqual(store.commits(GROUP, 0).commits, []);
  });
}

function person(account: string, digit: string): StoredDevice {
  return {
    device: digit.repeat(32) as DeviceId,
    account: account as AccountName,
    certificate: bytes(Number(digit)),
    deviceKey: bytes(Number(digit) + 100),
  };
}

function register(store: RelayStore, device: StoredDevice, invite?: Uint8Array) {
  const account = { account: device.account, fingerprint: `${device.account}-fingerprint` };
  return store.register({ account, device, invite, nowMs: NOW });
}

function addInvite(
  store: RelayStore,
  mark: number,
  options: { expiresAtMs?: number; forgetBeforeMs?: number; limit?: number } = {},
): boolean {
  return store.addInvite(bytes(mark), {
    nowMs: NOW,
    expiresAtMs: NOW + 100,
    forgetBeforeMs: NOW - 100,
    limit: 3,
    ...options,
  });
}

function invite(mark: number, change: Partial<StoredInvite> = {}): StoredInvite {
  const hash = bytes(mark);
  return { hash, createdAtMs: NOW, expiresAtMs: NOW + 100, endedAtMs: null, usedBy: "", ...change };
}

function marks(store: RelayStore): number[] {
  return store.invites().map(({ hash }) => hash[0]);
}

function registerAll(store: RelayStore): void {
  for (const device of [alice, bob, carol]) register(store, device);
}

function create(store: RelayStore, head: Partial<GroupHead> & Pick<GroupHead, "kind" | "name">): boolean {
  return store.createGroup(
    { group: GROUP, suite: 82, creator: alice.account, peer: null, ...head },
    { member: { device: alice.device, account: alice.account }, groupInfo: bytes(7), atMs: NOW },
  );
}

function commitOf(epoch: number, change: Partial<StoredCommit>): StoredCommit {
  const members = (change.add ?? []).map(({ device, account }) => ({ device, account }));
  return {
    group: GROUP,
    epoch,
    hash: bytes(0),
    commit: bytes(1),
    remove: [],
    atMs: NOW,
    ...change,
    add: members,
  };
}

function other(digit: number): GroupId {
  return String(digit).repeat(32) as GroupId;
}

function bytes(value: number): Uint8Array {
  return new Uint8Array(32).fill(value);
}

/** Rows of a database have no prototype; only their fields matter. */
function plain<T extends object>(row: T): T {
  return { ...row };
}
