/** The rules themselves, on plain data, and the settings they read. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeSettings,
  encodeSettings,
  type GroupSettings,
  makeSettings,
  MAX_ADMINS,
  MAX_BANNED,
} from "../../client/groups/group_settings.ts";
import type { Occupant } from "../../client/groups/credential.ts";
import {
  checkCommit,
  checkMembership,
  type CommitView,
  KEY_PACKAGE_LIFETIME_MS,
  LATE_READER_GRACE_MS,
  type PolicyGroup,
  type ProposalView,
} from "../../client/groups/policy.ts";
import {
  type AccountName,
  concatBytes,
  type DeviceCertificate,
  type DeviceId,
  type Fingerprint,
  isAronaError,
  MAX_GROUP_MEMBERS,
  SignatureAlgorithm,
} from "../../proto/mod.ts";

const NOW = 1_000_000_000_000;
const lifetime = { notBeforeMs: NOW - 1, notAfterMs: NOW + 1 };
const strict = { nowMs: NOW, graceMs: 0 };

/** `who` is person `p` with device `d`: 1.2 is the second device of person 1. */
function occupant(leaf: number, person: number, device = 0): Occupant {
  const fingerprint = person.toString(16).padStart(64, "0") as Fingerprint;
  const certificate: DeviceCertificate = {
    algorithm: SignatureAlgorithm.ML_DSA_44,
    account: `person-${person}` as AccountName,
    device: `${person}-${device}` as DeviceId,
    notBeforeMs: NOW - 1_000,
    notAfterMs: NOW + 1_000,
    identityKey: new Uint8Array(),
    signature: new Uint8Array(),
  };
  return {
    leaf,
    account: certificate.account,
    device: certificate.device,
    fingerprint,
    certificate,
    signatureKey: key(1, person, device),
    encryptionKey: key(2, person, device),
  };
}

function key(...parts: number[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [part >> 8, part & 0xff]));
}

function groupOf(
  kind: GroupSettings["kind"],
  people: number,
  change: Partial<GroupSettings> = {},
): PolicyGroup {
  const occupants = Array.from({ length: people }, (_, i) => occupant(i, i));
  const name = kind === "dm" ? "" : kind === "channel" ? "#c" : "g";
  const settings = makeSettings({ kind, name, admins: [occupants[0].fingerprint], banned: [], ...change });
  return { settings, occupants, nodeKeys: occupants.map(({ encryptionKey }) => encryptionKey) };
}

function commitOf(
  committer: number | null,
  proposals: ProposalView[],
  change: Partial<CommitView> = {},
): CommitView {
  return {
    committer,
    proposals,
    path: null,
    leavers: new Set(),
    returns: new Map(),
    hasAuthenticatedData: false,
    ...change,
  };
}

function allows(group: PolicyGroup, commit: CommitView, time = strict): boolean {
  try {
    checkCommit(group, commit, time);
    return true;
  } catch (error) {
    if (isAronaError(error, "POLICY")) return false;
    throw error;
  }
}

const add = (one: Occupant): ProposalView => ({
  kind: "add",
  occupant: one,
  lifetime,
  keyPackage: "kp",
});
const remove = (leaf: number): ProposalView => ({ kind: "remove", leaf });
const init: ProposalView = { kind: "external_init" };
const fresh = (one: Occupant) => ({ ...one, encryptionKey: key(9, one.leaf) });
const pathOf = (one: Occupant) => ({ path: { occupant: fresh(one), nodeKeys: [] } });

Deno.test("who may remove whom", () => {
  const group = groupOf("group", 4);
  const two = { ...group, occupants: [...group.occupants, occupant(4, 1, 1)] };
  assert.ok(allows(group, commitOf(0, [remove(2), remove(3)])));
  assert.ok(!allows(group, commitOf(1, [remove(2)])));
  assert.ok(!allows(group, commitOf(0, [remove(0)])));
  assert.ok(!allows(group, commitOf(0, [remove(2), remove(2)])));
  assert.ok(!allows(group, commitOf(0, [remove(9)])));
  assert.ok(!allows(group, commitOf(9, [])));
  assert.ok(allows(two, commitOf(1, [remove(4)])));
  assert.ok(allows(group, commitOf(1, [remove(2)], { leavers: new Set([2]), hasAuthenticatedData: true })));
  assert.ok(
    !allows(
      group,
      commitOf(1, [remove(2), remove(3)], { leavers: new Set([2]), hasAuthenticatedData: true }),
    ),
  );
  assert.ok(!allows(group, commitOf(1, [], { hasAuthenticatedData: true })));
});

