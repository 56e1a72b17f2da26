/** Targets of what GitHub, or whoever plays it, says of Gists. */

import assert from "node:assert/strict";
import { MAX_DOCUMENT_BYTES, parseSource, utf8 } from "../../proto/mod.ts";
import { parseGist, parseGistPage } from "../../client/discovery/mod.ts";
import { mutate } from "./mutate.ts";
import { changeJson, type Json } from "./mutate_json.ts";
import type { FuzzTarget } from "./runner.ts";

const FILE = {
  filename: "arona.json",
  type: "application/json",
  raw_url: "https://gist.githubusercontent.com/octocat/aa5a315d61ae9438b18d/raw/arona.json",
  size: 27,
  truncated: false,
  content: `{"payload":"","signature":""}`,
};
const GIST = {
  id: "aa5a315d61ae9438b18d",
  files: { "notes.txt": { ...FILE, filename: "notes.txt" }, "arona.json": FILE },
  public: true,
  truncated: false,
};

const gist: FuzzTarget = answerTarget({
  name: "gist",
  what: "GitHub's answer about a Gist",
  examples: [GIST, { ...GIST, files: { "arona.json": { ...FILE, truncated: true } } }, {
    ...GIST,
    files: {},
  }],
  run(input) {
    const file = parseGist(input);
    if (file?.kind === "content") assert.ok(file.bytes.length <= MAX_DOCUMENT_BYTES);
    if (file?.kind === "elsewhere") assert.equal(typeof file.rawUrl, "string");
  },
});

const gistPage: FuzzTarget = answerTarget({
  name: "gist-page",
  what: "GitHub's answer about a user's Gists",
  examples: [[GIST, { ...GIST, id: "0123456789ABCDEF" }], []],
  run(input) {
    const { ids, count } = parseGistPage(input);
    assert.ok(ids.length <= count);
    for (const id of ids) assert.deepEqual(parseSource(`gist:${id}`), { kind: "gist", id });
  },
});

/** Targets, from the narrow to the wide. */
export const discoveryTargets: readonly FuzzTarget[] = [gist, gistPage];

function answerTarget(
  { name, what, examples, run }: {
    name: string;
    what: string;
    examples: readonly Json[];
    run: (input: Uint8Array) => void;
  },
): FuzzTarget {
  const corpus = examples.map((example) => utf8(JSON.stringify(example)));
  return {
    name,
    what,
    open: () => ({
      corpus,
      generate: (random) =>
        random.oneIn(2)
          ? mutate(random, corpus)
          : utf8(JSON.stringify(changeJson(random, random.pick([...examples])))),
      run,
    }),
  };
}
