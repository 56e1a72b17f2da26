/** An Io for tests: what commands print is kept, what they read is given, nothing touches the process. */

import { Interrupted } from "../../cli/failure.ts";
import type { Io, TextSink } from "../../cli/io.ts";
import { runProgram } from "../../cli/program.ts";
import { type Clock, systemClock } from "../../proto/mod.ts";

/** What a test sets up. */
export interface TestIoOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** @default "" */
  readonly stdin?: string | AsyncIterable<string>;
  /** Whether a person sits there. @default false */
  readonly interactive?: boolean;
  /** Answers in order; a question without one fails the test. */
  readonly answers?: readonly string[];
  readonly clock?: Clock;
  readonly os?: string;
}

/** An Io and what happened to it. */
export interface TestIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
  readonly questions: readonly string[];
}

/** Makes an Io. */
export function createTestIo(options: TestIoOptions = {}): TestIo {
  const abort = new AbortController();
  const questions: string[] = [];
  const answers = [...options.answers ?? []];
  const { interactive = false, stdin = "" } = options;
  let out = "";
  let err = "";
  let onHangUp = () => {};
  const answer = (question: string) => {
    questions.push(question);
    const next = answers.shift();
    if (next === undefined) throw new Error(`nobody answers: ${question}`);
    return next;
  };
  return {
    stdin: {
      isTerminal: interactive,
      async *lines(signal) {
        for await (const line of typeof stdin === "string" ? stdin.split("\n").slice(0, -1) : stdin) {
          if (signal.aborted) return;
          yield line;
        }
      },
      bytes: () => Promise.resolve(new TextEncoder().encode(typeof stdin === "string" ? stdin : "")),
    },
    stdout: sink(interactive, (text) => out += text),
    stderr: sink(interactive, (text) => err += text),
    prompts: {
      text(question, check) {
        for (;;) {
          const text = answer(question);
          if (check(text) === undefined) return Promise.resolve(text);
        }
      },
      secret: (question) => Promise.resolve(answer(question)),
      choose: (question) => Promise.resolve(answer(question)),
    },
    interactive,
    os: options.os ?? "linux",
    // Tests keep off the network of the machine that they run on.
    env: (name) => options.env?.[name] ?? (name === "ARONA_LAN" ? "no" : undefined),
    dropRights: () => Promise.resolve(), // the tests go on with all of them
    clock: () => Promise.resolve(options.clock ?? systemClock),
    signal: abort.signal,
    onHangUp: (action) => (onHangUp = action, () => onHangUp = () => {}),
    hangUp: () => onHangUp(),
    end: (by) => abort.abort(new Interrupted(by)),
    out: () => out,
    err: () => err,
    questions,
  };
}

/** Runs a command line in process. */
export async function run(
  args: readonly string[],
  options: TestIoOptions = {},
): Promise<{ code: number; out: string; err: string; questions: readonly string[] }> {
  const io = createTestIo(options);
  const code = await runProgram(args, io);
  return { code, out: io.out(), err: io.err(), questions: io.questions };
}

/** A folder that goes away with the test. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "arona-cli-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function sink(isTerminal: boolean, keep: (text: string) => void): TextSink {
  return {
    isTerminal,
    columns: 80,
    write(text) {
      keep(text);
      return Promise.resolve();
    },
  };
}
