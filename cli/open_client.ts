/** How commands come to a client: the profile's session in a worker of its own, which is connected through others. */

import { type ChatClient, type ClientEvent, denoNetworkMonitor } from "../client/api/mod.ts";
import type { KnownRelay } from "../client/discovery/mod.ts";
import { type Clock, isAronaError, parseAccountName, parseSourceLink } from "../proto/base/mod.ts";
import { type ProfileInit, type Session, startSession } from "../workers/mod.ts";
import { join, resolve } from "node:path";
import type { CommandContext } from "./command.ts";
import { type CommandNetwork, commandNetwork } from "./discovery.ts";
import { untilEnd } from "./ending.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { findRelay, noRelay } from "./find_relay.ts";
import { inviteOf } from "./invite.ts";
import type { RightKind } from "./io.ts";
import { getPassphrase, isPassphraseAsked } from "./passphrase.ts";
import { exists, listProfiles } from "./paths.ts";
import { chooseProfile, noSuchProfile, type ProfileChoice } from "./profile.ts";

const PASSPHRASE_TRIES = 3;
/** A further device's person is told so long before its certificate runs out. */
const CERTIFICATE_NOTICE_MS = 30 * 86_400_000;
/** Errors before the account can have been registered: a profile made for nothing goes again. */
const NOTHING_REGISTERED = [
  "USAGE",
  "BAD_NAME",
  "AUTH_FAILED",
  "WRONG_RELAY",
  "UNREACHABLE",
  "BAD_DOCUMENT",
] as const;

/**
 * What the command's own thread keeps. One has to have a right to give it to a worker: workers for other addresses are started when a
 * relay moves, their modules are files, and the session hears from here when the network changes.
 */
const KEPT_RIGHTS: readonly RightKind[] = ["net", "read", "sys"];

/** A client that a command works with. Disposing closes it and its profile in good order. */
export interface OpenedClient extends AsyncDisposable {
  readonly client: ChatClient;
  readonly profile: string;
  /** Whether this command made the profile. */
  readonly created: boolean;
  readonly clock: Clock;
}

/** How {@link openProfile} connects. */
export interface OpenOptions {
  /** `must`: fails where the relay is away; `try`: goes on offline and tells; `no`: does not. @default "must" */
  readonly connect?: "must" | "try" | "no";
  /** Keep trying where the relay is away at first; only for a profile that has been used. @default false */
  readonly patient?: boolean;
  /** Whether a profile that does not exist is made. @default true */
  readonly make?: boolean;
  /** Gets the client before it connects. */
  readonly onOpen?: (client: ChatClient) => Promise<void> | void;
  /** Hears every event from the first on. */
  readonly onEvent?: (event: ClientEvent) => void;
}

/**
 * Opens the command's profile, makes it where it is new and may be, and connects.
 *
 * @throws {AronaError | CommandFailure}
 */
export async function openProfile(context: CommandContext, options: OpenOptions = {}): Promise<OpenedClient> {
  const { settings, io, signal } = context;
  const choice = await chooseProfile(context, { nameFault: accountNameFault, mayMake: options.make ?? true });
  const isNew = !await exists(join(choice.folder, "profile.db"));
  if (isNew && options.make === false) throw await noSuchProfile(context.home(), choice.profile);
  const link = settings.text("relay");
  if (link !== undefined) parseSourceLink(link);
  const clock = await io.clock();
  const network = commandNetwork(context, clock);
  let session: Session | undefined;
  try {
    if (isNew && link === undefined && !network.discovery.lan) throw noRelay(choice.profile);
    const username = await usernameFor(context, { choice, isNew });
    const offline = options.connect === "no";
    const question = { profile: choice.profile, link, discovery: network.discovery, clock, offline };
    // Before anything is made: where no relay is found, nothing is left behind.
    const found = isNew
      ? await untilEnd(findRelay(context, { ...question, known: null }), signal)
      : undefined;
    session = await openSession(context, {
      ...{ choice, isNew, network, clock, offline, username, found },
      relayFor: (known) => untilEnd(findRelay(context, { ...question, known }), signal),
    });
    await io.dropRights(KEPT_RIGHTS);
    const { client, created, unprotected } = session;
    if (created && unprotected) {
      context.output.note(
        `Profile ${choice.profile} has no passphrase: only file permissions protect its keys.`,
      );
    }
    client.on("Fault", ({ reason }) => context.output.note(`Something went wrong meanwhile: ${reason}`));
    await options.onOpen?.(client);
    if (options.onEvent) client.onAny(options.onEvent);
    await connect(client, { context, options, created });
    signal.throwIfAborted();
    tellCertificateEnd(client, { context, profile: choice.profile, nowMs: clock.now() });
  } catch (error) {
    await (isAronaError(error, ...NOTHING_REGISTERED) ? session?.discard() : session?.close());
    network[Symbol.dispose]();
    throw await explain(error, { context, choice });
  }
  const opened = session;
  return {
    client: opened.client,
    profile: choice.profile,
    created: opened.created,
    clock,
    async [Symbol.asyncDispose]() {
      await opened.close();
      network[Symbol.dispose]();
    },
  };
}

