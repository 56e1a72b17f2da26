/** The relay behind its wall: SQLite store, mailboxes in memory or in a file, crypto provider, TCP, system clock. */

import { dirname, join } from "node:path";
import { type Clock, selectProvider, systemClock } from "../proto/mod.ts";
import {
  type MailboxStore,
  MemoryMailboxStore,
  openSqliteMailboxStore,
  openSqliteRelayStore,
  type RelayLimits,
  type RelayLog,
  type RelayLogEvent,
  type RelayStore,
  retireSqliteMailboxStore,
  type RunningRelay,
  startRelay,
  welcomeDelivery,
  type WelcomeHead,
} from "../server/mod.ts";
import { type PlainError, toPlainError } from "./plain_error.ts";
import { type Contract, type RoleSide, runRole } from "./role.ts";

/** What the relay is started with. */
export interface RelayInit {
  /** Port 0 lets the system choose. */
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly databasePath: string;
  readonly mailboxPath: string;
  /** Removed at the end: it says how to ask a relay that runs. */
  readonly controlPath: string;
  /** `disk` keeps mailboxes in their file; `memory` keeps there only what an earlier run left. */
  readonly mailbox: "memory" | "disk";
  /** Tells this run of the machine from others. @default nobody knows */
  readonly machine?: string;
  readonly name: string;
  readonly publicAddresses: readonly string[];
  readonly limits: Partial<RelayLimits>;
  /** Whether events that come with every connection are reported too. */
  readonly logConnections: boolean;
}

/** What can be said about a relay that runs; it changes with its addresses and keys. */
export interface RelayState {
  /** `host:port` where it listens. */
  readonly address: string;
  readonly fingerprint: string;
  readonly link: string;
  /** The signed discovery document's bytes. */
  readonly document: Uint8Array;
}

/** A log event on its way: errors are plain. */
export type PlainLogEvent<E = RelayLogEvent> = E extends { readonly error: unknown }
  ? Omit<E, "error"> & { readonly error: PlainError }
  : E;

/** What the relay reports. */
export type RelayEvent =
  | {
    readonly type: "log";
    readonly event: PlainLogEvent;
    /** Events before this one that there was no room for. */
    readonly lost: number;
  }
  | { readonly type: "state"; readonly state: RelayState };

/** Methods of a running relay that the supervisor calls as they are; a new one needs no more than its name here. */
const FORWARDED = [
  "stats",
  "createInvite",
  "setPublicAddresses",
  "setName",
  "setSources",
  "publishedGist",
  "savePublishedGist",
  "ban",
  "unban",
  "bans",
  "kick",
  "limits",
  "setLimits",
  "drain",
] as const satisfies readonly (keyof RunningRelay)[];

/** What the supervisor and the relay say to each other. */
export interface RelayContract extends Contract {
  readonly role: "relay";
  readonly init: RelayInit;
  readonly methods: Pick<RunningRelay, typeof FORWARDED[number]> & {
    state(): RelayState;
    /** From now on reports events that come with every connection, or leaves them out. */
    logConnections(on: boolean): void;
    /** Bytes of the files beside its database. */
    dataBytes(): number;
    /** Says goodbye to everybody and closes its files. */
    stop(): Promise<void>;
  };
  readonly event: RelayEvent;
  readonly host: Record<never, never>;
}

/** Events that come with every connection. */
const CONNECTION_EVENTS: readonly RelayLogEvent["type"][] = [
  "connection_refused",
  "session_started",
  "session_ended",
];

runRole<RelayContract>(async (init, side) => {
  const logs = new LogForwarder(side, init.logConnections);
  const [crypto, clock] = [await selectProvider(), systemClock];
  const store = openSqliteRelayStore(init.databasePath);
  const close = (mailboxes?: MailboxStore) => {
    mailboxes?.close();
    store.close();
  };
  let mailboxes: MailboxStore | undefined;
  let relay: RunningRelay | undefined;
  const stateOf = (relay: RunningRelay): RelayState => {
    const { address, fingerprint, link } = relay;
    return { address, fingerprint, link, document: relay.document() };
  };
  try {
    mailboxes = await openMailboxes(init, { store, clock, log: logs.log });
    const { listen, name, publicAddresses, limits } = init;
    relay = await startRelay({
      ...{ listen, name, publicAddresses, limits },
      ...{ store, mailboxes, crypto, clock },
      log: logs.log,
      onDocument: () => relay === undefined || void reportState(side, () => stateOf(relay!)),
    });
  } catch (error) {
    close(mailboxes);
    throw error;
  }
  const running = relay;
  return {
    ...forwarded(running),
    state: () => stateOf(running),
    logConnections: (on) => logs.connections = on,
    dataBytes: () => folderBytes(dirname(init.databasePath)),
    async stop() {
      await running.stop();
      close(mailboxes);
      if (exists(init.controlPath)) Deno.removeSync(init.controlPath);
    },
  };
});

function forwarded(relay: RunningRelay): Pick<RunningRelay, typeof FORWARDED[number]> {
  const call = (name: typeof FORWARDED[number]) => (...args: unknown[]) =>
    (relay[name] as (...args: unknown[]) => unknown)(...args);
  return Object.fromEntries(FORWARDED.map((name) => [name, call(name)])) as ReturnType<typeof forwarded>;
}

/** A state must arrive, and only the newest one counts. */
async function reportState(side: RoleSide<RelayContract>, state: () => RelayState): Promise<void> {
  await side.room();
  side.emit({ type: "state", state: state() });
}

/** Passes log events on as long as there is room for them; the relay never waits for its log. */
class LogForwarder {
  readonly log: RelayLog;
  #lost = 0;

  constructor(side: RoleSide<RelayContract>, public connections: boolean) {
    this.log = (event) => {
      if (!this.connections && CONNECTION_EVENTS.includes(event.type)) return;
      const plain = "error" in event ? { ...event, error: toPlainError(event.error) } : event;
      if (side.emit({ type: "log", event: plain, lost: this.#lost })) this.#lost = 0;
      else this.#lost++;
    };
  }
}

/** Mailboxes as `--mailbox` has it. Those that an earlier run kept on disk go on in either case; in memory their file goes. */
function openMailboxes(
  { mailbox, mailboxPath, machine }: RelayInit,
  { store, clock, log }: { store: RelayStore; clock: Clock; log: RelayLog },
): MailboxStore {
  const options = { welcome: (head: WelcomeHead) => welcomeDelivery(store, head), clock, log, machine };
  if (mailbox === "disk") return openSqliteMailboxStore(mailboxPath, options);
  return exists(mailboxPath) ? retireSqliteMailboxStore(mailboxPath, options) : new MemoryMailboxStore();
}

function folderBytes(folder: string): number {
  let bytes = 0;
  for (const { name, isFile } of Deno.readDirSync(folder)) {
    try {
      if (isFile) bytes += Deno.statSync(join(folder, name)).size;
    } catch {
      // gone meanwhile
    }
  }
  return bytes;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
