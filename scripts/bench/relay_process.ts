/** The relay under measurement: a process of its own, its CPU time and memory read from the operating system. */

/** CPU time of all threads of a process, microseconds (Linux: /proc/PID/task/TID/schedstat). */
export async function cpuMicroseconds(pid: number): Promise<number> {
  let nanoseconds = 0;
  for await (const task of Deno.readDir(`/proc/${pid}/task`)) {
    try {
      const text = await Deno.readTextFile(`/proc/${pid}/task/${task.name}/schedstat`);
      nanoseconds += Number(text.split(" ")[0]);
    } catch {
      // the thread has ended meanwhile
    }
  }
  return nanoseconds / 1000;
}

/** Resident memory of a process, bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
}

/** A running relay process. */
export class RelayProcess {
  private constructor(
    private readonly child: Deno.ChildProcess,
    readonly link: string,
    readonly address: string,
    /** From the start of the process to its first line, milliseconds. */
    readonly readyMs: number,
  ) {}

  /**
   * @param options.listen where; by default on a port that the system chooses
   * @param options.more further arguments of `arona serve`
   */
  static async start(
    dataFolder: string,
    { listen = "127.0.0.1:0", more = [] }: { listen?: string; more?: readonly string[] } = {},
  ): Promise<RelayProcess> {
    const begun = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--v8-flags=--max-semi-space-size=8", // as the task `arona` has it: a small young generation
        new URL("../../main.ts", import.meta.url).pathname,
        "serve",
        "--json",
        ...["--listen", listen, "--data", dataFolder],
        ...more,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("Cannot measure: the relay ended before it listened");
      text += value;
    }
    const readyMs = performance.now() - begun;
    void drain(reader);
    const { link, address } = JSON.parse(text.slice(0, text.indexOf("\n")));
    return new RelayProcess(child, link, address, readyMs);
  }

  cpu(): Promise<number> {
    return cpuMicroseconds(this.child.pid);
  }

  memory(): Promise<number> {
    return residentBytes(this.child.pid);
  }

  /** Ends it without a word, as a crash does. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.status;
  }

  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    await this.child.status;
  }
}

async function drain(reader: ReadableStreamDefaultReader<string>): Promise<void> {
  while (!(await reader.read()).done);
}
