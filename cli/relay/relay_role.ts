/** The relay's worker as its supervisor sees it: methods, the newest state, log events and a bad end. */

import { AronaError } from "../../proto/base/mod.ts";
import type { RelayLog, RelayLogEvent } from "../../server/mod.ts";
import {
  fromPlainError,
  type LaunchedWorker,
  launchWorker,
  type RelayContract,
  type RelayEvent,
  type RelayInit,
  type RelayState,
  type Remote,
  spawnWorker,
} from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import { parseListen } from "./addresses.ts";
import { dataFolder } from "./data_folder.ts";

/** A relay that runs in its worker. */
export interface RelayRole extends AsyncDisposable {
  readonly remote: Remote<RelayContract["methods"]>;
  /** As the relay said it last. */
  readonly state: RelayState;
  /** Rejects where the relay ends by itself. */
  readonly ended: Promise<never>;
  /** Calls `listener` with every new state from now on. @returns a function that ends it */
  watch(listener: (state: RelayState) => void): () => void;
  /** Sets the addresses at which clients reach the relay. Resolves when {@link state} has them. */
  setPublicAddresses(addresses: readonly string[]): Promise<void>;
}

/**
 * Begins to load the relay's module while the supervisor loads its own.
 *
 * @returns null where there is no data folder yet, or something is wrong that is said later
 */
export async function launchRelay(
  context: Pick<CommandContext, "settings" | "home">,
): Promise<LaunchedWorker | null> {
  try {
    const listen = parseListen(context.settings.text("listen")!);
    return launchWorker("relay", { listen, folder: await Deno.realPath(dataFolder(context).path) });
  } catch {
    return null;
  }
}

/** Options of {@link startRelayRole}. */
export interface RelayRoleOptions {
  /** The data folder. */
  readonly folder: string;
  readonly log: RelayLog;
  /** Ends the start. */
  readonly signal?: AbortSignal;
  /** Another module in the relay's place, for tests. */
  readonly module?: URL;
  /** From {@link launchRelay}. */
  readonly launched?: LaunchedWorker | null;
}

/** Starts the relay with the rights to its listening address and its data folder. @throws {AronaError} */
export async function startRelayRole(init: RelayInit, options: RelayRoleOptions): Promise<RelayRole> {
  const { folder, log, signal, module, launched } = options;
  const { promise: ended, reject: onEnd } = Promise.withResolvers<never>();
  let alive = true;
  ended.catch(() => alive = false);
  const listeners = new Set<(state: RelayState) => void>();
  let state: RelayState | undefined;
  const setState = (newest: RelayState) => {
    checkState(newest);
    state = newest;
    for (const listener of listeners) listener(newest);
  };
  const worker = await spawnWorker<RelayContract>("relay", {
    parameters: { listen: init.listen, folder },
    init,
    onEvent: (event) => event.type === "state" ? setState(event.state) : logAll(event, log),
    onFault: (error) => log({ type: "internal_error", where: "relay", error }),
    onEnd,
    ...{ signal, module, launched },
  });
  const { remote } = worker;
  try {
    setState(await remote.state());
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return {
    remote,
    ended,
    get state() {
      return state!;
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async setPublicAddresses(addresses) {
      await remote.setPublicAddresses(addresses);
      setState(await remote.state());
    },
    async [Symbol.asyncDispose]() {
      try {
        if (alive) await remote.stop();
      } finally {
        worker.terminate();
      }
    },
  };
}

/** What the relay says of itself is printed as it is, so it must be nothing that a terminal acts on. @throws {AronaError} */
function checkState({ address, fingerprint, link }: RelayState): void {
  for (const text of [address, fingerprint, link]) {
    if (typeof text === "string" && /^[\x21-\x7e]*$/.test(text)) continue;
    throw new AronaError("INTERNAL", "Cannot believe the relay's worker: its address is not printable");
  }
}

function logAll({ event, lost }: RelayEvent & { type: "log" }, log: RelayLog): void {
  if (lost > 0) log({ type: "internal_error", where: "log", error: `${lost} events came too fast` });
  log("error" in event ? { ...event, error: fromPlainError(event.error) } as RelayLogEvent : event);
}
