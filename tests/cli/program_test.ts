import assert from "node:assert/strict";
import { completionScript } from "../../cli/completion_script.ts";
import { optionSpec } from "../../cli/options.ts";
import { COMMANDS, PARENTS } from "../../cli/program.ts";
import project from "../../deno.json" with { type: "json" };
import { requireTool } from "../require.ts";
import { run, temporaryFolder } from "./test_io.ts";

const DESIGNED = [
  "serve",
  "connect",
  "discover",
  "send",
  "tail",
  "join",
  "part",
  "groups",
  "members",
  "id",
  "verify",
  "config",
  "version",
  "completions",
  "group create",
  "group invite",
  "group remove",
  "group ban",
  "group admin",
  "device add",
  "device link",
  "device list",
  "device remove",
  "channels",
  "history",
  "invite",
  "invite list",
  "invite revoke",
  "status",
  "admin ban",
  "admin unban",
  "admin bans",
  "admin kick",
  "admin limits",
  "admin reload",
  "admin drain",
  "backup",
  "restore",
  "doctor",
];

Deno.test("every command that is designed is there", () => {
  assert.deepEqual(COMMANDS.map(({ name }) => name).sort(), [...DESIGNED].sort());
});

Deno.test("every command has a help text with its arguments and options on stdout, exit code 0", async () => {
  for (const { name, summary, args = [], options } of COMMANDS) {
    const { code, out, err } = await run([...name.split(" "), "--help"]);
    assert.equal(code, 0, name);
    assert.equal(err, "", name);
    assert.ok(out.startsWith(`Usage: arona ${name} `), out);
    assert.ok(out.replace(/\s+/g, " ").includes(summary), name);
    for (const argument of args) assert.ok(out.includes(argument.name), `${name}: ${argument.name}`);
    for (const option of options) {
      assert.ok(out.includes(`--${option}`), `${name}: --${option}`);
      const isOn = optionSpec(option).fallback === true;
      assert.equal(out.includes(`--no-${option}`), isOn, `${name}: opposites of what is on are shown`);
    }
  }
});

Deno.test("arona help COMMAND and arona --help show help, exit code 0", async () => {
  for (const args of [["--help"], ["help"], ["help", "send"], ["group", "--help"], ["-h"]]) {
    const { code, out, err } = await run(args);
    assert.equal(code, 0, args.join(" "));
    assert.match(out, /^Usage: arona/);
    assert.equal(err, "");
  }
});

Deno.test("without a command the help goes to stderr, exit code 2", async () => {
  for (const args of [[], ["group"]]) {
    const { code, out, err } = await run(args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /^Usage: arona/);
  }
});

Deno.test("bad usage is one line on stderr that says what to do, exit code 2", async () => {
  const cases: [string[], RegExp][] = [
    [["sned"], /unknown command 'sned' \(Did you mean send\?\)/],
    [["send"], /missing required argument 'target'/],
    [["send", "#a", "b", "c"], /too many arguments/],
    [["send", "--foo"], /unknown option '--foo'/],
    [["tail", "--cuont", "1"], /Did you mean --count\?/],
    [["tail", "--count"], /argument missing/],
    [["tail", "--count", "0"], /--count: "0" is not a whole number/],
    [["tail", "--timeout", "soon"], /--timeout/],
    [["send", "#a", "b", "--wait", "seen"], /accepted or delivered or read/],
    [["join", "#a", "--suite", "rot13"], /default or aes256/],
    [["join", "general"], /it is not a channel/],
    [["serve", "--listen", "nowhere"], /Cannot use --listen "nowhere": the address is not host:port/],
    [["serve", "--listen", "h:99999"], /port/],
    [["serve", "--public-address", "x"], /Cannot use --public-address "x"/],
    [["serve", "--mailbox", "tape"], /not memory or disk/],
    [
      ["serve", "--tunnel", "cloudflared"],
      /Cannot use tunnel "cloudflared": it is neither ssh:, bore nor ngrok/,
    ],
    [["completions", "tcsh"], /none of bash, zsh, fish/],
    [["group", "crate", "x"], /Did you mean create\?/],
    [["id", "--profile", "../x"], /Cannot use profile name/],
    [["id", "--username", "Ålice"], /Cannot use account name/],
    [["join", "#a", "--username", "alice"], /does not know a relay yet.*--relay/],
    [["join", "#a", "--relay", "arona://h:1#x"], /needs a name.*--username/],
    [
      ["join", "#a", "--username", "alice", "--relay", "http://x"],
      /Cannot read place to look for a relay: x is asked by https, not by http/,
    ],
    [["connect", "arona://h:1#x", "--relay", "arona://h:1#x"], /two relays/],
    [["verify", "bob", "--accept", "--confirm"], /Cannot confirm and accept at once/],
    [["verify", "bob", "--accept", "0123456"], /is not the beginning of a fingerprint/],
    [["verify", "bob", "--accept", "mallory0"], /is not the beginning of a fingerprint/],
    [["send", "#a", ""], /Cannot send: the text is empty/],
    [["send", "#a", "-"], /Cannot send: the text is empty/],
  ];
  await using folder = await temporaryFolder();
  for (const [args, expected] of cases) {
    const { code, out, err } = await run(args, { env: { ARONA_HOME: folder.path } });
    assert.equal(code, 2, `${args.join(" ")}: ${err}`);
    assert.equal(out, "");
    assert.match(err, expected);
    assert.match(err, /^arona: Cannot [^\n]+\n$/);
  }
  assert.deepEqual([...Deno.readDirSync(folder.path)], [], "nothing was made");
});

