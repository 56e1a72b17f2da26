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

/**
 * In each round people talk, the relay is killed and started again, and then everything has to be right. Some people are away meanwhile,
 * killed or stopped: what waits for them is in the relay's memory only, or has arrived without the relay's having been told.
 */
export async function killRelay({ seed, people: count, rounds }: RelayKillOptions): Promise<void> {
  const random = new Random(`relay kills ${seed}`);
  await using world = await FaultWorld.open({ seed });
  const people = await world.gather(count);
  const conversations = await openConversations(world, people);
  for (let round = 0; round < rounds; round++) {
    const away = people.filter((_, i) => i > 1 && random.oneIn(2)); // two at least talk
    const stopped = away.filter(() => random.oneIn(2));
    await Promise.all(
      away.map((person) => stopped.includes(person) ? person.signal("SIGSTOP") : person.kill()),
    );
    const here = people.filter((person) => !away.includes(person));
    const talking = talk(world, {
      conversations,
      round,
      random,
      messages: 2 + random.below(5),
      people: here,
    });
    await world.afterLines(1 + random.below(6 * count), talking);
    await world.relay.kill();
    for (const person of stopped) person.signal("SIGCONT");
    await world.relay.start();
    // Whatever is sent again after this commit is sealed anew: only its id tells that it is the same.
    const renewing = random.oneIn(2) ? random.pick(here).insist({ do: "renew", to: conversations[0] }) : null;
    await Promise.all([talking, renewing]);
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
