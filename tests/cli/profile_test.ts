import assert from "node:assert/strict";
import { readSettings } from "../../cli/config.ts";
import { CommandFailure } from "../../cli/failure.ts";
import type { OptionName } from "../../cli/options.ts";
import { getPassphrase, isPassphraseAsked } from "../../cli/passphrase.ts";
import { aronaHome, checkProfileName, reasonOf } from "../../cli/paths.ts";
import { chooseProfile } from "../../cli/profile.ts";
import { createTestIo, temporaryFolder, type TestIoOptions } from "./test_io.ts";

async function choose(
  options: TestIoOptions & {
    profiles?: string[];
    flags?: Partial<Record<OptionName, string>>;
    mayMake?: boolean;
  },
) {
  await using folder = await temporaryFolder();
  for (const profile of options.profiles ?? []) {
    await Deno.mkdir(`${folder.path}/profiles/${profile}`, { recursive: true });
  }
  const io = createTestIo(options);
  const home = () => folder.path;
  const flags = new Map(Object.entries(options.flags ?? {})) as Map<OptionName, unknown>;
  const settings = await readSettings({ flags, env: io.env, home });
  const nameFault = (name: string) => name === "x" ? "too short" : undefined;
  const { mayMake = true } = options;
  const choice = await chooseProfile({ io, settings, home }, { nameFault, mayMake });
  const { profile, username, exists, folder: chosen } = choice;
  assert.equal(chosen, `${folder.path}/profiles/${profile}`);
  return { profile, username, exists };
}

Deno.test("chooseProfile() takes the profile that is named, whatever the user is called", async () => {
  const chosen = await choose({ flags: { profile: "work", username: "alice" } });
  assert.deepEqual(chosen, { profile: "work", username: "alice", exists: false });
  assert.equal((await choose({ env: { ARONA_PROFILE: "work" }, profiles: ["alice"] })).profile, "work");
});

Deno.test("chooseProfile() names the profile like the user where only the user is named", async () => {
  const chosen = await choose({ flags: { username: "alice" }, profiles: ["default", "bob"] });
  assert.deepEqual(chosen, { profile: "alice", username: "alice", exists: false });
  assert.equal((await choose({ env: { ARONA_USERNAME: "bob" }, profiles: ["bob"] })).exists, true);
  assert.equal((await choose({ flags: { username: "al.ice" } })).profile, "al.ice");
});

Deno.test("chooseProfile() without any name takes default, or the only one", async () => {
  assert.equal((await choose({ profiles: ["bob", "default"] })).profile, "default");
  assert.deepEqual(await choose({ profiles: ["bob"] }), {
    profile: "bob",
    username: undefined,
    exists: true,
  });
});

Deno.test("chooseProfile() asks which of several, or says which there are", async () => {
  const profiles = ["alice", "bob"];
  assert.equal((await choose({ profiles, interactive: true, answers: ["bob"] })).profile, "bob");
  await assert.rejects(choose({ profiles }), /Cannot choose a profile: there are alice, bob/);
});

Deno.test("chooseProfile() asks a newcomer for a name, and without a terminal says how to give it", async () => {
  const chosen = await choose({ interactive: true, answers: ["x", "alice"] });
  assert.deepEqual(chosen, { profile: "alice", username: "alice", exists: false });
  await assert.rejects(choose({}), (error) => {
    assert.ok(error instanceof CommandFailure);
    assert.equal(error.exitCode, 2);
    assert.match(error.hint!, /--username/);
    return true;
  });
});

Deno.test("chooseProfile() asks nobody for a name where the command makes no profile", async () => {
  const options = { mayMake: false, interactive: true, answers: [] };
  await assert.rejects(choose(options), /Cannot open a profile: there is none yet/);
});

Deno.test("chooseProfile() refuses a name that cannot be an account before it makes anything", async () => {
  await assert.rejects(choose({ flags: { username: "x" } }), /Cannot use account name "x": too short/);
});

