/** What the relay accepts as a commit: the frame, and for one from outside the certificate in it. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AronaError, concatBytes, fromHex, type GroupId } from "../../proto/mod.ts";
import { checkMemberCommit, parseExternalCommit } from "../../server/mls_framing.ts";
import type { TestDevice } from "./raw_client.ts";
import { codeOf, commit, externalCommit, memberCommit, TestRelay } from "./test_relay.ts";

const GROUP = "a5".repeat(16) as GroupId;
const PLACE = { group: GROUP, epoch: 7 };
/** Places of the single fields in a frame: version, wire format, group, epoch, content or sender type. */
const FIELDS = [1, 3, 5, 28, 29];

Deno.test("checkMemberCommit() takes a PrivateMessage with a commit for the place and nothing else", () => {
  const good = memberCommit(GROUP, 7);
  checkMemberCommit(good, PLACE);
  for (const field of FIELDS) {
    const changed = good.slice();
    changed[field] ^= 1;
    refused(() => checkMemberCommit(changed, PLACE));
  }
  refused(() => checkMemberCommit(memberCommit(GROUP, 8), PLACE));
  refused(() => checkMemberCommit(memberCommit("b6".repeat(16) as GroupId, 7), PLACE));
  refused(() => checkMemberCommit(concatBytes(good, new Uint8Array(1)), PLACE));
  for (let length = 0; length < good.length; length++) {
    refused(() => checkMemberCommit(good.subarray(0, length), PLACE));
  }
});

Deno.test("checkMemberCommit() wants lengths of minimal size, and takes vectors of every size", () => {
  for (const length of [0, 0x3f, 0x40, 0x3fff, 0x4000, 100_000]) {
    checkMemberCommit(memberCommit(GROUP, 7, new Uint8Array(length)), PLACE);
  }
  const head = fromHex(`0001000210${GROUP}000000000000000703`);
  checkMemberCommit(concatBytes(head, fromHex("000000")), PLACE);
  for (const length of ["4000", "403f", "80000000", "80003fff", "c000000000000000"]) {
    refused(() =>
      checkMemberCommit(concatBytes(head, fromHex(`0000${length}`), new Uint8Array(20_000)), PLACE)
    );
  }
});

Deno.test("parseExternalCommit() finds the joiner's key and certificate, and refuses everything cut or changed", async () => {
  await using relay = await TestRelay.start();
  const device = await relay.device("alice");
  const good = externalCommit(device, GROUP, 7);
  assert.deepEqual(parseExternalCommit(good, PLACE).signatureKey, device.keys.publicKey);
  const withPath = good.length - 200; // what follows the leaf's identity is not looked at
  parseExternalCommit(good.subarray(0, withPath), PLACE);
  for (const length of [...Array(64).keys(), 100, 1_500, withPath - 1]) {
    refused(() => parseExternalCommit(good.subarray(0, length), PLACE));
  }
  const [contentType, pathPresent] = [31, 134];
  for (const field of [...FIELDS, contentType, pathPresent]) {
    const changed = good.slice();
    changed[field] ^= 1;
    refused(() => parseExternalCommit(changed, PLACE));
  }
});

Deno.test("the framing parsers give a result or BAD_REQUEST for any bytes", () => {
  const head = fromHex(`0001000110${GROUP}0000000000000007`);
  const bytes = fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 200 }))
    .map(([framed, rest]) => framed ? concatBytes(head, rest) : rest);
  fc.assert(
    fc.property(bytes, (input) => {
      for (const parse of [checkMemberCommit, parseExternalCommit]) {
        try {
          parse(input, PLACE);
        } catch (error) {
          assert.ok(error instanceof AronaError && error.code === "BAD_REQUEST", String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("bytes that are no commit move no epoch, whoever sends them", async () => {
  await using relay = await TestRelay.start();
  const [alice, bob, mallory] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("mallory"),
  ];
  const group = await relay.channel("#general", alice, bob);
  const tries = [
    commit(bob, group, { epoch: 1, channel: true, bytes: relay.crypto.randomBytes(200) }),
    commit(bob, group, { epoch: 1, channel: true, bytes: memberCommit(group, 0) }),
    commit(bob, group, { epoch: 1, channel: true, bytes: memberCommit(relay.randomGroup(), 1) }),
    commit(bob, group, { epoch: 1, channel: true, bytes: externalCommit(bob.device, group, 1) }),
    commit(mallory, group, { epoch: 1, external: true, bytes: relay.crypto.randomBytes(200) }),
    commit(mallory, group, { epoch: 1, external: true, bytes: memberCommit(group, 1) }),
  ];
  for (const attempt of tries) assert.equal(await codeOf(attempt), "BAD_REQUEST");
  assert.equal(await commit(mallory, group, { epoch: 1, external: true }), 2);
  assert.equal((await bob.deliveries.next()).epoch, 1);
  assert.equal(bob.deliveries.waiting, 0);
});

Deno.test("nobody joins a channel under another's name, device, identity or key, or with an expired certificate", async () => {
  await using relay = await TestRelay.start();
  const [alice, mallory] = [await relay.connect("alice"), await relay.connect("mallory")];
  const group = await relay.channel("#general", alice);
  const own = mallory.device;
  const laptop = await relay.device("mallory", { identity: own.identity });
  const impostor = await relay.device("mallory", { device: own.device });
  const broken = own.certificate.signature.slice();
  broken[9] ^= 1;
  const leaves: Pick<TestDevice, "certificate" | "keys">[] = [
    alice.device,
    laptop,
    impostor, // the right name and device, by another identity
    { certificate: own.certificate, keys: laptop.keys },
    { certificate: { ...own.certificate, signature: broken }, keys: own.keys },
    { certificate: { ...own.certificate, notAfterMs: relay.clock.now() - 1 }, keys: own.keys },
  ];
  for (const leaf of leaves) {
    const bytes = externalCommit(leaf, group, 0);
    assert.equal(await codeOf(commit(mallory, group, { epoch: 0, external: true, bytes })), "BAD_REQUEST");
  }
  assert.equal(await commit(mallory, group, { epoch: 0, external: true }), 1);
});

Deno.test("a message never overtakes the commit from outside that it was sent after", async () => {
  await using relay = await TestRelay.start({
    limits: { messagesPerSecond: 1_000_000, messageBurst: 1_000_000 },
  });
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  const group = await relay.channel("#general", alice, bob);
  const joining = commit(carol, group, { epoch: 1, external: true });
  let refusals = 0;
  while (await codeOf(alice.send(group, { epoch: 2 })) !== "OK") {
    refusals++;
    // In memory everything is a microtask; the relay's check of the joiner needs a turn of the event loop.
    await new Promise<void>((turn) => setImmediate(turn));
  }
  await joining;
  const [first, second] = await bob.deliveries.take(2);
  assert.deepEqual([first.kind, second.kind], [2, 1], `after ${refusals} refusals`);
});

function refused(action: () => unknown): void {
  assert.throws(action, { code: "BAD_REQUEST" });
}
