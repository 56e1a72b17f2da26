/** Whole clients on lines that die: nothing is lost, nothing comes twice, and each is back without being told to. */

import assert from "node:assert/strict";
import { openClient } from "../../client/mod.ts";
import {
  AUTH_TIMEOUT_MS,
  DEAD_AFTER_MS,
  PROBE_TIMEOUT_MS,
  SURROUNDINGS_CHECK_MS,
} from "../../client/limits.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import {
  connectTcp,
  FakeClock,
  memoryTransportPair,
  parseEndpoint,
  type Transport,
} from "../../proto/mod.ts";
import { CuttingProxy, type CutWays, HalfOpenTransport } from "../helpers/half_open.ts";
import { inWorld, Person } from "../helpers/world.ts";
import { TestRelay } from "../server/test_relay.ts";

/** A relay in memory, and people whose lines can be cut. */
class Place {
  readonly people: Person[] = [];
  readonly lines: HalfOpenTransport[] = [];

  private constructor(readonly relay: TestRelay) {}

  static async open(): Promise<Place> {
    return new Place(await TestRelay.start());
  }

  get clock(): FakeClock {
    return this.relay.clock;
  }

  /** @param options.reach gives each stream; the relay's by default */
  async person(name: string, options: { reach?: () => Transport } = {}): Promise<Person> {
    const { relay, clock } = this;
    const { reach = () => relay.transport() } = options;
    const store = createMemoryStore();
    const client = await openClient({
      store,
      crypto: relay.crypto,
      clock,
      dial: () => {
        const line = new HalfOpenTransport(reach());
        this.lines.push(line);
        return Promise.resolve(line);
      },
      link: relay.relay.link,
      username: name,
    });
    const person = new Person(name, client, store);
    this.people.push(person);
    return person;
  }

  async connected(name: string): Promise<{ person: Person; line: HalfOpenTransport }> {
    const person = await this.person(name);
    await person.client.connect();
    return { person, line: this.lines.at(-1)! };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.people.map((person) => person.client.close()));
    for (const line of this.lines) line.dispose();
    await this.relay.stop();
  }
}

const lastStatus = (person: Person) => person.of("Status").at(-1);

/** Waits for the loss, sits the pause out, and waits for the new connection. */
async function comesBack(person: Person, clock: FakeClock): Promise<void> {
  await person.until("to notice", () => lastStatus(person)?.status === "offline");
  assert.ok(lastStatus(person)!.retryInMs! > 0);
  clock.advance(lastStatus(person)!.retryInMs!);
  await person.until("to be back", () => lastStatus(person)?.status === "online");
}

/** Moves on in steps that leave people whose line works the time to answer. */
async function pass(clock: FakeClock, spanMs: number): Promise<void> {
  for (let leftMs = spanMs; leftMs > 0; leftMs -= 1_000) {
    clock.advance(Math.min(1_000, leftMs));
    for (let turn = 0; turn < 3; turn++) await new Promise<void>((done) => setImmediate(done));
  }
}

for (const ways of ["both", "in"] as const satisfies readonly CutWays[]) {
  const what = ways === "both" ? "never reached the relay" : "reached the relay, which could not say so,";
  Deno.test(`a message sent into a dead connection that ${what} is delivered once after the reconnect`, async () => {
    await using place = await Place.open();
    const [{ person: alice, line }, { person: bob }] = [
      await place.connected("alice"),
      await place.connected("bob"),
    ];
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.until("to see bob", () => alice.of("MemberJoined").length > 0);
    line.cut(ways);
    const sending = alice.client.send(room, "into the void");
    if (ways === "in") await bob.hears("into the void");
    assert.equal(alice.client.status.status, "online");
    await pass(place.clock, DEAD_AFTER_MS);
    await comesBack(alice, place.clock);
    await sending.accepted;
    await alice.says(room, "and once more");
    await bob.hears("and once more");
    assert.deepEqual(bob.texts("#room"), ["into the void", "and once more"]);
  });
}

Deno.test("after a sleep a dead connection is replaced within seconds, and a live one stays", async () => {
  await using place = await Place.open();
  const [{ person: alice, line }, { person: bob }] = [
    await place.connected("alice"),
    await place.connected("bob"),
  ];
  line.cut();
  place.clock.suspend(8 * 3_600_000, { monotonic: false });
  await pass(place.clock, SURROUNDINGS_CHECK_MS + PROBE_TIMEOUT_MS);
  await comesBack(alice, place.clock);
  const room = await alice.client.join("#room");
  await bob.client.join("#room");
  await alice.says(room, "good morning");
  await bob.hears("good morning");
  assert.deepEqual(bob.of("Status").map(({ status }) => status), ["connecting", "online"]);
});

