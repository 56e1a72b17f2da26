/**
 * A network of its own for a test: namespaces of Linux that are joined by a bridge, so that multicast in it reaches nobody else. Needs
 * root and iproute2.
 */

import { requirement, requireTool } from "../require.ts";

const SWITCH = "sw";
let made = 0;

/** Tests that need such a network. */
export const networks = requirement(
  requireTool("ip").present && canMakeNamespace(),
  "network namespaces cannot be made here (iproute2 as root)",
);

/** A machine in the network. */
export interface NetworkHost {
  /** The name of its namespace. */
  readonly namespace: string;
  readonly address: string;
}

/** Hosts that reach each other, and nobody else. Dispose it, whatever happens. */
export class TestNetwork implements AsyncDisposable {
  readonly #prefix = `arona-${Deno.pid}-${++made}`;
  readonly #namespaces: string[] = [];
  readonly #hosts: NetworkHost[] = [];
  readonly #onUnload = () => this.#removeNow();

  private constructor() {
    globalThis.addEventListener("unload", this.#onUnload);
  }

  /** Makes a network of so many hosts. */
  static async create(hosts: number): Promise<TestNetwork> {
    const network = new TestNetwork();
    await sweep();
    try {
      await network.#add(SWITCH);
      await ip("-n", network.#name(SWITCH), "link", "add", "br0", "type", "bridge");
      await ip("-n", network.#name(SWITCH), "link", "set", "br0", "up");
      for (let i = 0; i < hosts; i++) await network.#addHost(i);
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  host(index: number): NetworkHost {
    return this.#hosts[index];
  }

  /** Gives a host a further interface, with an address in another network. */
  async plug(index: number, options: { network: number }): Promise<string> {
    const { namespace } = this.host(index);
    const name = `net${options.network}`;
    const address = `10.77.${options.network}.${index + 1}`;
    await this.#connect(namespace, { name, address });
    return address;
  }

  /** Gives a host another address in place of its own. */
  async readdress(index: number, address: string): Promise<void> {
    const { namespace } = this.host(index);
    await ip("-n", namespace, "addr", "flush", "dev", "eth0");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
  }

  /** Takes it away again. */
  async unplug(index: number, options: { network: number }): Promise<void> {
    await ip("-n", this.host(index).namespace, "link", "del", `net${options.network}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    globalThis.removeEventListener("unload", this.#onUnload);
    for (const name of this.#namespaces.splice(0)) await remove(name);
  }

  async #addHost(index: number): Promise<void> {
    const namespace = await this.#add(`h${index}`);
    const address = `10.77.0.${index + 1}`;
    await ip("-n", namespace, "link", "set", "lo", "up");
    await this.#connect(namespace, { name: "eth0", address });
    this.#hosts.push({ namespace, address });
  }

  async #connect(namespace: string, { name, address }: { name: string; address: string }): Promise<void> {
    const far = `${namespace.split("-").at(-1)}-${name}`;
    const bridge = this.#name(SWITCH);
    await ip("link", "add", name, "netns", namespace, "type", "veth", "peer", "name", far, "netns", bridge);
    await ip("-n", bridge, "link", "set", far, "master", "br0", "up");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", name);
    await ip("-n", namespace, "link", "set", name, "up");
  }

  async #add(part: string): Promise<string> {
    const name = this.#name(part);
    await ip("netns", "add", name);
    this.#namespaces.push(name);
    return name;
  }

  #name(part: string): string {
    return `${this.#prefix}-${part}`;
  }

  #removeNow(): void {
    for (const name of this.#namespaces) {
      new Deno.Command("ip", { args: ["netns", "del", name] }).outputSync();
    }
  }
}

/** The command line that runs `command` on a host. */
export function onHost(host: NetworkHost, command: readonly string[]): [string, string[]] {
  return ["ip", ["netns", "exec", host.namespace, ...command]];
}

/** Removes what a test left that was killed: its process is in the names, and is there no more. */
async function sweep(): Promise<void> {
  for (const [name, pid] of (await ip("netns", "list")).matchAll(/^arona-(\d+)-\S+/gm)) {
    if (!isAlive(Number(pid))) await remove(name);
  }
}

/** Ends what still runs in a namespace, and removes it. */
async function remove(namespace: string): Promise<void> {
  try {
    for (const pid of (await ip("netns", "pids", namespace)).split("\n").filter((line) => line !== "")) {
      if (isAlive(Number(pid))) Deno.kill(Number(pid), "SIGKILL");
    }
    await ip("netns", "del", namespace);
  } catch {
    // Another test that sweeps was faster.
  }
}

function isAlive(pid: number): boolean {
  try {
    Deno.statSync(`/proc/${pid}`);
    return true;
  } catch {
    return false;
  }
}

/** @returns what it prints */
async function ip(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("ip", { args }).output();
  if (!success) throw new Error(`Cannot ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function canMakeNamespace(): boolean {
  const name = `arona-${Deno.pid}-probe`;
  const run = (...args: string[]) =>
    new Deno.Command("ip", { args, stdout: "null", stderr: "null" }).outputSync().success;
  try {
    return run("netns", "add", name) && run("-n", name, "link", "add", "br0", "type", "bridge");
  } catch {
    return false;
  } finally {
    try {
      run("netns", "del", name);
    } catch {
      // There is no such tool.
    }
  }
}
