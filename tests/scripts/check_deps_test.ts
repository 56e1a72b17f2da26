/** The dependency rules: which imports the check lets through and which it names. */

import assert from "node:assert/strict";
import { findViolations } from "../../scripts/check_deps.ts";

const DOORS = new Set(["proto", "server", "client", "client/store", "client/groups"]);

function messages(file: string, specifier: string, target: string | null): string[] {
  return findViolations([{ file, line: 3, specifier, target }], DOORS).map((violation) => violation.message);
}

Deno.test("check_deps lets the allowed directions through", () => {
  const allowed: [string, string][] = [
    ["server/relay.ts", "proto/mod.ts"],
    ["client/session/link.ts", "proto/mod.ts"],
    ["client/session/link.ts", "client/limits.ts"],
    ["client/session/link.ts", "client/store/mod.ts"],
    ["client/tui/app.tsx", "client/mod.ts"],
    ["proto/crypto/native.ts", "proto/bytes.ts"],
    ["cli/main.ts", "server/mod.ts"],
    ["scripts/demo.ts", "client/store/mod.ts"],
    ["tests/client/store_test.ts", "client/store/key_file.ts"],
    ["tests/client/store_test.ts", "scripts/test.ts"],
  ];
  for (const [file, target] of allowed) {
    assert.deepEqual(messages(file, "./x.ts", target), [], `${file} → ${target}`);
  }
});

Deno.test("check_deps refuses imports against the layers", () => {
  for (
    const [file, target] of [
      ["proto/frame.ts", "client/mod.ts"],
      ["server/relay.ts", "client/mod.ts"],
      ["client/session/link.ts", "server/mod.ts"],
      ["client/session/link.ts", "cli/options.ts"],
      ["server/relay.ts", "scripts/test.ts"],
      ["client/store/open.ts", "tests/require.ts"],
    ]
  ) assert.match(messages(file, "./x.ts", target).join(), /must not import/, `${file} → ${target}`);
  assert.match(
    messages("client/session/link.ts", "./x.ts", "client/tui/app.tsx").join(),
    /composition roots/,
  );
  assert.match(messages("extra/x.ts", "./x.ts", "proto/mod.ts").join(), /not a known layer/);
});

Deno.test("check_deps sends outsiders to the door of a folder", () => {
  const cases: [string, string, string][] = [
    ["server/relay.ts", "proto/crypto/native.ts", "import proto/mod.ts"],
    ["client/session/link.ts", "client/store/open.ts", "import client/store/mod.ts"],
    ["cli/connect.ts", "client/store/open.ts", "import client/mod.ts"],
    ["server/relay.ts", "proto/inner/mod.ts", "import proto/mod.ts"],
    ["scripts/bench.ts", "client/groups/engine.ts", "import client/mod.ts"],
  ];
  for (const [file, target, wanted] of cases) {
    assert.ok(messages(file, "./x.ts", target).join().startsWith(wanted), `${file} → ${target}`);
  }
});

Deno.test("check_deps keeps every npm package in its place", () => {
  assert.deepEqual(messages("client/groups/mls_library.ts", "ts-mls", null), []);
  assert.deepEqual(messages("client/store/sealed_rows.ts", "@noble/ciphers/chacha.js", null), []);
  assert.deepEqual(messages("tests/proto/bytes_test.ts", "fast-check", null), []);
  assert.deepEqual(messages("server/store.ts", "node:sqlite", null), []);
  assert.match(
    messages("client/groups/engine.ts", "ts-mls", null).join(),
    /only be imported in client\/groups\/mls_library/,
  );
  assert.match(messages("server/relay.ts", "@noble/hashes/sha2.js", null).join(), /may only be imported/);
  assert.match(messages("server/relay.ts", "left-pad", null).join(), /add it to PACKAGES/);
  assert.match(messages("server/relay.ts", "fast-check", null).join(), /tests\/ and scripts\//);
  assert.match(messages("server/discovery/gist_publisher.ts", "ajv", null).join(), /tests\/ and scripts\//);
  for (const specifier of ["jsr:@std/assert", "https://deno.land/x/a.ts", "npm:commander@15"]) {
    assert.match(messages("cli/main.ts", specifier, null).join(), /not an import of this project/);
  }
});
