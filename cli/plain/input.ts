/** What a typed line means: text, or a slash command. */

/** A line of input. */
export type Input =
  | { readonly kind: "empty" }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "command"; readonly name: string; readonly rest: string };

/** `/name rest` is a command, `//…` is text that begins with a slash, everything else is text. */
export function parseInput(line: string): Input {
  if (line.trim() === "") return { kind: "empty" };
  if (line.startsWith("//")) return { kind: "text", text: line.slice(1) };
  const command = /^\/(\S*)\s*(.*)$/su.exec(line);
  if (command === null) return { kind: "text", text: line };
  return { kind: "command", name: command[1].toLowerCase(), rest: command[2].trimEnd() };
}

/** The first word and what follows it. */
export function firstWord(text: string): [word: string, rest: string] {
  const [, word, rest] = /^(\S*)\s*(.*)$/su.exec(text)!;
  return [word, rest];
}