Deno.test("who may add whom", () => {
  const group = groupOf("group", 3);
  const newcomer = occupant(-1, 7);
  assert.ok(allows(group, commitOf(2, [add(newcomer)])));
  assert.ok(!allows(group, commitOf(2, [add(newcomer), add(newcomer)])));
  assert.ok(!allows(group, commitOf(0, [add(newcomer), remove(1)])));
  assert.ok(!allows(group, commitOf(2, [add(occupant(-1, 1))])));
  assert.ok(
    !allows(group, commitOf(2, [add({ ...newcomer, encryptionKey: group.occupants[0].encryptionKey })])),
  );
  assert.ok(
    !allows(group, commitOf(2, [add({ ...newcomer, signatureKey: group.occupants[0].signatureKey })])),
  );
  assert.ok(!allows(groupOf("group", 3, { banned: [newcomer.fingerprint] }), commitOf(0, [add(newcomer)])));
  const dm = groupOf("dm", 1);
  assert.ok(allows(dm, commitOf(0, [add(newcomer), add(occupant(-1, 7, 1))])));
  assert.ok(!allows(dm, commitOf(0, [add(newcomer), add(occupant(-1, 8))])));
  assert.ok(!allows(groupOf("dm", 2), commitOf(1, [add(occupant(-1, 0, 1))])));
  assert.ok(allows(groupOf("dm", 2), commitOf(1, [add(occupant(-1, 1, 1))])), "an own device");
  assert.ok(allows(groupOf("group", MAX_GROUP_MEMBERS - 1), commitOf(0, [add(occupant(-1, 2_000))])));
  assert.ok(!allows(groupOf("group", MAX_GROUP_MEMBERS), commitOf(0, [add(occupant(-1, 2_000))])));
});

Deno.test("who has lost its state is replaced by itself, by any member, and by nothing else", () => {
  const group = groupOf("dm", 2);
  const back = { ...occupant(-1, 0), encryptionKey: key(9, 9) };
  const replacing = (
    proposals: ProposalView[],
    change: Partial<CommitView> = {},
    by: PolicyGroup = group,
  ) =>
    allows(
      by,
      commitOf(1, proposals, { returns: new Map([[0, "kp"]]), hasAuthenticatedData: true, ...change }),
    );
  assert.ok(replacing([remove(0), add(back)]));
  assert.ok(replacing([remove(0), add(back)], {}, groupOf("group", 3)));
  assert.ok(!replacing([remove(0), add(back)], { returns: new Map([[0, "another"]]) }));
  assert.ok(!replacing([remove(0), add(back)], { returns: new Map(), hasAuthenticatedData: false }));
  assert.ok(!replacing([remove(0), add({ ...occupant(-1, 0, 1), encryptionKey: key(9, 9) })]));
  assert.ok(!replacing([remove(0), add({ ...occupant(-1, 7), device: back.device })]));
  assert.ok(!replacing([remove(0)]));
  assert.ok(!replacing([add(back)]));
  assert.ok(!replacing([remove(0), add(back), add(occupant(-1, 1, 1))]));
  assert.ok(!replacing([remove(0), remove(2), add(back)], {}, groupOf("group", 3)));
});

Deno.test("lifetimes: whoever adds allows nothing, a late reader allows 30 days", () => {
  const group = groupOf("group", 2);
  const commit = commitOf(0, [add(occupant(-1, 7))]);
  const late = { nowMs: NOW + 20 * 86_400_000, graceMs: 0 };
  assert.ok(!allows(group, commit, late));
  assert.ok(allows(group, commit, { ...late, graceMs: LATE_READER_GRACE_MS }));
  assert.ok(!allows(group, commit, { nowMs: NOW + 31 * 86_400_000, graceMs: LATE_READER_GRACE_MS }));
  assert.ok(!allows(group, commit, { nowMs: NOW - 86_400_000, graceMs: 0 }));
  const long = { notBeforeMs: NOW, notAfterMs: NOW + KEY_PACKAGE_LIFETIME_MS + 86_400_000 };
  assert.ok(!allows(group, commitOf(0, [{ ...add(occupant(-1, 7)), lifetime: long } as ProposalView])));
});

