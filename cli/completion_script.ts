/** Completion scripts for shells, made from the table of commands. */

import type { CommandSpec } from "./command.ts";
import { type OptionName, optionSpec } from "./options.ts";

/** What a script is made from. */
export interface CompletionTable {
  readonly commands: readonly CommandSpec[];
  /** Commands that only hold others, with what they are for. */
  readonly parents: Readonly<Record<string, string>>;
}

/** One place in the command line: the words that can come next there. */
interface Node {
  /** The command so far: empty, `send`, `group`, `group create`. */
  readonly path: string;
  readonly children: readonly { name: string; summary: string }[];
  /** Choices of the first argument. */
  readonly choices: readonly string[];
  readonly options: readonly OptionName[];
}

/** The script for one shell. */
export function completionScript(shell: "bash" | "zsh" | "fish", table: CompletionTable): string {
  const nodes = nodesOf(table);
  switch (shell) {
    case "bash":
      return bashScript(nodes);
    case "zsh":
      return zshScript(nodes);
    case "fish":
      return fishScript(nodes);
  }
}

function nodesOf({ commands, parents }: CompletionTable): Node[] {
  const top = commands.filter((command) => !command.name.includes(" "))
    .map(({ name, summary }) => ({ name, summary }));
  const holders = Object.entries(parents).map(([name, summary]) => ({ name, summary }));
  const help = { name: "help", summary: "show the help of a command" };
  return [
    { path: "", children: [...top, ...holders, help], choices: [], options: [] },
    {
      path: "help",
      children: [],
      choices: [...top, ...holders].map(({ name }) => name),
      options: [],
    },
    ...holders.map(({ name }) => ({
      path: name,
      children: childrenOf(name, commands),
      choices: [],
      options: [],
    })),
    ...commands.map(({ name, args, options }) => ({
      path: name,
      children: childrenOf(name, commands),
      choices: args?.[0]?.choices ?? [],
      options,
    })),
  ];
}

function childrenOf(name: string, commands: CompletionTable["commands"]): Node["children"] {
  return commands.filter((command) => command.name.startsWith(`${name} `))
    .map((command) => ({ name: command.name.slice(name.length + 1), summary: command.summary }));
}

function bashScript(nodes: readonly Node[]): string {
  const words = nodes.map(({ path, children, choices, options }) =>
    `    ${quote(path)}) words=${
      quote([...children.map(({ name }) => name), ...choices, ...options.map(flag), "--help"].join(" "))
    } ;;`
  );
  return `# bash completion of arona. Load it with: source <(arona completions bash)
_arona() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" word i
  COMPREPLY=()
  case "$previous" in
${valueCases(nodes).join("\n")}
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$path $word" in
${pathCases(nodes).join("\n")}
    esac
  done
  case "$path" in
${words.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _arona arona
`;
}

function zshScript(nodes: readonly Node[]): string {
  const words = nodes.map(({ path, children, choices, options }) => {
    const described = [
      ...children.map(({ name, summary }) => `${name}:${summary}`),
      ...choices,
      ...options.map((name) => `${flag(name)}:${optionSpec(name).describe.replaceAll(":", "\\:")}`),
      "--help:show the help",
    ];
    return `    ${quote(path)}) candidates=(${described.map(quote).join(" ")}) ;;`;
  });
  const values = valueOptions(nodes).map((name) => {
    const { choices } = optionSpec(name);
    return `    ${flag(name)}) ${choices ? `compadd -- ${choices.join(" ")}` : "_files"}; return ;;`;
  });
  return `#compdef arona
# zsh completion of arona. Load it with: source <(arona completions zsh)
_arona() {
  local path_="" word i
  local -a candidates
  case "\${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$path_ $word" in
${pathCases(nodes).map((line) => line.replaceAll("path=", "path_=")).join("\n")}
    esac
  done
  case "$path_" in
${words.join("\n")}
  esac
  _describe -t commands arona candidates || _files
}
compdef _arona arona
`;
}

function fishScript(nodes: readonly Node[]): string {
  const lines = [
    "# fish completion of arona. Keep it as ~/.config/fish/completions/arona.fish",
    "complete -c arona -f",
    "complete -c arona -l help -s h -d 'show the help'",
  ];
  for (const { path, children, choices, options } of nodes) {
    const condition = fishCondition(path, nodes);
    for (const { name, summary } of children) {
      lines.push(`complete -c arona -n ${quote(condition)} -a ${quote(name)} -d ${quote(summary)}`);
    }
    if (choices.length > 0) {
      lines.push(`complete -c arona -n ${quote(condition)} -a ${quote(choices.join(" "))}`);
    }
    for (const name of options) {
      const { describe, choices } = optionSpec(name);
      const value = !needsValue(name) ? "" : choices ? ` -x -a ${quote(choices.join(" "))}` : " -r -F";
      lines.push(
        `complete -c arona -n ${quote(condition)} -l ${name}${value} -d ${quote(describe)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function fishCondition(path: string, nodes: readonly Node[]): string {
  if (path === "") return "__fish_use_subcommand";
  const [first, second] = path.split(" ");
  if (second !== undefined) {
    return `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`;
  }
  const children = nodes.find((node) => node.path === path)!.children.map(({ name }) => name);
  const seen = `__fish_seen_subcommand_from ${first}`;
  // A subcommand's name can be a command of its own, `arona invite` and `arona group invite`.
  const elsewhere = nodes.flatMap((node) => {
    const [holder, name] = node.path.split(" ");
    return name === first ? [holder] : [];
  });
  const not = [...children, ...elsewhere];
  return not.length === 0 ? seen : `${seen}; and not __fish_seen_subcommand_from ${not.join(" ")}`;
}

/** Case lines that follow the words of a command line to the command they name. */
function pathCases(nodes: readonly Node[]): string[] {
  return nodes.filter(({ path }) => path !== "").map(({ path }) => {
    const words = path.split(" ");
    const before = words.slice(0, -1).join(" ");
    return `      ${quote(`${before} ${words.at(-1)}`)}) path=${quote(path)} ;;`;
  });
}

/** Case lines for the words after an option that takes a value. */
function valueCases(nodes: readonly Node[]): string[] {
  return valueOptions(nodes).map((name) => {
    const { choices } = optionSpec(name);
    return choices
      ? `    ${flag(name)}) COMPREPLY=($(compgen -W ${quote(choices.join(" "))} -- "$current")); return ;;`
      : `    ${flag(name)}) return ;;`;
  });
}

function valueOptions(nodes: readonly Node[]): OptionName[] {
  return [...new Set(nodes.flatMap(({ options }) => options))].filter(needsValue);
}

function needsValue(name: OptionName): boolean {
  const { kind, valueOptional } = optionSpec(name);
  return kind !== "switch" && !valueOptional;
}

function flag(name: OptionName): string {
  return `--${name}`;
}

/** For all three shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
