/** A real OpenSSH server on loopback, with keys and configuration of its own, and a client that uses nothing of this machine's user. */

import { requirement, requireTool } from "../require.ts";

const SSHD = "/usr/sbin/sshd";

/** Tests that need OpenSSH. */
export const openSsh = requirement(
  requireTool("ssh").present && requireTool("ssh-keygen").present && exists(SSHD),
  "openssh-client or openssh-server is not installed",
);

/** A server. Forwarded ports listen on 127.0.0.1 only, as `GatewayPorts no` has it. */
export class SshServer implements AsyncDisposable {
  /** What it has logged since it was started the last time. */
  log = "";
  readonly #waiting = new Set<() => void>();
  #process: Deno.ChildProcess | null = null;
  #reading: Promise<void> = Promise.resolve();

  private constructor(readonly folder: string, readonly port: number, readonly user: string) {}

  /** @param options.config more lines of sshd_config */
  static async start(options: { config?: readonly string[] } = {}): Promise<SshServer> {
    const folder = await Deno.makeTempDir({ prefix: "arona-sshd-" });
    for (const name of ["host", "user", "stranger"]) await makeKey(`${folder}/${name}`);
    // As little as a tunnel needs, as docs/tunnels.md says it.
    const key = await Deno.readTextFile(`${folder}/user.pub`);
    await Deno.writeTextFile(`${folder}/authorized_keys`, `restrict,port-forwarding ${key}`);
    const server = new SshServer(folder, freePort(), await currentUser());
    await server.#writeClient("user");
    await server.open(options);
    return server;
  }

  /** How `--tunnel` names it. */
  get spec(): string {
    return `ssh:${this.user}@127.0.0.1:${this.port}`;
  }

  /** The ssh that uses this server's keys; put {@link bin} first in PATH. */
  get program(): string {
    return `${this.bin}/ssh`;
  }

  get bin(): string {
    return `${this.folder}/bin`;
  }

  /** Starts to listen. */
  async open(options: { config?: readonly string[] } = {}): Promise<void> {
    // Root's sshd separates privileges in this folder, which the package makes when its service starts.
    if (Deno.uid() === 0) await Deno.mkdir("/run/sshd", { recursive: true, mode: 0o755 });
    await Deno.writeTextFile(
      `${this.folder}/sshd_config`,
      [
        ...options.config ?? [], // the first value of a keyword counts
        "AddressFamily inet",
        "ListenAddress 127.0.0.1",
        `Port ${this.port}`,
        `HostKey ${this.folder}/host`,
        `AuthorizedKeysFile ${this.folder}/authorized_keys`,
        "AuthenticationMethods publickey",
        "GatewayPorts no",
        "AllowTcpForwarding remote",
        "PermitRootLogin yes",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "",
      ].join("\n"),
    );
    this.log = "";
    this.#process = new Deno.Command(SSHD, {
      args: ["-D", "-e", "-f", `${this.folder}/sshd_config`],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read(this.#process.stderr);
    await this.logged(/Server listening on/);
  }

  /** Resolves when it has logged something that fits; fails where it ends before. */
  async logged(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.log)) {
      if (this.#process === null) throw new Error(`sshd ended without ${pattern}: ${this.log}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Kills it and every connection that it has. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    for (const pid of [process.pid, ...descendants(process.pid)]) kill(pid);
    await process.status;
    await this.#reading;
  }

  /** From now on the client shows a key that the server does not know. */
  useStrangersKey(): Promise<void> {
    return this.#writeClient("stranger");
  }

  /** From now on the server is another one. */
  async changeHostKey(): Promise<void> {
    await Deno.remove(`${this.folder}/host`);
    await makeKey(`${this.folder}/host`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.folder, { recursive: true });
  }

  async #writeClient(key: string): Promise<void> {
    await Deno.mkdir(this.bin, { recursive: true });
    const config = [
      `IdentityFile ${this.folder}/${key}`,
      "IdentitiesOnly yes",
      `UserKnownHostsFile ${this.folder}/known_hosts`,
      "GlobalKnownHostsFile none",
      "",
    ];
    await Deno.writeTextFile(`${this.folder}/ssh_config`, config.join("\n"));
    const script = `#!/bin/sh\nexec /usr/bin/ssh -F ${this.folder}/ssh_config "$@"\n`;
    await Deno.writeTextFile(this.program, script, { mode: 0o755 });
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const text = stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>);
    for await (const piece of text) {
      this.log += piece;
      this.#wake();
    }
    this.#process = null;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** A port of 127.0.0.1 that nobody has; a moment later somebody may. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** The processes that `pid` has started, and theirs. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const found = [pid];
  for (const one of found) {
    found.push(...[...parents].filter(([, parent]) => parent === one).map(([child]) => child));
  }
  return found.slice(1);
}

async function makeKey(path: string): Promise<void> {
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]);
}

async function currentUser(): Promise<string> {
  return (await run("id", ["-un"])).trim();
}

async function run(program: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
