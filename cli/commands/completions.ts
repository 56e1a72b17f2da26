/** `arona completions SHELL`: a script that teaches a shell the commands and options. */

import type { CommandSpec } from "../command.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** `arona completions`. */
export const completions: CommandSpec = {
  name: "completions",
  summary: "print a completion script for a shell",
  args: [{ name: "shell", describe: "which shell", choices: SHELLS }],
  options: [],
  more: `bash:  source <(arona completions bash)           in ~/.bashrc
zsh:   source <(arona completions zsh)            in ~/.zshrc, after compinit
fish:  arona completions fish > ~/.config/fish/completions/arona.fish`,
  async run({ output, args }) {
    // The table holds this command too, so it cannot be imported while it is made.
    const [{ completionScript }, { COMMANDS, PARENTS }] = await Promise.all([
      import("../completion_script.ts"),
      import("../program.ts"),
    ]);
    output.raw(completionScript(args[0] as typeof SHELLS[number], { commands: COMMANDS, parents: PARENTS }));
  },
};
