/** The setup: once for all who start together, never while things are in order, and silent on stdout. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Patch } from "../../scripts/patch_dependencies.ts";
import { setUp, type SetupOptions } from "../../scripts/setup.ts";

const PUBLISHED = "first\nsecond\n";
const PATCHED = "first\n2nd\n";

const PATCH: Patch = {
  file: "library.js",
  original: createHash("sha256").update(PUBLISHED).digest("hex"),
  replacements: [{ why: "a test", from: "second", to: "2nd" }],
};

/** A checkout that is not set up yet, and an installation that counts how often it runs. */
async function inCheckout(
  action: (checkout: { options: SetupOptions; installed: () => number; library: URL }) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "arona-setup-" });
  const root = new URL(`file://${path}/`);
  const library = new URL("node_modules/library.js", root);
  let installed = 0;
  const install = async () => {
    installed++;
    await Deno.writeTextFile(library, PUBLISHED);
  };
  try {
    await Deno.writeTextFile(new URL("deno.json", root), JSON.stringify({ imports: { a: "npm:a@1.0.0" } }));
    await Deno.writeTextFile(new URL("deno.lock", root), "{}");
    await action({ options: { root, patches: [PATCH], install }, installed: () => installed, library });
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("setUp() installs and patches once, and then leaves everything alone", () =>
  inCheckout(async ({ options, installed, library }) => {
    assert.equal(await setUp(options), true);
    assert.equal(await Deno.readTextFile(library), PATCHED);
    const { mtime } = await Deno.stat(library);
    assert.equal(await setUp(options), false);
    assert.equal(installed(), 1);
    assert.deepEqual((await Deno.stat(library)).mtime, mtime);
  }));

Deno.test("setUp() runs again when the lock file, the imports or the patches have changed, not for the rest", () =>
  inCheckout(async ({ options, installed }) => {
    await setUp(options);
    const { root } = options;
    await Deno.writeTextFile(new URL("deno.lock", root), '{"version":"5"}');
    assert.equal(await setUp(options), true);
    await Deno.writeTextFile(new URL("deno.json", root), JSON.stringify({ imports: { a: "npm:a@2.0.0" } }));
    assert.equal(await setUp(options), true);
    const imports = { a: "npm:a@2.0.0" };
    await Deno.writeTextFile(new URL("deno.json", root), JSON.stringify({ imports, tasks: { x: "true" } }));
    assert.equal(await setUp(options), false);
    assert.equal(installed(), 3);
    assert.equal(await setUp({ ...options, patches: [] }), true);
  }));

Deno.test("setUp() mends what an installation by hand has put back", () =>
  inCheckout(async ({ options, library }) => {
    await setUp(options);
    await Deno.writeTextFile(library, PUBLISHED);
    assert.equal(await setUp(options), true);
    assert.equal(await Deno.readTextFile(library), PATCHED);
    await Deno.remove(library);
    assert.equal(await setUp(options), true);
  }));

Deno.test("ten that start together install once, and none returns before it is done", () =>
  inCheckout(async ({ options, installed, library }) => {
    const started = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const slow: SetupOptions = {
      ...options,
      install: async (root) => {
        started.resolve();
        await go.promise;
        await options.install(root);
      },
    };
    const all = Array.from({ length: 10 }, async () => {
      const worked = await setUp(slow);
      assert.equal(await Deno.readTextFile(library), PATCHED);
      return worked;
    });
    await started.promise;
    go.resolve();
    assert.equal((await Promise.all(all)).filter((worked) => worked).length, 1);
    assert.equal(installed(), 1);
  }));

Deno.test("an installation that fails leaves no stamp, so that the next one tries again", () =>
  inCheckout(async ({ options, installed }) => {
    await setUp(options);
    await Deno.writeTextFile(new URL("deno.lock", options.root), "changed");
    const failing = () => Promise.reject(new Error("no network"));
    await assert.rejects(setUp({ ...options, install: failing }), /no network/);
    await Deno.writeTextFile(new URL("deno.lock", options.root), "{}");
    assert.equal(await setUp(options), true, "the earlier stamp is gone as well");
    assert.equal(installed(), 2);
  }));

Deno.test("deno task arona version --json prints one JSON line and nothing else, also when several start together", async () => {
  const runs = Array.from({ length: 3 }, () =>
    new Deno.Command(Deno.execPath(), {
      args: ["task", "arona", "version", "--json"],
      cwd: new URL("../../", import.meta.url),
      stdin: "null",
    }).output());
  for (const { code, stdout, stderr } of await Promise.all(runs)) {
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const lines = new TextDecoder().decode(stdout).split("\n");
    assert.equal(lines.length, 2);
    assert.equal(lines[1], "");
    assert.equal(JSON.parse(lines[0]).type, "Version");
  }
});
