/** GitHub as a source: what it refuses is told in words, and it is never asked too often. Against a stand-in with GitHub's own description. */

import assert from "node:assert/strict";
import { type ErrorCode, FakeClock, isAronaError, parseSource, utf8 } from "../../proto/mod.ts";
import { createDiscovery, type Discovery, type Fetch } from "../../client/discovery/mod.ts";
import { MAX_GIST_PAGES, MAX_GISTS_PER_USER, MAX_GITHUB_REQUESTS_PER_HOUR } from "../../client/limits.ts";
import { githubApi, type GithubStandIn, startGithub } from "../helpers/github.ts";
import { Addresses, putGist } from "../helpers/places.ts";

const HOUR_MS = 3_600_000;
const MISSING = "aa5a315d61ae9438b18d0c1f6e2f7c3b";

interface Scene {
  readonly github: GithubStandIn;
  readonly clock: FakeClock;
  readonly discovery: Discovery;
  look(source: string): Promise<string[]>;
}

function scene(what: string, action: (scene: Scene) => Promise<void>, options: { fetch?: Fetch } = {}) {
  githubApi.test(what, async () => {
    const clock = new FakeClock();
    await using github = await startGithub({ now: () => clock.now() });
    const dial = new Addresses().dial;
    const discovery = createDiscovery({
      clock,
      dial,
      fetch: options.fetch ?? fetch,
      githubApi: github.url,
    });
    const { signal } = new AbortController();
    const look = async (source: string) =>
      (await discovery.look(parseSource(source), { signal })).map(({ bytes }) =>
        new TextDecoder().decode(bytes)
      );
    await action({ github, clock, discovery, look });
  });
}

async function fails(action: Promise<unknown>, code: ErrorCode, message: RegExp) {
  let failure: unknown;
  await assert.rejects(action, (error) => {
    failure = error;
    return isAronaError(error);
  });
  assert.ok(isAronaError(failure, code), `${failure}`);
  assert.match(failure.message, message);
  return failure;
}

