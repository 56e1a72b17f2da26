/** Disks that are full: below a client's profile, and below the relay's data. */

import assert from "node:assert/strict";
import { Random } from "../../fuzz/prng.ts";
import { Refused } from "./client_process.ts";
import { openConversations } from "./relay_kills.ts";
import { SmallDisk } from "./small_disk.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** A database here is under 2 MB; its write-ahead log grows to 4 MB before it is brought in. */
const DISK_BYTES = 8 * 1024 * 1024;
const FULL = /disk is full|No space left/;
/** What the databases have reserved lets some transactions through; after so many one has to fail. */
const MAX_TRIES = 500;

/** How both scenarios run. */
export interface FullDiskOptions {
  readonly seed: string;
  readonly rounds: number;
}

/** The profile's disk fills up: what is said is refused with the reason, what others say waits, and all goes on with new room. */
export async function fillProfileDisk({ seed, rounds }: FullDiskOptions): Promise<void> {
  const random = new Random(`profile disk ${seed}`);
  await using stack = new AsyncDisposableStack();
  const disk = stack.use(
    await SmallDisk.mount(DISK_BYTES),
  );
  const world = stack.use(await FaultWorld.open({ seed }));
  const others = await world.gather(2);
  const poor = world.add("poor", { folder: `${disk.folder}/profile` });
  await poor.backOnline();
  const conversations = await openConversations(world, [...others, poor]);
  const [room] = conversations;
  for (let round = 0; round < rounds; round++) {
    await talk(world, { conversations, round, random, messages: 2 });
    await disk.fill(random.below(3) * 4_096);
    const refusal = await refusedAtLast((i) => poor.say(room, `poor ${round} on a full disk ${i}`));
    assert.match(refusal.message, FULL);
    assert.match(refusal.hint ?? "", /Make room/);

    const before = poor.reasons.length;
    await talk(world, { conversations, round: 1_000 + round, random, messages: 2, people: others });
    await poor.until(
      "the reason why nothing is kept",
      () => poor.reasons.slice(before).some((it) => FULL.test(it)),
    );
    if (random.oneIn(2)) {
      await poor.kill();
      // Whether it opens depends on what was left to write. It may not be taken for damage.
      await poor.open().catch((error) => {
        if (!(error instanceof Refused && FULL.test(error.message))) throw error;
      });
      await poor.kill();
    }
    await disk.empty();
    await world.settle(conversations);
    await world.verifyLive(conversations);
  }
  await world.verifyStored();
}

/** The relay's disk fills up: changes of groups are refused, messages go on, and all goes on with new room. */
export async function fillRelayDisk({ seed, rounds }: FullDiskOptions): Promise<void> {
  const random = new Random(`relay disk ${seed}`);
  await using stack = new AsyncDisposableStack();
  const disk = stack.use(
    await SmallDisk.mount(DISK_BYTES),
  );
  const world = stack.use(await FaultWorld.open({ seed, relayData: `${disk.folder}/relay` }));
  const people = await world.gather(3);
  const conversations = await openConversations(world, people);
  const [room] = conversations;
  for (let round = 0; round < rounds; round++) {
    await talk(world, { conversations, round, random, messages: 2 });
    await disk.fill(random.below(3) * 4_096);
    const refusal = await refusedAtLast(() => people[0].tell({ do: "renew", to: room }));
    assert.equal(refusal.code, "INTERNAL");

    await talk(world, { conversations, round: 1_000 + round, random, messages: 2 });
    await world.settle(conversations);
    if (random.oneIn(2)) {
      await world.relay.kill();
      const complaint = await world.relay.tryStart();
      // Whether it starts depends on what was left to write.
      if (complaint !== null) assert.match(complaint, FULL);
    }
    await disk.empty();
    if (!world.relay.running) await world.relay.start();
    await people[0].insist({ do: "renew", to: room });
    await talk(world, { conversations, round: 2_000 + round, random, messages: 1 });
    await world.settle(conversations);
    await world.verifyLive(conversations);
  }
  await world.verifyStored();
}

/** Does something that writes until the disk refuses it. */
async function refusedAtLast(action: (i: number) => Promise<unknown>): Promise<Refused["fault"]> {
  for (let i = 0; i < MAX_TRIES; i++) {
    try {
      await action(i);
    } catch (error) {
      if (error instanceof Refused) return error.fault;
      throw error;
    }
  }
  throw new Error(`a full disk has taken ${MAX_TRIES} transactions`);
}
