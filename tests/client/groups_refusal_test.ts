/** What every member refuses, whoever made it and however well it is signed. */

import assert from "node:assert/strict";
import {
  createApplicationMessage,
  createProposal,
  defaultProposalTypes,
  encode,
  mlsMessageEncoder,
  type Proposal,
} from "ts-mls";
import {
  concatBytes,
  type DeviceId,
  encodeCertificate,
  encodeStatement,
  type ErrorCode,
  fingerprintOf,
  issueCertificate,
  SignatureAlgorithm,
  statementContent,
} from "../../proto/mod.ts";
import { makeContextExtensions } from "../../client/groups/group_context.ts";
import { encodeSettings, makeSettings } from "../../client/groups/group_settings.ts";
import { joinStatements, RETURN_EPOCHS } from "../../client/groups/statements.ts";
import { createWorld, native, refused, Room } from "./groups_support.ts";
import {
  type ClientState,
  encodeKeyPackageMessage,
  rogueCommit,
  rogueContext,
  rogueJoin,
  rogueKeyPackage,
  stateBehind,
} from "./groups_rogue.ts";

const SUITE = 0x0052;
const DAY_MS = 86_400_000;
/** Signature and confirmation tag at the end of a commit's content, with their lengths. */
const COMMIT_TAIL_BYTES = 2 + 2_420 + 1 + 48;

const remove = (removed: number): Proposal => ({
  proposalType: defaultProposalTypes.remove,
  remove: { removed },
});

/** Three members: anna, who is admin, bert and carl. */
async function threeMembers(kind: "group" | "channel" = "group") {
  const world = createWorld();
  const bertPerson = await world.person("bert");
  const [anna, bert, carl] = [
    await world.peer("anna"),
    await world.peer(bertPerson),
    await world.peer("carl"),
  ];
  const room = await Room.open(world, anna, { kind });
  await room.add(0, [bert, carl]);
  return { world, room, anna, bert, carl, bertPerson };
}

/** Everybody but the committer refuses, and the group goes on as if nothing had been. */
async function allRefuse(
  room: Room,
  commit: Uint8Array,
  options: { by?: number; codes: ErrorCode[]; why?: RegExp },
) {
  for (const [index, { peer, group }] of room.seats.entries()) {
    if (index === options.by) continue;
    const error = await refused(() => peer.engine.process(group, commit), ...options.codes);
    if (options.why) assert.match(error.message, options.why);
  }
  await room.check();
}

Deno.test("bytes after a commit are refused", async () => {
  const { room, bert } = await threeMembers();
  const { commit } = await bert.engine.commit(room.at(1).group, { kind: "update" });
  await allRefuse(room, concatBytes(commit, Uint8Array.of(0)), { by: 1, codes: ["BAD_MLS"] });
  await room.deliver(commit, { except: room.at(1) });
});

Deno.test("a length that is not minimal is refused, outside and inside of the encryption", async () => {
  const { room, bert } = await threeMembers();
  const { commit } = await bert.engine.commit(room.at(1).group, { kind: "update" });
  assert.equal(commit[4], 16); // the group id's length
  const outside = concatBytes(commit.subarray(0, 4), Uint8Array.of(0x40, 16), commit.subarray(5));
  await allRefuse(room, outside, { by: 1, codes: ["BAD_MLS"] });
  const inside = await rogueCommit(bert, room.at(1).group, {
    change(content) {
      assert.equal(content[0], 0); // no proposals
      return concatBytes(Uint8Array.of(0x40, 0), content.subarray(1));
    },
  });
  await allRefuse(room, inside, { by: 1, codes: ["BAD_MLS"], why: /canonical/ });
  const padded = await rogueCommit(bert, room.at(1).group, {
    change: (content) => concatBytes(content, new Uint8Array(9)),
  });
  await allRefuse(room, padded, { by: 1, codes: ["BAD_MLS"] });
});

Deno.test("a message with trailing bytes or another form is refused and can be read afterwards", async () => {
  const { room, bert } = await threeMembers();
  const { ciphertext } = await bert.engine.encrypt(room.at(1).group, Uint8Array.of(1, 2, 3));
  const { peer, group } = room.at(0);
  await refused(() => peer.engine.decrypt(group, concatBytes(ciphertext, Uint8Array.of(0))), "BAD_MLS");
  const longer = concatBytes(ciphertext.subarray(0, 4), Uint8Array.of(0x40, 16), ciphertext.subarray(5));
  await refused(() => peer.engine.decrypt(group, longer), "BAD_MLS");
  await refused(() => peer.engine.decrypt(group, new Uint8Array(100_000)), "TOO_LARGE");
  for (const at of [10, ciphertext.length - 1]) {
    const flipped = ciphertext.slice();
    flipped[at] ^= 1;
    await refused(() => peer.engine.decrypt(group, flipped), "BAD_MLS");
  }
  await refused(() => peer.engine.process(group, ciphertext), "BAD_MLS");
  assert.deepEqual((await peer.engine.decrypt(group, ciphertext)).plaintext, Uint8Array.of(1, 2, 3));
});

