/** A client process seen from outside: started, told what to do, heard, killed. */

import { type ChildOptions, type Command, type Fault, type Line, linesOf } from "./lines.ts";

const MAIN = new URL("./client_main.ts", import.meta.url).pathname;

/** A command that the client refused. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(readonly fault: Fault, command: string) {
    super(`${command}: ${fault.code}: ${fault.message}`);
  }
}

/** The process ended before it answered. */
export class Died extends Error {
  override readonly name = "Died";
}

interface Waiting {
  readonly command: Command;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** One life of a client. */
export class ClientProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #alive = true;
  /** Resolves when it has ended and everything that it said was heard. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** Whether {@link kill} has ended it. */
  killed = false;
  /** The end of what it wrote to stderr. */
  complaints = "";

  constructor(options: ChildOptions, hear: (line: Line) => void) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, JSON.stringify(options)],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.ended = this.#listen(hear);
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** @throws {Refused} what the client says @throws {Died} where it ends before it answers */
  tell(command: Command): Promise<unknown> {
    if (!this.#alive) return Promise.reject(new Died(`${command.do}: the client had ended`));
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) =>
      this.#waiting.set(id, { command, resolve, reject })
    );
    const line = new TextEncoder().encode(`${JSON.stringify({ id, ...command })}\n`);
    this.#input.write(line).catch(() => {}); // it died: told when its output ends
    return answer;
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended.
    }
  }

  /** Kills it and waits until it is gone. */
  async kill(): Promise<void> {
    this.killed ||= this.#alive;
    this.signal("SIGKILL");
    await this.ended;
  }

  async #listen(hear: (line: Line) => void): Promise<Deno.CommandStatus> {
    const stderr = this.#collectComplaints();
    for await (const text of linesOf(this.#child.stdout)) {
      const line = JSON.parse(text) as Line;
      if (line.kind === "answer" || line.kind === "refused") this.#settle(line);
      else hear(line);
    }
    await stderr;
    const status = await this.#child.status;
    this.#alive = false;
    await this.#input.close().catch(() => {});
    for (const { command, reject } of this.#waiting.values()) {
      reject(new Died(`${command.do}: the client ended first. ${this.complaints}`));
    }
    this.#waiting.clear();
    return status;
  }

  #settle(line: Line & { kind: "answer" | "refused" }): void {
    const waiting = this.#waiting.get(line.id);
    this.#waiting.delete(line.id);
    if (line.kind === "answer") waiting?.resolve(line.value);
    else waiting?.reject(new Refused(line.fault, waiting.command.do));
  }

  async #collectComplaints(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) {
      this.complaints = (this.complaints + decoder.decode(chunk, { stream: true })).slice(-4_000);
    }
  }
}
