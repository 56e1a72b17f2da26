/** Mailboxes on disk: what a relay that was killed finds again, and what is gone from the disk when it shall be. */

import assert from "node:assert/strict";
import {
  type AccountName,
  type Delivery,
  DeliveryKind,
  type DeviceId,
  FakeClock,
  fromHex,
  type GroupId,
  MessageFlag,
  toHex,
  utf8,
} from "../../proto/mod.ts";
import {
  type Mailbox,
  MAILBOX_DISK_ACKNOWLEDGE_MS,
  MAILBOX_LIFETIME_MS,
  type MailboxStore,
  MAX_INLINE_PAYLOAD_BYTES,
  MemoryMailboxStore,
  MemoryRelayStore,
  openSqliteMailboxStore,
  PushResult,
  type RelayLogEvent,
  retireSqliteMailboxStore,
  type SharedDelivery,
  type SqliteMailboxOptions,
  SWEEP_INTERVAL_MS,
  welcomeDelivery,
} from "../../server/mod.ts";
import { shareDelivery } from "../../server/delivery.ts";
import { ReceiptCounter } from "../../server/receipts.ts";
import { SqliteDatabase } from "../../server/sqlite_database.ts";
import { MAILBOX_SCHEMA } from "../../server/sqlite_mailbox_schema.ts";
import { commit, TestRelay } from "./test_relay.ts";

const DEVICE = "d".repeat(32) as DeviceId;
const OTHER_DEVICE = "e".repeat(32) as DeviceId;
const SENDER = { device: OTHER_DEVICE, account: "alice" as AccountName };
const GROUP = "a".repeat(32) as GroupId;
const OTHER_GROUP = "b".repeat(32) as GroupId;
const KNOWN = { gap: true };
const NEW = { gap: false };

