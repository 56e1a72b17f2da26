/** All fault scenarios, each in a short form for every change and in a long one, cut in parts, for `deno task soak`. */

import type { Random } from "../../fuzz/prng.ts";
import { killClient } from "./client_kills.ts";
import type { Death } from "./lines.ts";
import { killRelay } from "./relay_kills.ts";

/** Something that is broken on purpose. */
export interface Scenario {
  readonly name: string;
  readonly what: string;
  /** What the machine lacks for it, or null. */
  readonly lacks: string | null;
  /** How many parts make the long form. */
  readonly parts: number;
  /** Both forms depend on the seed, and on how the system schedules the processes. @throws where anything is not as it has to be */
  short(seed: string): Promise<void>;
  /** @param part from 0 to `parts` − 1 */
  long(seed: string, part: number): Promise<void>;
}

const RELAY_KILL_PARTS = 20;
const RELAY_KILL_ROUNDS = 10; // in each part: 200 in all
const CLIENT_KILL_PARTS = 12;
const SHORT_CLIENT_DEATHS = 8;

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "relay-kills",
    what: "kill -9 of the relay at random moments while people talk",
    lacks: null,
    parts: RELAY_KILL_PARTS,
    short: (seed) => killRelay({ seed, people: 4, rounds: 3 }),
    // From 3 to 20 people.
    long: (seed, part) =>
      killRelay({
        seed,
        people: 3 + Math.round(part * 17 / (RELAY_KILL_PARTS - 1)),
        rounds: RELAY_KILL_ROUNDS,
      }),
  },
  {
    name: "client-kills",
    what: "kill -9 of a client before and after each of its transactions",
    lacks: null,
    parts: CLIENT_KILL_PARTS,
    short: (seed) =>
      killClient({ seed, choose: (deaths, random) => sample(deaths, SHORT_CLIENT_DEATHS, random) }),
    long: (seed, part) =>
      killClient({ seed, choose: (deaths) => deaths.filter((_, i) => i % CLIENT_KILL_PARTS === part) }),
  },
];

/** The command that runs one seed again. */
export function again(scenario: Scenario, options: { seed: string; part: number | null }): string {
  const form = options.part === null ? "--short" : `--part ${options.part}`;
  return `deno task soak --scenario ${scenario.name} --seed ${options.seed} ${form}`;
}

/** Runs one form of a scenario; a failure says how to have it again. @param options.part null: the short form */
export async function runScenario(
  scenario: Scenario,
  options: { seed: string; part: number | null },
): Promise<void> {
  const { seed, part } = options;
  try {
    await (part === null ? scenario.short(seed) : scenario.long(seed, part));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${scenario.name}, seed ${seed}: ${reason}\nAgain with: ${again(scenario, options)}`, {
      cause: error,
    });
  }
}

/** `count` of them, spread over the whole list. */
function sample(deaths: readonly Death[], count: number, random: Random): Death[] {
  const stride = deaths.length / count;
  return Array.from(
    { length: count },
    (_, i) => deaths[Math.floor(i * stride) + random.below(Math.floor(stride))],
  );
}
