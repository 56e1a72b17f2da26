/** All fault scenarios, each in a short form for every change and in a long one, cut in parts, for `deno task soak`. */

import type { Random } from "../../fuzz/prng.ts";
import { breakNetwork } from "./broken_network.ts";
import { killClient } from "./client_kills.ts";
import { damageProfiles } from "./damaged_profile.ts";
import { fillProfileDisk, fillRelayDisk } from "./full_disk.ts";
import type { Death } from "./lines.ts";
import { killRelay } from "./relay_kills.ts";
import { SmallDisk } from "./small_disk.ts";
import { stallReaders } from "./stalled_reader.ts";
import { raiseStorm } from "./storm.ts";

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
  {
    name: "broken-network",
    what: "connections are reset, cut, half open, stalled, late and split",
    lacks: null,
    parts: 5,
    short: (seed) => breakNetwork({ seed, people: 4, rounds: 1, disturbances: 8 }),
    long: (seed, part) => breakNetwork({ seed, people: 3 + 2 * part, rounds: 5, disturbances: 8 + 4 * part }),
  },
  {
    name: "stalled-reader",
    what: "a stopped process and a deaf connection; the others go on",
    lacks: null,
    parts: 2,
    short: (seed) => stallReaders({ seed, messages: 30, padding: 3_000 }),
    // The second makes mailboxes overflow.
    long: (seed, part) => stallReaders({ seed, messages: [100, 160][part], padding: [3_000, 7_500][part] }),
  },
  {
    name: "full-profile-disk",
    what: "the disk below a profile fills up",
    lacks: SmallDisk.lacks(),
    parts: 1,
    short: (seed) => fillProfileDisk({ seed, rounds: 2 }),
    long: (seed) => fillProfileDisk({ seed, rounds: 8 }),
  },
  {
    name: "full-relay-disk",
    what: "the disk below the relay's data fills up",
    lacks: SmallDisk.lacks(),
    parts: 1,
    short: (seed) => fillRelayDisk({ seed, rounds: 2 }),
    long: (seed) => fillRelayDisk({ seed, rounds: 8 }),
  },
  {
    name: "damaged-profile",
    what: "flipped bits in a profile's rows and file",
    lacks: null,
    parts: 1,
    short: (seed) => damageProfiles({ seed, damages: 30 }),
    long: (seed) => damageProfiles({ seed, damages: 1_000 }),
  },
  {
    name: "storm",
    what: "relay, clients and connections break all at once",
    lacks: null,
    parts: 5,
    short: (seed) => raiseStorm({ seed, people: 4, rounds: 2 }),
    long: (seed, part) => raiseStorm({ seed, people: 3 + 2 * part, rounds: 6 }),
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
