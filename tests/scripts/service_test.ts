/** The systemd unit: that systemd takes it, how much it shuts off, and that it starts what there is. */

import assert from "node:assert/strict";
import { serve } from "../../cli/commands/serve.ts";
import { requireTool } from "../require.ts";

const UNIT = new URL("../../scripts/arona.service", import.meta.url);
/** `systemd-analyze security` counts from 0 (nothing is open) to 10; up to 2 it says OK. */
const MAX_EXPOSURE = 2.0;

const analyze = requireTool("systemd-analyze");

/** Everything that is set, comments left out. */
function settings(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const setting = /^([A-Za-z]+)=(.*)$/.exec(line);
    if (setting !== null) found.set(setting[1], [...found.get(setting[1]) ?? [], setting[2]]);
  }
  return found;
}

async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", {
    args,
    env: { LC_ALL: "C", TERM: "dumb" },
  })
    .output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("the unit reloads with SIGHUP, stops with SIGTERM, and holds no secret", async () => {
  const text = await Deno.readTextFile(UNIT);
  const unit = settings(text);
  assert.deepEqual(unit.get("ExecReload"), ["kill -HUP $MAINPID"]);
  assert.deepEqual(unit.get("KillSignal"), ["SIGTERM"]);
  assert.deepEqual(unit.get("ExecStart"), ["/usr/local/bin/arona serve"]);
  assert.equal(serve.name, "serve");
  for (const name of ["NoNewPrivileges", "DynamicUser", "RestrictNamespaces"]) {
    assert.deepEqual(unit.get(name), ["yes"]);
  }
  assert.deepEqual(unit.get("ProtectSystem"), ["strict"]);
  assert.equal(unit.has("MemoryDenyWriteExecute"), false, "V8 could not run");
  assert.equal(unit.has("LoadCredential"), false, "whoever has no token needs no file");
  assert.doesNotMatch(text, /ghp_|github_pat_/);
});

analyze.test("systemd takes the unit without a word", async () => {
  const folder = await Deno.makeTempDir({ prefix: "arona-unit-" });
  try {
    // Where it is tested the executable is not installed.
    const text = (await Deno.readTextFile(UNIT)).replace("/usr/local/bin/arona serve", "/bin/true serve");
    await Deno.writeTextFile(`${folder}/arona.service`, text);
    const { code, text: said } = await run("verify", "--man=no", `${folder}/arona.service`);
    const own = said.split("\n").filter((line) => line.includes("arona.service"));
    assert.deepEqual([code, own], [0, []], said);
    const commented = text.replaceAll(
      /^#(LoadCredential|Environment|EnvironmentFile|CapabilityB|Ambient)/gm,
      "$1",
    );
    await Deno.writeTextFile(`${folder}/arona.service`, commented);
    const all = await run("verify", "--man=no", `${folder}/arona.service`);
    assert.equal(all.code, 0, all.text);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

analyze.test("what the unit leaves open is little", async () => {
  const { text } = await run("security", "--offline=true", "--no-pager", UNIT.pathname);
  const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(text) ?? assert.fail(text);
  assert.ok(Number(exposure) <= MAX_EXPOSURE, `${exposure}\n${text}`);
});