Deno.test("a Remove without a path is refused, so that nobody who was removed can follow", async () => {
  const { room, anna } = await threeMembers();
  const commit = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [remove(2)],
    change(content) {
      const proposals = content.subarray(0, 1 + content[0]);
      assert.equal(content[proposals.length], 1); // a path is there
      return concatBytes(proposals, Uint8Array.of(0), content.subarray(content.length - COMMIT_TAIL_BYTES));
    },
  });
  await allRefuse(room, commit, { by: 0, codes: ["BAD_MLS"], why: /path/ });
});

Deno.test("the library makes a path for a single Remove and for a change of the settings", async () => {
  const { room, anna } = await threeMembers();
  const sizes: number[] = [];
  for (const extraProposals of [[remove(2)], []] as Proposal[][]) {
    await rogueCommit(anna, room.at(0).group, {
      extraProposals,
      change(content) {
        sizes.push(content[1 + content[0]]);
        return content;
      },
    });
  }
  assert.deepEqual(sizes, [1, 1], "is node_modules patched? run `deno task setup`");
});

Deno.test("a member who is no admin removes nobody else", async () => {
  const { room, bert, carl } = await threeMembers();
  await refused(
    () => bert.engine.commit(room.at(1).group, { kind: "remove", devices: [carl.device.device] }),
    "POLICY",
  );
  const commit = await rogueCommit(bert, room.at(1).group, { extraProposals: [remove(2)] });
  await allRefuse(room, commit, { by: 1, codes: ["POLICY"], why: /admin/ });
});

Deno.test("a member who is no admin changes no settings", async () => {
  const { room, bert } = await threeMembers();
  await refused(() => bert.engine.commit(room.at(1).group, { kind: "settings", name: "mine" }), "POLICY");
  const settings = makeSettings({
    kind: "group",
    name: "mine",
    admins: [room.at(1).group.self.fingerprint],
    banned: [],
  });
  const commit = await rogueCommit(bert, room.at(1).group, {
    extraProposals: [{
      proposalType: defaultProposalTypes.group_context_extensions,
      groupContextExtensions: { extensions: makeContextExtensions(settings) },
    }],
  });
  await allRefuse(room, commit, { by: 1, codes: ["POLICY"], why: /admin/ });
});

Deno.test("an admin changes neither the kind nor leaves the group without an admin or with a banned member", async () => {
  const { room, anna } = await threeMembers();
  const { admins } = room.at(0).group;
  const carl = room.at(2).group.self.fingerprint;
  const cases = [
    { kind: "channel", name: "#lobby", admins, banned: [] },
    { kind: "group", name: "x", admins: ["ab".repeat(32)], banned: [] },
    { kind: "group", name: "x", admins, banned: [carl] },
  ] as unknown as Parameters<typeof makeSettings>[0][];
  for (const settings of cases) {
    const commit = await rogueCommit(anna, room.at(0).group, {
      extraProposals: [{
        proposalType: defaultProposalTypes.group_context_extensions,
        groupContextExtensions: { extensions: makeContextExtensions(makeSettings(settings)) },
      }],
    });
    await allRefuse(room, commit, { by: 0, codes: ["POLICY"] });
  }
});

Deno.test("settings without the extensions of an Arona group are refused", async () => {
  const { room, anna } = await threeMembers();
  const [required, settings] = makeContextExtensions(
    makeSettings({ kind: "group", name: "x", admins: room.at(0).group.admins, banned: [] }),
  );
  for (const extensions of [[settings], [required], [settings, required], [required, settings, settings]]) {
    const commit = await rogueCommit(anna, room.at(0).group, {
      extraProposals: [{
        proposalType: defaultProposalTypes.group_context_extensions,
        groupContextExtensions: { extensions },
      }],
    });
    await allRefuse(room, commit, { by: 0, codes: ["BAD_MLS"] });
  }
});

Deno.test("from outside, nobody else can be removed", async () => {
  const { world, room, anna } = await threeMembers("channel");
  const eve = await world.peer("eve");
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  const victim = room.at(1).peer.device.keys[SUITE].publicKey;
  const commit = await rogueJoin(eve, groupInfo, {
    suite: SUITE,
    isOld: (leaf) => leaf.signaturePublicKey.every((byte, i) => byte === victim[i]),
  });
  await allRefuse(room, commit, { codes: ["POLICY"], why: /own old leaf/ });
});