scene("a Gist that is not there, or holds no arona.json, is named", async ({ github, look }) => {
  const gone = await fails(look(`gist:${MISSING}`), "NOT_FOUND", /^Cannot look at gist:aa5a.*no such Gist/);
  assert.match(gone.hint ?? "", /current link/);
  const other = github.putGist({ owner: "octocat", files: { "notes.txt": "arona.json" } });
  await fails(look(`gist:${other}`), "NOT_FOUND", /holds no arona\.json/);
  await fails(look("@octocat"), "NOT_FOUND", /none of octocat's public Gists holds an arona\.json/);
  await fails(look("@nobody"), "NOT_FOUND", /no user nobody/);
});

scene("a Gist that has not changed is not sent again", async ({ github, look }) => {
  const id = putGist(github, { bytes: utf8(`{"a":1}`) });
  assert.deepEqual(await look(`gist:${id}`), [`{"a":1}`]);
  assert.deepEqual(await look(`gist:${id}`), [`{"a":1}`]);
  const statuses = await Promise.all(github.requests.map(({ answered }) => answered));
  assert.deepEqual(statuses, [200, 304]);
  putGist(github, { id, bytes: utf8(`{"a":2}`) });
  assert.deepEqual(await look(`gist:${id}`), [`{"a":2}`]);
});

scene("403 with a limit says until when, and nobody asks before", async ({ github, clock, look }) => {
  const id = putGist(github, { bytes: utf8("{}") });
  github.next({ kind: "rateLimit", resetAtMs: clock.now() + 600_000 });
  const limited = await fails(
    look(`gist:${id}`),
    "RATE_LIMITED",
    /asked too often from here, until 00:10 UTC/,
  );
  assert.equal(limited.details?.retryAtMs, clock.now() + 600_000);
  assert.match(limited.hint ?? "", /in 10 min/);
  clock.advance(599_000);
  await fails(look(`gist:${id}`), "RATE_LIMITED", /until 00:10/);
  assert.equal(github.requests.length, 1);
  clock.advance(1_001);
  assert.deepEqual(await look(`gist:${id}`), ["{}"]);
});

scene(
  "limits for too many at once are kept to, with and without a time; another 403 is a no",
  async (scene) => {
    const { github, clock, look } = scene;
    const id = putGist(github, { bytes: utf8("{}") });
    github.next({ kind: "secondaryLimit", retryAfterS: 30, status: 429 });
    const first = await fails(look(`gist:${id}`), "RATE_LIMITED", /too often/);
    assert.equal(first.details?.retryAtMs, clock.now() + 30_000);
    clock.advance(30_001);
    github.next({ kind: "secondaryLimit" });
    const second = await fails(look(`gist:${id}`), "RATE_LIMITED", /too often/);
    assert.equal(second.details?.retryAtMs, clock.now() + 60_000);
    clock.advance(60_001);
    github.next({ kind: "status", status: 403, message: "Forbidden" });
    await fails(look(`gist:${id}`), "FORBIDDEN", /does not allow it/);
    assert.deepEqual(await look(`gist:${id}`), ["{}"]);
  },
);

scene(
  "faults of GitHub's, redirects, cut and senseless answers are refused in words",
  async ({ github, look }) => {
    const id = putGist(github, { bytes: utf8("{}") });
    const source = `gist:${id}`;
    github.next({ kind: "status", status: 502 });
    await fails(look(source), "UNREACHABLE", /GitHub answers 502, it has a fault/);
    github.next({ kind: "status", status: 401 });
    await fails(look(source), "UNREACHABLE", /GitHub answers 401/);
    github.next({ kind: "redirect", to: "https://evil.example/" });
    await fails(look(source), "BAD_REQUEST", /another host, evil\.example/);
    github.next({ kind: "cut" });
    await fails(look(source), "UNREACHABLE", /cut off/);
    for (const text of ["", "<html>", "[]", `{"files":[]}`, `{"files":{"arona.json":{}}}`]) {
      github.next({ kind: "body", text });
      await fails(look(source), "BAD_DOCUMENT", /GitHub's answer/);
    }
    github.next({ kind: "redirect", to: `${github.url}/gists/${id}` });
    assert.deepEqual(await look(source), ["{}"]); // a Gist that was renamed
  },
);

scene(
  "a file that GitHub does not send along is got, but only from GitHub's own hosts",
  async ({ github, look }) => {
    const id = putGist(github, { bytes: utf8("{}") });
    const truncated = (raw_url: string) =>
      github.next({
        kind: "alter",
        alter: ({ files }) => ({
          files: {
            "arona.json": { ...(files as Record<string, object>)["arona.json"], truncated: true, raw_url },
          },
        }),
      });
    truncated(`${github.url}/raw/arona.json`);
    await fails(look(`gist:${id}`), "UNREACHABLE", /answers 404/); // it was asked
    assert.equal(github.requests.at(-1)?.path, "/raw/arona.json");
    github.takeProblems();
    const before = github.requests.length;
    for (const url of ["https://evil.example/arona.json", "http://127.0.0.1:1/", "nonsense", ""]) {
      truncated(url);
      await fails(look(`gist:${id}`), "BAD_DOCUMENT", /another host/);
    }
    assert.equal(github.requests.length, before + 4);
  },
);

scene("of a user's Gists the newest with an arona.json are looked at, on a few pages", async (scene) => {
  const { github, clock, look } = scene;
  for (let i = 0; i < 6; i++) {
    putGist(github, { bytes: utf8(`{"old":${i}}`) });
    clock.advance(1_000);
  }
  for (let i = 0; i < 120; i++) github.putGist({ owner: "octocat", files: { "notes.txt": `${i}` } });
  clock.advance(1_000);
  putGist(github, { bytes: utf8(`{"new":1}`) });
  github.putGist({ owner: "octocat", files: { "arona.json": "{}" }, public: false });
  const found = await look("@Octocat");
  assert.deepEqual(found, [`{"new":1}`, `{"old":5}`, `{"old":4}`, `{"old":3}`]);
  assert.equal(found.length, MAX_GISTS_PER_USER);
  const lists = github.requests.filter(({ path }) => path.startsWith("/users/octocat/gists?"));
  assert.equal(lists.length, MAX_GIST_PAGES);
});

scene("one of a user's Gists that cannot be read does not hide the others", async ({ github, look }) => {
  putGist(github, { bytes: utf8(`{"a":1}`) });
  putGist(github, { bytes: utf8(`{"a":2}`) });
  github.next({ kind: "status", status: 500 }, { operation: "gists/get" });
  assert.equal((await look("@octocat")).length, 1);
});

scene("an hour's share of questions is not used up, whoever asks", async ({ github, clock, look }) => {
  const id = putGist(github, { bytes: utf8("{}") });
  for (let i = 0; i < MAX_GITHUB_REQUESTS_PER_HOUR; i++) {
    await look(`gist:${id}`);
    clock.advance(1_000);
  }
  const limited = await fails(look(`gist:${id}`), "RATE_LIMITED", /asked too often/);
  assert.equal(github.requests.length, MAX_GITHUB_REQUESTS_PER_HOUR);
  clock.advance(Number(limited.details?.retryAtMs) - clock.now());
  await look(`gist:${id}`);
  clock.advance(HOUR_MS);
  await look(`gist:${id}`);
});
