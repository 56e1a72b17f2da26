/** One process a file, whichever lock the runtime has. */

import assert from "node:assert/strict";
import { lockFile } from "../../proto/lock/mod.ts";

const MODULE = new URL("../../proto/lock/mod.ts", import.meta.url).href;
const HAS_OWN = "tryLockSync" in Deno.FsFile.prototype;

for (const native of HAS_OWN ? [true, false] : [false]) {
  const lock = (path: string) => lockFile(path, { native });

  Deno.test(`one at a time holds a file (${native ? "the runtime's lock" : "a database's"})`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "arona-lock-" });
    try {
      const path = `${folder}/x.lock`;
      const held = lock(path)!;
      assert.ok(held);
      assert.equal(lock(path), null);
      assert.equal(lock(path), null, "asking does not release it");
      held.file.writeSync(new Uint8Array(3));
      assert.equal((await Deno.stat(path)).size, 3);
      for (const { name } of Deno.readDirSync(folder)) {
        if (Deno.build.os === "windows") break;
        assert.equal(Deno.statSync(`${folder}/${name}`).mode! & 0o777, 0o600, name);
      }
      held[Symbol.dispose]();
      held[Symbol.dispose]();
      using again = lock(path);
      assert.ok(again);
      assert.throws(() => lock(`${folder}/nowhere/x.lock`), Deno.errors.NotFound);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  Deno.test(`a process that is killed holds nothing (${native ? "the runtime's lock" : "a database's"})`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "arona-lock-" });
    try {
      const path = `${folder}/x.lock`;
      const holder = new Deno.Command(Deno.execPath(), {
        args: [
          "eval",
          "--no-check",
          `import { lockFile } from ${JSON.stringify(MODULE)};
          globalThis.held = lockFile(${JSON.stringify(path)}, { native: ${native} });
          console.log(globalThis.held !== null);
          setInterval(() => {}, 1e6);`,
        ],
        stdout: "piped",
      }).spawn();
      const reader = holder.stdout.getReader();
      assert.equal(new TextDecoder().decode((await reader.read()).value), "true\n");
      assert.equal(lock(path), null);
      holder.kill("SIGKILL");
      await holder.status;
      await reader.cancel();
      using held = lock(path);
      assert.ok(held);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
