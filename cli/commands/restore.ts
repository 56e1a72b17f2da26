/** `arona restore`: puts a backup back. */

import type { CommandSpec } from "../command.ts";

/** `arona restore`. */
export const restore: CommandSpec = {
  name: "restore",
  summary: "put a relay or a profile back from a backup",
  args: [{ name: "file", describe: "a file that `arona backup` has made" }],
  options: ["data", "profile", "force", "json", "config"],
  more:
    "The backup says what it is; --data and --profile say where else it shall go. Everything is verified before anything\n" +
    "changes. Where something is there already it needs --force, and what was there is kept under another name.",
  async run(context) {
    const { output, settings, home } = context;
    const { dirname, resolve } = await import("node:path");
    const { placeBackup, readManifest, unpackBackup } = await import("../backup/restore.ts");
    const { checkProfileName, profileFolder, relayDataFolder } = await import("../paths.ts");
    const { usageFailure } = await import("../failure.ts");
    const file = resolve(context.args[0]!);
    const { kind, name } = await readManifest(file);
    const other = kind === "relay" ? "profile" : "data";
    if (settings.get(other).source === "flag") {
      throw usageFailure(
        `Cannot restore ${file}: it is the backup of a ${kind}, and --${other} is not for that`,
      );
    }
    const profile = checkProfileName(settings.text("profile") ?? (kind === "profile" ? name : "relay"));
    const target = kind === "relay" ? relayDataFolder({ settings, home }) : profileFolder(home(), profile);
    await using unpacked = await unpackBackup(file, dirname(target));
    const { aside } = await placeBackup(unpacked, { target, force: settings.switch("force") });
    const { atMs } = unpacked.manifest;
    const at = new Date(atMs).toISOString();
    output.data(
      { type: "Restored", kind, name: kind === "relay" ? name : profile, folder: target, at, aside },
      `Restored ${kind === "relay" ? "the relay" : `profile ${profile}`} of ${at} to ${target}.`,
    );
    if (aside !== null) output.note(`What was there is now in ${aside}.`);
    output.note(
      kind === "relay"
        ? "Accounts and groups are as they were then: who is new since registers again by itself, channels and direct messages go on, private groups that have changed since have to be made anew. Never run two copies of one relay."
        : "The relay notices a profile that was put back: it comes into its conversations again by itself, and what was missed is marked. " +
          "Never use both copies: for a second machine there is `arona device add`.",
    );
  },
};
