/** Which profile a command uses, and under what name it comes into being. */

import type { CommandContext } from "./command.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
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
export type AccountNameFault = (name: string) => string | undefined;

/**
 * Chooses: the profile that was named; else the one called like the user; else `default`, or the only one. Where several are left
 * the person is asked, and so is the name of somebody new.
 *
 * @param options.nameFault says what is wrong with an account name
 * @param options.mayMake whether the command makes a profile where there is none
 *
 * @throws {CommandFailure} where nobody can be asked
 */
export async function chooseProfile(
  { io, settings, home }: Pick<CommandContext, "io" | "settings" | "home">,
  { nameFault, mayMake }: { nameFault: AccountNameFault; mayMake: boolean },
): Promise<ProfileChoice> {
  const folder = home();
  const named = settings.text("profile");
  let username = settings.text("username");
  const wrong = username === undefined ? undefined : nameFault(username);
  if (wrong !== undefined) {
    throw usageFailure(`Cannot use account name ${JSON.stringify(username)}: ${wrong}`);
  }
  if (named !== undefined) return await describe(folder, { profile: checkProfileName(named), username });
  if (username !== undefined) return await describe(folder, { profile: username, username });
  const profiles = await listProfiles(folder);
  if (profiles.includes("default")) return await describe(folder, { profile: "default" });
  if (profiles.length === 1) return await describe(folder, { profile: profiles[0] });
  if (profiles.length === 0) {
    if (!mayMake) throw await noSuchProfile(folder, "default");
    if (!io.interactive) {
      throw usageFailure("Cannot make a profile: it needs a name", "Add --username NAME.");
    }
    username = await io.prompts.text("What shall others call you?", nameFault);
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

/** The error for a command that does not make the profile that it was asked for. */
export async function noSuchProfile(home: string, profile: string): Promise<CommandFailure> {
  const others = (await listProfiles(home)).filter((name) => name !== profile);
  if (others.length === 0) {
    return new CommandFailure("Cannot open a profile: there is none yet", {
      hint: "`arona connect LINK` makes one.",
    });
  }
  return new CommandFailure(
    `Cannot open profile ${profile}: there is no profile ${profile}; there are: ${others.join(", ")}`,
    { hint: "Name one with --profile, or make a new one with `arona connect LINK --username NAME`." },
  );
}

async function describe(
  home: string,
  choice: { profile: string; username?: string },
): Promise<ProfileChoice> {
  const folder = profileFolder(home, choice.profile);
  return { ...choice, folder, exists: await exists(folder) };
}
