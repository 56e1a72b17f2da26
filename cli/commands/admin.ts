/** `arona admin …`: what the operator of a relay does to it while it runs. */

import type { CommandContext, CommandSpec } from "../command.ts";
import type { OptionName } from "../options.ts";

const OPTIONS = ["data", "json", "config"] as const;
const SUBJECT = {
  name: "who",
  describe: "an account's name, or an identity's fingerprint as `arona id` shows it",
} as const;
/** The options that are limits, and the limits. */
const LIMITS = {
  "messages-per-second": "messagesPerSecond",
  "message-burst": "messageBurst",
  "max-per-ip": "maxPerIp",
  registration: "registration",
} as const satisfies Partial<Record<OptionName, string>>;

/** `arona admin ban`. */
export const adminBan: CommandSpec = {
  name: "admin ban",
  summary: "keep an account or an identity out of your relay, and end its sessions",
  args: [SUBJECT],
  options: OPTIONS,
  more:
    "A name keeps that name out; a fingerprint keeps the person out under every name. It lasts until `arona admin unban`,\n" +
    "over restarts. Groups stay as they are: their admins remove members.",
  async run(context) {
    const { kind, subject, changed, sessions } = await (await find(context)).subject("ban", context.args[0]!);
    context.output.data(
      { type: "Banned", kind, subject, changed, sessions },
      `${changed ? "Banned" : "Was banned already"}: ${kind} ${subject}. ${counted(sessions)} ended.`,
    );
  },
};

/** `arona admin unban`. */
export const adminUnban: CommandSpec = {
  name: "admin unban",
  summary: "let an account or an identity in again",
  args: [SUBJECT],
  options: OPTIONS,
  async run(context) {
    const { kind, subject, changed } = await (await find(context)).subject("unban", context.args[0]!);
    if (!changed) {
      const { CommandFailure } = await import("../failure.ts");
      throw new CommandFailure(`Cannot unban ${kind} ${subject}: it is not banned`, {
        hint: "`arona admin bans` shows who is.",
      });
    }
    context.output.data({ type: "Unbanned", kind, subject }, `Let in again: ${kind} ${subject}.`);
  },
};

/** `arona admin bans`. */
export const adminBans: CommandSpec = {
  name: "admin bans",
  summary: "show whom your relay keeps out",
  options: OPTIONS,
  async run(context) {
    const bans = await (await find(context)).bans();
    for (const { kind, subject, at } of bans) {
      context.output.data({ type: "Ban", kind, subject, at }, `${at}  ${kind.padEnd(11)}  ${subject}`);
    }
    if (bans.length === 0) context.output.note("Nobody is banned.");
  },
};

/** `arona admin kick`. */
export const adminKick: CommandSpec = {
  name: "admin kick",
  summary: "end the sessions of an account or an identity; it may come back at once",
  args: [SUBJECT],
  options: OPTIONS,
  async run(context) {
    const { kind, subject, sessions } = await (await find(context)).subject("kick", context.args[0]!);
    context.output.data({ type: "Kicked", kind, subject, sessions }, `${counted(sessions)} ended.`);
  },
};

/** `arona admin limits`. */
export const adminLimits: CommandSpec = {
  name: "admin limits",
  summary: "show your relay's limits, or change them while it runs",
  options: [...Object.keys(LIMITS) as (keyof typeof LIMITS)[], ...OPTIONS],
  more:
    "A change lasts until the relay stops or reads its configuration again; what shall stay belongs into the\n" +
    "configuration file. Without an option it shows the limits.",
  async run(context) {
    const { settings, output } = context;
    const change: Record<string, unknown> = {};
    for (const [option, limit] of Object.entries(LIMITS) as [OptionName, string][]) {
      const { value, source } = settings.get(option);
      if (source === "flag") change[limit] = value;
    }
    const control = await find(context);
    const limits = Object.keys(change).length === 0
      ? await control.limits()
      : await control.setLimits(change);
    output.object({ type: "Limits", ...limits });
    for (const [name, value] of Object.entries(limits)) output.line(`${name} = ${value}`);
  },
};

/** `arona admin reload`. */
export const adminReload: CommandSpec = {
  name: "admin reload",
  summary: "let your relay read its configuration file again",
  options: OPTIONS,
  more: "The same as SIGHUP, and it says what came of it. A file that does not fit changes nothing.",
  async run(context) {
    const { applied, restart } = await (await find(context)).reload();
    context.output.object({ type: "Reloaded", applied, restart });
    context.output.line(
      applied.length === 0 ? "Nothing has changed." : `In force now: ${applied.join(", ")}.`,
    );
    if (restart.length > 0) context.output.line(`Needs a restart: ${restart.join(", ")}.`);
  },
};

/** `arona admin drain`. */
export const adminDrain: CommandSpec = {
  name: "admin drain",
  summary: "stop your relay in good order",
  options: ["timeout", ...OPTIONS],
  more:
    "Nobody new gets in, connected devices get what waits for them (for 5 s, or --timeout seconds, at most), everybody is\n" +
    "told goodbye, and the relay ends. SIGTERM and Ctrl-C do the same. Devices come back when it runs again.",
  async run(context) {
    const seconds = context.settings.number("timeout");
    const control = await find(context);
    await control.drain(
      seconds === undefined ? {} : { withinMs: Math.round(Math.min(seconds, 3_600) * 1_000) },
    );
    context.output.data({ type: "Drained", pid: control.pid }, "The relay has stopped.");
  },
};

async function find({ settings, home, signal }: CommandContext) {
  const { relayDataFolder } = await import("../paths.ts");
  const { ControlClient } = await import("../control/client.ts");
  return await ControlClient.find(relayDataFolder({ settings, home }), { signal });
}

function counted(sessions: number): string {
  return sessions === 1 ? "1 session" : `${sessions} sessions`;
}