/** A data folder, its mailboxes, and what a relay would find that starts after a kill. */
class Disk implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  readonly path = `${this.folder}/mailbox.db`;
  readonly events: RelayLogEvent[] = [];
  readonly #opened: MailboxStore[] = [];
  #copies = 0;

  open(options: Partial<SqliteMailboxOptions> = {}, path = this.path): MailboxStore {
    const store = openSqliteMailboxStore(path, this.options(options));
    this.#opened.push(store);
    return store;
  }

  options(options: Partial<SqliteMailboxOptions> = {}): SqliteMailboxOptions {
    const welcome: SqliteMailboxOptions["welcome"] = (head) => welcomeDelivery(new MemoryRelayStore(), head);
    return { welcome, log: (event) => this.events.push(event), ...options };
  }

  /** The files as a kill would leave them now, in another place. */
  copy(): string {
    const path = `${this.folder}/copy${this.#copies++}.db`;
    for (const suffix of ["", "-wal"]) {
      try {
        Deno.copyFileSync(this.path + suffix, path + suffix);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return path;
  }

  afterKill(options: Partial<SqliteMailboxOptions> = {}): MailboxStore {
    return this.open(options, this.copy());
  }

  /** Whether a file whose name begins so has these bytes. */
  has(bytes: Uint8Array, name = ""): boolean {
    const text = (data: Uint8Array) => new TextDecoder("latin1").decode(data);
    return [...Deno.readDirSync(this.folder)].some((file) =>
      file.name.startsWith(name) &&
      text(Deno.readFileSync(`${this.folder}/${file.name}`)).includes(text(bytes))
    );
  }

  [Symbol.dispose](): void {
    for (const store of this.#opened) store.close();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

Deno.test("a relay that was killed finds the same queues again, and counts on", () => {
  using disk = new Disk();
  const before = disk.open();
  const [mine, others] = [before.mailbox(DEVICE, NEW), before.mailbox(OTHER_DEVICE, NEW)];
  const ids = [mine.open().id, others.open().id];
  const sent = [1, 2, 3, 4, 5].map((text) => message({ text: `message ${text}` }));
  for (const delivery of sent) {
    before.batch(() => {
      mine.push(delivery);
      others.push(delivery);
    });
  }
  for (let i = 0; i < 3; i++) mine.take();
  mine.acknowledge(2, () => {});

  const after = disk.afterKill();
  assert.equal(after.size, 2);
  assert.equal(after.bytes, before.bytes, "each message once");
  assert.deepEqual(after.mailbox(DEVICE, KNOWN).open(), { id: ids[0], next: 2, backlog: 3, gap: false });
  assert.deepEqual(bodies(after.mailbox(DEVICE, KNOWN)), sent.slice(2).map(body));
  assert.deepEqual(after.mailbox(OTHER_DEVICE, KNOWN).open(), {
    id: ids[1],
    next: 0,
    backlog: 5,
    gap: false,
  });
  assert.deepEqual(bodies(after.mailbox(OTHER_DEVICE, KNOWN)), sent.map(body));
  assert.equal(after.mailbox("f".repeat(32) as DeviceId, KNOWN).open().gap, true, "not in the file");
});

Deno.test("numbers go on when nothing waits, and a settled gap stays settled", () => {
  using disk = new Disk();
  const before = disk.open();
  const mailbox = before.mailbox(DEVICE, KNOWN);
  mailbox.push(message());
  const { id } = mailbox.open();
  mailbox.take();
  mailbox.settle();
  mailbox.acknowledge(1, () => {});
  before.close();
  const after = disk.open();
  assert.deepEqual(after.mailbox(DEVICE, KNOWN).open(), { id, next: 1, backlog: 0, gap: false });
  after.mailbox(DEVICE, KNOWN).push(message());
  assert.deepEqual(disk.afterKill().mailbox(DEVICE, KNOWN).open(), { id, next: 1, backlog: 1, gap: false });
});

for (const seed of [1, 2, 3]) {
  Deno.test(`whatever happens, what a killed relay finds is what mailboxes in memory hold (${seed})`, () => {
    using disk = new Disk();
    const limits = { entries: 6, bytes: 4_000, totalBytes: 12_000 };
    const stores = [new MemoryMailboxStore(limits), disk.open({ limits })];
    const devices = ["1", "2", "3"].map((digit) => digit.repeat(32) as DeviceId);
    const boxes = devices.map((device) => stores.map((store) => store.mailbox(device, NEW)));
    let state = seed;
    const random = (below: number) => (state = state * 48_271 % 2_147_483_647) % below;
    for (let step = 0; step < 400; step++) {
      const group = [GROUP, OTHER_GROUP][random(2)];
      const pair = boxes[random(3)];
      switch (random(8)) {
        case 0:
        case 1:
        case 2: {
          const options = { group, sender: `s${random(5)}`, atMs: step, ephemeral: random(5) === 0 };
          const kind = random(4) === 0 ? DeliveryKind.COMMIT : DeliveryKind.APPLICATION;
          const chosen = boxes.filter(() => random(3) > 0);
          const envelope = crypto.getRandomValues(new Uint8Array(16));
          for (const [i, store] of stores.entries()) {
            const delivery = deliveryOf({ ...options, kind, envelope });
            store.batch(() => chosen.forEach((pair) => pair[i].push(delivery)));
          }
          break;
        }
        case 3:
          pair.forEach((mailbox) => mailbox.open());
          break;
        case 4:
          pair.forEach((mailbox) => mailbox.take());
          break;
        case 5: {
          const upTo = pair[0].unacknowledged === 0 ? 0 : random(pair[0].unacknowledged + 1);
          for (const mailbox of pair) {
            mailbox.acknowledge((mailbox as unknown as { next: number }).next + upTo, () => {});
          }
          break;
        }
        case 6:
          pair.forEach((mailbox) => mailbox.close());
          break;
        case 7:
          if (random(10) === 0) stores.forEach((store) => store.expire(step - 40));
          else stores.forEach((store) => store.tidy());
          break;
      }
      if (step % 10 !== 0) continue;
      const killed = disk.afterKill({ limits });
      for (const [i, device] of devices.entries()) {
        const { gap, next, kept } = boxes[i][0] as unknown as Mailbox & {
          next: number;
          gap: boolean;
          kept(): Iterable<SharedDelivery>;
        };
        const expected = [...kept.call(boxes[i][0])].map(body);
        const found = killed.mailbox(device, NEW);
        const { id: _, ...rest } = found.open();
        assert.deepEqual(rest, { next, backlog: expected.length, gap }, `step ${step}`);
        assert.deepEqual(bodies(found), expected, `step ${step}`);
      }
      killed.close();
    }
    assert.deepEqual(disk.events, []);
  });
}

Deno.test("a delivery that reaches a mailbox late keeps its place there, and another's elsewhere", () => {
  using disk = new Disk();
  const store = disk.open();
  const [mine, others] = [store.mailbox(DEVICE, NEW), store.mailbox(OTHER_DEVICE, NEW)];
  const [one, two] = [message({ text: "one" }), message({ text: "two" })];
  mine.push(one);
  others.push(two);
  others.push(one);
  others.open();
  others.take();
  others.acknowledge(1, () => {});
  others.push(two);
  for (const store of [disk.afterKill(), disk.afterKill()]) {
    store.mailbox(DEVICE, KNOWN).open();
    store.mailbox(OTHER_DEVICE, KNOWN).open();
    assert.deepEqual(bodies(store.mailbox(DEVICE, KNOWN)), [one].map(body));
    assert.deepEqual(bodies(store.mailbox(OTHER_DEVICE, KNOWN)), [one, two].map(body));
  }
});

Deno.test("Welcomes keep their place, and large commits and markers survive", () => {
  using disk = new Disk();
  const before = disk.open({ limits: { entries: 2 } });
  const mailbox = before.mailbox(DEVICE, NEW);
  const large = deliveryOf({
    kind: DeliveryKind.COMMIT,
    payload: crypto.getRandomValues(new Uint8Array(65_536)),
    repeat: Math.ceil(MAX_INLINE_PAYLOAD_BYTES / 65_536) + 1,
  });
  const head = { envelope: "c".repeat(32), group: OTHER_GROUP, epoch: 7, atMs: 5 };
  mailbox.push(message());
  mailbox.push(welcomeDelivery(new MemoryRelayStore(), head));
  mailbox.push(large);
  assert.equal(mailbox.push(message({ group: OTHER_GROUP })), PushResult.MAILBOX_FULL);

  const payload = Uint8Array.of(1, 2, 3);
  const after = disk.afterKill({ welcome: (head) => welcomeDelivery({ welcome: () => payload }, head) });
  const again = after.mailbox(DEVICE, KNOWN);
  assert.equal(again.open().backlog, 4);
  assert.equal(again.holds(head.envelope), true);
  const [application, welcome, commit, marker] = [1, 2, 3, 4].map(() => again.take()!);
  assert.deepEqual(
    [application, welcome, commit, marker].map(({ kind }) => kind),
    [DeliveryKind.APPLICATION, DeliveryKind.WELCOME, DeliveryKind.COMMIT, DeliveryKind.GAP],
  );
  const loaded = welcome.options.load!()!;
  assert.deepEqual([loaded.epoch, loaded.atMs, loaded.payload], [7, 5, payload]);
  assert.equal(commit.frame, null, "as an object");
  assert.deepEqual(commit.options.load!(), large.options.load!());
  assert.equal(marker.group, OTHER_GROUP);
  assert.equal(again.push(message({ group: OTHER_GROUP })), PushResult.QUEUED, "these are the usual limits");
});

Deno.test("ephemeral messages never reach the disk", () => {
  using disk = new Disk();
  const store = disk.open();
  const mailbox = store.mailbox(DEVICE, NEW);
  mailbox.open();
  mailbox.push(message({ text: "typing, and only that", ephemeral: true }));
  mailbox.push(message({ text: "a lasting message" }));
  assert.equal(disk.has(utf8("typing, and only that")), false);
  assert.equal(disk.has(utf8("a lasting message")), true);
  assert.equal(disk.afterKill().mailbox(DEVICE, KNOWN).open().backlog, 1);
});

Deno.test("what was delivered, collapsed or has expired is nowhere in the files", () => {
  using disk = new Disk();
  let database: SqliteDatabase | undefined;
  const store = disk.open({ open: (path) => database = SqliteDatabase.open(path, MAILBOX_SCHEMA) });
  assert.equal(database!.get("PRAGMA secure_delete")!.secure_delete, 1);
  assert.equal(database!.get("PRAGMA journal_mode")!.journal_mode, "wal");
  const mailbox = store.mailbox(DEVICE, NEW);
  const texts = ["small secret", "secret over many pages", "secret that expires", "what stays"];
  for (const [i, text] of texts.entries()) {
    mailbox.push(message({ text, repeat: i === 1 ? 4_000 : 1, atMs: i }));
  }
  for (const text of texts) assert.equal(disk.has(utf8(text)), true, text);
  mailbox.open();
  mailbox.take();
  mailbox.take();
  mailbox.acknowledge(2, () => {});
  mailbox.close();
  store.expire(3);
  store.tidy();
  assert.deepEqual(texts.map((text) => disk.has(utf8(text))), [false, false, false, true]);
  assert.equal(Deno.statSync(disk.path).size < 60_000, true, "the room was given back");
});

Deno.test("only the file's owner can read it", { ignore: Deno.build.os === "windows" }, () => {
  using disk = new Disk();
  disk.open().mailbox(DEVICE, NEW).push(message());
  for (const { name } of Deno.readDirSync(disk.folder)) {
    assert.equal(Deno.statSync(`${disk.folder}/${name}`).mode! & 0o777, 0o600, name);
  }
});

Deno.test("a full disk loses and refuses nothing, is reported once, and is made good later", () => {
  using disk = new Disk();
  let pages = 20;
  const store = disk.open({
    open(path) {
      const database = SqliteDatabase.open(path, MAILBOX_SCHEMA);
      database.get(`PRAGMA max_page_count = ${pages}`);
      return database;
    },
  });
  const [mine, others] = [store.mailbox(DEVICE, NEW), store.mailbox(OTHER_DEVICE, NEW)];
  const { id } = mine.open();
  const sent: SharedDelivery[] = [];
  const send = (count: number) => {
    for (let i = 0; i < count; i++) {
      const delivery = message({ repeat: 200 });
      sent.push(delivery);
      store.batch(() => {
        for (const mailbox of [mine, others]) assert.equal(mailbox.push(delivery), PushResult.QUEUED);
      });
    }
  };
  send(50);
  assert.deepEqual(disk.events.map(({ type }) => type), ["mailbox_disk_failed"]);
  assert.throws(() => Deno.statSync(disk.path), Deno.errors.NotFound, "nothing stale stays");
  for (let i = 0; i < 10; i++) mine.take();
  mine.acknowledge(10, () => {});
  store.tidy();
  send(5);
  assert.equal(disk.events.length, 1, "said once");
  pages = 10_000;
  for (let sweep = 0; sweep < 2; sweep++) store.tidy();
  assert.deepEqual(disk.events.map(({ type }) => type), ["mailbox_disk_failed", "mailbox_disk_restored"]);
  send(5);

  const after = disk.afterKill();
  assert.deepEqual(after.mailbox(DEVICE, KNOWN).open(), { id, next: 10, backlog: 50, gap: false });
  assert.deepEqual(bodies(after.mailbox(DEVICE, KNOWN)), sent.slice(10).map(body));
  after.mailbox(OTHER_DEVICE, KNOWN).open();
  assert.deepEqual(bodies(after.mailbox(OTHER_DEVICE, KNOWN)), sent.map(body));
});

Deno.test("a relay that ends between a commit and its deliveries has a gap, one that only announced it has none", () => {
  using disk = new Disk();
  const store = disk.open();
  store.mailbox(DEVICE, NEW).push(message());
  store.announce();
  assert.equal(disk.afterKill().mailbox(DEVICE, KNOWN).open().gap, true);
  store.batch(() => {}); // nobody to deliver it to
  assert.equal(disk.afterKill().mailbox(DEVICE, KNOWN).open().gap, false);
});

Deno.test("after a power failure every mailbox has a gap and another id; after a clean end none", () => {
  using disk = new Disk();
  const store = disk.open({ machine: "monday" });
  const mailbox = store.mailbox(DEVICE, NEW);
  mailbox.push(message());
  const { id } = mailbox.open();
  const sameRun = disk.afterKill({ machine: "monday" }).mailbox(DEVICE, KNOWN).open();
  assert.deepEqual([sameRun.id, sameRun.gap], [id, false]);
  const failed = disk.copy();
  const nextRun = disk.open({ machine: "tuesday" }, failed);
  const found = nextRun.mailbox(DEVICE, KNOWN).open();
  assert.deepEqual([found.id !== id, found.gap, found.backlog], [true, true, 1]);
  nextRun.close();
  const still = disk.open({ machine: "wednesday" }, failed).mailbox(DEVICE, KNOWN).open();
  assert.deepEqual(still, found, "the device has not asked yet");
  store.close();
  const clean = disk.open({ machine: "tuesday" }).mailbox(DEVICE, KNOWN).open();
  assert.deepEqual([clean.id, clean.gap], [id, false]);
});

Deno.test("acknowledgements are written together, a moment later or with the next message", () => {
  using disk = new Disk();
  const clock = new FakeClock();
  const store = disk.open({ clock });
  const mailbox = store.mailbox(DEVICE, NEW);
  const backlog = () => disk.afterKill().mailbox(DEVICE, KNOWN).open().backlog;
  for (let i = 0; i < 3; i++) mailbox.push(message());
  mailbox.open();
  for (let i = 0; i < 3; i++) mailbox.take();
  mailbox.acknowledge(1, () => {});
  assert.equal(backlog(), 3);
  clock.advance(MAILBOX_DISK_ACKNOWLEDGE_MS);
  assert.equal(backlog(), 2);
  mailbox.acknowledge(2, () => {});
  mailbox.push(message());
  assert.equal(backlog(), 2);
  mailbox.acknowledge(3, () => {});
  assert.equal(mailbox.open().next, 3);
  assert.equal(backlog(), 1, "a number that a device was told never goes back");
});

Deno.test("what no longer fits all mailboxes together is left out at the start, with a gap", () => {
  using disk = new Disk();
  const before = disk.open();
  for (let i = 0; i < 4; i++) before.mailbox(DEVICE, NEW).push(message({ repeat: 100 }));
  before.mailbox(OTHER_DEVICE, NEW);
  before.mailbox(DEVICE, NEW).push(message());
  before.close();
  const limits = { totalBytes: 2_000 };
  const after = disk.open({ limits });
  assert.ok(after.bytes <= 2_000);
  const { gap, backlog } = after.mailbox(DEVICE, KNOWN).open();
  assert.deepEqual([gap, backlog < 5], [true, true]);
  assert.equal(after.mailbox(OTHER_DEVICE, KNOWN).open().gap, false);
  assert.equal(disk.afterKill().bytes, after.bytes, "nor is it in the file");
});

Deno.test("mailboxes in memory take over what an earlier relay kept, and the file goes", () => {
  using disk = new Disk();
  const before = disk.open();
  const sent = message();
  before.mailbox(DEVICE, NEW).push(sent);
  const { id } = before.mailbox(DEVICE, NEW).open();
  before.close();
  const after = retireSqliteMailboxStore(disk.path, disk.options());
  assert.deepEqual([...Deno.readDirSync(disk.folder)], []);
  const mailbox = after.mailbox(DEVICE, KNOWN);
  mailbox.push(message());
  assert.deepEqual(mailbox.open(), { id, next: 0, backlog: 2, gap: false });
  assert.equal(body(mailbox.take()!), body(sent));
  mailbox.acknowledge(1, () => {});
  after.expire(Number.MAX_SAFE_INTEGER);
});

Deno.test("a file that is none, is damaged or is newer is refused, and left as it is", () => {
  using disk = new Disk();
  Deno.writeTextFileSync(disk.path, "no database at all, and long enough to be none ".repeat(50));
  assert.throws(() => disk.open(), { code: "CORRUPT_STORE", message: /mailbox database/ });
  Deno.removeSync(disk.path);
  disk.open().close();
  const database = SqliteDatabase.open(disk.path, MAILBOX_SCHEMA);
  database.run("INSERT INTO mailboxes VALUES (1, ?, 'id', 0, 0, 0)", DEVICE);
  database.run("INSERT INTO deliveries VALUES (1, 'a', x'00000001', x'99')");
  database.close();
  assert.throws(() => disk.open(), { code: "CORRUPT_STORE", message: /damaged/ });
  const newer = SqliteDatabase.open(disk.path, MAILBOX_SCHEMA);
  newer.run("PRAGMA user_version = 99");
  newer.close();
  assert.throws(() => disk.open(), { code: "CORRUPT_STORE", message: /mailbox database: its schema 99/ });
});

Deno.test("a message sent again after a restart keeps its place, and its newer receipt counts", () => {
  using disk = new Disk();
  const before = disk.open();
  const envelope = crypto.getRandomValues(new Uint8Array(16));
  const first = { envelope, text: "the first" };
  before.mailbox(DEVICE, NEW).push(message(first));
  before.mailbox(DEVICE, NEW).push(message({ text: "the second" }));
  before.close();

  const after = disk.open();
  const [mine, others] = [after.mailbox(DEVICE, KNOWN), after.mailbox(OTHER_DEVICE, NEW)];
  const receipts = [1, 2].map(() => new ReceiptCounter(SENDER, envelope, new Set()));
  for (const receipt of receipts) assert.equal(mine.push(message({ ...first, receipt })), PushResult.QUEUED);
  assert.equal(mine.push(message(first)), PushResult.QUEUED, "without a receipt the earlier one stays");
  others.push(message({ ...first, receipt: receipts[1] }));
  // The same id by others, in other groups or for now only is another message.
  for (const other of [{ sender: "mallory" }, { group: OTHER_GROUP }, { ephemeral: true }]) {
    assert.equal(mine.push(message({ ...first, ...other })), PushResult.QUEUED);
  }
  assert.equal(mine.open().backlog, 5);
  assert.deepEqual([mine.take(), mine.take()].map((delivery) => delivery!.sender), ["alice", "alice"]);
  const seen: (ReceiptCounter | null)[] = [];
  mine.acknowledge(2, (_, receipt) => seen.push(receipt));
  assert.deepEqual(seen, [receipts[1], null]);
  mine.push(message(first));
  assert.equal(mine.waiting, 4, "once it is acknowledged it is a message like any other");
});

Deno.test("a full mailbox knows what is sent again", () => {
  using disk = new Disk();
  const limits = { entries: 1 };
  const before = disk.open({ limits });
  const envelope = crypto.getRandomValues(new Uint8Array(16));
  before.mailbox(DEVICE, NEW).push(message({ envelope }));
  before.close();
  const mailbox = disk.open({ limits }).mailbox(DEVICE, KNOWN);
  assert.equal(mailbox.push(message({ envelope })), PushResult.QUEUED);
  assert.equal(mailbox.push(message()), PushResult.MAILBOX_FULL);
});

/** Alice and Carol are there, Bob is away; he was added, three messages, a commit and one more message wait for him. */
async function killedRelay(disk: Disk) {
  const store = new MemoryRelayStore();
  const welcome: SqliteMailboxOptions["welcome"] = (head) => welcomeDelivery(store, head);
  const clock = new FakeClock();
  const relay = await TestRelay.start({ store, clock, mailboxes: disk.open({ welcome }) });
  const [alice, bob, carol] = [
    await relay.connect("alice"),
    await relay.connect("bob"),
    await relay.connect("carol"),
  ];
  await bob.close();
  const group = await relay.group(alice, carol);
  await commit(alice, group, { epoch: 1, add: [bob.device.device] });
  for (const text of ["one", "two", "three"]) {
    await alice.send(group, { epoch: 2, payload: utf8(`sealed ${text}`) });
  }
  await commit(carol, group, { epoch: 2 });
  const last = {
    epoch: 3,
    payload: utf8("sealed four"),
    envelope: crypto.getRandomValues(new Uint8Array(16)),
  };
  await alice.send(group, { ...last, flags: MessageFlag.RECEIPT });
  const left = disk.copy(); // as the relay's ACK was there
  await relay.stop();
  const restart = (at: FakeClock = clock) =>
    TestRelay.start({ store, clock: at, mailboxes: disk.open({ welcome }, left) });
  return { alice: alice.device, bob, group, last, clock, restart };
}

Deno.test("a killed relay delivers all the same: the Welcome first, in order, under its numbers, without a gap", async () => {
  using disk = new Disk();
  const { bob, restart } = await killedRelay(disk);
  await using relay = await restart();
  const back = await relay.connect(bob.device, { register: false });
  const { next, backlog, gap, mailbox } = back.login;
  assert.deepEqual({ next, backlog, gap, mailbox }, {
    next: 0,
    backlog: 6,
    gap: false,
    mailbox: bob.login.mailbox,
  });
  assert.match(mailbox, /^[0-9a-f]{16}$/);
  const got = await back.deliveries.take(6);
  assert.deepEqual(got.map(({ kind }) => kind), [
    DeliveryKind.WELCOME,
    DeliveryKind.APPLICATION,
    DeliveryKind.APPLICATION,
    DeliveryKind.APPLICATION,
    DeliveryKind.COMMIT,
    DeliveryKind.APPLICATION,
  ]);
  assert.deepEqual(
    got.filter(({ kind }) => kind === DeliveryKind.APPLICATION).map(({ payload }) => text(payload)),
    ["sealed one", "sealed two", "sealed three", "sealed four"],
  );
  assert.equal(got[0].payload.length > 0, true, "the Welcome's bytes are the store's");
});

Deno.test("a sender who sends again after the restart hears of the delivery, and nobody gets it twice", async () => {
  using disk = new Disk();
  const { alice, bob, group, last, clock, restart } = await killedRelay(disk);
  await using relay = await restart();
  const sender = await relay.connect(alice, { register: false });
  const accepted = await sender.send(group, { ...last, flags: MessageFlag.RECEIPT });
  assert.deepEqual([accepted.queued, accepted.full], [2, 0]);
  assert.equal(disk.has(utf8("sealed one"), "copy"), true);
  const back = await relay.connect(bob.device, { register: false });
  assert.equal(back.login.backlog, 6);
  await back.deliveries.take(6);
  assert.deepEqual(await sender.receipts.next(), {
    envelope: last.envelope,
    devices: 1,
    ofDevices: 2,
    people: 1,
    ofPeople: 2,
    lost: 0,
    room: 0,
  });
  clock.advance(SWEEP_INTERVAL_MS);
  assert.equal(disk.has(utf8("sealed one"), "copy"), false, "wiped with the next sweep");
});

Deno.test("what is older than seven days is gone with the start, from the disk too", async () => {
  using disk = new Disk();
  const { bob, clock, restart } = await killedRelay(disk);
  clock.advance(MAILBOX_LIFETIME_MS + 1);
  await using relay = await restart();
  const back = await relay.connect(bob.device, { register: false });
  assert.deepEqual([back.login.backlog, back.login.gap], [2, false]);
  const kinds = (await back.deliveries.take(2)).map(({ kind }) => kind);
  assert.deepEqual(kinds, [DeliveryKind.WELCOME, DeliveryKind.GAP], "a marker says so");
  clock.advance(SWEEP_INTERVAL_MS);
  assert.equal(disk.has(utf8("sealed"), "copy"), false);
});

Deno.test("the first start with mailboxes on disk tells devices that existed of a gap, new ones of none", async () => {
  using disk = new Disk();
  const store = new MemoryRelayStore();
  const memory = await TestRelay.start({ store });
  const alice = await memory.connect("alice");
  await memory.stop();
  await using relay = await TestRelay.start({ store, clock: memory.clock, mailboxes: disk.open() });
  assert.equal((await relay.connect(alice.device, { register: false })).login.gap, true);
  assert.equal((await relay.connect("bob")).login.gap, false);
});

interface MessageOptions {
  sender?: string;
  text?: string;
  /** How often the payload's bytes come. */
  repeat?: number;
  group?: GroupId;
  ephemeral?: boolean;
  atMs?: number;
  envelope?: Uint8Array;
  receipt?: ReceiptCounter;
}

function message({ text = "hello", ...options }: MessageOptions = {}): SharedDelivery {
  return deliveryOf({ ...options, kind: DeliveryKind.APPLICATION, payload: utf8(text) });
}

function deliveryOf(
  options: MessageOptions & { kind: DeliveryKind; payload?: Uint8Array },
): SharedDelivery {
  const { kind, group = GROUP, sender = "alice", atMs = 1_000, repeat = 1, ephemeral, receipt } = options;
  const { envelope = crypto.getRandomValues(new Uint8Array(16)), payload: unit = new Uint8Array(300) } =
    options;
  const payload = new Uint8Array(unit.length * repeat);
  for (let i = 0; i < repeat; i++) payload.set(unit, i * unit.length);
  const delivery: Delivery = { kind, group: fromHex(group), epoch: 3, envelope, atMs, payload };
  return shareDelivery(delivery, {
    group,
    sender: kind === DeliveryKind.COMMIT ? "" : sender,
    ephemeral,
    receipt,
  });
}

function body(delivery: SharedDelivery): string {
  return toHex(delivery.stored());
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** All that waits. */
function bodies(mailbox: Mailbox): string[] {
  const all: string[] = [];
  for (let next = mailbox.take(); next !== null; next = mailbox.take()) all.push(body(next));
  return all;
}
