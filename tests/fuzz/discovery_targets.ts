/** Targets of what GitHub, or whoever plays it, says of Gists. */

import assert from "node:assert/strict";
import { AronaError, fromUtf8, MAX_DOCUMENT_BYTES, parseSource, utf8 } from "../../proto/mod.ts";
import { parseGist, parseGistPage } from "../../client/discovery/mod.ts";
import { findGist, parsePublished } from "../../server/discovery/mod.ts";
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

const OWN = {
  ...GIST,
  description: "mine",
  html_url: "https://gist.github.com/octocat/aa5a",
  owner: { login: "Octocat" },
};

const publishedGist: FuzzTarget = answerTarget({
  name: "gist-published",
  what: "GitHub's answer to the relay that has created or updated a Gist",
  examples: [OWN, { ...OWN, owner: null, html_url: "javascript:alert(1)" }],
  run(input) {
    const { id, url, login } = parsePublished(parseJson(input), { content: FILE.content });
    assert.deepEqual(parseSource(`gist:${id}`), { kind: "gist", id });
    if (login !== null) assert.deepEqual(parseSource(`@${login}`), { kind: "user", login });
    assert.match(url, /^https:\/\/[\x21-\x7e]+$/);
  },
});

const ownGists: FuzzTarget = answerTarget({
  name: "gist-own",
  what: "GitHub's answer to the relay that looks for its Gist",
  examples: [[{ ...OWN, description: null }, OWN], []],
  run(input) {
    const id = findGist(parseJson(input), "mine");
    if (id !== null) assert.deepEqual(parseSource(`gist:${id}`), { kind: "gist", id });
  },
});

/** Targets, from the narrow to the wide. */
export const discoveryTargets: readonly FuzzTarget[] = [gist, gistPage, publishedGist, ownGists];

/** Refuses what is no JSON in the way of a decoder. */
function parseJson(input: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(input));
  } catch (cause) {
    throw new AronaError("BAD_ENCODING", "Cannot read answer: it is not JSON", { cause });
  }
}

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
