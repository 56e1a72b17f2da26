/** What a command is: its name, what it takes, and what it does. One command a file in `commands/`. */

import type { Settings } from "./config.ts";
import type { Io } from "./io.ts";
import type { OptionName } from "./options.ts";
import type { Output } from "./output.ts";

/** A positional argument. */
export interface ArgumentSpec {
  readonly name: string;
  readonly describe: string;
  readonly optional?: boolean;
  readonly choices?: readonly string[];
}

/** What a running command works with. */
export interface CommandContext {
  readonly io: Io;
  readonly output: Output;
  readonly settings: Settings;
  /** Flags, environment and configuration file once more. @param readText @default from the disk */
  reread(readText?: (path: string) => Promise<string>): Promise<Settings>;
  /** Positional arguments in order; optional ones can be missing. */
  readonly args: readonly (string | undefined)[];
  /** Ends with an error once the command shall end. */
  readonly signal: AbortSignal;
  /** ARONA_HOME. @throws {CommandFailure} where there is none */
  home(): string;
}

/** One command. */
export interface CommandSpec {
  /** `send`, or with its parent, `group create`. */
  readonly name: string;
  readonly summary: string;
  readonly args?: readonly ArgumentSpec[];
  readonly options: readonly OptionName[];
  /** Whether Ctrl-C is the way to end it, and not a failure. @default false */
  readonly endless?: boolean;
  /** Stands under the help text. */
  readonly more?: string;
  /** Does the work; imports heavy modules itself. @throws whatever ends the command with an error */
  run(context: CommandContext): Promise<void>;
}

/** The options of commands that use a profile. */
export const PROFILE_OPTIONS = ["relay", "profile", "username", "invite", "json", "config"] as const;