Deno.test("who may change settings, and to what", () => {
  const group = groupOf("channel", 3);
  const settings = (change: Partial<GroupSettings>): ProposalView => ({
    kind: "settings",
    settings: makeSettings({ ...group.settings, ...change }),
  });
  const [zero, one] = group.occupants.map(({ fingerprint }) => fingerprint);
  assert.ok(allows(group, commitOf(0, [settings({ admins: [zero, one] })])));
  assert.ok(allows(group, commitOf(0, [settings({ admins: [one] })])));
  assert.ok(!allows(group, commitOf(1, [settings({ admins: [zero, one] })])));
  assert.ok(!allows(group, commitOf(0, [settings({ name: "#other" })])));
  assert.ok(!allows(group, commitOf(0, [settings({ kind: "group", name: "g" })])));
  assert.ok(!allows(group, commitOf(0, [settings({ admins: ["f".repeat(64) as Fingerprint] })])));
  assert.ok(!allows(group, commitOf(0, [settings({ banned: [one] })])));
  assert.ok(allows(group, commitOf(0, [settings({ banned: [one] }), remove(1)])));
  assert.ok(!allows(group, commitOf(0, [settings({}), settings({})])));
  assert.ok(
    !allows(groupOf("dm", 2), commitOf(0, [{ kind: "settings", settings: groupOf("dm", 2).settings }])),
  );
});

Deno.test("joining from outside: one ExternalInit, at most the own old leaf, in channels, unless banned", () => {
  const channel = groupOf("channel", 3);
  const joiner = occupant(-1, 7);
  const back = occupant(-1, 1);
  assert.ok(allows(channel, commitOf(null, [init], pathOf(joiner))));
  assert.ok(allows(channel, commitOf(null, [init, remove(1)], pathOf(back))));
  assert.ok(!allows(channel, commitOf(null, [init], pathOf(back))));
  assert.ok(!allows(channel, commitOf(null, [init, remove(2)], pathOf(back))));
  assert.ok(!allows(channel, commitOf(null, [init, remove(1)], pathOf(occupant(-1, 1, 1)))));
  assert.ok(!allows(channel, commitOf(null, [init, remove(1), remove(2)], pathOf(back))));
  assert.ok(!allows(channel, commitOf(null, [init, init], pathOf(joiner))));
  assert.ok(!allows(channel, commitOf(null, [], pathOf(joiner))));
  assert.ok(!allows(channel, commitOf(null, [init])));
  assert.ok(!allows(channel, commitOf(null, [init, add(occupant(-1, 8))], pathOf(joiner))));
  assert.ok(!allows(channel, commitOf(null, [init, { kind: "other", type: 4 }], pathOf(joiner))));
  assert.ok(!allows(channel, commitOf(1, [init])));
  assert.ok(!allows(groupOf("group", 3), commitOf(null, [init], pathOf(joiner))));
  assert.ok(
    !allows(groupOf("channel", 3, { banned: [joiner.fingerprint] }), commitOf(null, [init], pathOf(joiner))),
  );
  assert.ok(
    !allows(groupOf("channel", MAX_GROUP_MEMBERS), commitOf(null, [init], pathOf(occupant(-1, 2_000)))),
  );
  assert.ok(
    !allows(channel, commitOf(null, [init], pathOf(joiner)), { nowMs: NOW + 86_400_000, graceMs: 0 }),
  );
});

