/**
 * Ten members commit at once, a thousand times over, on schedules that a seed decides. A failure names its seed, its round and the last
 * steps; `deno task test --filter 'seed "NAME"' tests/scenario/commit_races_test.ts` runs that seed alone.
 */

import assert from "node:assert/strict";
import { DeliveryKind } from "../../proto/mod.ts";
import { MemoryRelayStore } from "../../server/mod.ts";
import { InProcessBus, type Recipient } from "../../server/bus.ts";
import type { SharedDelivery } from "../../server/delivery.ts";
import { PushResult } from "../../server/mailbox.ts";
import type { StoredCommit } from "../../server/store.ts";
import { Race, type RaceOptions } from "./races/race.ts";

const ROUNDS = 250;

for (const seed of ["arctic", "basalt", "cinder"]) {
  Deno.test(`ten members of a group commit at once, ${ROUNDS} rounds: all agree, seed "${seed}"`, () =>
    runRounds({ seed }));
}

Deno.test(`ten members of a channel commit at once, ${ROUNDS} rounds: all agree, seed "dune"`, () =>
  runRounds({ seed: "dune", kind: "channel" }));

Deno.test("a seed decides the whole schedule of a race", async () => {
  const traceOf = (seed: string) =>
    inRace({ seed }, async (race) => {
      await race.run(6);
      return race.trace;
    });
  const first = await traceOf("again");
  assert.equal(await traceOf("again"), first);
  assert.notEqual(await traceOf("another"), first);
});

Deno.test("a relay that accepts two commits for one epoch is found out by the members' authenticators", () => {
  const relayStore = new DoubleDealingStore();
  const bus = new SecretiveBus(() => relayStore.keepsQuiet);
  return inRace({ seed: "control", relayStore, bus }, async (race) => {
    await race.run(2);
    relayStore.doubleDealing = true;
    await assert.rejects(race.run(20), /seed "control", round \d+: \w+'s epoch authenticator/);
  });
});

async function runRounds(options: RaceOptions): Promise<void> {
  await inRace(options, async (race) => {
    await race.run(ROUNDS);
    const { tally } = race;
    assert.equal(tally.rounds, ROUNDS);
    // The rounds were races, and the schedule did to them what it is for.
    const conflicts = tally.outcomes.get("CONFLICT") ?? 0;
    const unanswered = (tally.outcomes.get("CLOSED") ?? 0) + (tally.outcomes.get("TIMEOUT") ?? 0);
    assert.ok(tally.accepted >= ROUNDS, `${tally.accepted} commits`);
    assert.ok(conflicts > 5 * ROUNDS, `${conflicts} conflicts`);
    assert.ok(tally.apart > 10 * ROUNDS, `apart after ${tally.apart} steps`);
    assert.ok(unanswered > ROUNDS / 10, `${unanswered} commits without an answer`);
    assert.ok(tally.lostAnswers > 0, "no accepted commit lost its answer");
    assert.ok(tally.farthest > 1, "nobody was far behind");
  });
}

async function inRace<T>(options: RaceOptions, story: (race: Race) => Promise<T>): Promise<T> {
  const race = await Race.open(options);
  try {
    return await story(race);
  } finally {
    await race.close();
  }
}

/** Accepts a commit that nobody hears of, and another one for the same epoch. */
class DoubleDealingStore extends MemoryRelayStore {
  doubleDealing = false;
  /** From the first of the two commits to the second. */
  keepsQuiet = false;

  override commit(commit: StoredCommit): boolean {
    this.keepsQuiet = false;
    if (!super.commit(commit)) return false;
    if (!this.doubleDealing || commit.add.length + commit.remove.length > 0) return true;
    this.doubleDealing = false;
    this.keepsQuiet = true;
    this.takeBack(commit.group, commit.epoch);
    // The group's state in the relay's memory follows the commit's epoch.
    Object.assign(commit, { epoch: commit.epoch - 1 });
    return true;
  }
}

/** Does not pass commits on while it keeps quiet. */
class SecretiveBus extends InProcessBus {
  constructor(private readonly keepsQuiet: () => boolean) {
    super();
  }

  override deliver(recipient: Recipient, delivery: SharedDelivery): PushResult {
    if (delivery.kind === DeliveryKind.COMMIT && this.keepsQuiet()) return PushResult.QUEUED;
    return super.deliver(recipient, delivery);
  }
}
