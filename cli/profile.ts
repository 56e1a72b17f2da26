/** Which profile a command uses, and under what name it comes into being. */

import type { CommandContext } from "./command.ts";
import { usageFailure } from "./failure.ts";
import { checkProfileName, exists, listProfiles, profileFolder } from "./paths.ts";

/** The profile that a command uses. */
export interface ProfileChoice {
  readonly profile: string;
  readonly folder: string;
  /** Whether its folder is there already. */
  readonly exists: boolean;
  /** Account name, where it was given or asked for. */
  readonly username?: string;
}

/** Says why an account name cannot be used, or nothing. */
export type CheckAccountName = (name: string) => string | undefined;

/**
 * Chooses: the profile that was named; else the one called like the user; else `default`, or the only one. Where several are left
 * the person is asked, and so is the name of somebody new.
 *
 * @throws {CommandFailure} where nobody can be asked
 */
export async function chooseProfile(
  { io, settings, home }: Pick<CommandContext, "io" | "settings" | "home">,
  checkName: CheckAccountName,
): Promise<ProfileChoice> {
  const folder = home();
  const named = settings.text("profile");
  let username = settings.text("username");
  const wrong = username === undefined ? undefined : checkName(username);
  if (wrong !== undefined) {
    throw usageFailure(`Cannot use account name ${JSON.stringify(username)}: ${wrong}`);
  }
  if (named !== undefined) return await describe(folder, { profile: checkProfileName(named), username });
  if (username !== undefined) return await describe(folder, { profile: username, username });
  const profiles = await listProfiles(folder);
  if (profiles.includes("default")) return await describe(folder, { profile: "default" });
  if (profiles.length === 1) return await describe(folder, { profile: profiles[0] });
  if (profiles.length === 0) {
    if (!io.interactive) {
      throw usageFailure("Cannot make a profile: it needs a name", "Add --username NAME.");
    }
    username = await io.prompts.text("What shall others call you?", checkName);
    return await describe(folder, { profile: username, username });
  }
  if (!io.interactive) {
    throw usageFailure(
      `Cannot choose a profile: there are ${profiles.join(", ")}`,
      "Name one with --profile or ARONA_PROFILE.",
    );
  }
  return await describe(folder, { profile: await io.prompts.choose("Which profile?", profiles) });
}

async function describe(
  home: string,
  choice: { profile: string; username?: string },
): Promise<ProfileChoice> {
  const folder = profileFolder(home, choice.profile);
  return { ...choice, folder, exists: await exists(folder) };
}
