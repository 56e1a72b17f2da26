/** The effective settings: flag, then environment, then configuration file, then default. */

import { CommandFailure, usageFailure } from "./failure.ts";
import { nearest } from "./nearest.ts";
import { OPTION_NAMES, type OptionName, optionSpec, type OptionValue, parseOption } from "./options.ts";
import { defaultConfigFile, reasonOf } from "./paths.ts";

/** Where a value comes from. */
export type SettingSource = "flag" | "environment" | "file" | "default";

/** A value and where it comes from. */
export interface Setting {
  readonly value: OptionValue | undefined;
  readonly source: SettingSource;
}

const MAX_FILE_BYTES = 1_048_576;

/** Typed access to the effective settings. */
export class Settings {
  constructor(
    private readonly values: ReadonlyMap<OptionName, Setting>,
    /** The configuration file that was read, or null. */
    readonly file: string | null,
  ) {}

  /** The same settings with one of them as if a flag had set it. */
  with(name: OptionName, value: OptionValue): Settings {
    return new Settings(new Map(this.values).set(name, { value, source: "flag" }), this.file);
  }

  get(name: OptionName): Setting {
    return this.values.get(name) ?? { value: optionSpec(name).fallback, source: "default" };
  }

  text(name: OptionName): string | undefined {
    return this.get(name).value as string | undefined;
  }

  number(name: OptionName): number | undefined {
    return this.get(name).value as number | undefined;
  }

  switch(name: OptionName): boolean {
    return this.get(name).value === true;
  }

  list(name: OptionName): readonly string[] {
    return (this.get(name).value ?? []) as readonly string[];
  }
}

/**
 * Reads everything and decides.
 *
 * @param options.flags values from the command line, by long name
 * @param options.home ARONA_HOME; asked only where the file is not named
 * @throws {CommandFailure} for a value that does not fit, with where it stands
 */
export async function readSettings(options: {
  flags: ReadonlyMap<OptionName, unknown>;
  env: (name: string) => string | undefined;
  home: () => string;
  /** Reads the file's text. @default from the disk */
  readText?: (path: string) => Promise<string>;
}): Promise<Settings> {
  const { flags, env } = options;
  const named = (flags.get("config") as string | undefined) ?? (env("ARONA_CONFIG") || undefined);
  const file = await readConfigFile(named ?? homeConfigFile(options.home), {
    needed: named !== undefined,
    readText: options.readText ?? readText,
  });
  const values = new Map<OptionName, Setting>();
  for (const name of OPTION_NAMES) {
    const spec = optionSpec(name);
    const variable = spec.env === undefined ? undefined : env(spec.env);
    if (flags.has(name)) {
      values.set(name, { value: parseOption(name, flags.get(name), `--${name}`), source: "flag" });
    } else if (variable) {
      values.set(name, { value: parseOption(name, variable, spec.env!), source: "environment" });
    } else if (file?.values.has(name)) {
      values.set(name, { value: file.values.get(name), source: "file" });
    }
  }
  return new Settings(values, file?.path ?? null);
}

/** JSON in which lines that begin with `//` are comments. @throws {CommandFailure} */
export function parseConfig(text: string, path: string): Map<OptionName, OptionValue> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\s*\/\/.*$/gm, "").trim() || "{}");
  } catch (cause) {
    const { message } = cause as Error;
    throw usageFailure(
      `Cannot read configuration ${path}: it is not JSON (${message})`,
      "Compare it with `arona config --example`.",
    );
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw usageFailure(`Cannot read configuration ${path}: it is not a JSON object`);
  }
  const known = OPTION_NAMES.filter((name) => optionSpec(name).inFile !== false);
  const values = new Map<OptionName, OptionValue>();
  for (const [key, value] of Object.entries(parsed)) {
    const name = known.find((name) => name === key);
    if (name === undefined) throw unknownKey(key, path, known);
    values.set(name, parseOption(name, value, `"${key}" in ${path}`));
  }
  return values;
}

async function readConfigFile(
  path: string | null,
  options: { needed: boolean; readText: (path: string) => Promise<string> },
): Promise<{ path: string; values: Map<OptionName, OptionValue> } | null> {
  if (path === null) return null;
  let text: string;
  try {
    text = await options.readText(path);
  } catch (cause) {
    const absent = cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory;
    if (absent && !options.needed) return null;
    throw new CommandFailure(`Cannot read configuration ${path}: ${reasonOf(cause)}`, {
      cause,
      hint: "Name another file with --config or ARONA_CONFIG.",
    });
  }
  return { path, values: parseConfig(text, path) };
}

async function readText(path: string): Promise<string> {
  const { size } = await Deno.stat(path);
  if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, ${MAX_FILE_BYTES} are allowed`);
  return await Deno.readTextFile(path);
}

/** Without a home there is no file in it; commands that need a home say so themselves. */
function homeConfigFile(home: () => string): string | null {
  try {
    return defaultConfigFile(home());
  } catch {
    return null;
  }
}

function unknownKey(key: string, path: string, known: readonly string[]): CommandFailure {
  const shown = JSON.stringify(key.slice(0, 80));
  const meant = nearest(key, known);
  return usageFailure(
    `Cannot read configuration ${path}: ${shown} is not a setting`,
    meant === null ? "`arona config --example` shows them all." : `Did you mean "${meant}"?`,
  );
}
