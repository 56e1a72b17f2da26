/** The patches of dependencies: exact, repeatable, and never written into a file that others share. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { applyPatch, type Patch, PATCHES, patchState } from "../../scripts/patch_dependencies.ts";

const ORIGINAL = "first\nsecond\nthird\n";

function inFolder(action: (folder: URL, file: URL) => void): void {
  const path = Deno.makeTempDirSync();
  try {
    const folder = new URL(`file://${path}/`);
    Deno.writeTextFileSync(new URL("library.js", folder), ORIGINAL);
    action(folder, new URL("library.js", folder));
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
}

const patch: Patch = {
  file: "library.js",
  original: createHash("sha256").update(ORIGINAL).digest("hex"),
  replacements: [{ why: "a test", from: "second", to: "2nd" }, { why: "a test", from: "third", to: "3rd" }],
};

Deno.test("a patch is applied once and then left alone", () => {
  inFolder((folder, file) => {
    assert.equal(applyPatch(folder, patch), "patched");
    assert.equal(Deno.readTextFileSync(file), "first\n2nd\n3rd\n");
    assert.equal(applyPatch(folder, patch), "already patched");
    assert.equal(Deno.readTextFileSync(file), "first\n2nd\n3rd\n");
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["library.js"]);
  });
});

Deno.test("a file that is neither the published nor the patched one stops the setup and stays as it is", () => {
  inFolder((folder, file) => {
    for (const text of ["", "first\n2nd\nthird\n", `${ORIGINAL}more`, "first\n2nd\n3rd\nmore"]) {
      Deno.writeTextFileSync(file, text);
      assert.throws(() => applyPatch(folder, patch), /neither the published file nor the patched one/);
      assert.equal(Deno.readTextFileSync(file), text);
    }
  });
});

Deno.test("another name of the same file, as in a shared cache, is not changed", () => {
  inFolder((folder, file) => {
    const shared = new URL("shared.js", folder);
    Deno.linkSync(file.pathname, shared.pathname);
    applyPatch(folder, patch);
    assert.equal(Deno.readTextFileSync(shared), ORIGINAL);
  });
});

Deno.test("a replacement that does not occur exactly once stops the setup", () => {
  inFolder((folder) => {
    const ambiguous = { ...patch, replacements: [{ why: "a test", from: "ir", to: "x" }] };
    assert.throws(() => applyPatch(folder, ambiguous), /exactly once/);
  });
});

Deno.test("the installed dependencies are patched", () => {
  const folder = new URL("../../node_modules/", import.meta.url);
  for (const patch of PATCHES) {
    const text = Deno.readTextFileSync(new URL(patch.file, folder));
    assert.equal(patchState(text, patch), "patched", `${patch.file}: run \`deno task setup\``);
  }
});
