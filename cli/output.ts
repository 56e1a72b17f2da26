/** What a command says: data on stdout as text or JSON lines, and everything for the person on stderr. */

import { oneLine } from "./failure.ts";
import type { Io, TextSink } from "./io.ts";

/** Escapes that JSON does not ask for but a terminal needs: C1, DEL, line separators, bidi controls and other invisible ones. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The two streams of one command, written in order. */
export class Output {
  readonly #io: Io;
  #last: Promise<void> = Promise.resolve();
  #broken = false;

  /** @param json whether stdout carries JSON lines and nothing else */
  constructor(io: Io, readonly json: boolean) {
    this.#io = io;
  }

  /** Prints a line for people on stdout; with --json it is left out. */
  line(text: string): void {
    if (!this.json) this.#write(this.#io.stdout, `${text}\n`);
  }

  /** Prints one JSON object on stdout; without --json it is left out. */
  object(object: Readonly<Record<string, unknown>>): void {
    if (this.json) this.#write(this.#io.stdout, `${toJsonLine(object)}\n`);
  }

  /** Prints the object with --json and the line without. */
  data(object: Readonly<Record<string, unknown>>, text: string): void {
    this.object(object);
    this.line(text);
  }

  /** Tells the person something on stderr. */
  note(text: string): void {
    this.#write(this.#io.stderr, `${oneLine(text)}\n`);
  }

  /** Prints to stdout as it is. */
  raw(text: string): void {
    this.#write(this.#io.stdout, text);
  }

  /** Prints to stderr as it is. */
  error(text: string): void {
    this.#write(this.#io.stderr, text);
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    await this.#last;
  }

  #write(sink: TextSink, text: string): void {
    this.#last = this.#last.then(async () => {
      if (this.#broken && sink === this.#io.stdout) return;
      try {
        await sink.write(text);
      } catch {
        if (sink !== this.#io.stdout) return; // nobody is left to tell
        this.#broken = true;
        this.#io.end("broken_pipe");
      }
    });
  }
}

/** One line of JSON that no terminal acts on. */
export function toJsonLine(object: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(object).replace(UNSAFE_IN_JSON, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""));
}
