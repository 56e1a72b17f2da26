/** Profiles: making, opening, locking, and what a crash leaves behind. */

import assert from "node:assert/strict";
import { openProfileStore, type ProfileStore, Table } from "../../client/store/mod.ts";
import { fromUtf8, utf8 } from "../../proto/bytes.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { isAronaError } from "../../proto/errors.ts";

const crypto = createNativeProvider();
const LOW_COST = { N: 16, r: 8, p: 1 };
const POSIX = Deno.build.os !== "windows";

function open(folder: string, passphrase = "sky blue", create = true): Promise<ProfileStore> {
  return openProfileStore({
    folder,
    passphrase: () => Promise.resolve(passphrase),
    crypto,
    create,
    cost: LOW_COST,
  });
}

/** Defines a test that gets the path of a folder that is not there yet. */
function test(name: string, action: (folder: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const parent = await Deno.makeTempDir();
    try {
      await action(`${parent}/profiles/alice`);
    } finally {
      await Deno.remove(parent, { recursive: true });
    }
  });
}

test("a profile is made once and opens again with its passphrase", async (folder) => {
  const first = await open(folder);
  assert.equal(first.created, true);
  assert.equal(first.unprotected, false);
  first.store.write((tx) => tx.put(Table.PROFILE, "a", utf8("row")));
  first.close();
  first.close();
  const second = await open(folder);
  assert.equal(second.created, false);
  assert.deepEqual(second.store.get(Table.PROFILE, "a"), utf8("row"));
  second.close();
});

test("a wrong passphrase is its own error, and the profile stays as it was", async (folder) => {
  (await open(folder)).close();
  await assert.rejects(open(folder, "wrong"), { code: "WRONG_PASSPHRASE" });
  await assert.rejects(open(folder, ""), { code: "WRONG_PASSPHRASE" });
  (await open(folder)).close();
});

test("a profile without a passphrase says so and never asks", async (folder) => {
  const made = await open(folder, "");
  assert.equal(made.unprotected, true);
  made.close();
  const passphrase = () => Promise.reject(new Error("asked"));
  const opened = await openProfileStore({ folder, passphrase, crypto, create: false });
  assert.equal(opened.unprotected, true);
  opened.close();
});

test("changePassphrase() leaves the old passphrase useless and the rows in place", async (folder) => {
  const profile = await open(folder, "old");
  profile.store.write((tx) => tx.put(Table.PROFILE, "a", utf8("row")));
  await profile.changePassphrase("new");
  profile.close();
  await assert.rejects(open(folder, "old"), { code: "WRONG_PASSPHRASE" });
  const reopened = await open(folder, "new");
  assert.deepEqual(reopened.store.get(Table.PROFILE, "a"), utf8("row"));
  await reopened.changePassphrase("");
  reopened.close();
  const unprotected = await open(folder, "whatever");
  assert.equal(unprotected.unprotected, true);
  unprotected.close();
});

test("only the owner may read a profile, whatever its modes were before", async (folder) => {
  if (!POSIX) return;
  const modes = () =>
    [...Deno.readDirSync(folder)].map(({ name }) => [name, Deno.statSync(`${folder}/${name}`).mode! & 0o777]);
  const made = await open(folder, "");
  assert.equal(Deno.statSync(folder).mode! & 0o777, 0o700);
  for (const [name, mode] of modes()) assert.equal(mode, 0o600, `${name}`);
  made.close();
  for (const { name } of Deno.readDirSync(folder)) Deno.chmodSync(`${folder}/${name}`, 0o644);
  Deno.chmodSync(folder, 0o755);
  const opened = await open(folder, "");
  assert.equal(Deno.statSync(folder).mode! & 0o777, 0o700);
  for (const [name, mode] of modes()) {
    if (!`${name}`.startsWith("profile.lock")) assert.equal(mode, 0o600, `${name}`);
  }
  opened.close();
});

test("nothing is made where create is false", async (folder) => {
  await assert.rejects(open(folder, "", false), { code: "NOT_FOUND" });
  await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
  await Deno.mkdir(folder, { recursive: true });
  await assert.rejects(open(folder, "", false), { code: "NOT_FOUND" });
});

test("a profile whose making was interrupted is finished by the next start", async (folder) => {
  (await open(folder)).close();
  await Deno.rename(`${folder}/profile.db`, `${folder}/profile.db.new`); // as if before the rename
  const finished = await open(folder);
  assert.equal(finished.created, true);
  finished.store.write((tx) => tx.put(Table.PROFILE, "a", utf8("row")));
  finished.close();
  await Deno.writeFile(`${folder}/profile.key.new`, utf8("half a key fi")); // a changed passphrase, interrupted
  const reopened = await open(folder);
  assert.deepEqual(reopened.store.get(Table.PROFILE, "a"), utf8("row"));
  await reopened.changePassphrase("other");
  reopened.close();
});

