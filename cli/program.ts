/** The table of commands, and how the arguments become a call of one of them. */

import { Command, CommanderError, Option } from "commander";
import type { CommandSpec } from "./command.ts";
import {
  adminBan,
  adminBans,
  adminDrain,
  adminKick,
  adminLimits,
  adminReload,
  adminUnban,
} from "./commands/admin.ts";
import { backup } from "./commands/backup.ts";
import { channels } from "./commands/channels.ts";
import { completions } from "./commands/completions.ts";
import { config } from "./commands/config.ts";
import { connect } from "./commands/connect.ts";
import { deviceAdd, deviceLink, deviceList, deviceRemove } from "./commands/device.ts";
import { discover } from "./commands/discover.ts";
import { doctor } from "./commands/doctor.ts";
import { groupAdmin, groupBan, groupCreate, groupInvite, groupRemove } from "./commands/group.ts";
import { groups } from "./commands/groups.ts";
import { history } from "./commands/history.ts";
import { id } from "./commands/id.ts";
import { invite, inviteList, inviteRevoke } from "./commands/invite.ts";
import { join } from "./commands/join.ts";
import { members } from "./commands/members.ts";
import { part } from "./commands/part.ts";
import { restore } from "./commands/restore.ts";
import { send } from "./commands/send.ts";
import { serve } from "./commands/serve.ts";
import { status } from "./commands/status.ts";
import { tail } from "./commands/tail.ts";
import { verify } from "./commands/verify.ts";
import { VERSION, version } from "./commands/version.ts";
import { readSettings } from "./config.ts";
import { describeFailure, ExitCode, Interrupted, usageFailure } from "./failure.ts";
import type { Io } from "./io.ts";
import { type OptionName, optionSpec } from "./options.ts";
import { Output } from "./output.ts";
import { aronaHome } from "./paths.ts";

/** Every command, in the order of the help text. */
export const COMMANDS: readonly CommandSpec[] = [
  serve,
  status,
  adminBan,
  adminUnban,
  adminBans,
  adminKick,
  adminLimits,
  adminReload,
  adminDrain,
  invite,
  inviteList,
  inviteRevoke,
  connect,
  discover,
  send,
  tail,
  history,
  join,
  part,
  channels,
  groups,
  members,
  groupCreate,
  groupInvite,
  groupRemove,
  groupBan,
  groupAdmin,
  id,
  verify,
  deviceAdd,
  deviceLink,
  deviceList,
  deviceRemove,
  doctor,
  backup,
  restore,
  config,
  version,
  completions,
];

/** Commands that only hold others. */
export const PARENTS: Readonly<Record<string, string>> = {
  admin: "look after your relay while it runs: bans, limits, an orderly stop",
  device: "use several devices as one person",
  group: "create private groups and change who is in a group or channel",
};

/**
 * Runs the command that `args` name.
 *
 * @param args without the program's own name
 * @returns the exit code; never throws
 */
export async function runProgram(args: readonly string[], io: Io): Promise<ExitCode> {
  const output = new Output(io, false);
  try {
    await buildProgram(io, output).parseAsync([...args], { from: "user" });
    await output.flush();
    return ExitCode.DONE;
  } catch (error) {
    await output.flush();
    return await concludeFailure(error, { io, output });
  }
}

async function concludeFailure(
  error: unknown,
  { io, output }: { io: Io; output: Output },
): Promise<ExitCode> {
  if (error instanceof CommanderError) { // help or version were shown
    return error.exitCode === 0 ? ExitCode.DONE : ExitCode.USAGE;
  }
  const reason = io.signal.aborted ? io.signal.reason : error;
  if (reason instanceof Interrupted && reason.by === "broken_pipe") return ExitCode.DONE;
  const { exitCode, line } = describeFailure(reason instanceof Interrupted ? reason : error);
  output.note(`arona: ${line}`);
  if (io.env("ARONA_DEBUG")) await io.stderr.write(`${Deno.inspect(error)}\n`).catch(() => {});
  await output.flush();
  return exitCode;
}

