import assert from "node:assert/strict";
import { exampleConfig } from "../../cli/commands/config.ts";
import { serve } from "../../cli/commands/serve.ts";
import { parseConfig, readSettings } from "../../cli/config.ts";
import { CommandFailure } from "../../cli/failure.ts";
import { OPTION_NAMES, type OptionName, OPTIONS, optionSpec, parseOption } from "../../cli/options.ts";
import { run, temporaryFolder } from "./test_io.ts";

async function settingsOf(
  { flags = {}, env = {}, file }: {
    flags?: Partial<Record<OptionName, unknown>>;
    env?: Record<string, string>;
    file?: string;
  },
) {
  await using folder = await temporaryFolder();
  if (file !== undefined) await Deno.writeTextFile(`${folder.path}/config.json`, file);
  return await readSettings({
    flags: new Map(Object.entries(flags)) as Map<OptionName, unknown>,
    env: (name) => env[name],
    home: () => folder.path,
  });
}

Deno.test("readSettings() takes the flag before the environment before the file before the default", async () => {
  const file = '{ "listen": "file:3" }';
  const env = { ARONA_LISTEN: "env:2" };
  const all = await settingsOf({ flags: { listen: "flag:1" }, env, file });
  assert.deepEqual(all.get("listen"), { value: "flag:1", source: "flag" });
  assert.deepEqual((await settingsOf({ env, file })).get("listen"), {
    value: "env:2",
    source: "environment",
  });
  assert.deepEqual((await settingsOf({ file })).get("listen"), { value: "file:3", source: "file" });
  assert.deepEqual((await settingsOf({})).get("listen"), { value: "0.0.0.0:7700", source: "default" });
});

Deno.test("readSettings() lets every setting with a variable be set by it", async () => {
  for (const name of OPTION_NAMES) {
    const { env, kind, choices } = optionSpec(name);
    if (env === undefined || name === "config") continue;
    const value = kind === "switch" ? "true" : kind === "number" ? "3" : choices?.[0] ?? "x";
    assert.equal((await settingsOf({ env: { [env]: value } })).get(name).source, "environment", name);
  }
});

Deno.test("readSettings() reads ARONA_LINK as the relay and takes an empty variable as not set", async () => {
  assert.equal((await settingsOf({ env: { ARONA_LINK: "arona://x" } })).text("relay"), "arona://x");
  assert.equal((await settingsOf({ env: { ARONA_LINK: "" } })).text("relay"), undefined);
});

Deno.test("readSettings() lets a flag switch off what file or environment switch on", async () => {
  const off = await settingsOf({ flags: { "invite-only": false }, env: { ARONA_INVITE_ONLY: "1" } });
  assert.equal(off.switch("invite-only"), false);
  assert.equal((await settingsOf({ file: '{"invite-only": true}' })).switch("invite-only"), true);
});

Deno.test("readSettings() refuses a file that was named and is not there", async () => {
  await assert.rejects(settingsOf({ flags: { config: "/nowhere/config.json" } }), (error) => {
    assert.ok(error instanceof CommandFailure);
    assert.match(error.message, /\/nowhere\/config\.json: it does not exist/);
    return true;
  });
});

Deno.test("parseConfig() ignores whole lines of comment and nothing else", () => {
  const values = parseConfig('// a comment\n{\n  // "name": "x",\n  "relay": "arona://h:1#x//y"\n}\n', "c");
  assert.deepEqual([...values], [["relay", "arona://h:1#x//y"]]);
});

Deno.test("parseConfig() names the nearest setting for an unknown one", () => {
  assert.throws(() => parseConfig('{"invit-only": true}', "c.json"), (error) => {
    assert.ok(error instanceof CommandFailure);
    assert.equal(error.exitCode, 2);
    assert.equal(error.message, 'Cannot read configuration c.json: "invit-only" is not a setting');
    assert.equal(error.hint, 'Did you mean "invite-only"?');
    return true;
  });
});

