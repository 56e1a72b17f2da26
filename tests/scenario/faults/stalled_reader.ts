/**
 * Readers that stall: a client process that is stopped (SIGSTOP) and a connection that nobody reads any more. The others go on
 * undisturbed; afterwards the reader catches up, and where its mailbox has overflowed a gap stands.
 */

import { Random } from "../../fuzz/prng.ts";
import { Proxy } from "./proxy.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** How {@link stallReaders} runs. */
export interface StalledReaderOptions {
  readonly seed: string;
  /** Messages of each of the three others while two stall. */
  readonly messages: number;
  /** Characters that fill each of them up. */
  readonly padding: number;
}

/** Three people talk while two do not read, until the three have everything; then the two catch up. */
export async function stallReaders({ seed, messages, padding }: StalledReaderOptions): Promise<void> {
  const random = new Random(`stalled reader ${seed}`);
  await using world = await FaultWorld.open({ seed, gaps: "allowed" });
  await using proxy = await Proxy.open(world.relay.port);
  const talkers = await world.gather(3);
  const stopped = world.add("stopped");
  const deaf = world.add("deaf", { through: proxy.port });
  const all = [...talkers, stopped, deaf];
  await Promise.all([stopped.backOnline(), deaf.backOnline()]);
  const room = await world.channel("#room", all);
  await world.settle([room]);

  stopped.signal("SIGSTOP");
  proxy.disturb({ kind: "stall", lane: "down" });
  const offlineBefore = talkers.map((person) => person.losses);
  await talk(world, { conversations: [room], round: 0, random, messages, padding, people: talkers });
  await world.settle([room], talkers);
  const disturbed = talkers.filter((person, i) => person.losses > offlineBefore[i]);
  if (disturbed.length > 0) throw new Error(`a stalled reader has disturbed\n${disturbed[0].describe()}`);

  stopped.signal("SIGCONT");
  proxy.relieve();
  await world.settle([room]);
  await world.verifyLive([room]);
  await world.verifyStored();
}