Deno.test("another device of the same person, or the same device id of another person, is not the own old leaf", async () => {
  const { world, room, anna, bert, bertPerson } = await threeMembers("channel");
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  const isBert = (leaf: { signaturePublicKey: Uint8Array }) =>
    leaf.signaturePublicKey.every((byte, i) => byte === bert.device.keys[SUITE].publicKey[i]);
  for (
    const joiner of [await world.peer(bertPerson), await world.peer("eve", { device: bert.device.device })]
  ) {
    const commit = await rogueJoin(joiner, groupInfo, { suite: SUITE, isOld: isBert });
    await allRefuse(room, commit, { codes: ["POLICY"] });
  }
});

Deno.test("a second leaf with the same device is refused: from outside and by an addition", async () => {
  const { world, room, anna, bert } = await threeMembers("channel");
  const double = await world.peer("eve", { device: bert.device.device });
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  await refused(
    () =>
      double.engine.joinFromGroupInfo(double.device, { groupInfo, expect: { group: room.at(0).group.id } }),
    "POLICY",
  );
  const commit = await rogueJoin(double, groupInfo, { suite: SUITE });
  await allRefuse(room, commit, { codes: ["POLICY"], why: /device/ });

  const { publicBytes } = await double.engine.keyPackage(double.device, SUITE, { lastResort: false });
  await refused(
    () => anna.engine.commit(room.at(0).group, { kind: "add", keyPackages: [publicBytes] }),
    "POLICY",
  );
  const { keyPackage } = await rogueKeyPackage(
    double,
    SUITE,
    lifetimeAt(world.clock.now()),
  );
  const added = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [{ proposalType: defaultProposalTypes.add, add: { keyPackage } }],
  });
  await allRefuse(room, added, { by: 0, codes: ["POLICY"], why: /device/ });
});

Deno.test("a banned identity comes back neither from outside nor by an addition, with no device", async () => {
  const { world, room, anna, bert, carl, bertPerson } = await threeMembers("channel");
  const banned = room.at(1).group.self.fingerprint;
  await room.commit(0, { kind: "settings", banned: [banned], alsoRemove: [bert.device.device] });
  assert.equal(room.seats.length, 2);
  assert.deepEqual(room.at(1).group.banned, [banned]);
  const other = await world.peer(bertPerson);
  for (const device of [bert, other]) {
    const groupInfo = await anna.engine.groupInfo(room.at(0).group);
    await refused(
      () =>
        device.engine.joinFromGroupInfo(device.device, { groupInfo, expect: { group: room.at(0).group.id } }),
      "POLICY",
    );
    await allRefuse(room, await rogueJoin(device, groupInfo, { suite: SUITE }), {
      codes: ["POLICY"],
      why: /banned/,
    });
    const { publicBytes } = await device.engine.keyPackage(device.device, SUITE, { lastResort: false });
    await refused(
      () => carl.engine.commit(room.at(1).group, { kind: "add", keyPackages: [publicBytes] }),
      "POLICY",
    );
  }
});

Deno.test("only a channel can be joined from outside", async () => {
  const { world, room, anna } = await threeMembers("group");
  const eve = await world.peer("eve");
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  await refused(
    () => eve.engine.joinFromGroupInfo(eve.device, { groupInfo, expect: { group: room.at(0).group.id } }),
    "POLICY",
  );
  await allRefuse(room, await rogueJoin(eve, groupInfo, { suite: SUITE }), {
    codes: ["POLICY"],
    why: /channel/,
  });
});

Deno.test("a commit from outside carries no authenticated data", async () => {
  const { world, room, anna } = await threeMembers("channel");
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  const eve = await world.peer("eve");
  const commit = await rogueJoin(eve, groupInfo, { suite: SUITE, authenticatedData: new Uint8Array(5) });
  await allRefuse(room, commit, { codes: ["POLICY"] });
});

Deno.test("a key package past its lifetime is added by nobody and accepted from nobody", async () => {
  const { world, room, anna } = await threeMembers();
  const eve = await world.peer("eve");
  const { publicBytes } = await eve.engine.keyPackage(eve.device, SUITE, { lastResort: false });
  const expired = (await rogueKeyPackage(eve, SUITE, lifetimeAt(world.clock.now()))).keyPackage;
  const add: Proposal = { proposalType: defaultProposalTypes.add, add: { keyPackage: expired } };
  world.clock.advance(91 * DAY_MS);
  await refused(() => anna.engine.inspectKeyPackage(publicBytes, { suite: SUITE }), "POLICY");
  await refused(
    () => anna.engine.commit(room.at(0).group, { kind: "add", keyPackages: [publicBytes] }),
    "POLICY",
  );
  world.clock.advance(31 * DAY_MS);
  const commit = await rogueCommit(anna, room.at(0).group, { extraProposals: [add] });
  await allRefuse(room, commit, { by: 0, codes: ["POLICY"], why: /lifetime/ });
  const endless = (await rogueKeyPackage(eve, SUITE)).keyPackage;
  await refused(
    () => anna.engine.inspectKeyPackage(encodeKeyPackageMessage(endless), { suite: SUITE }),
    "POLICY",
  );
});