Deno.test("parseConfig() refuses what is said anew each time, wrong types, and what is not JSON", () => {
  assert.throws(() => parseConfig('{"accept": true}', "c"), /not a setting/);
  assert.throws(
    () => parseConfig('{"max-per-ip": "many"}', "c"),
    /"max-per-ip" in c: "many" is not a whole number/,
  );
  assert.throws(() => parseConfig('{"public-address": [1]}', "c"), /not a list of texts/);
  assert.throws(() => parseConfig('{"mailbox": "cloud"}', "c"), /not memory or disk/);
  assert.throws(() => parseConfig("{", "c"), /it is not JSON/);
  assert.throws(() => parseConfig("[]", "c"), /not a JSON object/);
});

Deno.test("parseOption() checks numbers, switches and lists", () => {
  assert.equal(parseOption("count", "3", "--count"), 3);
  assert.equal(parseOption("timeout", "0.5", "--timeout"), 0.5);
  for (const bad of ["0", "-1", "1.5", "x", "", "1e9999"]) {
    assert.throws(() => parseOption("count", bad, "--count"), CommandFailure, bad);
  }
  assert.equal(parseOption("json", "no", "x"), false);
  assert.deepEqual(parseOption("public-address", "a:1, b:2", "x"), ["a:1", "b:2"]);
});

Deno.test("every option that is not said anew each time can be in a file", () => {
  const anew = OPTION_NAMES.filter((name) => optionSpec(name).inFile === false);
  assert.deepEqual(anew, [
    "config",
    "all",
    "confirm",
    "accept",
    "force",
    "document",
    "yes",
    "revoke",
    "example",
  ]);
});

Deno.test("the kinds of mailbox that are offered are those that there are", () => {
  assert.deepEqual(OPTIONS.mailbox.choices, ["memory", "disk"]);
});

Deno.test("the example configuration can be read, and so can each of its settings", () => {
  const example = exampleConfig();
  assert.deepEqual([...parseConfig(example, "example")], [["json", false]]);
  const all = parseConfig(example.replace(/^ {2}\/\/ (?=")/gm, "  "), "example");
  const settings = OPTION_NAMES.filter((name) => optionSpec(name).env !== undefined && name !== "config");
  // A secret has no example.
  for (const name of settings) {
    assert.ok(all.has(name) || optionSpec(name).secret, `${name} is not explained`);
  }
});

Deno.test("every option of arona serve can be set in the file, and is explained there", () => {
  for (const name of serve.options) {
    if (name === "config" || name === "json") continue;
    assert.notEqual(optionSpec(name).inFile, false, name);
    assert.notEqual(optionSpec(name).env, undefined, name);
    assert.match(exampleConfig(), new RegExp(`^ {2}// "${name}": `, "m"));
  }
});

Deno.test("arona config --example prints a file that arona reads", async () => {
  await using folder = await temporaryFolder();
  const env = { ARONA_HOME: folder.path };
  const { out } = await run(["config", "--example"], { env });
  await Deno.writeTextFile(
    `${folder.path}/config.json`,
    out.replace('// "name": "Arona"', '"name": "Tea room"'),
  );
  const { code, out: shown } = await run(["config"], { env });
  assert.equal(code, 0);
  assert.match(shown, /^name = Tea room {2}\(file\)$/m);
});

Deno.test("arona config tells each value and its source", async () => {
  await using folder = await temporaryFolder();
  const env = { ARONA_HOME: folder.path, ARONA_USERNAME: "alice", ARONA_INVITE: "opensesame" };
  await Deno.writeTextFile(`${folder.path}/config.json`, '{"name": "Tea room"}');
  const { code, out } = await run(["config", "--json", "--listen", "127.0.0.1:1"], { env });
  assert.equal(code, 0);
  const rows = out.trimEnd().split("\n").map((line) => JSON.parse(line));
  const row = (name: string) => rows.find((row) => row.name === name);
  assert.deepEqual(row("listen"), { type: "Setting", name: "listen", value: "127.0.0.1:1", source: "flag" });
  assert.deepEqual(row("username"), {
    type: "Setting",
    name: "username",
    value: "alice",
    source: "environment",
  });
  assert.deepEqual(row("name"), { type: "Setting", name: "name", value: "Tea room", source: "file" });
  assert.equal(row("suite").source, "default");
  assert.equal(row("data").value, `${folder.path}/relay`);
  assert.ok(!out.includes("opensesame"), "a secret is not shown");
});
