/** The relay's composition root: SQLite store, mailboxes in memory or in a file, crypto provider, TCP, system clock. */

import { join, resolve } from "node:path";
import { type Clock, type Endpoint, formatEndpoint, parseEndpoint, selectProvider } from "../proto/mod.ts";
import {
  type MailboxStore,
  MemoryMailboxStore,
  openSqliteMailboxStore,
  openSqliteRelayStore,
  Registration,
  type RegistrationPolicy,
  type RelayLimits,
  type RelayLog,
  type RelayStore,
  retireSqliteMailboxStore,
  startRelay,
  welcomeDelivery,
  type WelcomeHead,
} from "../server/mod.ts";
import type { CommandContext } from "./command.ts";
import type { Settings } from "./config.ts";
import { ended } from "./ending.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { exists, reasonOf, relayFolder } from "./paths.ts";
import { createRelayLog } from "./relay_log.ts";

const DATABASE = "relay.db";
const LOCK = "relay.lock";
const MAILBOXES = "mailbox.db";
/** Another boot of Linux, another text. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** Runs a relay until the command shall end. @throws {AronaError | CommandFailure} where it cannot start */
export async function runRelay(context: CommandContext): Promise<void> {
  const { settings, output, io, signal } = context;
  const listen = parseListen(settings.text("listen")!);
  const given = settings.list("public-address").map((address) => checkAddress(address, "--public-address"));
  const [crypto, clock] = await Promise.all([selectProvider(), io.clock()]);
  using data = await openRelayData(context);
  const level = settings.text("log-level") as "debug" | "info" | "warning" | "error";
  const logWriter = await createRelayLog(level, (line) => output.error(`${line}\n`));
  let mailboxes: MailboxStore | undefined;
  try {
    mailboxes = await openMailboxes(context, { store: data.store, clock, log: logWriter.log });
    const relay = await startRelay({
      listen,
      store: data.store,
      mailboxes,
      crypto,
      clock,
      name: settings.text("name")!,
      publicAddresses: given,
      limits: limitsOf(settings),
      log: logWriter.log,
    });
    try {
      const everywhere = isWildcard(listen.hostname);
      if (everywhere && given.length === 0) {
        const { port } = parseEndpoint(relay.address);
        await relay.setPublicAddresses(ownAddresses().map((hostname) => formatEndpoint({ hostname, port })));
      }
      announce(context, relay);
      const { printQr } = await import("./qr.ts");
      printQr(context, relay.link);
      await ended(signal);
    } finally {
      await relay.stop();
    }
  } finally {
    mailboxes?.close();
    await logWriter.close();
  }
}

/** A code that lets one new account in; works beside a relay that runs. @throws {AronaError | CommandFailure} */
export async function makeInvite(context: CommandContext): Promise<string> {
  const folder = dataFolder(context);
  if (!await exists(join(folder, DATABASE))) {
    throw new CommandFailure(`Cannot make an invite: there is no relay in ${folder}`, {
      hint: "Run it where the relay runs, with the same --data.",
    });
  }
  const [crypto, clock] = await Promise.all([selectProvider(), context.io.clock()]);
  const store = openSqliteRelayStore(join(folder, DATABASE));
  try {
    return new Registration({ store, crypto, clock }, "invite-only").createInvite();
  } finally {
    store.close();
  }
}

/** An open data folder that no other relay uses meanwhile. */
async function openRelayData(context: CommandContext): Promise<{ store: RelayStore } & Disposable> {
  const folder = dataFolder(context);
  let lock: Deno.FsFile;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    lock = await Deno.open(join(folder, LOCK), { create: true, write: true, mode: 0o600 });
  } catch (cause) {
    throw new CommandFailure(`Cannot use data folder ${folder}: ${reasonOf(cause)}`, {
      cause,
      hint: "Choose a folder of yours with --data or ARONA_HOME.",
    });
  }
  try {
    // Before Deno 2.5 there is no lock that does not wait; there the listening address has to keep two relays apart.
    if (await lock.tryLock?.(true) === false) {
      throw new CommandFailure(`Cannot use data folder ${folder}: another relay uses it`, {
        hint: "Stop that one, or give this one its own folder with --data.",
      });
    }
    const store = openSqliteRelayStore(join(folder, DATABASE));
    return {
      store,
      [Symbol.dispose]() {
        store.close();
        lock.close(); // and with it the lock
      },
    };
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** Mailboxes as --mailbox has it. Those that an earlier run kept on disk go on in either case; in memory their file goes. */
async function openMailboxes(
  context: CommandContext,
  { store, clock, log }: { store: RelayStore; clock: Clock; log: RelayLog },
): Promise<MailboxStore> {
  const path = join(dataFolder(context), MAILBOXES);
  const options = {
    welcome: (head: WelcomeHead) => welcomeDelivery(store, head),
    clock,
    log,
    machine: runOfMachine(),
  };
  if (context.settings.text("mailbox") === "disk") return openSqliteMailboxStore(path, options);
  return await exists(path) ? retireSqliteMailboxStore(path, options) : new MemoryMailboxStore();
}

/** Tells this run of the machine from others: by its own word, or by the minute that it started in. */
function runOfMachine(): string | undefined {
  try {
    return Deno.readTextFileSync(BOOT_ID).trim();
  } catch {
    // not Linux
  }
  try {
    return `started ${Math.round((Date.now() / 1_000 - Deno.osUptime()) / 60)}`;
  } catch {
    return undefined; // not allowed to ask
  }
}

function announce(
  { output }: CommandContext,
  relay: { address: string; fingerprint: string; link: string },
): void {
  const { address, fingerprint, link } = relay;
  output.object({ type: "Listening", address, fingerprint, link });
  output.line(`address      ${address}`);
  output.line(`fingerprint  ${fingerprint}`);
  output.line(`link         ${link}`);
  output.note("Others join with: arona connect LINK. Ctrl-C ends the relay.");
}

function dataFolder({ settings, home }: CommandContext): string {
  const given = settings.text("data");
  return given === undefined ? relayFolder(home()) : resolve(given);
}

/** The limits that the settings say. */
export function limitsOf(settings: Settings): Partial<RelayLimits> {
  return {
    maxPerIp: settings.number("max-per-ip"),
    messagesPerSecond: settings.number("messages-per-second"),
    messageBurst: settings.number("message-burst"),
    registration: settings.text("registration") as RegistrationPolicy | undefined ??
      (settings.switch("invite-only") ? "invite-only" : "open"),
  };
}

/** `HOST:PORT`; port 0 lets the system choose. @throws {CommandFailure} usage */
function parseListen(text: string): Endpoint {
  const anyPort = /:0+$/.test(text);
  const { hostname, port } = endpointOf(anyPort ? text.replace(/:0+$/, ":1") : text, "--listen");
  return { hostname, port: anyPort ? 0 : port };
}

function checkAddress(text: string, where: string): string {
  return formatEndpoint(endpointOf(text, where));
}

function endpointOf(text: string, where: string): Endpoint {
  try {
    return parseEndpoint(text);
  } catch (cause) {
    const state = (cause as Error).message.replace(/^.*?: /, "");
    throw usageFailure(
      `Cannot use ${where} ${JSON.stringify(text.slice(0, 100))}: ${state}`,
      "Write it as HOST:PORT, for example 0.0.0.0:7700 or [::]:7700.",
    );
  }
}

function isWildcard(hostname: string): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

/** The first address by which other machines reach this one; loopback where there is none. */
function ownAddresses(): string[] {
  const reachable = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !/^(127\.|169\.254\.|0\.)/.test(address)
  );
  return [reachable?.address ?? "127.0.0.1"];
}
