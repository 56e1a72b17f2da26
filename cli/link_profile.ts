/** Makes a profile of a further device by the code of the first one. */

import { join } from "node:path";
import { linkDevice, openClient } from "../client/mod.ts";
import {
  type Clock,
  connectTcp,
  type CryptoProvider,
  type DeviceCode,
  fingerprintOf,
  looksLikeDeviceCode,
  parseDeviceCode,
  parseEndpoint,
  parseLinkSecret,
  selectProvider,
} from "../proto/mod.ts";
import type { CommandContext } from "./command.ts";
import { commandDiscovery } from "./discovery.ts";
import { untilEnd } from "./ending.ts";
import { nameText } from "./event_text.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { findRelay } from "./find_relay.ts";
import type { Io } from "./io.ts";
import { openStore } from "./open_client.ts";
import { checkProfileName, exists, listProfiles, profileFolder } from "./paths.ts";

/** What this machine is called, for people who look at their list of devices. */
export function hostLabel(io: Pick<Io, "os">): string {
  try {
    return Deno.hostname();
  } catch {
    return io.os; // no permission to ask
  }
}

/**
 * Links this machine: asks with the code, makes the profile or renews it, and logs in once, so that the others can add it.
 *
 * @returns the profile's name
 * @throws {AronaError | CommandFailure}
 */
export async function linkProfile(context: CommandContext, text: string): Promise<string> {
  const { io, output, settings, signal } = context;
  const home = context.home();
  const named = settings.text("profile");
  const [crypto, clock] = await Promise.all([selectProvider(), io.clock()]);
  const code = await codeOf(context, { text, crypto, clock });
  const ask = { crypto, clock, dial: connectTcp, code, label: hostLabel(io), signal };
  const isExisting = named !== undefined &&
    await exists(join(profileFolder(home, checkProfileName(named)), "profile.db"));
  // Where the profile is there, its passphrase is asked for first; a new one is called like the person that is not known before.
  const existing = isExisting ? await openNamed(context, named, crypto) : null;
  let opened = existing;
  try {
    const linked = await untilEnd(linkDevice({ ...ask, existing: existing?.store }), signal);
    const { account, device, identityKey, primary } = linked.identity;
    const profile = named ?? await freeName(home, account);
    opened ??= await openNamed(context, profile, crypto);
    linked.save(opened.store);
    if (opened.created && opened.unprotected) {
      output.note(`Profile ${profile} has no passphrase: only file permissions protect its keys.`);
    }
    const fingerprint = fingerprintOf(crypto, identityKey);
    output.object({ type: "DeviceLinked", account, fingerprint, device, primary, profile });
    output.line(`account      ${account}`);
    output.line(`fingerprint  ${fingerprint.match(/.{1,4}/g)!.join(" ")}`);
    output.line(`device       ${device}`);
    output.line(`profile      ${profile}`);
    await logIn(context, { store: opened.store, crypto, clock });
    output.note(
      `This is a device of ${account} now, let in by ${
        nameText(linked.primaryLabel)
      }. Your conversations come by themselves; ` +
        "what was said before stays on the other device.",
    );
    return profile;
  } finally {
    opened?.close();
  }
}

/** Publishes what the other devices need to add this one. */
async function logIn(
  { output, signal }: CommandContext,
  options: Pick<Parameters<typeof openClient>[0], "store" | "crypto" | "clock">,
): Promise<void> {
  const client = await openClient({ ...options, dial: connectTcp });
  client.on("Fault", ({ reason }) => output.note(`Something went wrong meanwhile: ${reason}`));
  try {
    await untilEnd(client.connect(), signal);
  } finally {
    await client.close();
  }
}

/** The code as it was given, or its secret with the relay's link. */
async function codeOf(
  context: CommandContext,
  { text, crypto, clock }: { text: string; crypto: CryptoProvider; clock: Clock },
): Promise<DeviceCode> {
  const { settings, signal } = context;
  if (looksLikeDeviceCode(text)) return parseDeviceCode(text);
  if (/^\s*arona:/i.test(text)) {
    throw usageFailure(
      "Cannot link this device: that is a relay's link, not a code",
      "`arona device add` on your first device shows the code.",
    );
  }
  const secret = parseLinkSecret(text);
  const link = settings.text("relay");
  if (link === undefined) {
    throw usageFailure(
      "Cannot link this device: it does not know the relay",
      "Give the whole code, or --relay LINK.",
    );
  }
  const discovery = commandDiscovery(context, clock);
  const profile = settings.text("profile") ?? "default";
  const question = { profile, link, known: null, discovery, crypto, clock };
  const { endpoints: [endpoint], fingerprint } = (await untilEnd(findRelay(context, question), signal))!;
  if (endpoint === undefined) {
    throw new CommandFailure("Cannot link this device: the relay's document names no address", {
      hint: "Give the whole code.",
    });
  }
  return { ...parseEndpoint(endpoint), fingerprint, secret };
}

function openNamed(
  context: CommandContext,
  profile: string,
  crypto: Awaited<ReturnType<typeof selectProvider>>,
) {
  const folder = profileFolder(context.home(), profile);
  return exists(join(folder, "profile.db")).then((isThere) =>
    openStore(context, { choice: { profile, folder, exists: isThere }, isNew: !isThere, crypto })
  );
}

/** The account's name, or with a number behind it where there is such a profile already. */
async function freeName(home: string, account: string): Promise<string> {
  const taken = await listProfiles(home);
  let name = account;
  for (let number = 2; taken.includes(name); number++) name = `${account}-${number}`;
  return name;
}