function buildProgram(io: Io, output: Output): Command {
  const root = prepare(new Command("arona"), "arona", { io, output });
  root.description("Encrypted chat over a relay of your own: relay, client and scripts in one program.")
    .version(`arona ${VERSION}`, "-V, --version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .enablePositionalOptions() // what stands behind a command is that one's
    .addHelpText(
      "after",
      "\nBegin with `arona serve` on the machine that stays on, and `arona connect LINK` everywhere else.",
    );
  const parents = new Map<string, Command>();
  for (const spec of COMMANDS) {
    const words = spec.name.split(" ");
    const [parentName] = words;
    let parent = root;
    if (words.length > 1) {
      parent = parents.get(parentName) ??
        prepare(root.command(parentName), `arona ${parentName}`, { io, output })
          .description(PARENTS[parentName]).helpCommand(false);
      parents.set(parentName, parent);
    }
    const command = addCommand(parent, spec, { io, output });
    if (words.length === 1) parents.set(spec.name, command.helpCommand(false)); // it can hold others too
  }
  return root;
}

function addCommand(
  parent: Command,
  spec: CommandSpec,
  { io, output }: { io: Io; output: Output },
): Command {
  const command = prepare(parent.command(spec.name.split(" ").at(-1)!), `arona ${spec.name}`, { io, output });
  command.description(spec.summary);
  for (const { name, describe, optional, choices } of spec.args ?? []) {
    const shown = choices ? `${describe}: ${choices.join(", ")}` : describe;
    command.argument(optional ? `[${name}]` : `<${name}>`, shown);
  }
  for (const name of spec.options) for (const option of makeOptions(name)) command.addOption(option);
  if (spec.more) command.addHelpText("after", `\n${spec.more}`);
  command.action(async () => {
    const flags = new Map<OptionName, unknown>();
    for (const name of spec.options) {
      const value = command.getOptionValue(new Option(`--${name}`).attributeName());
      if (value !== undefined) flags.set(name, value);
    }
    spec.args?.forEach(({ name, choices }, i) => {
      const given: string | undefined = command.args[i];
      if (choices && given !== undefined && !choices.includes(given)) {
        throw usageFailure(
          `Cannot run arona ${spec.name}: ${name} is none of ${choices.join(", ")}`,
          `See \`arona ${spec.name} --help\`.`,
        );
      }
    });
    const home = () => aronaHome(io);
    const reread = (readText?: (path: string) => Promise<string>) =>
      readSettings({ flags, env: (name) => io.env(name), home, readText });
    const settings = await reread();
    const own = new Output(io, spec.options.includes("json") && settings.switch("json"));
    try {
      await spec.run({ io, output: own, settings, reread, args: command.args, signal: io.signal, home });
    } catch (error) {
      if (!(spec.endless && error instanceof Interrupted)) throw error;
    } finally {
      await own.flush();
    }
  });
  return command;
}

/** Makes a command report to us instead of printing and exiting by itself. */
function prepare(command: Command, path: string, { io, output }: { io: Io; output: Output }): Command {
  return command.configureOutput({
    writeOut: (text) => output.raw(text),
    writeErr: (text) => output.error(text),
    outputError: () => {}, // said by whoever catches it
    getOutHelpWidth: () => io.stdout.columns,
    getErrHelpWidth: () => io.stderr.columns,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  }).exitOverride((error) => {
    if (error.code.startsWith("commander.help") || error.code === "commander.version") throw error;
    const message = error.message.replace(/^error: /, "");
    throw usageFailure(`Cannot run ${path}: ${message}`, `See \`${path} --help\`.`);
  }).showSuggestionAfterError(true);
}

/** The option, and for a switch its hidden opposite, which overrides environment and file. */
function makeOptions(name: OptionName): Option[] {
  const { kind, value, valueOptional, describe, choices, env, fallback, inFile } = optionSpec(name);
  const notes = [
    ...(choices ? [choices.join(" | ")] : []),
    ...(fallback === undefined || kind === "switch" ? [] : [`default: ${fallback}`]),
    ...(fallback === true ? [`--no-${name} turns it off`] : []),
    ...(env ? [`environment: ${env}`] : []),
  ];
  const text = notes.length === 0 ? describe : `${describe} (${notes.join("; ")})`;
  const shown = kind === "switch" ? "" : valueOptional ? ` [${value}]` : ` <${value}>`;
  const option = new Option(`--${name}${shown}`, text);
  if (kind === "list") {
    option.argParser((item: string, before: string[] | undefined) => [...before ?? [], item]);
  }
  if (kind !== "switch" || inFile === false) return [option];
  return [option, new Option(`--no-${name}`).hideHelp()];
}
