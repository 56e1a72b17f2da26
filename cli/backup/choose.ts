/** Which relay or profile a backup is made of. */

import type { CommandContext } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { checkProfileName, exists, listProfiles, profileFolder, relayDataFolder } from "../paths.ts";
import type { BackupKind } from "./manifest.ts";

/** The relay that --data names, the profile that --profile names, or the only one of both that there is. @throws {CommandFailure} */
export async function chooseBackup(
  { settings, home }: Pick<CommandContext, "settings" | "home">,
): Promise<{ kind: BackupKind; folder: string; name: string }> {
  const relay = () => ({
    kind: "relay" as const,
    folder: relayDataFolder({ settings, home }),
    name: "relay",
  });
  const profile = (name: string) => ({
    kind: "profile" as const,
    folder: profileFolder(home(), checkProfileName(name)),
    name,
  });
  const [data, named] = [settings.get("data"), settings.get("profile")];
  if (data.source === "flag" && named.source === "flag") {
    throw usageFailure("Cannot choose what is meant: there are --data and --profile", "Name one of them.");
  }
  if (data.source === "flag") return relay();
  if (named.source === "flag") return profile(String(named.value));
  const profiles = named.value === undefined ? await listProfiles(home()) : [String(named.value)];
  const hasRelay = await exists(relay().folder);
  if (hasRelay && profiles.length === 0) return relay();
  if (!hasRelay && profiles.length === 1) return profile(profiles[0]);
  if (!hasRelay && profiles.length === 0) {
    throw usageFailure(
      "Cannot choose what is meant: there is neither a relay nor a profile",
      "Name one with --data or --profile.",
    );
  }
  throw usageFailure(
    `Cannot choose what is meant: there are ${
      [...hasRelay ? [`the relay in ${relay().folder}`] : [], ...profiles.map((name) => `profile ${name}`)]
        .join(", ")
    }`,
    "Name one with --data or --profile.",
  );
}
