/** The client's composition root for commands: profile, SQLite store, crypto provider, TCP, network addresses, system clock. */

import {
  type AronaClient,
  type ChatClient,
  type ClientEvent,
  denoNetworkMonitor,
  openClient,
} from "../client/mod.ts";
import { savedRelay } from "../client/discovery/mod.ts";
import { openProfileStore, type ProfileStore } from "../client/store/mod.ts";
import {
  type Clock,
  connectTcp,
  type CryptoProvider,
  isAronaError,
  parseAccountName,
  parseSourceLink,
  selectProvider,
} from "../proto/mod.ts";
import { join } from "node:path";
import type { CommandContext } from "./command.ts";
import { commandDiscovery } from "./discovery.ts";
import { untilEnd } from "./ending.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { findRelay, noRelay } from "./find_relay.ts";
import { inviteOf } from "./invite.ts";
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
  const [crypto, clock] = await Promise.all([selectProvider(), io.clock()]);
  const discovery = commandDiscovery(context, clock);
  if (isNew && link === undefined && !discovery.lan) throw noRelay(choice.profile);
  const username = await usernameFor(context, { choice, isNew });
  const offline = options.connect === "no";
  const question = { profile: choice.profile, link, discovery, crypto, clock, offline };
  // Before anything is made: where no relay is found, nothing is left behind.
  const found = isNew ? await untilEnd(findRelay(context, { ...question, known: null }), signal) : undefined;
  const store = await openStore(context, { choice, isNew, crypto });
  let client: AronaClient | undefined;
  try {
    if (store.created && store.unprotected) {
      context.output.note(
        `Profile ${choice.profile} has no passphrase: only file permissions protect its keys.`,
      );
    }
    const known = savedRelay(store.store);
    client = await openClient({
      store: store.store,
      crypto,
      clock,
      dial: connectTcp,
      network: denoNetworkMonitor(),
      relay: found ?? await untilEnd(findRelay(context, { ...question, known }), signal),
      discovery,
      username,
      invite: inviteOf(settings),
    });
    client.on("Fault", ({ reason }) => context.output.note(`Something went wrong meanwhile: ${reason}`));
    await options.onOpen?.(client);
    if (options.onEvent) client.onAny(options.onEvent);
    await connect(client, { context, options, created: store.created });
    signal.throwIfAborted();
    tellCertificateEnd(client, { context, profile: choice.profile, nowMs: clock.now() });
  } catch (error) {
    await client?.close();
    store.close();
    if (store.created && !choice.exists && isAronaError(error, ...NOTHING_REGISTERED)) {
      await Deno.remove(choice.folder, { recursive: true }).catch(() => {});
    }
    throw await explain(error, { context, choice });
  }
  return {
    client,
    profile: choice.profile,
    created: store.created,
    clock,
    async [Symbol.asyncDispose]() {
      await client.close();
      store.close();
    },
  };
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

/** Opens the profile's store, or makes it, with the passphrase that it needs. */
export async function openStore(
  { io, signal }: CommandContext,
  options: { choice: ProfileChoice; isNew: boolean; crypto: CryptoProvider },
): Promise<ProfileStore> {
  const { choice: { profile, folder }, isNew, crypto } = options;
  for (let left = isPassphraseAsked(io) && !isNew ? PASSPHRASE_TRIES : 1;; left--) {
    signal.throwIfAborted();
    try {
      const passphrase = () => getPassphrase(io, { profile, isNew });
      return await openProfileStore({ folder, passphrase, crypto, create: isNew });
    } catch (error) {
      if (left <= 1 || !isAronaError(error, "WRONG_PASSPHRASE")) throw error;
      await io.stderr.write("That is not the passphrase; once more.\n");
    }
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