Deno.test("a device that was away reads an addition whose key package has ended since", async () => {
  const { world, room, anna, bert } = await threeMembers();
  const eve = await world.peer("eve");
  const { publicBytes } = await eve.engine.keyPackage(eve.device, SUITE, { lastResort: false });
  world.clock.advance(89 * DAY_MS);
  const { commit } = await anna.engine.commit(room.at(0).group, { kind: "add", keyPackages: [publicBytes] });
  world.clock.advance(20 * DAY_MS);
  const { next } = await bert.engine.process(room.at(1).group, commit);
  assert.equal(next.members.length, 4);
});

Deno.test("a key package is checked in every part", async () => {
  const { world, anna } = await threeMembers();
  const eve = await world.peer("eve");
  const { publicBytes } = await eve.engine.keyPackage(eve.device, SUITE, { lastResort: false });
  const inspect = (bytes: Uint8Array) => anna.engine.inspectKeyPackage(bytes, { suite: SUITE });
  const owner = await inspect(publicBytes);
  assert.equal(owner.fingerprint, fingerprintOf(native, eve.device.identityKey));
  assert.equal(owner.notAfterMs, world.clock.now() + 90 * DAY_MS);
  await refused(() => anna.engine.inspectKeyPackage(publicBytes, { suite: 0x0051 }), "BAD_MLS");
  await refused(() => inspect(concatBytes(publicBytes, Uint8Array.of(0))), "BAD_MLS");
  await refused(() => inspect(new Uint8Array(40_000)), "TOO_LARGE");
  await refused(() => inspect(new Uint8Array()), "BAD_MLS");
  for (let at = 5; at < publicBytes.length; at += 397) {
    const flipped = publicBytes.slice();
    flipped[at] ^= 0x10;
    await refused(() => inspect(flipped), "BAD_MLS", "BAD_CERTIFICATE", "POLICY");
  }
  const mallory = await world.peer("mallory");
  const stolen = { ...eve, device: { ...eve.device, keys: { ...mallory.device.keys } } };
  stolen.device.keys[SUITE] = {
    ...mallory.device.keys[SUITE],
    certificate: eve.device.keys[SUITE].certificate,
  };
  const forged = await mallory.engine.keyPackage(stolen.device, SUITE, { lastResort: false });
  await refused(() => inspect(forged.publicBytes), "BAD_CERTIFICATE");
  const expired = await world.peer("expired", { notAfterMs: world.clock.now() + 1_000 });
  world.clock.advance(2_000);
  const late = await expired.engine.keyPackage(expired.device, SUITE, { lastResort: false });
  await refused(() => inspect(late.publicBytes), "POLICY");
});

Deno.test("an addition with a forged certificate is refused by all", async () => {
  const { world, room, anna, bert } = await threeMembers();
  const mallory = await world.peer("mallory");
  const forged = {
    ...mallory,
    device: {
      ...mallory.device,
      keys: {
        ...mallory.device.keys,
        [SUITE]: {
          ...mallory.device.keys[SUITE],
          certificate: { ...bert.device.keys[SUITE].certificate, device: "ab".repeat(16) as DeviceId },
        },
      },
    },
  };
  const { keyPackage } = await rogueKeyPackage(forged, SUITE, lifetimeAt(world.clock.now()));
  const commit = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [{ proposalType: defaultProposalTypes.add, add: { keyPackage } }],
  });
  await allRefuse(room, commit, { by: 0, codes: ["BAD_MLS"], why: /credential/ });
});

Deno.test("a member does not become somebody else by renewing the leaf", async () => {
  const { world, room, bert } = await threeMembers();
  const eve = await world.person("eve");
  const certificate = await issueCertificate(native, {
    identity: eve.identity,
    deviceKey: bert.device.keys[SUITE].publicKey,
    algorithm: SignatureAlgorithm.ML_DSA_44,
    account: eve.account,
    device: bert.device.device,
    notBeforeMs: world.clock.now(),
    notAfterMs: world.clock.now() + DAY_MS,
  });
  const commit = await rogueCommit(bert, room.at(1).group, {
    state(state) {
      const ratchetTree = state.ratchetTree.slice();
      const own = ratchetTree[2];
      if (own?.nodeType !== 1) throw new Error("no leaf");
      const credential = {
        credentialType: 1,
        identity: encodeCertificate(certificate),
      } as typeof own.leaf.credential;
      ratchetTree[2] = { ...own, leaf: { ...own.leaf, credential } };
      return { ...state, ratchetTree };
    },
  });
  await allRefuse(room, commit, { by: 1, codes: ["POLICY"], why: /somebody else/ });
});

