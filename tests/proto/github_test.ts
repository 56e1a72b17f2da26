/** The address of GitHub's API: what may stand in `ARONA_GITHUB_API`. */

import assert from "node:assert/strict";
import { GITHUB_API, isAronaError, parseGithubApi } from "../../proto/mod.ts";

Deno.test("parseGithubApi() takes https, and http on this computer only", () => {
  const cases: [string, string][] = [
    [GITHUB_API, GITHUB_API],
    ["https://api.github.com/", GITHUB_API],
    ["https://github.example.org/api/v3/", "https://github.example.org/api/v3"],
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
    ["http://localhost:8080/", "http://localhost:8080"],
  ];
  for (const [text, expected] of cases) assert.equal(parseGithubApi(text), expected);
});

Deno.test("parseGithubApi() refuses what a token must not be sent to", () => {
  for (
    const text of [
      "",
      "api.github.com",
      "http://api.github.com",
      "http://127.0.0.1.example.org",
      "ftp://api.github.com",
      "https://user:word@api.github.com",
      "https://api.github.com/?a=b",
      "https://api.github.com/#a",
    ]
  ) assert.throws(() => parseGithubApi(text), (error) => isAronaError(error, "USAGE"), text);
});
