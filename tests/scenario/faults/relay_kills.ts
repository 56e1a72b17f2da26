/** kill −9 of the relay at random moments while people talk in a channel, a private group and a direct message. */

import { Random } from "../../fuzz/prng.ts";
import type { Person } from "./person.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** How {@link killRelay} runs. */
export interface RelayKillOptions {
  readonly seed: string;
  readonly people: number;
  readonly rounds: number;
}

/** In each round everybody talks, the relay is killed and started again, and then everything has to be right. */
export async function killRelay({ seed, people: count, rounds }: RelayKillOptions): Promise<void> {
  const random = new Random(`relay kills ${seed}`);
  await using world = await FaultWorld.open({ seed });
  const people = await world.gather(count);
  const conversations = await openConversations(world, people);
  for (let round = 0; round < rounds; round++) {
    const talking = talk(world, { conversations, round, random, messages: 2 + random.below(5) });
    await world.afterLines(1 + random.below(6 * count), talking);
    await world.relay.kill();
    await world.relay.start();
    await talking;
    await world.settle(conversations);
    await world.verifyLive(conversations);
  }
  await world.verifyStored();
}

/** A channel of all, a private group of three, a direct message of two. */
export async function openConversations(world: FaultWorld, people: readonly Person[]): Promise<string[]> {
  const channel = await world.channel("#room", people);
  const group = await world.group("plans", people.slice(0, 3));
  const direct = await people[0].insist({ do: "direct", account: people[1].name }) as string;
  world.ledger.joined(people[0].name, direct);
  await world.enters(people[1], direct);
  return [channel, group, direct];
}