/** What a profile knows of its relay; nothing is connected. @throws {AronaError | CommandFailure} */
export async function readRelay(
  context: CommandContext,
  options: { choice: ProfileChoice; network: CommandNetwork; clock: Clock },
): Promise<KnownRelay | null> {
  let relay: KnownRelay | null = null;
  const session = await openSession(context, {
    ...options,
    isNew: false,
    offline: true,
    username: undefined,
    found: undefined,
    relayFor: (known) => {
      relay = known;
      return Promise.resolve(undefined);
    },
  });
  await session.close();
  return relay;
}

/** Starts the profile's session, and asks for the passphrase that it needs. */
async function openSession(
  context: CommandContext,
  options: {
    choice: ProfileChoice;
    isNew: boolean;
    network: CommandNetwork;
    clock: Clock;
    offline: boolean;
    username: string | undefined;
    found: KnownRelay | undefined;
    relayFor: (known: KnownRelay) => Promise<KnownRelay | undefined>;
  },
): Promise<Session> {
  const { choice, isNew, network, clock, offline, username, found, relayFor } = options;
  const { settings, output, signal } = context;
  const { profile } = choice;
  const lan = network.discovery.lan;
  return await startSession({
    init: {
      kind: "client",
      ...profileInit(context, { choice, isNew, lan }),
      relay: found,
      username,
      invite: inviteOf(settings),
    },
    clock,
    links: network.links,
    discovery: network.discovery,
    network: denoNetworkMonitor(),
    named: found,
    connects: !offline,
    passphrase: (again) => askPassphrase(context, { profile, isNew, again }),
    relayFor,
    onFault: ({ message }) => output.note(`Something went wrong meanwhile: ${message}`),
    signal,
  });
}

/** How a session opens the profile that was chosen. */
export function profileInit(
  { io }: Pick<CommandContext, "io">,
  { choice, isNew, lan }: { choice: ProfileChoice; isNew: boolean; lan: boolean },
): ProfileInit {
  const tries = isPassphraseAsked(io) && !isNew ? PASSPHRASE_TRIES : 1;
  return { folder: resolve(choice.folder), create: isNew, isNewFolder: !choice.exists, tries, lan };
}

/** The passphrase that a session asks for. @param options.again whether the one before was wrong */
export async function askPassphrase(
  { io, signal }: Pick<CommandContext, "io" | "signal">,
  { profile, isNew, again }: { profile: string; isNew: boolean; again: boolean },
): Promise<string> {
  signal.throwIfAborted();
  if (again) await io.stderr.write("That is not the passphrase; once more.\n");
  return await getPassphrase(io, { profile, isNew });
}

/** A further device cannot renew its certificates by itself. */
function tellCertificateEnd(
  client: ChatClient,
  { context, profile, nowMs }: { context: CommandContext; profile: string; nowMs: number },
): void {
  if (client.isPrimary || client.certificateEndsMs - nowMs > CERTIFICATE_NOTICE_MS) return;
  const day = new Date(client.certificateEndsMs).toISOString().slice(0, 10);
  context.output.note(
    `This device's certificate runs out on ${day}. Run \`arona device add\` on the device where you began, then here: ` +
      `arona device link CODE --profile ${profile}`,
  );
}

async function connect(
  client: ChatClient,
  { context, options, created }: { context: CommandContext; options: OpenOptions; created: boolean },
): Promise<void> {
  const { connect = "must", patient = false } = options;
  if (connect === "no") return;
  try {
    await untilEnd(client.connect({ patient: patient && !created }), context.signal);
  } catch (error) {
    if (connect === "must" || !isAronaError(error, "UNREACHABLE", "TIMEOUT")) throw error;
    context.output.note(`${error.message}. Going on with what this device has.`);
  }
}

/** What a new profile needs is asked for before anything is made. */
async function usernameFor(
  { io, settings }: CommandContext,
  { choice, isNew }: { choice: ProfileChoice; isNew: boolean },
): Promise<string | undefined> {
  const username = choice.username ?? settings.text("username");
  if (!isNew) return username;
  if (username !== undefined) return username;
  if (io.interactive) return await io.prompts.text("What shall others call you?", accountNameFault);
  throw usageFailure(`Cannot make profile ${choice.profile}: it needs a name`, "Add --username NAME.");
}

function accountNameFault(name: string): string | undefined {
  try {
    parseAccountName(name);
  } catch (error) {
    return isAronaError(error) ? error.hint ?? error.message : String(error);
  }
}

/** Adds what only the command line knows to a login that was refused: the name may be another profile of this person. */
async function explain(
  error: unknown,
  { context, choice }: { context: CommandContext; choice: ProfileChoice },
): Promise<unknown> {
  if (!isAronaError(error, "AUTH_FAILED") || choice.exists || context.settings.text("profile")) return error;
  const others = (await listProfiles(context.home())).filter((name) => name !== choice.profile);
  if (others.length === 0) return error;
  const own = `If you are ${choice.profile} in another profile, name it: --profile ${others.join(" or ")}.`;
  return new CommandFailure(error.message, {
    cause: error,
    hint: error.hint === undefined ? own : `${error.hint} ${own}`,
  });
}
