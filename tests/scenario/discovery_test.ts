/** A relay that moves, and clients that follow it: over real sockets, with sources that a test fills. */

import assert from "node:assert/strict";
import {
  AronaError,
  connectTcp,
  FakeClock,
  formatSource,
  fromUtf8,
  parseEndpoint,
  type RelaySource,
  systemClock,
  toBase64Url,
  utf8,
  verifyDocument,
} from "../../proto/mod.ts";
import {
  type Candidate,
  type Dial,
  type Discovery,
  type KnownRelay,
  type LookOptions,
  relayFromDocument,
  savedRelay,
} from "../../client/discovery/mod.ts";
import { createMemoryStore, type Store } from "../../client/store/mod.ts";
import { DOCUMENT_CHECK_AFTER_MS, PING_AFTER_MS } from "../../client/limits.ts";
import { MemoryMailboxStore, MemoryRelayStore, startRelay } from "../../server/mod.ts";
import { inWorld, type Person, type World } from "../helpers/world.ts";
import { fastClock } from "./faults/fast_clock.ts";

const GIST: RelaySource = { kind: "gist", id: "0123456789abcdef" };
/** Pauses between two looks are this much shorter. */
const SPEED = 6;

/** Sources that hold what a test puts there. */
class Sources implements Discovery {
  readonly lan = false;
  readonly documents = new Map<string, Uint8Array>();
  readonly asked: string[] = [];

  look(source: RelaySource, _options: LookOptions): Promise<readonly Candidate[]> {
    const text = formatSource(source);
    this.asked.push(text);
    const bytes = this.documents.get(text);
    return bytes === undefined
      ? Promise.reject(new AronaError("NOT_FOUND", `Cannot look at ${text}: nothing is there`))
      : Promise.resolve([{ bytes, source }]);
  }

  publish(world: World, source = GIST): void {
    this.documents.set(formatSource(source), world.relay.document());
  }
}

async function foundByGist(world: World): Promise<KnownRelay> {
  const bytes = world.relay.document();
  const document = await verifyDocument(world.crypto, bytes, { nowMs: Date.now() });
  return relayFromDocument({ document, bytes }, { found: [GIST] });
}

/** A store, and what resolves when something is written to it. */
function watchedStore() {
  const store = createMemoryStore();
  let wake = () => {};
  const watched: Store = {
    get: (...key) => store.get(...key),
    all: (table) => store.all(table),
    readLog: (...which) => store.readLog(...which),
    close: () => store.close(),
    write(action) {
      const result = store.write(action);
      wake();
      return result;
    },
  };
  return { store: watched, changed: () => new Promise<void>((resolve) => wake = resolve) };
}

async function follower(world: World, sources: Sources): Promise<Person> {
  return await world.person("alice", {
    relay: await foundByGist(world),
    discovery: sources,
    clock: fastClock(SPEED),
  });
}

Deno.test("a client that is connected follows its relay to another port, and a restart of it finds it there at once", () =>
  inWorld(async (world) => {
    const sources = new Sources();
    sources.publish(world);
    const alice = await follower(world, sources);
    const bob = await world.person("bob");
    const general = await alice.client.join("#general");
    await bob.client.join("#general");
    await bob.client.close();

    await world.restartRelay({ port: 0 });
    sources.publish(world);
    await alice.until("to follow", () => alice.of("RelayMoved").length > 0);
    const { address, source } = alice.of("RelayMoved")[0];
    assert.deepEqual([address, source], [world.relay.address, "gist:0123456789abcdef"]);
    await alice.until("to be online", () => alice.client.online);
    await alice.says(general, "here we are");

    // What it has learnt is saved: no source is asked any more.
    const again = new Sources();
    const later = await world.restart(alice);
    await later.says(await later.has("#general"), "and here again");
    assert.deepEqual(again.asked, []);
    assert.equal(savedRelay(later.store)?.endpoints[0], world.relay.address);
  }));