Deno.test("an encryption key that is in the tree already is refused", async () => {
  const { world, room, anna, carl } = await threeMembers();
  const taken = stateBehind(carl, room.at(2).group).ratchetTree[4];
  if (taken?.nodeType !== 1) throw new Error("no leaf");
  const { keyPackage } = await rogueKeyPackage(await world.peer("eve"), SUITE, {
    ...lifetimeAt(world.clock.now()),
    encryptionKey: taken.leaf.hpkePublicKey,
  });
  const commit = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [{ proposalType: defaultProposalTypes.add, add: { keyPackage } }],
  });
  await allRefuse(room, commit, { by: 0, codes: ["POLICY"], why: /encryption key/ });
});

Deno.test("ReInit, PreSharedKey, unknown proposals, and proposals by reference are refused", async () => {
  const { room, bert } = await threeMembers();
  const reinit: Proposal = {
    proposalType: defaultProposalTypes.reinit,
    reinit: { groupId: new Uint8Array(16), version: 1, cipherSuite: SUITE, extensions: [] },
  };
  const unknown: Proposal = { proposalType: 0xf123, proposalData: new Uint8Array(3) };
  const psk: Proposal = {
    proposalType: defaultProposalTypes.psk,
    psk: { preSharedKeyId: { psktype: 1, pskId: Uint8Array.of(1), pskNonce: new Uint8Array(48) } },
  };
  for (const proposal of [reinit, unknown, psk]) {
    const commit = await rogueCommit(bert, room.at(1).group, { extraProposals: [proposal] });
    // An unknown proposal needs a path (RFC 9420 section 12.4), which the library does not make.
    await allRefuse(room, commit, { by: 1, codes: proposal === unknown ? ["BAD_MLS"] : ["POLICY"] });
  }
  const { newState, message } = await createProposal({
    context: rogueContext(SUITE),
    state: stateBehind(bert, room.at(1).group),
    proposal: remove(2),
  });
  const byReference = await rogueCommit(bert, room.at(1).group, { state: () => newState });
  const { seats } = room;
  for (const { peer, group } of [seats[0], seats[2]]) {
    await refused(() => peer.engine.process(group, encode(mlsMessageEncoder, message)), "BAD_MLS");
  }
  await allRefuse(room, byReference, { by: 1, codes: ["POLICY"], why: /refers/ });
});

Deno.test("a member's commit in the clear is refused", async () => {
  const { room, bert } = await threeMembers();
  const commit = await rogueCommit(bert, room.at(1).group, { wireAsPublicMessage: true });
  await allRefuse(room, commit, { by: 1, codes: ["BAD_MLS"], why: /encrypted/ });
});

Deno.test("a commit of another epoch or another group is refused", async () => {
  const { world, room, anna, bert } = await threeMembers();
  const made = await bert.engine.commit(room.at(1).group, { kind: "update" });
  const copy = anna.engine.decode(anna.engine.encode(room.at(0).group));
  const ahead = await anna.engine.process(copy, made.commit);
  const future = await anna.engine.commit(ahead.next, { kind: "update" });
  await allRefuse(room, future.commit, { codes: ["BAD_MLS"], why: /epoch/ });
  await room.deliver(made.commit, { except: room.at(1) });
  room.at(1).group = made.next;
  await allRefuse(room, made.commit, { codes: ["BAD_MLS"], why: /epoch/ });
  const other = await Room.open(world, anna, { kind: "group" });
  await refused(() => anna.engine.process(other.at(0).group, future.commit), "BAD_MLS");
});

Deno.test("a path whose secrets do not give its keys is refused", async () => {
  const { room, bert } = await threeMembers();
  const { publicKey } = await native.kemKeyPair("X-Wing");
  const commit = await rogueCommit(bert, room.at(1).group, { nodeKey: publicKey });
  // Anna is below that node and learns its secret; carl is beside it.
  const { peer, group } = room.at(0);
  const error = await refused(() => peer.engine.process(group, commit), "FORKED");
  assert.match(error.message, /path secret/);
});

