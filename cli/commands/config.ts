/** `arona config`: the effective settings and where each comes from. */

import type { CommandSpec } from "../command.ts";
import { OPTION_NAMES, type OptionName, optionSpec, type OptionValue } from "../options.ts";
import { defaultConfigFile, relayFolder } from "../paths.ts";

/** Whatever can be set outside the command line is a setting. */
const SETTINGS = OPTION_NAMES.filter((name) => optionSpec(name).env !== undefined && name !== "config");

/** `arona config`. */
export const config: CommandSpec = {
  name: "config",
  summary: "show the effective settings and where they come from",
  options: [...SETTINGS, "example", "json", "config"],
  more:
    "A flag goes before the environment, the environment before the configuration file, the file before the\n" +
    "default. `arona config --example` prints a file to begin with.",
  run({ output, settings, home }) {
    if (settings.switch("example")) {
      output.raw(exampleConfig());
      return Promise.resolve();
    }
    const folder = home();
    output.data({ type: "Home", path: folder }, `home = ${folder}`);
    const { file } = settings;
    output.data(
      { type: "File", path: file },
      file === null
        ? `configuration file: none (${defaultConfigFile(folder)})`
        : `configuration file: ${file}`,
    );
    for (const name of SETTINGS) {
      const { value, source } = settings.get(name);
      const shown = name === "data" && value === undefined ? relayFolder(folder) : value;
      const told = optionSpec(name).secret && shown !== undefined ? "(set)" : shown;
      output.data(
        { type: "Setting", name, value: told ?? null, source },
        `${name} = ${format(told)}  (${source})`,
      );
    }
    return Promise.resolve();
  },
};

/** A configuration file in which every setting is explained and none is set. */
export function exampleConfig(): string {
  const lines = ["{"];
  const entries = OPTION_NAMES.filter((name) =>
    optionSpec(name).inFile !== false && exampleOf(name) !== undefined
  );
  for (const name of entries) {
    const { describe, choices } = optionSpec(name);
    lines.push(`  // ${describe}${choices ? `: ${choices.join(", ")}` : ""}`);
    lines.push(`  // ${JSON.stringify(name)}: ${JSON.stringify(exampleOf(name))},`, "");
  }
  lines.push(
    "  // Keep this one last, it has no comma after it: JSON lines without a setting",
    '  "json": false',
    "}",
  );
  return `// Configuration of arona. Lines that begin with // are comments: take the // away to set something.
// It is read from config.json in ARONA_HOME, or from where --config or ARONA_CONFIG say.
${lines.join("\n")}
`;
}

function exampleOf(name: OptionName): OptionValue | undefined {
  if (name === "json") return undefined;
  const { example, fallback } = optionSpec(name);
  return example ?? fallback;
}

function format(value: OptionValue | undefined): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return "(not set)";
  return Array.isArray(value) ? value.join(" ") : String(value);
}