Deno.test("a relay that comes back where it was is not kept waiting for by sources that take long to answer", () =>
  inWorld(async (world) => {
    const sources = new Sources();
    const asked = Promise.withResolvers<void>();
    sources.look = (_source, { signal }) => {
      asked.resolve();
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const alice = await follower(world, sources);
    const { port } = parseEndpoint(world.relay.address);
    await world.relay.stop();
    await asked.promise;
    await world.restartRelay({ port });
    await alice.until("to be back", () => alice.client.online);
    assert.deepEqual(alice.of("RelayMoved"), []);
  }));

Deno.test("where another relay answers at the old address, the client follows its own, and does not log in at the other", () =>
  inWorld(async (world) => {
    const sources = new Sources();
    sources.publish(world);
    const alice = await follower(world, sources);
    const { port } = parseEndpoint(world.relay.address);
    await world.restartRelay({ port: 0 });
    const store = new MemoryRelayStore();
    const stranger = await startRelay({
      listen: { hostname: "127.0.0.1", port },
      store,
      mailboxes: new MemoryMailboxStore(),
      crypto: world.crypto,
      clock: systemClock,
      name: "stranger",
      log: () => {},
    });
    try {
      await alice.until(
        "to meet the stranger",
        () => alice.of("Status").some(({ reason }) => /not the one this profile knows/.test(reason ?? "")),
      );
      sources.publish(world);
      await alice.until("to follow", () => alice.of("RelayMoved").length > 0);
      assert.equal(alice.of("RelayMoved")[0].address, world.relay.address);
      assert.equal(stranger.stats().connections, 0);
    } finally {
      await stranger.stop();
      store.close();
    }
  }));

Deno.test("documents that were tampered with, or are older or another relay's, are refused with the reason; the right one is followed", () =>
  inWorld(async (world) => {
    const sources = new Sources();
    const old = world.relay.document();
    await world.relay.setName("renamed"); // a newer document
    sources.publish(world);
    const alice = await follower(world, sources);
    const gist = formatSource(GIST);
    await world.restartRelay({ port: 0 });
    const refusal = (reason: RegExp) =>
      alice.until(
        `to be told ${reason}`,
        () => alice.of("SourceRefused").some((event) => reason.test(event.reason)),
      );

    sources.documents.set(gist, old);
    await refusal(/older \(number \d+\) than one seen before/);
    const envelope = JSON.parse(fromUtf8(world.relay.document()));
    const payload = fromUtf8(Uint8Array.from(
      atob(envelope.payload.replaceAll("-", "+").replaceAll("_", "/")),
      (c) => c.charCodeAt(0),
    ));
    const changed = payload.replace(`"${world.relay.address}"`, `"127.0.0.2:7700"`);
    assert.notEqual(changed, payload);
    sources.documents.set(gist, utf8(JSON.stringify({ ...envelope, payload: toBase64Url(utf8(changed)) })));
    await refusal(/signature is wrong/);
    assert.deepEqual(alice.of("RelayMoved"), []);
    assert.equal(alice.client.online, false);

    sources.publish(world);
    await alice.until("to follow", () => alice.of("RelayMoved").length > 0);
    assert.deepEqual([...new Set(alice.of("SourceRefused").map(({ source }) => source))], [gist]);
  }));

Deno.test("a client that came by an address learns from its relay, while it is connected, where to look when that moves", () =>
  inWorld(async (world) => {
    const clock = new FakeClock(Date.now());
    const { store, changed } = watchedStore();
    let dialled = 0;
    const dial: Dial = (address) => {
      dialled++;
      return connectTcp(address);
    };
    const alice = await world.person("alice", { clock, store, dial });
    const before = dialled;
    assert.deepEqual(savedRelay(store)?.sources, []);
    await world.relay.setSources(["gist:0123456789abcdef", "@octocat"]);
    let passedMs = 0;
    for (; dialled === before; passedMs += PING_AFTER_MS / 2) {
      clock.advance(PING_AFTER_MS / 2);
      await alice.client.channels(); // so that the connection is seen to live
    }
    assert.ok(
      passedMs >= DOCUMENT_CHECK_AFTER_MS / 2 && passedMs <= DOCUMENT_CHECK_AFTER_MS,
      `${passedMs} ms`,
    );
    while (savedRelay(store)?.sources.length === 0) await changed();
    const saved = savedRelay(store)!;
    assert.deepEqual(saved.sources, ["gist:0123456789abcdef", "@octocat"]);
    assert.equal(saved.endpoints[0], world.relay.address);
  }));

Deno.test("a link with a key to a place where another relay's document is leads nowhere", () =>
  inWorld(async (world) => {
    const known = await foundByGist(world);
    await assert.rejects(
      world.person("alice", { relay: { ...known, fingerprint: new Uint8Array(32), document: null } }),
      { code: "WRONG_RELAY" },
    );
  }));