test("a missing, empty or foreign file is CORRUPT_STORE and nothing is made anew over it", async (folder) => {
  (await open(folder)).close();
  const key = await Deno.readFile(`${folder}/profile.key`);
  await Deno.remove(`${folder}/profile.key`);
  await assert.rejects(open(folder), { code: "CORRUPT_STORE" });
  await Deno.writeFile(`${folder}/profile.key`, new Uint8Array());
  await assert.rejects(open(folder), { code: "CORRUPT_STORE" });
  (await open(`${folder}2`)).close();
  await Deno.copyFile(`${folder}2/profile.key`, `${folder}/profile.key`);
  await assert.rejects(open(folder), { code: "CORRUPT_STORE" });
  await Deno.writeFile(`${folder}/profile.key`, key);
  (await open(folder)).close();
  const database = await Deno.readFile(`${folder}/profile.db`);
  await Deno.writeFile(`${folder}/profile.db`, new Uint8Array());
  await assert.rejects(open(folder), { code: "CORRUPT_STORE" });
  await Deno.remove(`${folder}/profile.db`);
  await assert.rejects(open(folder, "sky blue", false), { code: "CORRUPT_STORE" });
  await Deno.writeFile(`${folder}/profile.db`, database);
  (await open(folder)).close();
});

test("one process opens a profile only once at a time", async (folder) => {
  const first = await open(folder);
  await assert.rejects(
    open(folder),
    (error) => isAronaError(error, "PROFILE_IN_USE") && error.details?.pid === Deno.pid,
  );
  first.close();
  (await open(folder)).close();
});

test("a failed start releases the profile", async (folder) => {
  (await open(folder)).close();
  await assert.rejects(open(folder, "wrong"), { code: "WRONG_PASSPHRASE" });
  const failing = openProfileStore({
    folder,
    passphrase: () => Promise.reject(new Error("no")),
    crypto,
    create: false,
  });
  await assert.rejects(failing, /no/);
  (await open(folder)).close();
});

test("the second process on a profile hears which one has it", async (folder) => {
  const holder = startChild("hold", folder);
  await holder.nextLine();
  await assert.rejects(
    open(folder, ""),
    (error) =>
      isAronaError(error, "PROFILE_IN_USE") && error.details?.pid === holder.pid &&
      error.message.includes(`${holder.pid}`),
  );
  await holder.finish();
  (await open(folder, "")).close();
});

test("a client killed in the middle of writing leaves every finished transaction, whole", async (folder) => {
  let before = 0;
  for (const lines of [1, 7, 20, 31]) {
    const writer = startChild("write", folder);
    assert.equal(await writer.nextLine(), "open");
    let told = before;
    for (let i = 0; i < lines; i++) told = Number(await writer.nextLine());
    await writer.kill();
    const profile = await open(folder, "", false); // the lock went with the process
    const { store } = profile;
    const log = store.readLog("log", { limit: 100_000 });
    assert.ok(log.length >= told, `${log.length} of at least ${told} transactions`);
    assert.equal(parseInt(fromUtf8(store.get(Table.GROUPS, "state")!)), log.length);
    assert.deepEqual(store.all(Table.OUTBOX), [{ id: `${log.length}`, row: utf8("waiting") }]);
    before = log.length;
    profile.close();
  }
});

interface Child {
  readonly pid: number;
  nextLine(): Promise<string>;
  /** Ends its input and waits for its end. */
  finish(): Promise<void>;
  kill(): Promise<void>;
}

function startChild(mode: "hold" | "write", folder: string): Child {
  const script = new URL("store_child.ts", import.meta.url);
  const root = new URL("../../", import.meta.url);
  const args = ["run", "--allow-all", "--no-check", script.href, mode, folder];
  const child = new Deno.Command(Deno.execPath(), { args, cwd: root, stdin: "piped", stdout: "piped" })
    .spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  const end = async () => {
    await reader.cancel();
    await child.status;
  };
  return {
    pid: child.pid,
    async nextLine() {
      while (!buffered.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`The child ended after ${JSON.stringify(buffered)}`);
        buffered += value;
      }
      const [line] = buffered.split("\n", 1);
      buffered = buffered.slice(line.length + 1);
      return line;
    },
    async finish() {
      await child.stdin.close();
      await end();
    },
    async kill() {
      child.kill("SIGKILL");
      await child.stdin.abort().catch(() => {});
      await end();
    },
  };
}