Deno.test("checkProfileName() refuses whatever could leave the profiles' folder", () => {
  for (const good of ["default", "a", "al.ice", "my_phone-2"]) assert.equal(checkProfileName(good), good);
  for (const bad of ["", ".", "..", "../x", "a/b", "a\\b", "A", "é", "a\0", "x".repeat(65)]) {
    assert.throws(() => checkProfileName(bad), CommandFailure, bad);
  }
});

Deno.test("aronaHome() is ARONA_HOME or the platform's data folder", () => {
  const at = (os: string, env: Record<string, string>) => aronaHome({ os, env: (name) => env[name] });
  assert.equal(at("linux", { ARONA_HOME: "/a", HOME: "/h" }), "/a");
  assert.equal(at("linux", { HOME: "/h" }), "/h/.local/share/arona");
  assert.equal(at("linux", { HOME: "/h", XDG_DATA_HOME: "/d" }), "/d/arona");
  assert.equal(at("linux", { HOME: "/h", XDG_DATA_HOME: "relative" }), "/h/.local/share/arona");
  assert.equal(at("darwin", { HOME: "/h" }), "/h/Library/Application Support/arona");
  assert.match(at("windows", { APPDATA: "C:\\Data" }), /C:\\Data.arona$/);
  assert.throws(() => at("linux", {}), /HOME is not set/);
});

Deno.test("getPassphrase() takes the environment before anything, set but empty too", async () => {
  const ask = { profile: "p", isNew: false };
  for (const passphrase of ["secret", ""]) {
    const io = createTestIo({ env: { ARONA_PASSPHRASE: passphrase }, interactive: true });
    assert.equal(await getPassphrase(io, ask), passphrase);
    assert.deepEqual(io.questions, []);
    assert.equal(isPassphraseAsked(io), false);
  }
});

Deno.test("getPassphrase() reads the first line of ARONA_PASSPHRASE_FILE", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/passphrase`;
  await Deno.writeTextFile(file, "  with spaces \r\nand more\n");
  const io = createTestIo({ env: { ARONA_PASSPHRASE_FILE: file } });
  assert.equal(await getPassphrase(io, { profile: "p", isNew: false }), "  with spaces ");
  const missing = createTestIo({ env: { ARONA_PASSPHRASE_FILE: `${file}x` } });
  await assert.rejects(getPassphrase(missing, { profile: "p", isNew: true }), (error) => {
    assert.ok(error instanceof CommandFailure);
    assert.match(error.message, /it does not exist/);
    assert.match(error.hint!, /readable file whose first line is the passphrase/);
    return true;
  });
});

Deno.test("getPassphrase() asks twice for a new one until both are the same", async () => {
  const io = createTestIo({ interactive: true, answers: ["a", "b", "c", "c"] });
  assert.equal(await getPassphrase(io, { profile: "p", isNew: true }), "c");
  assert.equal(io.questions.length, 4);
  const empty = createTestIo({ interactive: true, answers: [""] });
  assert.equal(await getPassphrase(empty, { profile: "p", isNew: true }), "");
});

Deno.test("getPassphrase() asks once for an existing one", async () => {
  const io = createTestIo({ interactive: true, answers: ["secret"] });
  assert.equal(await getPassphrase(io, { profile: "p", isNew: false }), "secret");
});

Deno.test("getPassphrase() without a terminal asks nothing: none for a new profile, an error for a locked one", async () => {
  assert.equal(await getPassphrase(createTestIo(), { profile: "p", isNew: true }), "");
  await assert.rejects(getPassphrase(createTestIo(), { profile: "p", isNew: false }), (error) => {
    assert.ok(error instanceof CommandFailure);
    assert.match(error.message, /Cannot unlock profile p/);
    assert.match(error.hint!, /ARONA_PASSPHRASE/);
    return true;
  });
});

Deno.test("reasonOf() tells in a person's words what the runtime says in its own", () => {
  const said = 'Requires all access to "/proc/nope", run again with the --allow-all flag';
  assert.equal(reasonOf(new Deno.errors.NotCapable(said)), "Arona keeps out of there");
  assert.equal(
    reasonOf(new Error("Read-only file system (os error 30): mkdir '/x'")),
    "Read-only file system",
  );
});
