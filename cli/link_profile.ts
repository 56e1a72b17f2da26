/** Makes a profile of a further device by the code of the first one. */

import { join } from "node:path";
import {
  type Clock,
  type DeviceCode,
  formatEndpoint,
  looksLikeDeviceCode,
  parseDeviceCode,
  parseEndpoint,
  parseLinkSecret,
} from "../proto/base/mod.ts";
import { type LinkedInfo, linkSession, startSession } from "../workers/mod.ts";
import type { CommandContext } from "./command.ts";
import { type CommandNetwork, commandNetwork } from "./discovery.ts";
import { untilEnd } from "./ending.ts";
import { nameText } from "./event_text.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { findRelay } from "./find_relay.ts";
import type { Io } from "./io.ts";
import { askPassphrase, profileInit } from "./open_client.ts";
import { checkProfileName, exists, listProfiles, profileFolder } from "./paths.ts";
import type { ProfileChoice } from "./profile.ts";

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
  const clock = await io.clock();
  using network = commandNetwork(context, clock);
  const code = await codeOf(context, { text, network, clock });
  const home = context.home();
  const named = settings.text("profile");
  // Without a name the profile is called like the person, who is not known before.
  const folder = profileFolder(
    home,
    named === undefined ? `.link-${crypto.randomUUID()}` : checkProfileName(named),
  );
  const isNew = !await exists(join(folder, "profile.db"));
  let choice: ProfileChoice = { profile: named ?? "", folder, exists: await exists(folder) };
  const given: string[] = [];
  const surroundings = {
    clock,
    links: network.links,
    discovery: network.discovery,
    connects: true,
    onFault: ({ message }: Error) => output.note(`Something went wrong meanwhile: ${message}`),
    signal,
  };
  let linked: LinkedInfo | undefined;
  const { unprotected } = await linkSession({
    ...surroundings,
    init: {
      kind: "link",
      ...profileInit(context, { choice, isNew, lan: false }),
      code,
      label: hostLabel(io),
    },
    named: { endpoints: [formatEndpoint(code)], sources: [], fingerprint: code.fingerprint },
    async passphrase(again) {
      const { profile } = choice;
      given.unshift(await askPassphrase(context, { profile, isNew, again }));
      return given[0];
    },
    async linked(info) {
      linked = info;
      if (named === undefined) choice = { ...choice, profile: await freeName(home, info.account) };
    },
  });
  const { profile } = choice;
  if (named === undefined) {
    choice = { ...choice, folder: profileFolder(home, profile) };
    await Deno.rename(folder, choice.folder);
  }
  if (isNew && unprotected) {
    output.note(`Profile ${profile} has no passphrase: only file permissions protect its keys.`);
  }
  const { account, fingerprint, device, primary, primaryLabel } = linked!;
  output.object({ type: "DeviceLinked", account, fingerprint, device, primary, profile });
  output.line(`account      ${account}`);
  output.line(`fingerprint  ${fingerprint.match(/.{1,4}/g)!.join(" ")}`);
  output.line(`device       ${device}`);
  output.line(`profile      ${profile}`);
  const init = profileInit(context, { choice, isNew: false, lan: false });
  await logIn(context, {
    ...surroundings,
    init: { kind: "client", ...init },
    passphrase: () => Promise.resolve(given[0]),
  });
  output.note(
    `This is a device of ${account} now, let in by ${
      nameText(primaryLabel)
    }. Your conversations come by themselves; ` +
      "what was said before stays on the other device.",
  );
  return profile;
}

/** Publishes what the other devices need to add this one. */
async function logIn(
  { output, signal }: CommandContext,
  options: Parameters<typeof startSession>[0],
): Promise<void> {
  const { client, close } = await startSession(options);
  client.on("Fault", ({ reason }) => output.note(`Something went wrong meanwhile: ${reason}`));
  try {
    await untilEnd(client.connect(), signal);
  } finally {
    await close();
  }
}

/** The code as it was given, or its secret with the relay's link. */
async function codeOf(
  context: CommandContext,
  { text, network, clock }: { text: string; network: CommandNetwork; clock: Clock },
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
  const profile = settings.text("profile") ?? "default";
  const question = { profile, link, known: null, discovery: network.discovery, clock };
  const { endpoints: [endpoint], fingerprint } = (await untilEnd(findRelay(context, question), signal))!;
  if (endpoint === undefined) {
    throw new CommandFailure("Cannot link this device: the relay's document names no address", {
      hint: "Give the whole code.",
    });
  }
  return { ...parseEndpoint(endpoint), fingerprint, secret };
}

/** The account's name, or with a number behind it where there is such a profile already. */
async function freeName(home: string, account: string): Promise<string> {
  const taken = await listProfiles(home);
  let name = account;
  for (let number = 2; taken.includes(name); number++) name = `${account}-${number}`;
  return name;
}
