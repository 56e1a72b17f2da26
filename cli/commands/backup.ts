/** `arona backup`: one file of a relay or a profile, while it runs. */

import type { CommandSpec } from "../command.ts";

/** `arona backup`. */
export const backup: CommandSpec = {
  name: "backup",
  summary: "put a relay or a profile into one file, while it runs",
  args: [{ name: "file", describe: "the backup; nothing may be there" }],
  options: ["data", "profile", "json", "config"],
  more:
    "--data DIR is for the relay in DIR, --profile P for the profile P. A relay's backup holds its identity keys: whoever has\n" +
    "it can be this relay. Undelivered messages are not in it, their senders have them. A profile's backup stays sealed\n" +
    "under the profile's passphrase.",
  async run(context) {
    const { output, io } = context;
    const { resolve } = await import("node:path");
    const { chooseBackup } = await import("../backup/choose.ts");
    const { makeBackup } = await import("../backup/backup.ts");
    const { size } = await import("../control/status_text.ts");
    const { VERSION } = await import("./version.ts");
    const choice = await chooseBackup(context);
    const file = resolve(context.args[0]!);
    const clock = await io.clock();
    const { manifest, bytes, unprotected } = await makeBackup({
      ...choice,
      file,
      version: VERSION,
      nowMs: clock.now(),
    });
    const { kind, name, files } = manifest;
    output.data(
      { type: "BackedUp", kind, name, file, bytes, files },
      `Backed up ${kind === "relay" ? "the relay" : `profile ${name}`} to ${file} (${size(bytes)}).`,
    );
    output.note(
      kind === "relay"
        ? "It holds the relay's identity keys: whoever has this file can be your relay. Keep it as you would keep a key."
        : unprotected
        ? "The profile has no passphrase: whoever has this file can read your history and be you."
        : "It is sealed under the profile's passphrase; without that nobody can open it.",
    );
  },
};
