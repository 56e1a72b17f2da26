/** Looking for relays on the local network, in a worker that reaches nothing else. */

import type { Browse } from "../client/discovery/mod.ts";
import { AronaError, lanInterfaces, type LanService } from "../proto/base/mod.ts";
import { multicastAddresses } from "../proto/udp/mod.ts";
import { type LanContract, spawnWorker } from "../workers/mod.ts";

/** Listens until the signal aborts. @throws {AronaError} where the local network cannot be used */
export const browseLan: Browse = async function* (signal) {
  const found: LanService[] = [];
  let failure: Error | null = null;
  let wake = () => {};
  const fail = (error: Error) => {
    failure = error;
    wake();
  };
  const onAbort = () => wake();
  if (signal.aborted) return;
  using worker = await spawnWorker<LanContract>("lan", {
    parameters: { addresses: multicastAddresses(lanInterfaces(Deno.networkInterfaces())) },
    init: { task: "browse" },
    onEvent(event) {
      if (event.type === "found") found.push(event.service);
      if (event.type === "failed") failure = new AronaError("UNREACHABLE", event.reason);
      wake();
    },
    onFault: fail,
    onEnd: fail,
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    while (!signal.aborted) {
      const service = found.shift();
      if (service !== undefined) yield service;
      else if (failure !== null) throw failure;
      else await new Promise<void>((resolve) => wake = resolve);
    }
    await worker.remote.stop().catch(() => {}); // says what goes wrong by itself
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
};