Deno.test("commands that only look never make a profile, and say which there are", async () => {
  await using folder = await temporaryFolder();
  const env = { ARONA_HOME: folder.path };
  const link = `arona://127.0.0.1:9#${"A".repeat(43)}`;
  const commands = [
    ["id"],
    ["groups"],
    ["members", "#a"],
    ["history", "#a"],
    ["part", "#a"],
    ["verify", "bob"],
    ["group", "invite", "plans", "bob"],
  ];
  for (const command of commands) {
    for (const more of [[], ["--username", "zed", "--relay", link], ["--profile", "zed"]]) {
      const { code, err } = await run([...command, ...more], { env });
      assert.equal(code, 1, command[0]);
      assert.match(
        err,
        /^arona: Cannot open a profile: there is none yet\. `arona connect LINK` makes one\.\n$/,
      );
    }
  }
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  for (const name of ["alice", "bob"]) {
    await Deno.mkdir(`${folder.path}/profiles/${name}`, { recursive: true });
  }
  const { code, err } = await run(["id", "--profile", "zed", "--username", "zed", "--relay", link], { env });
  assert.equal(code, 1);
  assert.match(err, /there is no profile zed; there are: alice, bob\. Name one with --profile/);
  assert.equal([...Deno.readDirSync(`${folder.path}/profiles`)].length, 2);
});

Deno.test("what the system refuses is a sentence without numbers of errors, and says what to do", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/file`;
  await Deno.writeTextFile(file, "");
  const cases: [string[], Record<string, string>, RegExp][] = [
    [
      ["serve", "--data", file],
      {},
      /Cannot use data folder .*: it is a file, not a folder\. Choose a folder/,
    ],
    [["serve", "--data", `${file}/x`], {}, /what stands above it is a file, not a folder\. Choose a folder/],
    [["invite", "--data", file], {}, /there is no relay in .*\. Run it where the relay runs/],
    [["groups"], { ARONA_HOME: file }, /Cannot read profiles in .* is a file, not a folder\. Check/],
    [["groups"], { ARONA_CONFIG: folder.path }, /Cannot read configuration .*it is a folder, not a file\./],
  ];
  for (const [args, more, expected] of cases) {
    const env = { ARONA_HOME: folder.path, ...more };
    const { code, out, err } = await run(args, { env });
    assert.deepEqual([code, out], [1, ""], err);
    assert.match(err, expected);
    assert.match(err, /^arona: Cannot [^\n]+\n$/);
    assert.doesNotMatch(err, /os error/);
  }
});

Deno.test("ARONA_DEBUG=1 shows where an error comes from, otherwise no stack trace is shown", async () => {
  const quiet = await run(["join", "general"]);
  assert.doesNotMatch(quiet.err, /\n\s+at /);
  const loud = await run(["join", "general"], { env: { ARONA_DEBUG: "1" } });
  assert.match(loud.err, /\n\s+at /);
});

Deno.test("version is the one in deno.json", async () => {
  assert.match((await run(["version"])).out, new RegExp(`^arona ${project.version} `));
  assert.equal((await run(["--version"])).out, `arona ${project.version}\n`);
  const { code, out } = await run(["version", "--json"]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(out).version, project.version);
});

Deno.test("send without text at a terminal does not wait for input", async () => {
  const { code, err } = await run(["send", "#a"], { interactive: true });
  assert.equal(code, 2);
  assert.match(err, /there is no text/);
});

Deno.test("commands that read data of others offer --json", () => {
  const without = COMMANDS.filter(({ options }) => !options.includes("json")).map(({ name }) => name);
  assert.deepEqual(without, ["connect", "completions"]);
});

Deno.test("completion scripts know every command, parent and option", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const script = completionScript(shell, { commands: COMMANDS, parents: PARENTS });
    for (const { name, options } of COMMANDS) {
      for (const word of name.split(" ")) assert.ok(script.includes(word), `${shell}: ${word}`);
      for (const option of options) {
        assert.ok(script.includes(shell === "fish" ? `-l ${option}` : `--${option}`), `${shell}: ${option}`);
      }
    }
  }
});

const bash = requireTool("bash");
bash.test("the bash script completes commands, options and values", async () => {
  const complete = async (...words: string[]) => {
    const script = `
      ${completionScript("bash", { commands: COMMANDS, parents: PARENTS })}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      _arona; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, success } = await new Deno.Command("bash", { args: ["-euc", script] }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim().split("\n").filter((word) => word !== "");
  };
  assert.deepEqual(await complete("arona", "se"), ["serve", "send"]);
  assert.deepEqual(await complete("arona", "group", "in"), ["invite"]);
  assert.deepEqual(await complete("arona", "tail", "#general", "--co"), ["--count", "--config"]);
  assert.deepEqual(await complete("arona", "send", "--wait", ""), optionSpec("wait").choices);
  assert.deepEqual(await complete("arona", "completions", ""), ["bash", "zsh", "fish", "--help"]);
  assert.ok((await complete("arona", "help", "")).includes("group"));
  assert.deepEqual(await complete("arona", "send", "--relay", "x"), []);
});
