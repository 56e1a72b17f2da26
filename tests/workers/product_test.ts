/** The walls as the product builds them: nothing starts a worker past them, and the main thread gives up what it can. */

import assert from "node:assert/strict";
import project from "../../deno.json" with { type: "json" };
import { RUNTIME_FLAGS } from "../../scripts/compile.ts";
import { type RelayContract, type RelayInit, spawnWorker } from "../../workers/mod.ts";

const ROOT = new URL("../../", import.meta.url);
const PRODUCT = ["main.ts", "proto", "server", "client", "workers", "cli"];

Deno.test("only workers/spawn.ts starts workers, with the rights of their role", async () => {
  const starting: string[] = [];
  const withOwnRights: string[] = [];
  for (const [path, text] of await sources(PRODUCT)) {
    if (/\bnew (globalThis\.)?Worker\(/.test(text)) starting.push(path);
    if (text.includes("spawnModule")) withOwnRights.push(path);
  }
  assert.deepEqual(starting, ["workers/spawn.ts"]);
  assert.deepEqual(withOwnRights, ["workers/mod.ts", "workers/spawn.ts"]);
});

Deno.test("a worker's module loads everything when it starts: later it might not", async () => {
  for (const [path, text] of await sources(["workers"])) {
    if (!path.endsWith("_worker.ts")) continue;
    assert.doesNotMatch(text, /\bimport\(/, path);
  }
});

Deno.test("the relay's worker cannot be told to use another folder or another address than its rights say", async () => {
  const folder = Deno.realPathSync(Deno.makeTempDirSync());
  Deno.mkdirSync(`${folder}/own`);
  const listen = { hostname: "127.0.0.1", port: 0 };
  const init = (own: string, change: Partial<RelayInit> = {}): RelayInit => ({
    ...{ listen, name: "Relay", publicAddresses: [], limits: {}, logConnections: false, mailbox: "memory" },
    ...{
      databasePath: `${own}/relay.db`,
      mailboxPath: `${own}/mailbox.db`,
      controlPath: `${own}/control.json`,
    },
    ...change,
  });
  const spawn = (init: RelayInit) =>
    spawnWorker<RelayContract>("relay", { parameters: { listen, folder: `${folder}/own` }, init });
  try {
    const refused = ({ cause }: Error) => (cause as Error).name === "NotCapable";
    await assert.rejects(spawn(init(folder)), refused);
    const elsewhere = { ...listen, hostname: "127.0.0.2" };
    await assert.rejects(spawn(init(`${folder}/own`, { listen: elsewhere })), refused);
    using worker = await spawn(init(`${folder}/own`));
    assert.match((await worker.remote.state()).address, /^127\.0\.0\.1:\d+$/);
    await worker.remote.stop();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("the main thread starts without the rights that nothing needs, and never asks for more", () => {
  const flags = project.tasks.arona.split(" ").filter((word) => /^--(allow|no-prompt)/.test(word));
  assert.deepEqual(flags, RUNTIME_FLAGS.filter((flag) => !flag.startsWith("--unstable")));
  for (const flag of ["--allow-all", "-A", "--allow-ffi", "--allow-import"]) {
    assert(!flags.includes(flag), flag);
  }
  assert(flags.includes("--no-prompt"));
});

Deno.test("dropRights() leaves the rights that it shall keep, and Arona's own variables but no secrets", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...RUNTIME_FLAGS, new URL("./dropping.ts", import.meta.url).href],
    env: { ARONA_TEST: "kept", OTHER: "gone", GITHUB_TOKEN: "secret", ARONA_PASSPHRASE: "secret" },
    cwd: ROOT,
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), {
    before: { read: true, write: true, listen: true, run: true, variable: true, machine: true },
    after: { read: true, write: false, listen: false, run: false, variable: false, machine: false },
    last: { read: false, write: false, listen: false, run: false, variable: false, machine: false },
    own: "kept",
    other: null,
    secrets: [["secret", "secret"], [null, null]],
  });
});

async function sources(entries: readonly string[]): Promise<[string, string][]> {
  const found: [string, string][] = [];
  const add = async (path: string) => {
    if ((await Deno.stat(new URL(path, ROOT))).isFile) {
      if (path.endsWith(".ts")) found.push([path, await Deno.readTextFile(new URL(path, ROOT))]);
      return;
    }
    for await (const { name } of Deno.readDir(new URL(path, ROOT))) await add(`${path}/${name}`);
  };
  for (const entry of entries) await add(entry);
  return found.sort();
}