Deno.test("a renewed leaf is the same device with a new key", () => {
  const group = groupOf("group", 3);
  const [, one, two] = group.occupants;
  assert.ok(allows(group, commitOf(1, [], pathOf(one))));
  assert.ok(!allows(group, commitOf(1, [], pathOf(two))));
  assert.ok(!allows(group, commitOf(1, [], { path: { occupant: one, nodeKeys: [] } })));
  assert.ok(
    !allows(group, commitOf(1, [], { path: { occupant: fresh(one), nodeKeys: [two.encryptionKey] } })),
  );
  assert.ok(!allows(group, commitOf(1, [], { path: { occupant: fresh(one), nodeKeys: [key(5), key(5)] } })));
  assert.ok(
    !allows(
      group,
      commitOf(1, [], { path: { occupant: { ...fresh(one), signatureKey: key(5) }, nodeKeys: [] } }),
    ),
  );
});

Deno.test("proposals of other types and too many of them are refused", () => {
  const group = groupOf("group", 300);
  for (const type of [2, 4, 5, 8, 0xf123]) assert.ok(!allows(group, commitOf(0, [{ kind: "other", type }])));
  const removes = Array.from({ length: 257 }, (_, i) => remove(i + 1));
  assert.ok(!allows(group, commitOf(0, removes)));
  assert.ok(allows(group, commitOf(0, removes.slice(1))));
});

Deno.test("a newcomer refuses a membership that the rules would not have allowed", () => {
  const refuses = (group: PolicyGroup) =>
    assert.throws(() => checkMembership(group), (error) => isAronaError(error, "POLICY"));
  checkMembership(groupOf("channel", MAX_GROUP_MEMBERS));
  refuses(groupOf("channel", MAX_GROUP_MEMBERS + 1));
  refuses(groupOf("dm", 3));
  const group = groupOf("group", 3);
  refuses({
    ...group,
    occupants: [...group.occupants, { ...occupant(3, 9), device: group.occupants[1].device }],
  });
  refuses({ ...group, settings: { ...group.settings, banned: [group.occupants[2].fingerprint] } });
});

Deno.test("settings have one form, which decodes to themselves", () => {
  const fingerprint = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) =>
    [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") as Fingerprint
  );
  fc.assert(fc.property(
    fc.uniqueArray(fingerprint, { minLength: 1, maxLength: 8 }),
    fc.uniqueArray(fingerprint, { maxLength: 8 }),
    (admins, others) => {
      const banned = others.filter((one) => !admins.includes(one));
      const settings = makeSettings({ kind: "group", name: "Freunde 🎉", admins, banned });
      const bytes = encodeSettings(settings);
      assert.deepEqual(decodeSettings(bytes), settings);
      assert.deepEqual(encodeSettings(makeSettings({ ...settings, admins: [...admins].reverse() })), bytes);
    },
  ));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      assert.deepEqual(encodeSettings(decodeSettings(bytes)), bytes);
    } catch (error) {
      assert.ok(isAronaError(error, "BAD_MLS"), String(error));
    }
  }));
});

Deno.test("settings that do not fit are refused", () => {
  const admins = ["a".repeat(64)] as Fingerprint[];
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => i.toString(16).padStart(64, "0") as Fingerprint);
  const good: GroupSettings = { kind: "group", name: "x", admins, banned: [] };
  const bad: Partial<GroupSettings>[] = [
    { name: "" },
    { name: "x".repeat(65) },
    { name: "a\u0007b" },
    { name: "a\u202eb" },
    { name: "a\nb" },
    { name: "a\ud800" },
    { kind: "dm" },
    { kind: "channel" },
    { kind: "channel", name: "#UPPER" },
    { admins: [] },
    { admins: many(MAX_ADMINS + 1) },
    { banned: many(MAX_BANNED + 1) },
    { banned: admins },
  ];
  for (const change of bad) {
    assert.throws(
      () => makeSettings({ ...good, ...change }),
      (error) => isAronaError(error, "POLICY"),
      JSON.stringify(change),
    );
  }
  makeSettings({ ...good, name: "👩‍👩‍👧 family".padEnd(20, "é") });
  const bytes = encodeSettings(good);
  for (
    const broken of [
      bytes.subarray(1),
      bytes.subarray(0, -1),
      concatBytes(bytes, Uint8Array.of(0)),
      bytes.with(0, 9),
      bytes.with(1, 9),
    ]
  ) {
    assert.throws(() => decodeSettings(broken), (error) => isAronaError(error, "BAD_MLS"));
  }
});