Deno.test("nobody speaks or commits in another member's name", async () => {
  const { room, bert } = await threeMembers();
  const asCarl = (state: ClientState): ClientState => ({
    ...state,
    privatePath: { ...state.privatePath, leafIndex: 2 },
  });
  const { message } = await createApplicationMessage({
    context: rogueContext(SUITE),
    state: asCarl(stateBehind(bert, room.at(1).group)),
    message: Uint8Array.of(1),
  });
  const { peer, group } = room.at(0);
  await refused(() => peer.engine.decrypt(group, encode(mlsMessageEncoder, message)), "BAD_MLS");
  const commit = await rogueCommit(bert, room.at(1).group, { state: asCarl });
  await refused(() => peer.engine.process(group, commit), "BAD_MLS", "POLICY");
  await room.check();
});

Deno.test("a commit with any byte changed is refused", async () => {
  const { room, bert } = await threeMembers();
  const { commit } = await bert.engine.commit(room.at(1).group, { kind: "update" });
  const { peer, group } = room.at(0);
  for (let at = 0; at < commit.length; at += 611) {
    const flipped = commit.slice();
    flipped[at] ^= 4;
    await refused(() => peer.engine.process(group, flipped), "BAD_MLS", "TOO_LARGE");
  }
  await room.deliver(commit, { except: room.at(1) });
});

Deno.test("additions stand alone", async () => {
  const { world, room, anna } = await threeMembers();
  const { keyPackage } = await rogueKeyPackage(await world.peer("eve"), SUITE, lifetimeAt(world.clock.now()));
  const commit = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [remove(2), { proposalType: defaultProposalTypes.add, add: { keyPackage } }],
  });
  await allRefuse(room, commit, { by: 0, codes: ["POLICY"], why: /alone/ });
});

Deno.test("in a direct message only who opened it adds the other person, and nobody a third one", async () => {
  const world = createWorld();
  const [annaPerson, bertPerson] = [await world.person("anna"), await world.person("bert")];
  const [anna, bert, eve] = [
    await world.peer(annaPerson),
    await world.peer(bertPerson),
    await world.peer("eve"),
  ];
  const room = await Room.open(world, anna, { kind: "dm" });
  await room.add(0, [bert]);
  const third = await eve.engine.keyPackage(eve.device, SUITE, { lastResort: false });
  await refused(
    () => anna.engine.commit(room.at(0).group, { kind: "add", keyPackages: [third.publicBytes] }),
    "POLICY",
  );
  const { keyPackage } = await rogueKeyPackage(eve, SUITE, lifetimeAt(world.clock.now()));
  const commit = await rogueCommit(anna, room.at(0).group, {
    extraProposals: [{ proposalType: defaultProposalTypes.add, add: { keyPackage } }],
  });
  await allRefuse(room, commit, { by: 0, codes: ["POLICY"], why: /two people/ });
  const other = await world.peer(annaPerson);
  const { publicBytes } = await other.engine.keyPackage(other.device, SUITE, { lastResort: false });
  await refused(
    () => bert.engine.commit(room.at(1).group, { kind: "add", keyPackages: [publicBytes] }),
    "POLICY",
  );
  await refused(() => anna.engine.commit(room.at(0).group, { kind: "settings", banned: [] }), "POLICY");
  await room.add(1, [await world.peer(bertPerson)]); // everybody brings in devices of their own
  await room.add(0, [await world.peer(bertPerson)]);
  await room.check();
});

Deno.test("anybody removes who has signed that they leave, and nobody on a false statement", async () => {
  const { world, room, bert, carl } = await threeMembers();
  const statement = await carl.engine.leaveStatement(carl.device, room.at(2).group);
  const devices = [carl.device.device];
  const bad = [
    statement.map((byte, i) => i === 100 ? byte ^ 1 : byte), // signature
    statement.map((byte, i) => i === 0 ? byte ^ 1 : byte), //   hash
    statement.subarray(1),
    concatBytes(statement, statement),
    Uint8Array.of(9, ...statement.subarray(1)), //                  no such kind
    await carl.engine.returnStatement(carl.device, {
      suite: SUITE,
      group: room.at(2).group.id,
      epoch: 1,
      keyPackage: new Uint8Array(),
    }),
    await bert.engine.leaveStatement(bert.device, room.at(1).group),
    await carl.engine.leaveStatement(
      carl.device,
      await carl.engine.create(carl.device, {
        group: world.groupId(),
        suite: SUITE,
        kind: "group",
        name: "other",
      }),
    ),
  ];
  for (const false_ of bad) {
    await refused(
      () => bert.engine.commit(room.at(1).group, { kind: "remove", devices, statements: [false_] }),
      "POLICY",
    );
    const commit = await rogueCommit(bert, room.at(1).group, {
      extraProposals: [remove(2)],
      authenticatedData: joinStatements([false_]),
    });
    await allRefuse(room, commit, { by: 1, codes: ["POLICY"] });
  }
  const stray = await rogueCommit(bert, room.at(1).group, {
    authenticatedData: joinStatements([statement]),
  });
  await allRefuse(room, stray, { by: 1, codes: ["POLICY"] });
  await room.commit(1, { kind: "remove", devices, statements: [statement] });
  assert.equal(room.seats.length, 2);
  await room.check();
});

