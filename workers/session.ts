/** A session as its supervisor runs it: the worker with the keys, and what it may reach of the world. */

import type { KnownRelay } from "../client/discovery/mod.ts";
import type { NetworkMonitor } from "../client/api/mod.ts";
import { AronaError, type Clock, type Endpoint, equalBytes, parseEndpoint } from "../proto/base/mod.ts";
import type { Links } from "./links.ts";
import { Reach, type VerifyDocument } from "./reach.ts";
import { RemoteClient } from "./remote_client.ts";
import type { Remote } from "./rpc.ts";
import type { ClientMessage } from "./client_service.ts";
import type { LinkedInfo, SessionContract, SessionInit } from "./session_worker.ts";
import { type RunningWorker, spawnWorker } from "./spawn.ts";
import type { WalledDiscovery } from "./walled_discovery.ts";

/** How often the machine's addresses are looked at for the session, which cannot. */
const NETWORK_CHECK_MS = 3_000;

/** What a session is started with. */
export interface SessionOptions<I extends SessionInit = SessionInit> {
  readonly init: I;
  readonly clock: Clock;
  readonly links: Links;
  readonly discovery: WalledDiscovery;
  /** @default changes of network are not noticed as such */
  readonly network?: NetworkMonitor;
  /** Endpoints and keys that the person named: a new profile's relay, or the place that a device's code names. */
  readonly named?: Pick<KnownRelay, "endpoints" | "sources" | "fingerprint">;
  /** Whether the session will connect, so that a link can be got ready. */
  readonly connects: boolean;
  /** Asked for where the profile needs it. @param again whether the one before was wrong */
  passphrase(again: boolean): Promise<string>;
  /** What to use instead of what the profile knows, if anything. @default nothing */
  relayFor?(known: KnownRelay): Promise<KnownRelay | undefined>;
  /** Hears of the device that was let in. */
  linked?(info: LinkedInfo): Promise<void> | void;
  /** What runs behind the wall. @default the session worker */
  readonly module?: URL;
  /** Hears of faults in the session that it goes on after. */
  onFault(error: Error): void;
  readonly signal: AbortSignal;
}

/** A session that runs. */
export interface Session {
  readonly client: RemoteClient;
  readonly created: boolean;
  readonly unprotected: boolean;
  /** Closes client and profile in good order. Safe to call again. */
  close(): Promise<void>;
  /** The same; where the session has made the profile, that goes. */
  discard(): Promise<void>;
}

/** Opens the profile and its client, not connected yet. @throws {AronaError} as `openProfileStore()` and `openClient()` do */
export async function startSession(
  options: SessionOptions<SessionInit & { kind: "client" }>,
): Promise<Session> {
  const { clock, network } = options;
  const near: { client?: RemoteClient } = {};
  let ended: AronaError | null = null;
  let cancelCheck = () => {};
  const worker = await spawnSession(options, {
    onMessage: (message) => near.client?.take(message),
    onEnd: (error) => {
      ended = new AronaError("INTERNAL", "Cannot go on: the part of Arona that holds your keys has ended", {
        cause: error,
        hint: "What it had confirmed is in the profile. Start the command again.",
      });
      cancelCheck();
      near.client?.fail(ended, clock.now());
    },
  });
  const { remote } = worker;
  const opened = await remote.opened();
  const client = near.client = new RemoteClient(remote, opened.client!);
  let addresses = "";
  const check = () => {
    cancelCheck = clock.schedule(NETWORK_CHECK_MS, check);
    const now = network!.addresses();
    if (now !== addresses) remote.setNetwork(addresses = now).catch(() => {}); // it has ended
  };
  if (network !== undefined) check();
  let closing: Promise<void> | null = null;
  const end = (how: "closeProfile" | "discardProfile") =>
    closing ??= (async () => {
      cancelCheck();
      try {
        if (ended === null) await remote[how]();
      } catch (error) {
        if (ended === null) throw error;
      } finally {
        worker.terminate();
      }
    })();
  const { created, unprotected } = opened;
  return {
    client,
    created,
    unprotected,
    close: () => end("closeProfile"),
    discard: () => end("discardProfile"),
  };
}

/** Becomes a further device in the profile's folder. @throws {AronaError} as `linkDevice()` does */
export async function linkSession(
  options: SessionOptions<SessionInit & { kind: "link" }>,
): Promise<{ created: boolean; unprotected: boolean }> {
  const worker = await spawnSession(options, { onMessage: () => {}, onEnd: () => {} });
  try {
    return await worker.remote.opened();
  } finally {
    await worker.remote.closeProfile().finally(() => worker.terminate());
  }
}

async function spawnSession(
  options: SessionOptions,
  hear: { onMessage: (message: ClientMessage) => void; onEnd: (error: AronaError) => void },
): Promise<RunningWorker<SessionContract>> {
  const { init, clock, links, discovery, named, signal, onFault } = options;
  const reach = new Reach({ clock, lan: discovery.lan, verify: verifyWithProvider });
  const prepare = ({ endpoints: [endpoint] }: Pick<KnownRelay, "endpoints">) => {
    if (options.connects && endpoint !== undefined) links.prepare(parseEndpoint(endpoint));
  };
  if (named !== undefined) {
    reach.allow(named);
    prepare(named);
  }
  let isTold = false;
  let asked = 0;
  // What goes wrong on this side comes out as it was, and not as what is left of it after two ways through the wall.
  const failures: unknown[] = [];
  const here = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (error) {
      failures.push(error);
      throw error;
    }
  };
  let remote: Remote<SessionContract["methods"]> | null = null;
  const { folder } = init;
  const spawned = spawnWorker<SessionContract>("session", {
    module: options.module,
    parameters: { folder },
    init,
    methods: {
      passphrase: (again) =>
        here(() => {
          // A person who is asked at any time learns to answer at any time.
          if (asked++ >= init.tries) throw new AronaError("FORBIDDEN", "Cannot ask for the passphrase again");
          return options.passphrase(again);
        }),
      relayFor: (known) =>
        here(async () => {
          if (isTold) throw new AronaError("FORBIDDEN", "Cannot name a relay again: a session does so once");
          isTold = true;
          reach.allow(known);
          const found = await options.relayFor?.(known);
          // Where it is another relay the session says so.
          if (found !== undefined && equalBytes(found.fingerprint, known.fingerprint)) reach.allow(found);
          prepare(found ?? known);
          return found;
        }),
      async dial(link, { endpoint, document }, port, signal) {
        const to: Endpoint = { hostname: String(endpoint.hostname), port: Number(endpoint.port) };
        try {
          await reach.assertEndpoint(to, document);
        } catch (error) {
          port.close();
          throw error;
        }
        await links.connect(to, port, { signal, onLost: () => remote?.linkLost(link).catch(() => {}) });
      },
      async look(source, { document, fingerprint }, signal) {
        await reach.assertSource(source, document);
        return await discovery.look(source, { fingerprint, signal });
      },
      linked: (info) => here(async () => await options.linked?.(info)),
    },
    onEvent: hear.onMessage,
    onFault,
    onEnd: hear.onEnd,
    signal,
  });
  try {
    const worker = await spawned;
    remote = worker.remote;
    return worker;
  } catch (error) {
    throw failures.find((own) => (own as Error).message === (error as Error).message) ?? error;
  }
}

/** Loaded only where a relay has moved: a supervisor does without cryptography otherwise. */
const verifyWithProvider: VerifyDocument = async (bytes, options) => {
  const { selectProvider, verifyDocument } = await import("../proto/mod.ts");
  return await verifyDocument(await selectProvider(), bytes, options);
};
