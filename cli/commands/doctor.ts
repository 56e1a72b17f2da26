/** `arona doctor`: looks at everything that can be wrong, and says what to do. */

import type { CommandContext, CommandSpec } from "../command.ts";

/** `arona doctor`. */
export const doctor: CommandSpec = {
  name: "doctor",
  summary: "look for what is wrong with a relay or a profile, and say what to do",
  options: ["data", "profile", "json", "config"],
  more:
    "It looks at the relay of this machine and at its profiles; --data DIR or --profile P name one of them. It changes\n" +
    "nothing. Exit code 1: there is a problem.",
  async run(context) {
    const { output } = context;
    const { findingLines } = await import("../doctor/finding.ts");
    const { CommandFailure } = await import("../failure.ts");
    let problems = 0;
    for await (const finding of findAll(context)) {
      output.object({ type: "Check", ...finding });
      for (const line of findingLines(finding)) output.line(line);
      if (finding.state === "problem") problems++;
    }
    if (problems > 0) {
      throw new CommandFailure(
        `Cannot say that all is well: ${problems} ${problems === 1 ? "problem" : "problems"}`,
      );
    }
  },
};

async function* findAll(context: CommandContext) {
  const { io, settings, home, signal } = context;
  const { exists, checkProfileName, listProfiles, profileFolder, relayDataFolder } = await import(
    "../paths.ts"
  );
  const { checkProgram } = await import("../doctor/program_checks.ts");
  yield* await checkProgram(io);
  const { selectProvider } = await import("../../proto/mod.ts");
  const [crypto, clock] = await Promise.all([selectProvider(), io.clock()]);
  const [data, named] = [settings.get("data"), settings.get("profile")];
  const only = data.source === "flag" !== (named.source === "flag");
  const folder = relayDataFolder({ settings, home });
  if (data.source === "flag" || (!only && await exists(folder))) {
    const { checkRelay } = await import("../doctor/relay_checks.ts");
    yield* await checkRelay(folder, { crypto, clock, signal });
  }
  if (only && named.source !== "flag") return;
  const profiles = named.value === undefined ? await listProfiles(home()) : [String(named.value)];
  const { checkProfile } = await import("../doctor/profile_checks.ts");
  for (const name of profiles) {
    const folder = profileFolder(home(), checkProfileName(name));
    yield* await checkProfile(context, { name, folder, crypto, clock, unlock: profiles.length === 1 });
  }
}
