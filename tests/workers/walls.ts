/**
 * What can be tried from inside each role's wall, and what the table of permissions lets through. Run as a program, it tries everything
 * and prints what came of it as JSON: so the executable's walls are tried in an executable.
 */

import { type Rights, rightsOf, type Role, spawnModule } from "../../workers/mod.ts";
import type { AttemptContract, AttemptName } from "./attempt_worker.ts";

type Attempt = readonly [AttemptName, string];

/** A world with something of its own and something of others' of every kind, for as long as it is used. */
class Surroundings implements AsyncDisposable {
  readonly folder = Deno.realPathSync(Deno.makeTempDirSync());
  readonly own = `${this.folder}/own`;
  readonly #servers = ["127.0.0.1", "127.0.0.1", "::1"].map((hostname) =>
    Deno.serve({ hostname, port: 0, onListen() {} }, () => new Response("export default 1", MODULE))
  );
  readonly #process: Deno.ChildProcess;
  readonly #socket = Deno.listen({ transport: "unix", path: `${this.folder}/socket` });

  /** @param deno the program of the process that is not its own */
  constructor(deno: string) {
    this.#process = new Deno.Command(deno, {
      args: ["eval", "--no-lock", "--no-config", "await Deno.stdin.read(new Uint8Array(1))"],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (const folder of ["own", "own2", "others"]) {
      Deno.mkdirSync(`${this.folder}/${folder}`);
      for (const name of ["a", "b", "c"]) {
        Deno.writeTextFileSync(`${this.folder}/${folder}/${name}`, name);
      }
    }
    Deno.writeTextFileSync(`${this.folder}/others/data.json`, "{}");
    Deno.writeTextFileSync(`${this.folder}/module.ts`, "export default 1");
    Deno.writeTextFileSync(`${this.folder}/worker.ts`, "self.postMessage(1)");
  }

  /** `host:port` of a server: 0 is the role's, the others are not. */
  address(index: number): string {
    const { hostname, port } = this.#servers[index].addr;
    return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  }

  endpoint(index: number) {
    const { hostname, port } = this.#servers[index].addr;
    return { hostname, port };
  }

  attempts(): Readonly<Record<string, Attempt>> {
    const { folder, own } = this;
    return {
      "read its own file": ["read", `${own}/a`],
      "read its own file by node:fs": ["readByNode", `${own}/a`],
      "list its own folder": ["list", own],
      "write a file of its own": ["write", `${own}/new`],
      "remove a file of its own": ["remove", `${own}/c`],
      "keep a database of its own": ["database", `${own}/x.db`],
      "attach a database of its own": ["attach", `${own}/y.db`],
      "link to a file of its own": ["link", `${own}/a`],
      "read another file": ["read", `${folder}/others/a`],
      "read another file by node:fs": ["readByNode", `${folder}/others/a`],
      "read on the way out of its folder": ["read", `${own}/../others/a`],
      "read a folder whose name begins alike": ["read", `${own}2/a`],
      "list the folder above": ["list", folder],
      "write another file": ["write", `${folder}/others/new`],
      "remove another file": ["remove", `${folder}/others/c`],
      "keep a database elsewhere": ["database", `${folder}/others/x.db`],
      "attach a database elsewhere": ["attach", `${folder}/others/y.db`],
      "connect to its address": ["connect", this.address(0)],
      "connect to its address by node:net": ["connectByNode", this.address(0)],
      "fetch from its address": ["fetch", this.address(0)],
      "connect to another port": ["connect", this.address(1)],
      "connect to another port by node:net": ["connectByNode", this.address(1)],
      "fetch from another port": ["fetch", this.address(1)],
      "connect to another host": ["connect", this.address(2)],
      "listen where the relay listens": ["listen", "127.0.0.1:0"],
      "listen on another address": ["listen", "127.0.0.2:0"],
      "listen on every address": ["listen", "0.0.0.0:0"],
      "hear multicast DNS": ["datagrams", "0.0.0.0:5353"],
      "hear other datagrams": ["datagrams", "0.0.0.0:0"],
      "connect to a socket file": ["socketFile", `${folder}/socket`],
      "run the tunnel's program": ["run", TUNNEL_PROGRAM],
      "run another program": ["run", OTHER_PROGRAM],
      "signal another process": ["signal", String(this.#process.pid)],
      "read a variable": ["variable", "HOME"],
      "read all variables": ["variables", ""],
      "load a library": ["library", LIBRARY],
      "ask for the machine's name": ["machine", ""],
      "ask for the network interfaces": ["interfaces", ""],
      "import another file": ["module", `file://${folder}/module.ts`],
      "import another file as data": ["data", `file://${folder}/others/data.json`],
      "import from the network": ["module", `http://${this.address(1)}/`],
      "start a worker with more rights": ["worker", `file://${folder}/worker.ts`],
      "ask for the right to read variables": ["ask", "env"],
      "ask for the right to run": ["ask", "run"],
      "ask for the right to all of the network": ["ask", "net"],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#process.stdin.close();
    await this.#process.status;
    await Promise.all(this.#servers.map((server) => server.shutdown()));
    Deno.removeSync(this.folder, { recursive: true });
  }
}

const MODULE = { headers: { "content-type": "text/javascript" } };
const [TUNNEL_PROGRAM, OTHER_PROGRAM] = Deno.build.os === "windows"
  ? ["whoami.exe", "hostname.exe"]
  : ["true", "false"];
const LIBRARY = { darwin: "libSystem.dylib", windows: "kernel32.dll" }[Deno.build.os as string] ??
  "libc.so.6";

const OWN_FILES = [
  "read its own file",
  "read its own file by node:fs",
  "list its own folder",
  "write a file of its own",
  "remove a file of its own",
  "keep a database of its own",
];
const OWN_ADDRESS = [
  "connect to its address",
  "connect to its address by node:net",
  "fetch from its address",
];
const LOOPBACK = [
  ...OWN_ADDRESS,
  "connect to another port",
  "connect to another port by node:net",
  "fetch from another port",
  "connect to another host",
  "listen where the relay listens",
];

const NETWORK: readonly AttemptName[] = ["connect", "connectByNode", "fetch", "listen", "datagrams"];

/** A wall that is tried: a role's, or a variant of it. */
export type Wall = Role | "probe of an unknown host";

/** For each role: rights for its part of the surroundings, and what they let through. */
export const WALLS: Readonly<Record<Wall, (world: Surroundings) => { rights: Rights; allowed: string[] }>> = {
  relay: ({ own }) => ({
    rights: rightsOf("relay", { listen: { hostname: "127.0.0.1", port: 0 }, folder: own }),
    allowed: [...OWN_FILES, "listen where the relay listens"],
  }),
  publisher: (world) => ({
    rights: rightsOf("publisher", { api: `http://${world.address(0)}/` }),
    allowed: OWN_ADDRESS,
  }),
  tunnel: () => ({
    rights: rightsOf("tunnel", { binary: TUNNEL_PROGRAM }),
    allowed: [...LOOPBACK, "run the tunnel's program"],
  }),
  probe: () => ({
    rights: rightsOf("probe", { host: "127.0.0.1" }),
    allowed: LOOPBACK.filter((what) => what !== "connect to another host"),
  }),
  "probe of an unknown host": (world) => ({
    rights: rightsOf("probe", { host: null }),
    allowed: Object.entries(world.attempts()).filter(([what, [attempt]]) =>
      NETWORK.includes(attempt) || what === "ask for the right to all of the network"
    ).map(([what]) => what),
  }),
  lan: () => ({
    rights: rightsOf("lan", { addresses: ["224.0.0.251:5353", "0.0.0.0:5353"] }),
    allowed: ["hear multicast DNS", "ask for the network interfaces"],
  }),
  addresses: () => ({ rights: rightsOf("addresses", {}), allowed: ["ask for the network interfaces"] }),
  config: ({ own }) => ({
    rights: rightsOf("config", { file: `${own}/a` }),
    allowed: ["read its own file", "read its own file by node:fs"],
  }),
  session: ({ own }) => ({ rights: rightsOf("session", { folder: own }), allowed: OWN_FILES }),
  link: (world) => ({ rights: rightsOf("link", { endpoint: world.endpoint(0) }), allowed: OWN_ADDRESS }),
  source: (world) => ({
    rights: rightsOf("source", { urls: [`http://${world.address(0)}/`] }),
    allowed: OWN_ADDRESS,
  }),
};

/** What has more in its way than the wall: the tests' lock file is frozen, and older versions of Deno never attach databases. */
const NOT_ALWAYS_ALLOWED = [
  "import from the network",
  "attach a database of its own",
  "attach a database elsewhere",
];

if (import.meta.main) console.log(JSON.stringify(await tryWalls({ deno: Deno.args[0] })));

/** What came of everything that was tried, beside what the table wants. */
export interface WallReport {
  readonly found: Readonly<Record<string, string>>;
  readonly expected: Readonly<Record<string, string>>;
}

/**
 * Tries everything inside some walls.
 *
 * @param options.deno a Deno, for a process to aim at
 * @param options.walls @default all
 * @throws where a wall lets through what nobody tries
 */
export async function tryWalls(
  options: { deno: string; walls?: readonly Wall[] },
): Promise<Record<string, WallReport>> {
  const { deno, walls = Object.keys(WALLS) as Wall[] } = options;
  const reports: Record<string, WallReport> = {};
  for (const wall of walls) {
    await using world = new Surroundings(deno);
    const { rights, allowed } = WALLS[wall](world);
    const attempts = Object.keys(world.attempts());
    for (const what of allowed) {
      if (!attempts.includes(what)) {
        throw new Error(`Cannot try the wall of the ${wall}: nobody tries "${what}"`);
      }
    }
    const expected = Object.fromEntries(
      attempts.map((what) => [what, allowed.includes(what) ? "allowed" : "refused"]),
    );
    reports[wall] = { found: await outcomes(world, rights), expected };
  }
  return reports;
}

/** Tries everything with all rights, but what has more in its way than a wall. */
export async function tryWithoutWall(options: { deno: string }): Promise<WallReport> {
  await using world = new Surroundings(options.deno);
  const all = {
    read: true,
    write: true,
    net: true,
    run: true,
    env: true,
    ffi: true,
    sys: true,
    import: true,
  };
  const attempts = Object.keys(world.attempts()).filter((what) => !NOT_ALWAYS_ALLOWED.includes(what));
  const found = await outcomes(world, all as unknown as Rights, attempts);
  return { found, expected: Object.fromEntries(attempts.map((what) => [what, "allowed"])) };
}

async function outcomes(
  world: Surroundings,
  rights: Rights,
  which = Object.keys(world.attempts()),
): Promise<Record<string, string>> {
  using worker = await spawnModule<AttemptContract>("relay", {
    url: new URL(`./attempt_worker.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url),
    rights,
    init: null,
  });
  const found: Record<string, string> = {};
  for (const what of which) {
    const [name, on] = world.attempts()[what];
    found[what] = await worker.remote.attempt(name, on);
  }
  return found;
}
