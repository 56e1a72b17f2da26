/**
 * kill −9 of a client around each of its transactions. A newcomer goes through a fixed story (making the profile, logging in, a
 * channel found and a channel opened, groups made and entered, a direct message, messages both ways, a change of keys) and dies at one
 * place of it; it is started again and finishes the story, and then everything has to be right.
 */

import { Random } from "../../fuzz/prng.ts";
import { Died } from "./client_process.ts";
import type { Death } from "./lines.ts";
import type { Person } from "./person.ts";
import { FaultWorld } from "./world.ts";

/** Picks the deaths to try out of all there are. */
export type Choice = (deaths: readonly Death[], random: Random) => readonly Death[];

/** Cases that share a relay: each registration makes the next one a little dearer. */
const CASES_PER_WORLD = 24;

/** Lives the story once to count the transactions, then once for each death that `choose` picks. */
export async function killClient(options: { seed: string; choose: Choice }): Promise<void> {
  const random = new Random(`client kills ${options.seed}`);
  let left: readonly Death[] | null = null;
  while (left === null || left.length > 0) {
    await using world = await FaultWorld.open({ seed: options.seed });
    const friends = await world.gather(2);
    left ??= options.choose(deathsWithin(await liveAndDie(world, friends, null)), random);
    for (const death of left.slice(0, CASES_PER_WORLD)) await liveAndDie(world, friends, death);
    left = left.slice(CASES_PER_WORLD);
    await world.verifyStored();
  }
}

/** Before and after each of `writes` transactions. */
function deathsWithin(writes: number): Death[] {
  return Array.from({ length: writes }, (_, i) => i + 1)
    .flatMap((at) => [{ at, when: "before" as const }, { at, when: "after" as const }]);
}

let victims = 0;

/** @returns how many transactions the client's last life took */
async function liveAndDie(
  world: FaultWorld,
  [bob, carol]: readonly Person[],
  death: Death | null,
): Promise<number> {
  const name = `v${victims++}`;
  const victim = world.add(name);
  const { ledger } = world;
  try {
    const room = await world.channel(`#${name}`, [bob]);
    await victim.start(death ?? undefined);
    await world.channel(`#${name}`, [victim]);
    await exchange(world, room, { first: bob, second: victim });

    const own = await world.channel(`#own-${name}`, [victim]);
    await victim.sayOnce(own, `${name} in an empty channel`);

    const made = await makeOnce(victim, `by-${name}`);
    ledger.joined(name, made);
    await victim.insist({ do: "invite", to: made, account: bob.name });
    await world.enters(bob, made);
    await exchange(world, made, { first: victim, second: bob });

    const entered = await world.group(`for-${name}`, [carol, victim]);
    await exchange(world, entered, { first: carol, second: victim });

    const direct = await victim.insist({ do: "direct", account: bob.name }) as string;
    ledger.joined(name, direct);
    await world.enters(bob, direct);
    await exchange(world, direct, { first: victim, second: bob });

    await victim.insist({ do: "renew", to: room });
    await exchange(world, room, { first: victim, second: bob });

    const conversations = [room, own, made, entered, direct];
    await world.settle(conversations);
    await world.verifyLive(conversations);
    const writes = await victim.insist({ do: "writes" }) as number;
    await world.dismiss(victim);
    return writes;
  } catch (error) {
    const where = death === null ? "without a death" : `dying ${death.when} transaction ${death.at}`;
    throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

let exchanges = 0;

/** Each says two things; the second answers once it has seen the first's. */
async function exchange(
  world: FaultWorld,
  conversation: string,
  { first, second }: { first: Person; second: Person },
): Promise<void> {
  const number = exchanges++;
  for (const [speaker, listener] of [[first, second], [second, first]]) {
    const texts = [1, 2].map((i) => `${speaker.name} ${number}.${i}`);
    for (const text of texts) await speaker.sayOnce(conversation, text);
    // What a death has kept from being stored is not waited for.
    for (const text of texts) await world.reaches({ conversation, text, speaker, listener });
  }
}

/** Makes a group, however often the client dies of it; a group that it already has is not made again. */
async function makeOnce(person: Person, name: string): Promise<string> {
  for (;;) {
    const made = (await person.conversations()).find(({ title }) => title === name);
    if (made !== undefined) return made.id;
    try {
      return await person.tell({ do: "create", name }) as string;
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
  }
}
