/** `deno task compile`: what its arguments mean. The executable itself is tried in tests/executable_test.ts. */

import assert from "node:assert/strict";
import { parseRequest, TARGETS } from "../../scripts/compile.ts";

Deno.test("parseRequest() takes targets, a version of Deno and a folder in both spellings", () => {
  assert.deepEqual(parseRequest([]), { targets: [] });
  assert.deepEqual(
    parseRequest(["--target", "aarch64-apple-darwin", "--with-deno=2.4.2", "--output-dir", "/x"]),
    { targets: ["aarch64-apple-darwin"], withDeno: "2.4.2", outputDir: "/x" },
  );
});

Deno.test("parseRequest() takes all platforms, and each only once", () => {
  const { targets } = parseRequest(["--target", "x86_64-apple-darwin", "--target=all"]);
  assert.deepEqual([...targets].sort(), Object.keys(TARGETS).sort());
});

Deno.test("parseRequest() says what is wrong, and how it is meant", () => {
  assert.throws(() => parseRequest(["--target", "amiga"]), /for "amiga": want one of all, x86_64-unknown/);
  assert.throws(() => parseRequest(["--target"]), /for "": want one of all/);
  assert.throws(
    () => parseRequest(["--with-deno", "latest"]),
    /"latest" is not a version; use: deno task compile/,
  );
  assert.throws(() => parseRequest(["--fast"]), /unknown argument --fast; use:/);
  assert.throws(() => parseRequest(["--output-dir"]), /folder is missing/);
});
