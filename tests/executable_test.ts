/**
 * The executable, made for real and used in an empty folder with an empty PATH: nothing beside it helps it along.
 *
 * It is compiled with the oldest Deno that is supported, which has no native post-quantum cryptography; so this is the other
 * provider's proof as well.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Arona, type Program, TestRelay } from "./cli/processes.ts";
import { bundle } from "../scripts/bundle.ts";
import { BILL_FILE, compileBundle, TARGETS } from "../scripts/compile.ts";
import { standInAgents } from "./helpers/stand_in_agents.ts";
import { githubApi, startGithub } from "./helpers/github.ts";
import { requirement } from "./require.ts";
import { type WallReport, WALLS } from "./workers/walls.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const OLDEST_DENO = "2.4.2";
/** Deno's runtime for executables loads code and JSON from disk without asking for the right to read it; the README says so. */
const LOADED_IN_EXECUTABLES = ["import another file", "import another file as data"];
const MAX_BYTES = 100_000_000;

const folder = Deno.makeTempDirSync({ prefix: "arona-executable-" });
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const missing = await makeExecutable();
const executable = requirement(missing === null, missing ?? "");
/** Tests that also need the stand-in for GitHub. */
const published = executable.present ? githubApi : executable;
const program: Program = { command: `${folder}/arona`, args: [], env: { PATH: "" }, cwd: emptyFolder() };

executable.test("the executable says its version, its commit and its runtime, and fits its size", async () => {
  await using home = await temporaryHome();
  const { code, out } = await new Arona(home.path, ["version", "--json"], { program }).outcome();
  assert.equal(code, 0);
  const { version, commit, runtime } = JSON.parse(out);
  assert.equal(version, JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).version);
  assert.match(commit, /^[0-9a-f]{12}\+?$/);
  assert.equal(runtime, `deno ${OLDEST_DENO}`);
  const { size } = await Deno.stat(program.command);
  assert.ok(size <= MAX_BYTES, `${size} bytes`);
});

