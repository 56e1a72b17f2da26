/** What the program loads before it knows which command it runs: little, so that every command starts quickly. */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url);

interface InfoModule {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly isDynamic?: boolean;
    readonly code?: { readonly specifier?: string };
  }[];
}

/** Every module that `entry` needs before its first line runs, relative to the checkout. */
async function loadedBefore(entry: string): Promise<string[]> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", entry],
    cwd: fileURLToPath(ROOT),
  }).output();
  assert.ok(success);
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: InfoModule[] };
  const known = new Map(modules.map((module) => [module.specifier, module]));
  const loaded = new Set([new URL(entry, ROOT).href]);
  for (const specifier of loaded) { // grows while it is walked over
    for (const { isDynamic, code } of known.get(specifier)?.dependencies ?? []) {
      if (!isDynamic && code?.specifier !== undefined) loaded.add(code.specifier);
    }
  }
  return [...loaded].map((specifier) => specifier.replace(ROOT.href, ""));
}

Deno.test("the main module loads neither client, relay, protocol nor workers before a command asks for them", async () => {
  const loaded = await loadedBefore("main.ts");
  assert.ok(loaded.includes("cli/program.ts"), "the walk has found nothing");
  assert.deepEqual(loaded.filter((path) => /^(client|server|proto|workers)\//.test(path)), []);
  assert.deepEqual(
    loaded.filter((path) => path.startsWith("node_modules/")).map((path) => path.split("/")[1]),
    ["commander"],
  );
});
