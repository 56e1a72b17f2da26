/** Questions without control of the screen: a line out, a line in. For `--plain`, dumb terminals and serial lines. */

import { Interrupted } from "./failure.ts";
import type { Prompts } from "./io.ts";

const MAX_ANSWER_BYTES = 4_096;
const BACKSPACE = [0x08, 0x7f];
const LINE_END = [0x0a, 0x0d];
const END_OF_INPUT = 0x04;

/** What the questions are asked through. */
export interface PromptTerminal {
  write(text: string): Promise<void>;
  /** The next bytes; null at the end of the input or when the command shall end. */
  read(): Promise<Uint8Array | null>;
  /** Whether what is typed shows. */
  echo(on: boolean): void;
}

/** Prompts over a terminal. */
export function createPlainPrompts(terminal: PromptTerminal): Prompts {
  const ask = async (question: string): Promise<string> => {
    await terminal.write(question.endsWith("?") ? `${question} ` : `${question}: `);
    return await readLine(terminal);
  };
  return {
    async text(question, check) {
      for (;;) {
        const answer = (await ask(question)).trim();
        const fault = check(answer);
        if (fault === undefined) return answer;
        await terminal.write(`${fault}\n`);
      }
    },
    async secret(question) {
      terminal.echo(false);
      try {
        return await ask(question);
      } finally {
        terminal.echo(true);
        await terminal.write("\n");
      }
    },
    async choose(question, choices) {
      const list = choices.map((choice, i) => `  ${i + 1}  ${choice}\n`).join("");
      for (;;) {
        const answer = (await ask(`${list}${question} (number or name)`)).trim();
        if (choices.includes(answer)) return answer;
        const choice = /^\d+$/.test(answer) ? choices[Number(answer) - 1] : undefined;
        if (choice !== undefined) return choice;
      }
    },
  };
}

/** One line, with backspace where the terminal does not do it itself. @throws {Interrupted} at the end of the input */
async function readLine(terminal: PromptTerminal): Promise<string> {
  const line: number[] = [];
  for (;;) {
    const bytes = await terminal.read();
    if (bytes === null) throw new Interrupted("signal");
    for (const byte of bytes) {
      if (LINE_END.includes(byte)) return new TextDecoder().decode(new Uint8Array(line));
      if (byte === END_OF_INPUT) throw new Interrupted("signal");
      if (BACKSPACE.includes(byte)) removeLast(line);
      else if (line.length < MAX_ANSWER_BYTES) line.push(byte);
    }
  }
}

/** Removes one character of UTF-8. */
function removeLast(line: number[]): void {
  while (line.length > 0 && (line.pop()! & 0xc0) === 0x80);
}
