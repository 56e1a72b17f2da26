/** Everything at once: the relay is killed, clients are killed at random moments and transactions, connections break. */

import { Random } from "../../fuzz/prng.ts";
import { anyDisturbance, seededPlan } from "./broken_network.ts";
import type { Death } from "./lines.ts";
import { Proxy } from "./proxy.ts";
import { openConversations } from "./relay_kills.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** How {@link raiseStorm} runs. */
export interface StormOptions {
  readonly seed: string;
  readonly people: number;
  readonly rounds: number;
}

/** A restarted client is told to die within so many transactions. */
const MAX_TRANSACTIONS_TO_LIVE = 12;

/** In each round everybody talks through the storm, and when it is over everything has to be right. */
export async function raiseStorm({ seed, people: count, rounds }: StormOptions): Promise<void> {
  const random = new Random(`storm ${seed}`);
  await using world = await FaultWorld.open({ seed });
  await using proxy = await Proxy.open(world.relay.port);
  const people = await world.gather(count, { through: proxy.port });
  const conversations = await openConversations(world, people);
  for (let round = 0; round < rounds; round++) {
    proxy.plan = seededPlan(random, count);
    const talking = talk(world, { conversations, round, random, messages: 3 + random.below(4) });
    for (let blows = 1 + random.below(4); blows > 0; blows--) {
      await world.afterLines(1 + random.below(5 * count), talking);
      switch (random.below(4)) {
        case 0:
          await world.relay.kill();
          await world.relay.start();
          break;
        case 1:
          proxy.disturb(anyDisturbance(random));
          break;
        default: {
          const victim = random.pick(people);
          await victim.kill();
          await victim.start(random.oneIn(2) ? anyDeath(random) : undefined);
        }
      }
    }
    await talking;
    proxy.plan = () => null;
    await world.settle(conversations);
    await world.verifyLive(conversations);
  }
  await world.verifyStored();
}

function anyDeath(random: Random): Death {
  return { at: 1 + random.below(MAX_TRANSACTIONS_TO_LIVE), when: random.pick(["before", "after"] as const) };
}
