/** Feed: what goes wrong while it waits for room ends its own connection and nothing else. */

import assert from "node:assert/strict";
import {
  DeliveryKind,
  type DeviceId,
  FakeClock,
  fromHex,
  type GroupId,
  type SecureConnection,
} from "../../proto/mod.ts";
import { shareDelivery } from "../../server/delivery.ts";
import { Feed } from "../../server/feed.ts";
import { MemoryMailboxStore, SEND_HIGH_WATER_BYTES } from "../../server/mod.ts";

const GROUP = "a".repeat(32) as GroupId;

Deno.test("Feed reports what fails once there is room again, and leaves no rejected promise behind", async () => {
  const mailbox = new MemoryMailboxStore().mailbox("d".repeat(32) as DeviceId, { gap: false });
  for (let i = 0; i < 2; i++) mailbox.push(message());
  mailbox.open();
  let sent = 0;
  let makeRoom = () => {};
  const connection = {
    queuedBytes: SEND_HIGH_WATER_BYTES + 1,
    queue() {
      if (++sent === 2) throw new Error("cannot be encoded");
    },
    drained: () => new Promise<void>((resolve) => makeRoom = resolve),
  };
  const reported = Promise.withResolvers<unknown>();
  const feed = new Feed(connection as unknown as SecureConnection, mailbox, {
    clock: new FakeClock(),
    onStall: () => assert.fail("it does not stall"),
    onError: reported.resolve,
  });
  feed.pump();
  assert.equal(sent, 1);
  makeRoom();
  assert.match(String(await reported.promise), /cannot be encoded/);
});

function message() {
  return shareDelivery({
    kind: DeliveryKind.APPLICATION,
    group: fromHex(GROUP),
    epoch: 0,
    envelope: new Uint8Array(16),
    atMs: 0,
    payload: new Uint8Array(10),
  }, { group: GROUP, sender: "alice" });
}
