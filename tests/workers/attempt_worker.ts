/** A worker that only tests start: it tries whatever a thief of its rights would. */

import { connect as connectNode } from "node:net";
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Contract } from "../../workers/mod.ts";
import { runRole } from "../../workers/role.ts";

/** What can be tried, each with one text that says on what. */
const ATTEMPTS = {
  read: (path) => Deno.readTextFileSync(path),
  readByNode: (path) => readFileSync(path),
  list: (folder) => [...Deno.readDirSync(folder)],
  write: (path) => Deno.writeTextFileSync(path, "written"),
  remove: (path) => Deno.removeSync(path),
  link: (path) => Deno.symlinkSync(path, `${path}.link`),
  database(path) {
    const database = new DatabaseSync(path);
    database.exec("pragma journal_mode = wal; create table if not exists t (a); insert into t values (1)");
    database.close();
  },
  attach(path) {
    const database = new DatabaseSync(":memory:");
    database.exec(`attach '${path}' as other; create table if not exists other.t (a)`);
    database.close();
  },
  async connect(address) {
    (await Deno.connect(endpointOf(address))).close();
  },
  connectByNode: (address) =>
    new Promise((resolve, reject) => {
      const socket = connectNode({ host: endpointOf(address).hostname, port: endpointOf(address).port });
      socket.on("error", reject);
      socket.on("connect", () => socket.end(() => resolve(null)));
    }),
  async fetch(address) {
    await (await fetch(`http://${address}/`)).body?.cancel();
  },
  listen: (address) => Deno.listen(endpointOf(address)).close(),
  datagrams: (address) =>
    Deno.listenDatagram({ ...endpointOf(address), transport: "udp", reuseAddress: true }).close(),
  async socketFile(path) {
    (await Deno.connect({ transport: "unix", path })).close();
  },
  run: async (binary) => await new Deno.Command(binary, { stdin: "null" }).output(),
  signal: (pid) => Deno.kill(Number(pid), "SIGCONT"),
  variable: (name) => Deno.env.get(name),
  variables: () => Deno.env.toObject(),
  library: (name) => Deno.dlopen(name, {}).close(),
  machine: () => Deno.hostname(),
  interfaces: () => Deno.networkInterfaces(),
  data: (url) => import(url, { with: { type: "json" } }),
  module: (url) => import(url),
  worker: (url) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const worker = new Worker(url, { type: "module", deno: { permissions: { env: true } } });
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    return promise.finally(() => worker.terminate());
  },
  async ask(name) {
    const { state } = await Deno.permissions.request({ name } as Deno.PermissionDescriptor);
    if (state !== "granted") throw new Deno.errors.NotCapable(`it is ${state}`);
  },
} satisfies Record<string, (on: string) => unknown>;

/** What can be tried. */
export type AttemptName = keyof typeof ATTEMPTS;

/** What a test says to the worker. */
export interface AttemptContract extends Contract {
  readonly role: "relay";
  readonly init: null;
  readonly methods: {
    /** @returns `allowed`, `refused`, or what else was in the way */
    attempt(name: AttemptName, on: string): Promise<string>;
  };
  readonly event: never;
  readonly host: Record<never, never>;
}

runRole<AttemptContract>(() => ({
  async attempt(name, on) {
    try {
      await ATTEMPTS[name](on);
      return "allowed";
    } catch (error) {
      return wasRefused(error as Error) ? "refused" : `${(error as Error).name}: ${(error as Error).message}`;
    }
  },
}));

/** Whether the runtime refused for want of a right, and not the system for another reason. */
function wasRefused({ name, message }: Error): boolean {
  return name === "NotCapable" || /^Requires \w+ access/.test(message) ||
    message === "too many attached databases - max 0" ||
    /^connect ECONNREFUSED/.test(message); // what node:net makes of it in older versions of Deno
}

function endpointOf(address: string): { hostname: string; port: number } {
  const [, hostname, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address)!;
  return { hostname, port: Number(port) };
}
