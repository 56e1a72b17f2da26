/** Notices that the machine has slept, or that its network has changed: reasons to look at a connection now rather than later. */

import type { Clock } from "../../proto/mod.ts";
import { SURROUNDINGS_CHECK_MS } from "../limits.ts";
import { momentOf, sleptBetween } from "./moment.ts";
import type { NetworkMonitor } from "./network_monitor.ts";

/** What happened to the machine. */
export type Disturbance = "woke" | "network";

/**
 * Looks at the clocks and the addresses every {@link SURROUNDINGS_CHECK_MS}.
 *
 * @param options.onDisturbance called once for each look that finds something; a wake outweighs a change of network
 * @returns a function that ends it
 */
export function watchSurroundings(
  options: {
    clock: Clock;
    network?: NetworkMonitor;
    onDisturbance: (disturbance: Disturbance) => void;
  },
): () => void {
  const { clock, network, onDisturbance } = options;
  let seen = momentOf(clock);
  let addresses = network?.addresses();
  let cancel = () => {};
  const look = () => {
    const now = momentOf(clock);
    const slept = sleptBetween(seen, now, SURROUNDINGS_CHECK_MS);
    seen = now;
    const before = addresses;
    addresses = network?.addresses();
    cancel = clock.schedule(SURROUNDINGS_CHECK_MS, look);
    if (slept) onDisturbance("woke");
    else if (addresses !== before) onDisturbance("network");
  };
  cancel = clock.schedule(SURROUNDINGS_CHECK_MS, look);
  return () => cancel();
}
