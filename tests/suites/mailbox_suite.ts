/** What every MailboxStore adapter does. */

import assert from "node:assert/strict";
import { type AccountName, DeliveryKind, type DeviceId, fromHex, type GroupId } from "../../proto/mod.ts";
import {
  type Mailbox,
  MAILBOX_RESERVE_ENTRIES,
  type MailboxLimits,
  type MailboxState,
  type MailboxStore,
  PushResult,
  type SharedDelivery,
} from "../../server/mod.ts";
import { gapDelivery, shareDelivery } from "../../server/delivery.ts";
import { welcomeDelivery } from "../../server/recipients.ts";
import { ReceiptCounter } from "../../server/receipts.ts";
import { MemoryRelayStore } from "../../server/mod.ts";

const DEVICE = "d".repeat(32) as DeviceId;
const GROUP = "a".repeat(32) as GroupId;
const OTHER_GROUP = "b".repeat(32) as GroupId;

/** Registers the suite for one adapter. */
export function mailboxSuite(
  name: string,
  openStore: (limits?: Partial<MailboxLimits>) => MailboxStore,
): void {
  const opened: MailboxStore[] = [];
  const open = (limits?: Partial<MailboxLimits>) => {
    const store = openStore(limits);
    opened.push(store);
    return store;
  };
  const test = (what: string, action: () => void) =>
    Deno.test(`${name}: ${what}`, () => {
      try {
        action();
      } finally {
        for (const store of opened.splice(0)) store.close();
      }
    });
  const mailboxOf = (limits?: Partial<MailboxLimits>) => {
    const store = open(limits);
    return { store, mailbox: store.mailbox(DEVICE, { gap: false }) };
  };

  test("hands deliveries out in order and forgets them when they are acknowledged", () => {
    const { store, mailbox } = mailboxOf();
    const all = [1, 2, 3].map(() => message());
    for (const delivery of all) assert.equal(mailbox.push(delivery), PushResult.QUEUED);
    assert.deepEqual(stateOf(mailbox), { next: 0, backlog: 3, gap: false });
    assert.deepEqual([mailbox.take(), mailbox.take(), mailbox.take(), mailbox.take()], [...all, null]);
    const stored: SharedDelivery[] = [];
    mailbox.acknowledge(2, (delivery) => stored.push(delivery));
    assert.deepEqual(stored, all.slice(0, 2));
    assert.equal(mailbox.unacknowledged, 1);
    mailbox.acknowledge(3, () => {});
    assert.equal(store.bytes, 0);
  });

  test("gives again what was not acknowledged, under the numbers from `next` on", () => {
    const { mailbox } = mailboxOf();
    const all = [1, 2, 3].map(() => message());
    for (const delivery of all) mailbox.push(delivery);
    mailbox.open();
    mailbox.take();
    mailbox.take();
    mailbox.acknowledge(1, () => {});
    mailbox.close();
    assert.deepEqual(stateOf(mailbox), { next: 1, backlog: 2, gap: false });
    assert.equal(mailbox.take(), all[1]);
    assert.equal(mailbox.take(), all[2]);
  });

  test("never counts back over thousands of deliveries", () => {
    const { mailbox } = mailboxOf();
    mailbox.open();
    for (let number = 0; number < 5_000; number++) {
      mailbox.push(message());
      mailbox.take();
      if (number % 7 === 6) mailbox.acknowledge(number + 1, () => {});
    }
    mailbox.close();
    assert.equal(mailbox.open().next, 5_000 - 5_000 % 7);
  });

  test("refuses an acknowledgement of what was not sent, and ignores an old one", () => {
    const { mailbox } = mailboxOf();
    mailbox.push(message());
    mailbox.open();
    assert.throws(() => mailbox.acknowledge(1, () => {}), { code: "BAD_FRAME" });
    mailbox.take();
    mailbox.acknowledge(1, () => {});
    mailbox.acknowledge(0, () => assert.fail("was acknowledged before"));
  });

  test("refuses messages over its entries and bytes, and takes them again when there is room", () => {
    const { mailbox } = mailboxOf({ entries: 8 });
    for (let i = 0; i < 8; i++) assert.equal(mailbox.push(message({ sender: `s${i}` })), PushResult.QUEUED);
    assert.equal(mailbox.push(message({ sender: "s9" })), PushResult.MAILBOX_FULL);
    mailbox.open();
    mailbox.take();
    mailbox.acknowledge(1, () => {});
    assert.equal(mailbox.push(message({ sender: "s9" })), PushResult.QUEUED);
    const small = mailboxOf({ bytes: 4_000 }).mailbox;
    assert.equal(small.push(message({ bytes: 900 })), PushResult.QUEUED);
    assert.equal(small.push(message({ bytes: 3_500, sender: "other" })), PushResult.MAILBOX_FULL);
  });

  test("gives one sender a quarter and no more", () => {
    const { mailbox } = mailboxOf({ entries: 16 });
    for (let i = 0; i < 4; i++) assert.equal(mailbox.push(message({ sender: "flood" })), PushResult.QUEUED);
    assert.equal(mailbox.push(message({ sender: "flood" })), PushResult.SENDER_SHARE);
    assert.equal(mailbox.push(message({ sender: "calm" })), PushResult.QUEUED);
  });

  test("counts a shared delivery once against the relay's cap", () => {
    const store = open({ totalBytes: 5_000 });
    const shared = message({ bytes: 3_000 });
    for (let i = 0; i < 10; i++) {
      const mailbox = store.mailbox(String(i).repeat(32) as DeviceId, { gap: false });
      assert.equal(mailbox.push(shared), PushResult.QUEUED);
    }
    assert.ok(store.bytes < 3_200);
    const mailbox = store.mailbox(DEVICE, { gap: false });
    assert.equal(mailbox.push(message({ bytes: 3_000 })), PushResult.RELAY_FULL);
  });

  test("collapses a group into one marker when a commit does not fit, and leaves other groups alone", () => {
    const { store, mailbox } = mailboxOf({ entries: 4 });
    mailbox.push(message({ group: OTHER_GROUP, sender: "a" }));
    mailbox.push(message({ sender: "b" }));
    mailbox.push(commit());
    mailbox.push(commit());
    assert.equal(mailbox.push(commit()), PushResult.COLLAPSED);
    mailbox.open();
    const kinds = [mailbox.take(), mailbox.take(), mailbox.take()].map((delivery) =>
      delivery && [delivery.kind, delivery.group]
    );
    assert.deepEqual(kinds, [[DeliveryKind.APPLICATION, OTHER_GROUP], [DeliveryKind.GAP, GROUP], null]);
    mailbox.acknowledge(2, () => {});
    assert.equal(store.bytes, 0);
  });

  test("does not take back what was sent when it collapses", () => {
    const { mailbox } = mailboxOf({ entries: 2 });
    mailbox.open();
    mailbox.push(commit());
    const sent = mailbox.take();
    mailbox.push(commit());
    assert.equal(mailbox.push(commit()), PushResult.COLLAPSED);
    const stored: SharedDelivery[] = [];
    assert.equal(mailbox.take()?.kind, DeliveryKind.GAP);
    mailbox.acknowledge(2, (delivery) => stored.push(delivery));
    assert.equal(stored[0], sent);
  });

  test("stays bounded by commits of ever new groups, and remembers the gap", () => {
    const { mailbox } = mailboxOf({ entries: 1 });
    let overflowed = false;
    for (let i = 0; i < 1_000 && !overflowed; i++) {
      overflowed = mailbox.push(commit(i.toString(16).padStart(32, "0") as GroupId)) === PushResult.OVERFLOW;
    }
    assert.equal(overflowed, true);
    assert.equal(mailbox.open().gap, true);
  });

  test("puts one marker for each group behind what it has when it refuses messages, beside its limits", () => {
    const { store, mailbox } = mailboxOf({ entries: 2 });
    mailbox.push(message({ sender: "a" }));
    mailbox.push(message({ sender: "b" }));
    for (let i = 0; i < 10; i++) {
      assert.equal(mailbox.push(message()), PushResult.MAILBOX_FULL);
      assert.equal(mailbox.push(message({ group: OTHER_GROUP })), PushResult.MAILBOX_FULL);
    }
    assert.deepEqual(stateOf(mailbox), { next: 0, backlog: 4, gap: false });
    const taken = [1, 2, 3, 4].map(() => mailbox.take()!);
    assert.deepEqual(taken.slice(2).map(({ kind, group }) => [kind, group]), [
      [DeliveryKind.GAP, GROUP],
      [DeliveryKind.GAP, OTHER_GROUP],
    ]);
    mailbox.acknowledge(1, () => {});
    assert.equal(
      mailbox.push(message({ sender: "c" })),
      PushResult.QUEUED,
      "markers take no envelope's place",
    );
    assert.equal(mailbox.push(message({ sender: "d" })), PushResult.MAILBOX_FULL);
    assert.equal(mailbox.waiting, 1, "the device has not acknowledged the first marker");
    mailbox.take();
    mailbox.acknowledge(5, () => {});
    assert.equal(store.bytes, 0);
    for (let i = 0; i < 3; i++) mailbox.push(message({ sender: `again${i}` }));
    assert.equal(mailbox.waiting, 3, "two messages and a new marker");
  });

  test("marks nothing for ephemeral messages, and remembers the gap when the reserve is used up", () => {
    const { mailbox } = mailboxOf({ entries: 1 });
    mailbox.push(message());
    mailbox.push(message({ ephemeral: true }));
    assert.equal(mailbox.waiting, 1);
    for (let i = 0; i < MAILBOX_RESERVE_ENTRIES; i++) {
      mailbox.push(message({ group: i.toString(16).padStart(32, "0") as GroupId }));
    }
    assert.deepEqual([mailbox.waiting, mailbox.open().gap], [1 + MAILBOX_RESERVE_ENTRIES, false]);
    assert.equal(mailbox.push(message({ group: "f".repeat(32) as GroupId })), PushResult.MAILBOX_FULL);
    assert.deepEqual([mailbox.waiting, mailbox.open().gap], [1 + MAILBOX_RESERVE_ENTRIES, true]);
  });

  test("takes a Welcome in when it is full, knows that it holds it, and does not hold its bytes", () => {
    const { store, mailbox } = mailboxOf({ entries: 1 });
    mailbox.push(message());
    const bytes = store.bytes;
    const welcome = welcomeDelivery(new MemoryRelayStore(), {
      envelope: "e".repeat(32),
      group: GROUP,
      epoch: 1,
      atMs: 0,
    });
    assert.equal(mailbox.push(welcome), PushResult.QUEUED);
    assert.ok(store.bytes - bytes < 1_000);
    assert.equal(mailbox.holds("e".repeat(32)), true);
    assert.equal(mailbox.holds("f".repeat(32)), false);
  });

  test("drops ephemeral deliveries at the end of a connection, and only those", () => {
    const { mailbox } = mailboxOf();
    mailbox.open();
    mailbox.push(message({ ephemeral: true }));
    mailbox.push(message());
    mailbox.push(message({ ephemeral: true }));
    mailbox.close();
    assert.equal(mailbox.open().backlog, 1);
  });

  test("keeps the gap of a restart until the device acknowledges or asks", () => {
    const store = open();
    const mailbox = store.mailbox(DEVICE, { gap: true });
    assert.equal(mailbox.open().gap, true);
    assert.equal(mailbox.open().gap, true);
    mailbox.settle();
    assert.equal(mailbox.open().gap, false);
  });

  test("expires what nobody fetched, says so by a marker for each group, and keeps those, Welcomes and open mailboxes", () => {
    const { store, mailbox } = mailboxOf();
    const welcome = { envelope: "e".repeat(32), group: GROUP, epoch: 1, atMs: 0 };
    mailbox.push(message({ atMs: 100 }));
    mailbox.push(welcomeDelivery(new MemoryRelayStore(), welcome));
    mailbox.push(message({ atMs: 200 }));
    mailbox.push(message({ atMs: 100, group: OTHER_GROUP }));
    mailbox.open();
    store.expire(150);
    assert.deepEqual(stateOf(mailbox), { next: 0, backlog: 4, gap: false });
    mailbox.close();
    store.expire(150);
    assert.deepEqual(stateOf(mailbox), { next: 0, backlog: 4, gap: false });
    mailbox.close();
    store.expire(150);
    store.expire(1_000_000);
    assert.deepEqual(stateOf(mailbox), { next: 0, backlog: 3, gap: false });
    const taken = [1, 2, 3].map(() => mailbox.take()!);
    assert.deepEqual(taken.map(({ kind, group }) => [kind, group]), [
      [DeliveryKind.WELCOME, GROUP],
      [DeliveryKind.GAP, GROUP],
      [DeliveryKind.GAP, OTHER_GROUP],
    ]);
  });

  test("gives the markers that its reserve had no place for as soon as it has one", () => {
    const { mailbox } = mailboxOf({ entries: 1 });
    const groups = Array.from(
      { length: MAILBOX_RESERVE_ENTRIES + 40 },
      (_, i) => i.toString(16).padStart(32, "0") as GroupId,
    );
    mailbox.push(message());
    for (const group of groups) mailbox.push(message({ group }));
    const marked: GroupId[] = [];
    let { next } = mailbox.open();
    for (let delivery = mailbox.take(); delivery !== null; delivery = mailbox.take()) {
      next++;
      if (delivery.kind === DeliveryKind.GAP) marked.push(delivery.group);
      if (mailbox.waiting === 0) mailbox.acknowledge(next, () => {});
    }
    assert.deepEqual(marked, groups);
  });

  test("tells of each message that a marker stood for once there is room, and of none twice", () => {
    const { mailbox } = mailboxOf({ entries: 4 });
    const receipts = Array.from({ length: 3 }, () => receiptCounter());
    mailbox.push(message({ sender: "a" }));
    mailbox.push(message({ receipt: receipts[0], sender: "b" }));
    mailbox.push(commit());
    mailbox.push(commit());
    assert.equal(mailbox.push(message({ receipt: receipts[1] })), PushResult.MAILBOX_FULL);
    assert.equal(mailbox.push(commit()), PushResult.COLLAPSED);
    mailbox.push(message({ receipt: receipts[2] }));
    mailbox.open();
    const seen: unknown[] = [];
    for (let i = 0; i < 2; i++) mailbox.take();
    mailbox.acknowledge(2, ({ kind }, receipt, outcome) => seen.push([kind, receipt, outcome]), [1]);
    assert.deepEqual(seen, [
      [DeliveryKind.GAP, null, "stored"],
      [DeliveryKind.GAP, receipts[1], "room"],
      [DeliveryKind.GAP, receipts[0], "room"],
      [DeliveryKind.APPLICATION, receipts[2], "lost"],
    ]);
  });

  test("says beforehand what it takes", () => {
    const { mailbox } = mailboxOf({ entries: 1 });
    assert.equal(mailbox.roomFor(message()), PushResult.QUEUED);
    mailbox.push(message());
    assert.equal(mailbox.roomFor(message()), PushResult.MAILBOX_FULL);
    assert.equal(mailbox.waiting, 1);
  });

  test("gives each mailbox an id of its own, the same for each connection", () => {
    const { store, mailbox } = mailboxOf();
    const other = store.mailbox("e".repeat(32) as DeviceId, { gap: false });
    const { id } = mailbox.open();
    assert.match(id, /^[0-9a-f]{16}$/);
    mailbox.close();
    assert.equal(mailbox.open().id, id);
    assert.equal(store.mailbox(DEVICE, { gap: true }).open().id, id);
    assert.notEqual(other.open().id, id);
  });

  test("batch() runs what it is given, batches in it too, and keeps what was done before an error", () => {
    const { store, mailbox } = mailboxOf();
    assert.equal(store.batch(() => mailbox.push(message())), PushResult.QUEUED);
    store.announce();
    const failing = () =>
      store.batch(() => {
        store.batch(() => mailbox.push(message()));
        throw new Error("broken");
      });
    assert.throws(failing, /broken/);
    assert.equal(mailbox.waiting, 2);
    store.tidy();
    assert.equal(mailbox.open().backlog, 2);
  });

  test("takes a delivery in twice, and once more after it has gone", () => {
    const { store, mailbox } = mailboxOf();
    const [one, two] = [message(), message()];
    for (const delivery of [one, two, one]) assert.equal(mailbox.push(delivery), PushResult.QUEUED);
    assert.equal(mailbox.open().backlog, 3);
    const taken = [mailbox.take(), mailbox.take(), mailbox.take()].map((delivery) => delivery!.frame);
    assert.deepEqual(taken, [one, two, one].map(({ frame }) => frame));
    mailbox.acknowledge(3, () => {});
    assert.equal(store.bytes, 0);
    assert.equal(mailbox.push(one), PushResult.QUEUED);
    assert.equal(mailbox.waiting, 1);
  });

  test("hands the receipt's counter out with what is stored", () => {
    const { mailbox } = mailboxOf();
    const receipt = receiptCounter();
    mailbox.push(message({ receipt }));
    mailbox.push(message());
    mailbox.open();
    mailbox.take();
    mailbox.take();
    const seen: (ReceiptCounter | null)[] = [];
    mailbox.acknowledge(2, (_, counter) => seen.push(counter));
    assert.deepEqual(seen, [receipt, null]);
  });

  test("gap markers are small and come for their group", () => {
    assert.ok(gapDelivery(GROUP, { epoch: 3, atMs: 0 }).size < 64);
    assert.equal(gapDelivery(GROUP, { epoch: 3, atMs: 0 }).group, GROUP);
  });
}