Deno.test("an old leave statement does not work against somebody who has come back", async () => {
  const { room, bert, carl } = await threeMembers("channel");
  const statement = await carl.engine.leaveStatement(carl.device, room.at(2).group);
  const devices = [carl.device.device];
  await room.commit(1, { kind: "remove", devices, statements: [statement] });
  await room.join(carl);
  await refused(
    () => bert.engine.commit(room.at(1).group, { kind: "remove", devices, statements: [statement] }),
    "POLICY",
  );
});

Deno.test("a device that has lost its state comes back by its own statement, by whichever member, in any kind of group", async () => {
  for (const kind of ["group", "dm"] as const) {
    const world = createWorld();
    const [anna, bert] = [await world.peer("anna"), await world.peer("bert")];
    const room = await Room.open(world, anna, { kind });
    await room.add(0, [bert]);
    await room.commit(0, { kind: "update" });
    const { id: group, epoch } = room.at(0).group;
    const pair = await anna.engine.keyPackage(anna.device, SUITE, { lastResort: false });
    const keyPackage = pair.publicBytes;
    const statement = await anna.engine.returnStatement(anna.device, {
      suite: SUITE,
      group,
      epoch: epoch - 1,
      keyPackage,
    });
    const { device } = anna.device;
    const change = { kind: "replace", device, keyPackage, statement } as const;
    const other = await anna.engine.keyPackage(anna.device, SUITE, { lastResort: false });
    const ahead = await anna.engine.returnStatement(anna.device, {
      suite: SUITE,
      group,
      epoch: epoch + 1,
      keyPackage,
    });
    for (
      const wrong of [
        { ...change, keyPackage: other.publicBytes },
        { ...change, statement: ahead },
        { ...change, statement: await bert.engine.leaveStatement(bert.device, room.at(1).group) },
      ]
    ) {
      await refused(() => bert.engine.commit(room.at(1).group, wrong), "POLICY");
    }
    const { welcome, commit, next, added, removed } = await bert.engine.commit(room.at(1).group, change);
    assert.deepEqual([added, removed], [[device], [device]]);
    const gone = await anna.engine.process(room.at(0).group, commit);
    assert.ok(gone.summary.selfRemoved);
    const { group: again } = await anna.engine.joinFromWelcome(anna.device, {
      welcome: welcome!,
      keyPackages: [pair],
      expect: { group },
    });
    room.seats[0].group = again;
    room.seats[1].group = next;
    await room.check();
    await room.commit(0, { kind: "update" });
    await room.commit(1, { kind: "update" });
    await room.check();
  }
});

Deno.test("a device that comes back is followed by everybody else, and its statement is soon worth nothing", async () => {
  const { room, anna, bert } = await threeMembers();
  const { id: group, epoch } = room.at(0).group;
  const pair = await anna.engine.keyPackage(anna.device, SUITE, { lastResort: false });
  const statement = await anna.engine.returnStatement(anna.device, {
    suite: SUITE,
    group,
    epoch,
    keyPackage: pair.publicBytes,
  });
  const change = {
    kind: "replace",
    device: anna.device.device,
    keyPackage: pair.publicBytes,
    statement,
  } as const;
  const [seat] = room.seats.splice(0, 1); // anna's state is gone
  const { welcome } = await room.commit(0, change);
  seat.group = (await anna.engine.joinFromWelcome(anna.device, { welcome: welcome!, keyPackages: [pair] }))
    .group;
  room.seats.unshift(seat);
  await room.check();
  assert.ok(room.at(0).group.self.admin);
  for (let i = 0; i < RETURN_EPOCHS; i++) await room.commit(1, { kind: "update" });
  await refused(() => bert.engine.commit(room.at(1).group, change), "POLICY");
});

Deno.test("anybody removes a device that its identity has taken back", async () => {
  const { world, room, bert, bertPerson } = await threeMembers();
  const tablet = await world.peer(bertPerson);
  await room.add(1, [tablet]);
  const { device, account } = tablet.device;
  const unsigned = { kind: "revoke", device } as const;
  const subject = { group: room.at(0).group.id, account, device };
  const signed = async (privateKey: Uint8Array) =>
    encodeStatement({
      ...unsigned,
      signature: await native.sign("ML-DSA-65", privateKey, statementContent(unsigned, subject)),
    });
  const forged = await signed((await world.person("bert")).identity.privateKey);
  const remove = (statement: Uint8Array, devices = [device]) =>
    ({ kind: "remove", devices, statements: [statement] }) as const;
  const carl = room.at(2);
  await refused(() => carl.peer.engine.commit(carl.group, remove(forged)), "POLICY");
  const statement = await signed(bertPerson.identity.privateKey);
  await refused(
    () => carl.peer.engine.commit(carl.group, remove(statement, [bert.device.device])),
    "POLICY",
  );
  await room.commit(2, remove(statement));
  assert.equal(room.seats.length, 3);
  await room.check();
});

