/** A relay that misbehaves: it repeats, changes, drops, and lies about people. Clients show each message once, or say what is missing. */

import assert from "node:assert/strict";
import { createMemoryStore } from "../../client/store/mod.ts";
import { connectTcp, selectProvider, systemClock } from "../../proto/mod.ts";
import {
  type Bus,
  InProcessBus,
  MemoryMailboxStore,
  MemoryRelayStore,
  startRelay,
} from "../../server/mod.ts";
import { SharedDelivery } from "../../server/delivery.ts";
import { openClient } from "../../client/mod.ts";
import { inWorld, Person } from "../helpers/world.ts";

Deno.test("a relay that delivers everything twice shows each message once", () =>
  withBus((inner) => ({
    publish(group, delivery, except) {
      inner.publish(group, delivery, except);
      return inner.publish(group, delivery, except);
    },
  }), async (alice, bob) => {
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    await alice.says(room, "one");
    await alice.client.renewKeys(room);
    await alice.says(room, "two");
    await bob.hears("two");
    assert.deepEqual(bob.texts("#room"), ["one", "two"]);
    assert.deepEqual(bob.of("Gap"), []);
  }));

Deno.test("a relay that replays old envelopes under new ids shows nothing twice", () => {
  const kept: SharedDelivery[] = [];
  return withBus((inner) => ({
    publish(group, delivery, except) {
      const published = inner.publish(group, delivery, except);
      for (const old of kept) inner.publish(group, withNewEnvelopeId(old), except);
      kept.push(delivery);
      return published;
    },
  }), async (alice, bob) => {
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    for (const text of ["one", "two", "three"]) await alice.says(room, text);
    await bob.hears("three");
    assert.deepEqual(bob.texts("#room"), ["one", "two", "three"]);
    assert.deepEqual(bob.of("Gap"), []);
  });
});

Deno.test("a message that was changed on the way is marked, and the next one is read", () => {
  let spoil = false;
  return withBus((inner) => ({
    publish(group, delivery, except) {
      return inner.publish(group, spoil ? withFlippedBit(delivery) : delivery, except);
    },
  }), async (alice, bob) => {
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    spoil = true;
    await alice.says(room, "spoiled");
    spoil = false;
    await alice.says(room, "whole");
    await bob.hears("whole");
    assert.deepEqual(bob.texts("#room"), ["whole"]);
    assert.equal(bob.of("Gap").length, 1);
    const [mark] = bob.client.history(bob.client.find("#room"), { limit: 10 });
    assert.match(mark.message.gap ?? "", /could not be verified/);
  });
});

Deno.test("a relay that drops a message is found out by the next one, which is read", () => {
  let drop = false;
  return withBus((inner) => ({
    publish(group, delivery, except) {
      return drop ? { queued: 1, full: 0 } : inner.publish(group, delivery, except);
    },
  }), async (alice, bob) => {
    const room = await alice.client.join("#room");
    await bob.client.join("#room");
    drop = true;
    await alice.says(room, "lost");
    drop = false;
    await alice.says(room, "found");
    await bob.hears("found");
    assert.deepEqual(bob.of("Gap").map(({ reason }) => reason), ["a message from alice did not come"]);
    await alice.says(room, "and on");
    await bob.hears("and on");
    assert.equal(bob.of("Gap").length, 1);
    const shown = bob.client.history(bob.client.find("#room"), { limit: 10 });
    assert.deepEqual(shown.map(({ message }) => message.gap === undefined ? message.text : "---"), [
      "---",
      "found",
      "and on",
    ]);
  });
});

Deno.test("a relay that hands out somebody else's KeyPackage for a name is refused", async () => {
  const store = new MemoryRelayStore();
  let mallory: string | null = null;
  const lying = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name === "takeKeyPackage" && mallory !== null) {
        const device = target.devicesOf(mallory)[0].device;
        return (_: unknown, suite: number) => target.takeKeyPackage(device, suite);
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await inWorld(async (world) => {
    const alice = await world.person("alice");
    await world.person("bob");
    await world.person("mallory");
    mallory = "mallory";
    await assert.rejects(alice.client.openDirect("bob"), { code: "BAD_CERTIFICATE" });
  }, { store: lying });
});

/** Alice and bob at a relay whose bus behaves as `misbehave` says. */
async function withBus(
  misbehave: (inner: InProcessBus) => Pick<Bus, "publish">,
  story: (alice: Person, bob: Person) => Promise<void>,
): Promise<void> {
  const inner = new InProcessBus();
  const { publish } = misbehave(inner);
  const bus: Bus = {
    subscribe: inner.subscribe.bind(inner),
    unsubscribe: inner.unsubscribe.bind(inner),
    forget: inner.forget.bind(inner),
    subscribers: inner.subscribers.bind(inner),
    deliver: inner.deliver.bind(inner),
    publish,
  };
  const crypto = await selectProvider();
  const relay = await startRelay({
    listen: { hostname: "127.0.0.1", port: 0 },
    store: new MemoryRelayStore(),
    mailboxes: new MemoryMailboxStore(),
    crypto,
    clock: systemClock,
    name: "misbehaving",
    bus,
  });
  const people: Person[] = [];
  try {
    for (const username of ["alice", "bob"]) {
      const store = createMemoryStore();
      const client = await openClient({ store, crypto, dial: connectTcp, link: relay.link, username });
      people.push(new Person(username, client, store));
      await client.connect();
    }
    await story(people[0], people[1]);
  } finally {
    for (const person of people) await person.client.close();
    await relay.stop();
  }
}

/** Byte 25 on is the envelope id (PROTOCOL.md section 7). */
function withNewEnvelopeId(delivery: SharedDelivery): SharedDelivery {
  return altered(delivery, (bytes) => bytes[25] ^= 0xff);
}

function withFlippedBit(delivery: SharedDelivery): SharedDelivery {
  return altered(delivery, (bytes) => bytes[bytes.length - 100] ^= 1);
}

function altered(delivery: SharedDelivery, change: (bytes: Uint8Array) => void): SharedDelivery {
  const bytes = delivery.frame!.parts[0].slice();
  change(bytes);
  const { kind, group, sender, size, atMs, frame } = delivery;
  return new SharedDelivery(kind, group, sender, size, atMs, { type: frame!.type, parts: [bytes] });
}
