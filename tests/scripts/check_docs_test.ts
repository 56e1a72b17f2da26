/** Which exports count as documented. */

import assert from "node:assert/strict";
import { isDocumented } from "../../scripts/check_docs.ts";

const location = { filename: "file:///a.ts", line: 0 };

Deno.test("isDocumented() wants a docstring on at least one declaration of a symbol", () => {
  const variable = { kind: "variable", jsDoc: { doc: "Ids." }, location };
  const type = { kind: "typeAlias", location };
  assert.ok(isDocumented({ name: "Kind", declarations: [variable, type] }));
  assert.ok(!isDocumented({ name: "Kind", declarations: [type] }));
  assert.ok(!isDocumented({ name: "open", declarations: [{ kind: "function", location }] }));
});

Deno.test("isDocumented() takes a constant that says what it counts as it is", () => {
  assert.ok(isDocumented({ name: "MAX_RECORD_BYTES", declarations: [{ kind: "variable", location }] }));
  assert.ok(!isDocumented({ name: "DEFAULT_NAME", declarations: [{ kind: "variable", location }] }));
});
