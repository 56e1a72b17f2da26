/** The Io port: what a command may touch of the world around it, so that tests can run commands in process. */

import type { Clock } from "../proto/mod.ts";
import type { Interrupted } from "./failure.ts";

/** A kind of right, as Deno names it. */
export type RightKind = "read" | "write" | "net" | "run" | "env" | "sys" | "ffi" | "import";

/** Where text goes. */
export interface TextSink {
  readonly isTerminal: boolean;
  /** Characters in a line; 80 where nobody knows. */
  readonly columns: number;
  /** Lines on the screen; undefined where nobody knows. */
  readonly rows?: number;
  /** Resolves when the text is written. @throws where nobody reads any more */
  write(text: string): Promise<void>;
}

/** Where text comes from. */
export interface TextSource {
  readonly isTerminal: boolean;
  /** Lines without their ends, until the end of the stream or until `signal` aborts. */
  lines(signal: AbortSignal): AsyncIterable<string>;
  /** Everything up to the end; at most `maxBytes` and one more. */
  bytes(options: { maxBytes: number; signal: AbortSignal }): Promise<Uint8Array>;
}

/** Asks the person at the terminal. Only used where {@link Io.interactive}. @throws {Interrupted} where they cancel */
export interface Prompts {
  text(question: string, check: (answer: string) => string | undefined): Promise<string>;
  secret(question: string): Promise<string>;
  choose(question: string, choices: readonly string[]): Promise<string>;
}

/** A command's surroundings. */
export interface Io {
  readonly stdin: TextSource;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly prompts: Prompts;
  /** Whether a person sits at a terminal and can be asked. */
  readonly interactive: boolean;
  /** As Deno names it: `linux`, `darwin`, `windows` … */
  readonly os: string;
  /** After {@link dropRights} only what was asked before and Arona's own variables, but no secrets. */
  env(name: string): string | undefined;
  /** Gives the main thread's rights up for good, but for those of the kinds in `keep`. */
  dropRights(keep: readonly RightKind[]): Promise<void>;
  /** Loaded when first needed; the quick commands do without. */
  clock(): Promise<Clock>;
  /** Aborts when the command shall end, with an {@link Interrupted} as its reason. */
  readonly signal: AbortSignal;
  /** From now on SIGHUP calls `action` instead of ending the command. @returns a function that takes that back */
  onHangUp(action: () => void): () => void;
  /** SIGHUP has come. */
  hangUp(): void;
  /** Aborts {@link signal}. */
  end(by: Interrupted["by"]): void;
}
