/** A relay that keeps mailboxes on disk: what it has accepted arrives although its sender never comes back. */

import assert from "node:assert/strict";
import {
  type MailboxStore,
  openSqliteMailboxStore,
  openSqliteRelayStore,
  welcomeDelivery,
} from "../../server/mod.ts";
import { World } from "../helpers/world.ts";

/** Runs `story` with a relay whose data folder is all that it has after a restart. */
async function inFolder(story: (world: World) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const store = openSqliteRelayStore(`${folder}/relay.db`);
  const mailboxes = (): MailboxStore =>
    openSqliteMailboxStore(`${folder}/mailbox.db`, {
      welcome: (head) => welcomeDelivery(store, head),
      log: ({ type }) => assert.fail(type),
    });
  const world = await World.open({ store, mailboxes });
  try {
    await story(world);
  } finally {
    await world.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("alice's machine is gone for good, the relay restarts, and bob gets all she said, in order, once", async () => {
  await inFolder(async (world) => {
    const [alice, bob] = [await world.person("alice"), await world.person("bob")];
    const channel = await alice.client.join("#general");
    await bob.client.join("#general");
    await alice.says(channel, "before");
    await bob.hears("before");
    await bob.client.close();
    const said = Array.from({ length: 5 }, (_, i) => `news ${i}`);
    for (const text of said) await alice.says(channel, text);
    const group = await alice.client.createGroup("Tea time");
    await alice.client.invite(group, "bob");
    await alice.says(group, "cake");
    await alice.client.close();

    await world.restartRelay();
    const again = await world.person("bob", { store: bob.store });
    await again.hears("cake");
    assert.deepEqual(again.texts("#general"), said);
    assert.deepEqual(again.texts("Tea time"), ["cake"], "the Welcome came before it");
    assert.deepEqual(again.of("Gap"), []);
    await again.says(await again.has("#general"), "thanks");
    await world.restartRelay();
    const later = await world.restart(again);
    await later.says(await later.has("#general"), "and again");
    assert.deepEqual(later.texts("#general"), ["and again"], "nothing came twice");
  });
});

Deno.test("alice comes back and sends again what the relay has on disk: bob gets it once, and she hears of it", async () => {
  await inFolder(async (world) => {
    const [alice, bob] = [await world.person("alice"), await world.person("bob")];
    const channel = await alice.client.join("#general");
    await bob.client.join("#general");
    await bob.client.close();
    const ids: string[] = [];
    for (const text of ["one", "two"]) ids.push(await alice.says(channel, text));
    await alice.client.close();
    await world.restartRelay();
    const aliceAgain = await world.person("alice", { store: alice.store });
    await aliceAgain.says(await aliceAgain.has("#general"), "three");
    const bobAgain = await world.person("bob", { store: bob.store });
    await bobAgain.hears("three");
    assert.deepEqual(bobAgain.texts("#general"), ["one", "two", "three"]);
    await aliceAgain.until(
      "to hear that bob has them",
      () =>
        ids.every((id) =>
          aliceAgain.of("MsgSent").some((event) => event.id === id && event.state === "delivered")
        ),
    );
  });
});