Deno.test("a relay that takes connections and says nothing, or nothing after AUTH, is tried again and again", async () => {
  await using place = await Place.open();
  const { clock, relay } = place;
  let reach = () => relay.transport();
  const alice = await place.person("alice", { reach: () => reach() });
  await alice.client.connect();

  const mute: Transport[] = [];
  reach = () => {
    const [near, far] = memoryTransportPair();
    mute.push(far);
    return near;
  };
  place.lines[place.lines.length - 1].dispose();
  await alice.until("to lose the relay", () => lastStatus(alice)?.status === "offline");
  clock.advance(lastStatus(alice)!.retryInMs!);
  await alice.until("to dial", () => lastStatus(alice)?.status === "connecting");
  while (lastStatus(alice)?.status === "connecting") await pass(clock, 1_000);
  assert.match(lastStatus(alice)!.reason!, /did not answer in time/);

  const deaf = Promise.withResolvers<void>();
  reach = () => deafAfterHandshake(relay.transport(), deaf.resolve);
  clock.advance(lastStatus(alice)!.retryInMs!);
  await deaf.promise; // AUTH_OK came, and alice does not hear it
  clock.advance(AUTH_TIMEOUT_MS);
  await alice.until("to give up", () => lastStatus(alice)?.status === "offline");
  assert.equal(lastStatus(alice)!.reason, "Cannot log in: the relay did not answer in time");

  reach = () => relay.transport();
  await comesBack(alice, clock);
  for (const transport of mute) transport.close();
});

Deno.test("close() leaves no timer, whether online, waiting or dialling", async () => {
  for (const state of ["online", "offline", "connecting"] as const) {
    const relay = await TestRelay.start();
    const clock = new FakeClock(); // the relay's timers are its own
    const store = createMemoryStore();
    let dials = 0;
    const client = await openClient({
      store,
      crypto: relay.crypto,
      clock,
      dial() {
        if (state === "online") return Promise.resolve(relay.transport());
        if (state === "connecting") return new Promise<Transport>(() => dials++);
        return Promise.reject(new Error(`dial ${dials++}`));
      },
      link: relay.relay.link,
      username: "alice",
    });
    const alice = new Person("alice", client, store);
    const connecting = client.connect({ patient: true });
    connecting.catch(() => {}); // closed before it stood
    await alice.until(`to be ${state}`, () => lastStatus(alice)?.status === state);
    assert.equal(client.status.status, state);
    await client.close();
    assert.equal(clock.pendingTimers, 0);
    assert.equal(client.status.status, "offline");
    await relay.stop();
  }
});

Deno.test("over TCP: a change of network finds the dead connection, and what was sent into it is delivered once", () =>
  inWorld(async (world) => {
    const clock = new FakeClock(Date.now());
    const proxy = new CuttingProxy(parseEndpoint(world.relay.address));
    const network = { current: "192.0.2.1", addresses: () => network.current };
    const store = createMemoryStore();
    const client = await openClient({
      store,
      crypto: world.crypto,
      clock,
      network,
      dial: ({ signal }) => connectTcp({ ...proxy.address, signal }),
      link: world.relay.link,
      username: "alice",
    });
    try {
      const alice = new Person("alice", client, store);
      await client.connect();
      const bob = await world.person("bob");
      const room = await client.join("#room");
      await bob.client.join("#room");
      await alice.until("to see bob", () => alice.of("MemberJoined").length > 0);
      proxy.cutAll();
      const sending = client.send(room, "from the train");
      network.current = "198.51.100.7";
      clock.advance(SURROUNDINGS_CHECK_MS);
      assert.equal(client.online, true);
      clock.advance(PROBE_TIMEOUT_MS);
      assert.equal(client.online, false);
      await comesBack(alice, clock);
      await sending.accepted;
      await alice.says(room, "and arrived");
      await bob.hears("and arrived");
      assert.deepEqual(bob.texts("#room"), ["from the train", "and arrived"]);
    } finally {
      await client.close();
      await proxy.close();
    }
  }));

/** Lets the relay's first message through, the handshake's, and nothing after it. */
function deafAfterHandshake(inner: Transport, onDeaf: () => void): Transport {
  return {
    remoteAddress: inner.remoteAddress,
    send: (bytes) => inner.send(bytes),
    close: () => inner.close(),
    async *[Symbol.asyncIterator]() {
      let heard = 0;
      for await (const chunk of inner) {
        if (heard++ === 0) yield chunk;
        else onDeaf();
      }
    },
  };
}
