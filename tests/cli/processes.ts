/** Arona as processes of its own: a relay on loopback and commands that talk to it. */

import assert from "node:assert/strict";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** How Arona is started. */
export interface Program {
  readonly command: string;
  /** Before Arona's own arguments. */
  readonly args: readonly string[];
  /** The environment, without what the test itself sets. @default this process's without Arona's variables */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The program as it stands in the checkout. */
const FROM_SOURCE: Program = { command: Deno.execPath(), args: ["run", "-A", "--no-check", MAIN] };

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A command that runs. */
export class Arona implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #waiting = new Set<() => void>();
  readonly #read: Promise<unknown>;
  out = "";
  err = "";
  #ended = false;

  constructor(
    home: string,
    args: readonly string[],
    options: { env?: Readonly<Record<string, string>>; program?: Program } = {},
  ) {
    const { env, program = FROM_SOURCE } = options;
    this.#child = new Deno.Command(program.command, {
      args: [...program.args, ...args],
      cwd: program.cwd,
      env: { ARONA_LAN: "no", ...program.env ?? cleanEnvironment(), ARONA_HOME: home, NO_COLOR: "1", ...env },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#read = Promise.all([
      this.#collect(this.#child.stdout, (text) => this.out += text),
      this.#collect(this.#child.stderr, (text) => this.err += text),
    ]);
  }

  /** Types into the command. */
  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  /** Ends its input. */
  async endInput(): Promise<void> {
    await this.#child.stdin.close().catch(() => {}); // it may have gone already
  }

  /** Resolves when it has printed something that fits; fails where it ends before. */
  async until(stream: "out" | "err", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match) return match;
      assert.ok(!this.#ended, `ended without ${pattern}: ${this.out}${this.err}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Resolves when it has ended by itself. */
  async outcome(): Promise<Outcome> {
    await this.endInput();
    const { code } = await this.#child.status;
    await this.#read;
    return { code, out: this.out, err: this.err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.outcome();
  }

  async #collect(stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> {
    for await (
      const text of stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    ) {
      keep(text);
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** A relay and a home for its profiles. */
export class TestRelay implements AsyncDisposable {
  private constructor(
    readonly home: string,
    readonly process: Arona,
    readonly listening: { address: string; fingerprint: string; link: string },
    private readonly program: Program | undefined,
  ) {}

  static async start(
    options: {
      home?: string;
      args?: readonly string[];
      listen?: string;
      env?: Readonly<Record<string, string>>;
      program?: Program;
    } = {},
  ): Promise<TestRelay> {
    const home = options.home ?? await Deno.makeTempDir({ prefix: "arona-e2e-" });
    const { listen = "127.0.0.1:0", args = [], env, program } = options;
    const process = new Arona(home, ["serve", "--listen", listen, "--json", ...args], { env, program });
    const [line] = await process.until("out", /^.*\n/);
    return new TestRelay(home, process, JSON.parse(line), program);
  }

  get link(): string {
    return this.listening.link;
  }

  /** Starts a command in this relay's home, with its link. */
  start(...args: readonly string[]): Arona {
    return new Arona(this.home, [...args, "--relay", this.link], { program: this.program });
  }

  /** Runs a command to its end, without input. */
  run(...args: readonly string[]): Promise<Outcome> {
    return this.start(...args).outcome();
  }

  /** Runs a command that has to succeed. */
  async ok(...args: readonly string[]): Promise<Outcome> {
    const outcome = await this.run(...args);
    assert.equal(outcome.code, 0, `${args.join(" ")}: ${outcome.err}`);
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await Deno.remove(this.home, { recursive: true }).catch(() => {}); // shared with another relay
  }
}

function cleanEnvironment(): Record<string, string> {
  const entries = Object.entries(Deno.env.toObject()).filter(([name]) => !name.startsWith("ARONA_"));
  return Object.fromEntries(entries);
}