Deno.test("people remove their own other devices without being admin", async () => {
  const { world, room, bert, bertPerson } = await threeMembers();
  const tablet = await world.peer(bertPerson);
  await room.add(1, [tablet]);
  await room.commit(1, { kind: "remove", devices: [tablet.device.device] });
  assert.equal(room.seats.length, 3);
  await refused(
    () => bert.engine.commit(room.at(1).group, { kind: "remove", devices: [bert.device.device] }),
    "POLICY",
    "BAD_MLS",
  );
  await refused(
    () => bert.engine.commit(room.at(1).group, { kind: "remove", devices: [tablet.device.device] }),
    "POLICY",
  );
});

Deno.test("a Welcome for somebody else, for another group, or altered lets nobody in", async () => {
  const { world, room, anna } = await threeMembers();
  const [eve, fred] = [await world.peer("eve"), await world.peer("fred")];
  const pair = await eve.engine.keyPackage(eve.device, SUITE, { lastResort: false });
  const { welcome } = await anna.engine.commit(room.at(0).group, {
    kind: "add",
    keyPackages: [pair.publicBytes],
  });
  const other = await fred.engine.keyPackage(fred.device, SUITE, { lastResort: false });
  const join = (bytes: Uint8Array, expect?: { group?: ReturnType<typeof world.groupId>; kind?: "dm" }) =>
    eve.engine.joinFromWelcome(eve.device, { welcome: bytes, keyPackages: [pair], expect });
  await refused(
    () => fred.engine.joinFromWelcome(fred.device, { welcome: welcome!, keyPackages: [other] }),
    "BAD_MLS",
  );
  await refused(() => join(welcome!, { group: world.groupId() }), "POLICY");
  await refused(() => join(welcome!, { kind: "dm" }), "POLICY");
  await refused(() => join(concatBytes(welcome!, Uint8Array.of(0))), "BAD_MLS");
  for (const at of [8, 200, welcome!.length - 1]) {
    const flipped = welcome!.slice();
    flipped[at] ^= 1;
    await refused(() => join(flipped), "BAD_MLS");
  }
  assert.equal((await join(welcome!)).group.members.length, 4);
});

Deno.test("a group info that was altered lets nobody in", async () => {
  const { world, room, anna } = await threeMembers("channel");
  const eve = await world.peer("eve");
  const groupInfo = await anna.engine.groupInfo(room.at(0).group);
  const expect = { group: room.at(0).group.id };
  for (let at = 5; at < groupInfo.length; at += 3_001) {
    const flipped = groupInfo.slice();
    flipped[at] ^= 1;
    await refused(
      () => eve.engine.joinFromGroupInfo(eve.device, { groupInfo: flipped, expect }),
      "BAD_MLS",
      "POLICY",
      "BAD_CERTIFICATE",
    );
  }
  await refused(
    () =>
      eve.engine.joinFromGroupInfo(eve.device, {
        groupInfo: concatBytes(groupInfo, Uint8Array.of(0)),
        expect,
      }),
    "BAD_MLS",
  );
});

Deno.test("an engine only takes groups that come from an engine, and stored forms that are whole", async () => {
  const { room, anna } = await threeMembers();
  const { group } = room.at(0);
  await assert.rejects(() =>
    anna.engine.encrypt({ ...group, members: [], self: group.self }, new Uint8Array())
  );
  const bytes = anna.engine.encode(group);
  for (
    const bad of [
      new Uint8Array(),
      bytes.subarray(1),
      bytes.subarray(0, -1),
      concatBytes(bytes, Uint8Array.of(0)),
    ]
  ) {
    await refused(() => Promise.resolve().then(() => anna.engine.decode(bad)), "BAD_MLS");
  }
  assert.equal(
    encodeSettings(makeSettings({ kind: "dm", name: "", admins: group.admins, banned: [] }))[0],
    1,
  );
});

function lifetimeAt(nowMs: number): { notBefore: bigint; notAfter: bigint } {
  const seconds = BigInt(Math.floor(nowMs / 1_000));
  return { notBefore: seconds, notAfter: seconds + 90n * 86_400n };
}
