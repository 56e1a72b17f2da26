/** Every fuzz target. A new decoder gets a new target. */

import { clientTargets } from "./client_targets.ts";
import { contentTargets } from "./content_targets.ts";
import { deviceTargets } from "./device_targets.ts";
import { discoveryTargets } from "./discovery_targets.ts";
import { handshakeTargets } from "./handshake_targets.ts";
import { lanTargets } from "./lan_targets.ts";
import { messageTargets } from "./message_targets.ts";
import { mlsTargets } from "./mls_targets.ts";
import { operateTargets } from "./operate_targets.ts";
import { recordTarget } from "./record_target.ts";
import { relayTargets } from "./relay_targets.ts";
import type { FuzzTarget } from "./runner.ts";
import { storeTargets } from "./store_targets.ts";
import { trustTargets } from "./trust_targets.ts";
import { wireTargets } from "./wire_targets.ts";

/** From the outside in: the wire, whom to trust, the relay, MLS, the client, what is kept, what an operator asks. */
export const TARGETS: readonly FuzzTarget[] = [
  ...wireTargets,
  recordTarget,
  ...messageTargets,
  ...trustTargets,
  ...discoveryTargets,
  ...lanTargets,
  ...deviceTargets,
  ...handshakeTargets,
  ...relayTargets,
  ...mlsTargets,
  ...contentTargets,
  ...clientTargets,
  ...storeTargets,
  ...operateTargets,
];
