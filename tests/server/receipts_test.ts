/** Receipts: when the sender hears what became of a message. */

import assert from "node:assert/strict";
import type { AccountName, DeviceId } from "../../proto/mod.ts";
import { SILENCE_TIMEOUT_MS } from "../../server/limits.ts";
import { ReceiptCounter, RecentReceipts, WaitingReceipts } from "../../server/receipts.ts";

const SENDER = { device: "d".repeat(32) as DeviceId, account: "alice" as AccountName };
const [BOB, CAROL, DAVE] = ["bob", "carol", "dave"] as AccountName[];

function counter(): ReceiptCounter {
  const made = new ReceiptCounter(SENDER, new Uint8Array(16), new Set());
  made.expect({ queued: 3, ofDevices: 4, ofPeople: 4 });
  return made;
}

Deno.test("a sender hears of the first device that could not open a message, and once all have dealt with it", () => {
  const receipts = counter();
  const of = { envelope: new Uint8Array(16), ofDevices: 4, ofPeople: 4, room: 0 };
  assert.deepEqual(receipts.count(BOB, "lost"), { ...of, devices: 0, people: 0, lost: 1 });
  assert.deepEqual(receipts.count(CAROL, "stored"), { ...of, devices: 1, people: 1, lost: 1 });
  assert.deepEqual(receipts.count(DAVE, "lost"), { ...of, devices: 1, people: 1, lost: 2 });
});

Deno.test("each device that has room again is told of once", () => {
  const receipts = counter();
  assert.equal(receipts.count(BOB, "room")?.room, 1);
  assert.equal(receipts.count(CAROL, "stored")?.room, 0);
  assert.equal(receipts.count(DAVE, "room")?.room, 1);
});

Deno.test("a sender that is away finds the latest of each message, and how many have room again in all", () => {
  const receipts = counter();
  const waiting = new WaitingReceipts();
  waiting.add(receipts.count(BOB, "room")!);
  waiting.add(receipts.count(CAROL, "stored")!);
  waiting.add(receipts.count(DAVE, "room")!);
  const told = waiting.take();
  assert.deepEqual(told.map(({ devices, room }) => [devices, room]), [[1, 2]]);
  assert.deepEqual(waiting.take(), []);
});

Deno.test("what a connection was given shortly before its end may have been lost, and does not take the place of what is newer", () => {
  const receipts = counter();
  const recent = new RecentReceipts();
  const [first, second] = [receipts.count(BOB, "stored")!, receipts.count(CAROL, "room")!];
  recent.add(first, 0);
  recent.add(second, 1_000);
  assert.deepEqual(recent.uncertain(SILENCE_TIMEOUT_MS), [first, second]);
  assert.deepEqual(recent.uncertain(SILENCE_TIMEOUT_MS + 1), [second]);
  const waiting = new WaitingReceipts();
  receipts.count(CAROL, "stored");
  waiting.add(receipts.count(DAVE, "stored")!);
  for (const receipt of recent.uncertain(SILENCE_TIMEOUT_MS)) waiting.add(receipt);
  assert.deepEqual(waiting.take().map(({ devices, room }) => [devices, room]), [[3, 1]]);
});
