/** People who talk all at once, whatever happens to the relay and to their clients meanwhile. */

import type { Random } from "../../fuzz/prng.ts";
import type { Person } from "./person.ts";
import type { FaultWorld } from "./world.ts";

/** What is said. */
export interface TalkOptions {
  readonly conversations: readonly string[];
  /** Makes the texts of one call differ from those of another. */
  readonly round: number;
  readonly random: Random;
  /** How many each member says in each conversation. */
  readonly messages: number;
  /** Characters that fill each message up. @default a random number up to 600 */
  readonly padding?: number;
  /** Who talks. @default everybody */
  readonly people?: readonly Person[];
}

/** Resolves when everything was handed to the clients; what becomes of it is the ledger's to know. */
export async function talk(world: FaultWorld, options: TalkOptions): Promise<void> {
  const { conversations, round, random, messages } = options;
  const speakers = (options.people ?? world.people).map((person) => {
    const lines = conversations.filter((id) => world.ledger.membersOf(id).includes(person.name))
      .flatMap((conversation) =>
        Array.from(
          { length: messages },
          () => ({ conversation, padding: options.padding ?? random.length(600) }),
        )
      );
    return { person, lines: shuffle(lines, random), hurry: random.oneIn(2) };
  });
  await Promise.all(speakers.map(async ({ person, lines, hurry }) => {
    for (const [i, { conversation, padding }] of lines.entries()) {
      const text = `${person.name} ${round}.${i} ${"·".repeat(padding)}`;
      const { lives } = person;
      await person.sayOnce(conversation, text);
      // Some wait for each message to be accepted, some do not.
      if (!hurry) await person.settles(text, lives);
    }
  }));
}

function shuffle<T>(list: readonly T[], random: Random): T[] {
  const rest = [...list];
  return Array.from({ length: rest.length }, () => rest.splice(random.below(rest.length), 1)[0]);
}
