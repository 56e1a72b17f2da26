/** The short form of every fault scenario. `deno task soak` runs the long ones. */

import { requirement } from "../../require.ts";
import { runScenario, SCENARIOS } from "./scenarios.ts";

/** Fixed, so that two runs of the tests do the same. */
const SEED = "1";

for (const scenario of SCENARIOS) {
  requirement(scenario.lacks === null, scenario.lacks ?? "").test(
    `${scenario.name}: ${scenario.what}; each accepted message is shown once and in order`,
    () => runScenario(scenario, { seed: SEED, part: null }),
  );
}