executable.test("serve, join, send, tail and history work in an empty folder with an empty PATH", async () => {
  await using relay = await TestRelay.start({ program });
  await relay.ok("join", "#general", "--username", "alice");
  await using tail = relay.start("tail", "#general", "--username", "bob", "--json", "--count", "1");
  await tail.until("err", /Listening in #general as bob/);
  await relay.ok("send", "#general", "hello", "--username", "alice");
  const { code, out } = await tail.outcome();
  assert.equal(code, 0, tail.err);
  assert.equal(JSON.parse(out).text, "hello");
  const history = await relay.ok("history", "#general", "--username", "bob", "--json");
  assert.equal(JSON.parse(history.out).text, "hello");
  assert.deepEqual([...Deno.readDirSync(program.cwd!)], [], "something was left in the working folder");
});

executable.test("the walls hold in an executable as they do from source", async () => {
  const bundled = `${folder}/walls`;
  const output = `${folder}/try-walls`;
  await bundle(bundled, ["tests/workers/walls.ts", "tests/workers/attempt_worker.ts"]);
  await compileBundle(bundled, { main: "walls.js", output, withDeno: OLDEST_DENO });
  const { code, stdout, stderr } = await new Deno.Command(output, { args: [Deno.execPath()] }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const reports: Record<string, WallReport> = JSON.parse(new TextDecoder().decode(stdout));
  assert.deepEqual(Object.keys(reports), Object.keys(WALLS));
  for (const [wall, { found, expected }] of Object.entries(reports)) {
    for (const [what, outcome] of Object.entries(found)) {
      const wanted = LOADED_IN_EXECUTABLES.includes(what) ? "allowed" : expected[what];
      assert.equal(outcome === "allowed", wanted === "allowed", `${wall}: ${what}: ${outcome}`);
    }
  }
});

executable.test("a tunnel's program is run from the executable too, and the link that comes of it lets people in", async () => {
  await using agents = await standInAgents();
  const options = { program, args: ["--tunnel", "bore:127.0.0.1"], env: { PATH: agents.bin } };
  await using relay = await TestRelay.start(options);
  const [line] = await relay.process.until("out", /^\{"type":"Address".*$/m);
  const args = ["send", "#general", "hello", "--username", "alice", "--relay", JSON.parse(line).link];
  const { code, err } = await new Arona(relay.home, args, { program }).outcome();
  assert.equal(code, 0, err);
  relay.process.signal("SIGTERM"); // killed, it could not end the tunnel's program
  assert.equal((await relay.process.outcome()).code, 0);
});

published.test("a relay that publishes is found by its Gist alone, and afterwards without a word", async () => {
  await using github = await startGithub();
  const env = { ARONA_GITHUB_API: github.url };
  const token = github.addUser("octocat");
  await using relay = await TestRelay.start({
    program,
    args: ["--publish-gist"],
    env: { ...env, GITHUB_TOKEN: token },
  });
  const [line] = await relay.process.until("out", /^\{"type":"Published".*$/m);
  const arona = (...args: string[]) => new Arona(relay.home, args, { program, env }).outcome();

  const found = await arona("discover", JSON.parse(line).source, "--json");
  assert.equal(found.code, 0, found.err);
  assert.ok(found.out.includes(relay.listening.fingerprint), found.out);

  const joined = await arona("join", "#general", "--relay", JSON.parse(line).url, "--username", "alice");
  assert.equal(joined.code, 0, joined.err);
  const sent = await arona("send", "#general", "hello", "--username", "alice");
  assert.equal(sent.code, 0, sent.err);
});

executable.test("the bill of materials lists the runtime and the packages in the bundle, and nothing that only tests use", async () => {
  const { specVersion, components, dependencies, metadata } = JSON.parse(
    await Deno.readTextFile(`${folder}/${BILL_FILE}`),
  );
  assert.equal(specVersion, "1.6");
  const names = components.map(({ name }: { name: string }) => name);
  for (const name of ["deno", "ts-mls", "@noble/post-quantum", "commander"]) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(!names.includes("fast-check"));
  const library = components.find(({ name }: { name: string }) => name === "@noble/ciphers");
  assert.equal(library.purl, `pkg:npm/%40noble/ciphers@${library.version}`);
  assert.match(library.hashes[0].content, /^[0-9a-f]{128}$/);
  const refs = components.map((component: Record<string, unknown>) => component["bom-ref"]);
  assert.equal(new Set(refs).size, refs.length);
  assert.deepEqual(dependencies, [{ ref: metadata.component["bom-ref"], dependsOn: refs }]);
});

executable.test("the installer puts the executable in place, and nothing where a byte of it is another", async () => {
  await using home = await temporaryHome();
  await using files = await serveRelease(home.path);
  const install = (into: string) =>
    new Deno.Command("sh", {
      args: [`${ROOT}scripts/install.sh`],
      env: { ARONA_DOWNLOAD_URL: files.url, ARONA_INSTALL_DIR: into, NO_PROXY: "127.0.0.1" },
    }).output();

  const done = await install(`${home.path}/bin`);
  assert.equal(done.code, 0, new TextDecoder().decode(done.stderr));
  assert.match(
    new TextDecoder().decode(done.stdout),
    /^Installed arona .*deno 2\.4\.2.* as .*\/bin\/arona\n/,
  );
  assert.deepEqual([...Deno.readDirSync(`${home.path}/bin`)].map(({ name }) => name), ["arona"]);

  files.damage();
  const refused = await install(`${home.path}/other`);
  assert.equal(refused.code, 1);
  assert.match(new TextDecoder().decode(refused.stderr), /arona: Cannot install: .* is damaged: its SHA-256/);
  assert.deepEqual([...Deno.readDirSync(`${home.path}/other`)], []);
});

executable.test("a wrong argument ends it with 2 and one line, as from source", async () => {
  await using home = await temporaryHome();
  const { code, out, err } = await new Arona(home.path, ["sned"], { program }).outcome();
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.match(err, /^arona: .*send.*\n$/);
});

/** @returns what is missing, or null where the executable is made */
async function makeExecutable(): Promise<string | null> {
  const base = await runtimeBase();
  if (base !== null) Deno.env.set("DENORT_BIN", base);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      `${ROOT}scripts/compile.ts`,
      "--with-deno",
      OLDEST_DENO,
      "--output-dir",
      folder,
    ],
    env: { DENO_TLS_CA_STORE: "system" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return null;
  const text = new TextDecoder().decode(stderr);
  // A fault of ours is a failure; only a runtime that cannot be had is a reason to skip.
  if (base === null && /denort|dl\.deno\.land|npm error/.test(text)) {
    return `the runtime of Deno ${OLDEST_DENO} cannot be had here: by download, or in a file that DENORT_BIN names`;
  }
  throw new Error(`Cannot make the executable: ${text}`);
}

/** The runtime that the environment names, or the one that the shared script makes; null where there is neither. */
async function runtimeBase(): Promise<string | null> {
  const named = Deno.env.get("DENORT_BIN");
  if (named) return named;
  const script = `${ROOT}../shared/denort/denort.sh`;
  try {
    const { success, stdout } = await new Deno.Command(script, { stderr: "inherit" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    return null; // not there
  }
}

/** A release's files on loopback, as the installer looks for them. */
async function serveRelease(home: string): Promise<{ url: string; damage(): void } & AsyncDisposable> {
  const name = TARGETS["x86_64-unknown-linux-gnu"];
  const bytes = await Deno.readFile(program.command);
  await Deno.writeFile(`${home}/${name}`, bytes);
  const sums = await new Deno.Command("sha256sum", { args: [name, name], cwd: home }).output();
  const [line] = new TextDecoder().decode(sums.stdout).split("\n");
  const listed = `${"0".repeat(64)}  other\n${line}\n`;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === `/${name}`) return new Response(bytes);
    return pathname === "/SHA256SUMS" ? new Response(listed) : new Response(null, { status: 404 });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    damage: () => bytes[bytes.length - 1] ^= 1,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function emptyFolder(): string {
  const path = `${folder}/empty`;
  Deno.mkdirSync(path);
  return path;
}

async function temporaryHome(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "arona-e2e-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
