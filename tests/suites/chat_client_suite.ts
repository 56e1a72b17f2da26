/** What every ChatClient has to do, wherever it runs: run it once for each adapter. */

import assert from "node:assert/strict";
import { type ChatClient, type ClientEvent, type ConversationInfo, linkDevice } from "../../client/mod.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import { connectTcp, isAronaError, parseDeviceCode, systemClock } from "../../proto/mod.ts";
import { inWorld, type World } from "../helpers/world.ts";

/** A client of alice at the world's relay, not connected yet. */
export interface Adapted {
  readonly client: ChatClient;
  /** Closes it and whatever was made with it. */
  end(): Promise<void>;
}

/** Makes one with a new profile. @param options.link where it is another than the world's relay */
export type MakeClient = (world: World, options: { link?: string }) => Promise<Adapted>;

/** Defines the suite's tests. */
export function chatClientSuite(name: string, make: MakeClient): void {
  const test = (
    what: string,
    story: (alice: ChatClient, world: World) => Promise<void>,
    options: { link?: string } = {},
  ) =>
    Deno.test(`${name}: ${what}`, () =>
      inWorld(async (world) => {
        const { client, end } = await make(world, options);
        try {
          await story(client, world);
        } finally {
          await end();
        }
      }));

  test("it says who it is before it connects", (alice, world) => {
    assert.equal(alice.account, "alice");
    assert.match(alice.fingerprint, /^[0-9a-f]{64}$/);
    assert.match(alice.deviceId, /^[0-9a-f]{32}$/);
    assert.equal(alice.isPrimary, true);
    assert.ok(alice.certificateEndsMs > Date.now());
    assert.deepEqual(alice.relay.endpoints, [/arona:\/\/([^#]+)/.exec(world.relay.link)![1]]);
    assert.deepEqual([alice.online, alice.status.status, alice.conversations()], [false, "offline", []]);
    return Promise.resolve();
  });

  test("its status goes with the events that tell of it", async (alice, world) => {
    const seen: [string, string, boolean][] = [];
    const offline = Promise.withResolvers<void>();
    alice.on("Status", ({ status, reason }) => {
      seen.push([status, alice.status.status, alice.online]);
      if (status === "offline" && reason !== undefined) offline.resolve();
    });
    await alice.connect();
    assert.deepEqual(seen, [["connecting", "connecting", false], ["online", "online", true]]);
    assert.deepEqual([alice.online, alice.status.status], [true, "online"]);
    await world.relay.stop();
    await offline.promise;
    assert.equal(alice.online, false);
    assert.ok(alice.status.status === "offline" && isAronaError(alice.status.reason));
  });

  test("messages go both ways, and their events tell what is so by then", async (alice, world) => {
    const bob = await world.person("bob");
    const there = await bob.client.join("#tea");
    await alice.connect();
    const events: ClientEvent[] = [];
    const listed: string[] = [];
    const heard = Promise.withResolvers<void>();
    alice.onAny((event) => {
      events.push(event);
      if (event.type === "GroupCreated") listed.push(...alice.conversations().map(({ title }) => title));
      if (event.type === "MsgCreated" && event.text === "hello alice") heard.resolve();
    });
    const tea = await alice.join("#tea");
    assert.deepEqual(listed, ["#tea"]);
    assert.deepEqual(
      [tea.title, tea.kind, tea.participation, tea.isOpen, tea.people, tea.isAdmin],
      ["#tea", "channel", "member", true, 2, false],
    );
    const { id, accepted } = await alice.send(tea, "hello bob");
    await accepted;
    await bob.hears("hello bob");
    const types = events.map(({ type }) => type);
    assert.ok(types.indexOf("MsgCreated") < types.indexOf("MsgSent"), "written first, then accepted");
    await bob.has("#tea");
    await bob.says(there, "hello alice");
    await heard.promise;
    const entries = await alice.history(tea, { limit: 10 });
    assert.deepEqual(entries.map(({ message }) => message.text), ["hello bob", "hello alice"]);
    assert.equal(entries[0].message.id, id);
    assert.deepEqual((await alice.history(tea, { limit: 10, before: entries[1].sequence })).length, 1);
    assert.equal((await alice.message(tea, id))?.text, "hello bob");
    assert.equal(await alice.message(tea, "00".repeat(16)), null);
  });

  test("an event names the conversation that an answer goes to", async (alice, world) => {
    await alice.connect();
    await alice.join("#tea");
    const answered = Promise.withResolvers<void>();
    alice.on("MsgCreated", async (event) => {
      if (event.own) return;
      const { accepted } = await alice.send(event, "pong", { replyTo: event.id });
      accepted.then(answered.resolve, answered.reject);
    });
    const bob = await world.person("bob");
    const asked = await bob.says(await bob.client.join("#tea"), "ping");
    await answered.promise;
    await bob.hears("pong");
    assert.equal(bob.of("MsgCreated").find(({ text }) => text === "pong")?.replyTo, asked);
  });

  test("messages are edited, answered, taken back and read", async (alice, world) => {
    const bob = await world.person("bob");
    await alice.connect();
    const dm = await alice.openDirect("bob");
    const there = await bob.has("@alice");
    const asked = (await alice.send(dm, "helo")).id;
    await (await alice.edit(dm, asked, "hello")).accepted;
    const unwanted = (await alice.send(dm, "oops")).id;
    await (await alice.delete(dm, unwanted)).accepted;
    const answered = new Promise<void>((resolve) =>
      alice.on("MsgCreated", ({ text }) => text === "hi" && resolve())
    );
    const answer = await bob.says(there, "hi");
    await answered;
    assert.notEqual(await alice.markAllRead(dm), null);
    assert.equal(await alice.markAllRead(dm), null, "they know already");
    await (await alice.react(dm, answer, "🍵")).accepted;
    await (await alice.react(dm, answer, "🍵", true)).accepted;
    await (await alice.markRead(dm, answer)).accepted;
    await alice.typing(dm, true);
    await bob.until("to see the change", () => bob.of("Reaction").length === 2);
    assert.deepEqual(bob.of("MsgEdited").map(({ target, text }) => [target, text]), [[asked, "hello"]]);
    assert.deepEqual(bob.of("MsgDeleted").map(({ target }) => target), [unwanted]);
    assert.ok(bob.of("Read").length >= 1);
  });

  test("a group's people and roles are what the events say", async (alice, world) => {
    const bob = await world.person("bob");
    await alice.connect();
    const party = await alice.createGroup("party");
    assert.deepEqual([party.kind, party.people, party.isAdmin], ["group", 1, true]);
    const counts: number[] = [];
    alice.on("MemberJoined", ({ groupId }) => counts.push(of(alice, groupId).people));
    alice.on("MemberLeft", ({ groupId }) => counts.push(of(alice, groupId).people));
    await alice.invite(party, "bob");
    await bob.has("party");
    assert.deepEqual((await alice.members(party)).map(({ account }) => account), ["alice", "bob"]);
    await alice.setAdmin(party, "bob", true);
    await alice.renewKeys(party);
    assert.equal((await alice.members(party)).find(({ account }) => account === "bob")?.admin, true);
    const { epoch } = of(alice, party.id);
    await alice.remove(party, "bob");
    assert.deepEqual(counts, [2, 1]);
    assert.ok(of(alice, party.id).epoch > epoch, "a conversation in hand goes with the events");
    assert.equal(alice.find("party").id, party.id);
    await alice.leave(party);
    assert.deepEqual([party.participation, party.isOpen], ["left", false]);
    assert.throws(() => alice.find("party"), { code: "NOT_FOUND" });
  });

  test("what cannot be done says why, and what to do", async (alice) => {
    await assert.rejects(async () => await alice.channels(), { code: "CLOSED" });
    await alice.connect();
    const tea = await alice.join("#tea");
    await assert.rejects(async () => await alice.join("#Not A Channel"), { code: "BAD_NAME" });
    await assert.rejects(async () => await alice.send(tea, "x".repeat(20_000)), {
      name: "AronaError",
      code: "TOO_LARGE",
      message: "Cannot send: 20000 bytes of text, 16384 are allowed",
      hint: "Send it as several messages.",
    });
    await assert.rejects(async () => await alice.send({ id: "00".repeat(16) as never }, "x"), {
      code: "NOT_FOUND",
    });
    await assert.rejects(async () => await alice.openDirect("nobody"), { code: "NOT_FOUND" });
    await assert.rejects(async () => await alice.invite(tea, "nobody"), isAronaError);
    await assert.rejects(async () => await alice.resolve("plans"), {
      code: "NOT_FOUND",
      hint: "See `arona groups`.",
    });
    assert.throws(() => alice.find("plans"), { code: "NOT_FOUND" });
    assert.deepEqual((await alice.channels()).map(({ name }) => name), ["#tea"]);
    await alice.caughtUp();
  });

  test("a relay that is away is told, and that nobody tries any more", async (alice) => {
    const finals: boolean[] = [];
    alice.on("Status", ({ status, final }) => status === "offline" && finals.push(final === true));
    await assert.rejects(alice.connect(), (error) => {
      assert.ok(isAronaError(error, "UNREACHABLE"));
      assert.match(error.message, /^Cannot connect to 127\.0\.0\.1:9: nothing listens there$/);
      assert.match(error.hint ?? "", /relay running/);
      return true;
    });
    assert.deepEqual(finals, [true]);
  }, { link: `arona://127.0.0.1:9#${"A".repeat(43)}` });

  test("people are known by their identity, and compared", async (alice, world) => {
    const bob = await world.person("bob");
    await alice.connect();
    const contact = await alice.refreshContact("bob");
    assert.equal(contact.fingerprint, bob.client.fingerprint);
    assert.equal(contact.identityKey.length, 1_952);
    const known = await bob.client.refreshContact("alice");
    assert.equal(await alice.safetyNumber(contact), bob.client.safetyNumber(known));
    assert.equal((await alice.verify("bob", { accept: false })).verified, true);
    assert.equal((await alice.contact("bob")).verified, true);
    await assert.rejects(async () => await alice.verify("bob", { accept: true }), { code: "NOT_FOUND" });
  });

  test("a further device is let in by a code, and taken back", async (alice, world) => {
    await alice.connect();
    const refused: string[] = [];
    const cancelled = await alice.offerDevice({ label: "first" });
    cancelled.cancel();
    await assert.rejects(cancelled.linked, isAronaError);
    const offer = await alice.offerDevice({ label: "first", onRefused: (reason) => refused.push(reason) });
    const code = parseDeviceCode(offer.code);
    const { crypto } = world;
    const linked = await linkDevice({ crypto, clock: systemClock, dial: connectTcp, code, label: "phone" });
    const { device, label } = await offer.linked;
    assert.deepEqual([device, label, refused], [linked.identity.device, "phone", []]);
    const store = createMemoryStore();
    linked.save(store);
    await world.person("alice", { store, device: "phone" });
    await alice.deviceEverywhere(device);
    assert.deepEqual((await alice.devices()).map(({ self, label }) => [self, label]), [[true, null], [
      false,
      "phone",
    ]]);
    await alice.removeDevice(device);
    assert.equal((await alice.devices()).length, 1);
  });

  test("close() lets what waits for the relay fail, and may be called again", async (alice, world) => {
    await alice.connect();
    const tea = await alice.join("#tea");
    await world.relay.stop();
    const { accepted } = await alice.send(tea, "anybody?");
    await alice.close();
    await assert.rejects(accepted, { code: "CLOSED" });
    await alice.close();
  });

  test("a listener that throws disturbs nobody, and one that has ended hears no more", async (alice) => {
    const heard: string[] = [];
    const faults: string[] = [];
    const end = alice.onAny(({ type }) => heard.push(type));
    alice.on("Status", () => {
      throw new Error("mine alone");
    });
    alice.on("Fault", ({ reason }) => faults.push(reason));
    await alice.connect();
    assert.deepEqual(heard.filter((type) => type === "Status").length, 2);
    assert.match(faults[0], /a listener threw: .*mine alone/);
    end();
    const { length } = heard;
    await alice.join("#tea");
    assert.equal(heard.length, length);
  });
}

function of(client: ChatClient, groupId: string): ConversationInfo {
  return client.conversations().find(({ id }) => id === groupId)!;
}
