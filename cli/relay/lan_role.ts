/** The relay's announcement on the local network, as the supervisor sees it. Without it the relay goes on. */

import {
  fromBase64Url,
  isLoopback,
  lanInterfaces,
  parseEndpoint,
  PROTOCOL_VERSION,
} from "../../proto/mod.ts";
import { multicastAddresses } from "../../proto/udp/mod.ts";
import { type LanContract, type LanEvent, type RunningWorker, spawnWorker } from "../../workers/mod.ts";
import type { RelayLogWriter } from "../relay_log.ts";
import type { RelayRole } from "./relay_role.ts";

/** A relay's presence on the local network. */
export interface LanRole extends AsyncDisposable {
  /** Whether it is announced. */
  readonly announced: boolean;
  /** Announces it under another name from now on. */
  setName(name: string): Promise<void>;
}

/** Announces the relay where others can reach it. @returns null where nobody can, or where it fails, which the log says */
export async function startLanRole(
  relay: RelayRole,
  options: { name: string; log: RelayLogWriter; signal: AbortSignal },
): Promise<LanRole | null> {
  const { name, log, signal } = options;
  const listen = parseEndpoint(relay.state.address);
  if (isLoopback(listen.hostname)) return null;
  const fingerprint = fromBase64Url(relay.state.fingerprint);
  let announced = false;
  const fail = (reason: string) =>
    log.say("warning", "lan_failed", `not announced on the local network: ${reason}`);
  const onEvent = (event: LanEvent) => {
    switch (event.type) {
      case "announced":
        if (!announced && event.interfaces.length > 0) {
          log.say("info", "lan_announced", "announced on the local network");
        }
        announced = event.interfaces.length > 0;
        return;
      case "renamed":
        return log.say(
          "debug",
          "lan_renamed",
          "another relay on the local network has the name; took the next one",
        );
      case "failed":
        return fail(event.reason);
    }
  };
  let worker: RunningWorker<LanContract>;
  try {
    worker = await spawnWorker<LanContract>("lan", {
      parameters: { addresses: multicastAddresses(lanInterfaces(Deno.networkInterfaces())) },
      init: { task: "announce", relay: { name, fingerprint, listen, protocols: [PROTOCOL_VERSION] } },
      onEvent,
      onFault: ({ message }) => fail(message),
      onEnd: ({ message }) => {
        announced = false;
        fail(message);
      },
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    fail((error as Error).message);
    return null;
  }
  return {
    get announced() {
      return announced;
    },
    setName: (name) => worker.remote.setName(name),
    async [Symbol.asyncDispose]() {
      await worker.remote.stop().catch(() => {}); // it may have ended before
      worker.terminate();
    },
  };
}