function receiptCounter(): ReceiptCounter {
  return new ReceiptCounter(
    { device: DEVICE, account: "alice" as AccountName },
    new Uint8Array(16),
    new Set(),
  );
}

function stateOf(mailbox: Mailbox): Omit<MailboxState, "id"> {
  const { next, backlog, gap } = mailbox.open();
  return { next, backlog, gap };
}

interface MessageOptions {
  sender?: string;
  bytes?: number;
  group?: GroupId;
  ephemeral?: boolean;
  atMs?: number;
  receipt?: ReceiptCounter;
}

function message(options: MessageOptions = {}): SharedDelivery {
  return deliveryOf(DeliveryKind.APPLICATION, options);
}

function commit(group: GroupId = GROUP): SharedDelivery {
  return deliveryOf(DeliveryKind.COMMIT, { group, sender: "" });
}

function deliveryOf(kind: DeliveryKind, options: MessageOptions): SharedDelivery {
  const { group = GROUP, sender = "alice", ephemeral, bytes = 100, atMs = 1_000, receipt } = options;
  const payload = new Uint8Array(bytes);
  const envelope = new Uint8Array(16);
  return shareDelivery({ kind, group: fromHex(group), epoch: 0, envelope, atMs, payload }, {
    group,
    sender,
    ephemeral,
    receipt,
  });
}
