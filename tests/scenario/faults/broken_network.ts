/** People whose connections are cut, go half open, stall, come late or in single bytes, at any point from the handshake on. */

import { Random } from "../../fuzz/prng.ts";
import { openConversations } from "./relay_kills.ts";
import { type Disturbance, type Lane, type Plan, Proxy } from "./proxy.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** How {@link breakNetwork} runs. */
export interface BrokenNetworkOptions {
  readonly seed: string;
  readonly people: number;
  readonly rounds: number;
  /** How many connections of a round are disturbed before they are left alone. */
  readonly disturbances: number;
}

/** A login takes about 15 kB up and 4 kB down: about half of the disturbances come before its end. */
const MAX_UNDISTURBED_BYTES = { up: 30_000, down: 10_000 } as const;
const MAX_DELAY_MS = 20;

/** In each round everybody talks over connections that break, and then everything has to be right. */
export async function breakNetwork(options: BrokenNetworkOptions): Promise<void> {
  const { seed, people: count, rounds, disturbances } = options;
  const random = new Random(`broken network ${seed}`);
  await using world = await FaultWorld.open({ seed });
  await using proxy = await Proxy.open(world.relay.port);
  const people = await world.gather(count, { through: proxy.port });
  const conversations = await openConversations(world, people);
  for (let round = 0; round < rounds; round++) {
    proxy.plan = seededPlan(random, disturbances);
    proxy.disturb(anyDisturbance(random));
    await talk(world, { conversations, round, random, messages: 2 + random.below(4) });
    // What hangs is cut before all have to be right, but not what may find out by itself.
    proxy.plan = () => null;
    if (random.oneIn(2)) proxy.relieve();
    await world.settle(conversations);
    await world.verifyLive(conversations);
  }
  await world.verifyStored();
}

/** Disturbs the next so many connections. */
export function seededPlan(random: Random, disturbances: number): Plan {
  let left = disturbances;
  return () => {
    if (left-- <= 0) return null;
    const lane = anyLane(random);
    const afterBytes = random.below(MAX_UNDISTURBED_BYTES[lane]);
    return { lane, afterBytes, disturbance: anyDisturbance(random) };
  };
}

/** Any one. */
export function anyDisturbance(random: Random): Disturbance {
  const lane = anyLane(random);
  return random.pick<Disturbance>([
    { kind: "reset" },
    { kind: "reset" },
    { kind: "finish" },
    { kind: "half-open" },
    { kind: "stall", lane },
    { kind: "delay", lane, delayMs: 1 + random.below(MAX_DELAY_MS) },
    { kind: "split", lane, bytes: 1 + random.length(100) },
  ]);
}

function anyLane(random: Random): Lane {
  return random.pick(["up", "down"] as const);
}
