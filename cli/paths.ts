/** Where Arona keeps things: ARONA_HOME with `relay/`, `profiles/NAME/` and `config.json`. */

import { join, resolve } from "node:path";
import { CommandFailure, usageFailure } from "./failure.ts";
import type { Io } from "./io.ts";

/** A folder name that is safe everywhere; an account name is one too. */
const PROFILE_PATTERN = /^[a-z0-9_-][a-z0-9_.-]{0,63}$/;

/** The folder of everything: ARONA_HOME, else the platform's data folder. @throws {CommandFailure} */
export function aronaHome(io: Pick<Io, "env" | "os">): string {
  const set = io.env("ARONA_HOME");
  if (set) return resolve(set);
  if (io.os === "windows") return join(needed(io, "APPDATA"), "arona");
  if (io.os === "darwin") return join(needed(io, "HOME"), "Library", "Application Support", "arona");
  const data = io.env("XDG_DATA_HOME");
  return data?.startsWith("/") ? join(data, "arona") : join(needed(io, "HOME"), ".local", "share", "arona");
}

/** The relay's data folder where `--data` does not say another. */
export function relayFolder(home: string): string {
  return join(home, "relay");
}

/** The relay's data folder as `--data` or ARONA_HOME have it. */
export function relayDataFolder(
  { settings, home }: { settings: { text(name: "data"): string | undefined }; home: () => string },
): string {
  const given = settings.text("data");
  return given === undefined ? relayFolder(home()) : resolve(given);
}

/** A profile's folder. */
export function profileFolder(home: string, profile: string): string {
  return join(home, "profiles", profile);
}

/** The configuration file that is read without being asked for. */
export function defaultConfigFile(home: string): string {
  return join(home, "config.json");
}

/** @throws {CommandFailure} where the name cannot be a profile's */
export function checkProfileName(name: string): string {
  if (PROFILE_PATTERN.test(name)) return name;
  throw usageFailure(
    `Cannot use profile name ${JSON.stringify(name.slice(0, 80))}: it does not fit`,
    "Use 1 to 64 of a-z, 0-9, '_' and '-'.",
  );
}

/** The profiles that exist, in order. */
export async function listProfiles(home: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(join(home, "profiles"))) {
      if (entry.isDirectory && PROFILE_PATTERN.test(entry.name)) names.push(entry.name);
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return [];
    throw new CommandFailure(`Cannot read profiles in ${home}: ${reasonOf(cause)}`, {
      cause,
      hint: "Check the folder's permissions, or set ARONA_HOME to another folder.",
    });
  }
  return names.sort();
}

/** Whether there is anything at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/** What the system says about a failed access, short. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "no permission";
  if (error instanceof Deno.errors.NotCapable) return "Arona keeps out of there"; // as the runtime does with /proc and the like
  if (error instanceof Deno.errors.NotFound) return "it does not exist";
  if (error instanceof Deno.errors.AlreadyExists) return "it is a file, not a folder";
  if (error instanceof Deno.errors.NotADirectory) return "what stands above it is a file, not a folder";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder, not a file";
  // "Read-only file system (os error 30): mkdir '/x'": the number and the path say nothing new.
  return error instanceof Error
    ? error.message.split("\n")[0].replace(/ \(os error \d+\).*$/, "")
    : String(error);
}

function needed(io: Pick<Io, "env">, name: string): string {
  const value = io.env(name);
  if (value) return value;
  throw new CommandFailure(`Cannot find the data folder: ${name} is not set`, {
    hint: "Set ARONA_HOME to a folder of yours.",
  });
}
