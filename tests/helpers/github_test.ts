/** The stand-in for GitHub's API: that it does what the description says, and that a wrong request cannot pass unnoticed. */

import assert from "node:assert/strict";
import { excerpt } from "./github_excerpt.ts";
import { GITHUB_API_VERSION, githubApi, type GithubStandIn, startGithub } from "./github.ts";

const HEADERS = {
  "user-agent": "arona-test",
  accept: "application/vnd.github+json",
  "x-github-api-version": GITHUB_API_VERSION,
};

githubApi.test("GithubStandIn keeps a gist as it is created, read, updated and deleted", async () => {
  await using github = await startGithub();
  const token = github.addUser("octocat");
  const files = { "arona.json": { content: "{}" } };
  const created = await ask(github, "POST /gists", {
    token,
    body: { description: "a relay", public: true, files },
  });
  assert.equal(created.status, 201);
  const { id } = created.body;
  assert.equal(created.headers.get("location"), `${github.url}/gists/${id}`);
  assert.equal(created.headers.get("x-oauth-scopes"), "gist");

  const read = await ask(github, `GET /gists/${id}`);
  assert.equal(read.body.files["arona.json"].content, "{}");
  assert.equal(read.body.owner.login, "octocat");
  assert.equal(read.body.html_url, `https://gist.github.com/octocat/${id}`);

  const change = { files: { "arona.json": { content: "[]" } } };
  const updated = await ask(github, `PATCH /gists/${id}`, { token, body: change });
  assert.equal(updated.body.files["arona.json"].content, "[]");
  assert.equal(github.gists.get(id)!.revision, 2);
  assert.equal(github.gists.get(id)!.description, "a relay");

  assert.equal((await ask(github, `DELETE /gists/${id}`, { token })).status, 204);
  assert.equal((await ask(github, `GET /gists/${id}`)).status, 404);
});

githubApi.test("GithubStandIn answers 304 to what the client has already, and does not count it", async () => {
  await using github = await startGithub();
  const id = github.putGist({ owner: "octocat", files: { "arona.json": "{}" } });
  const first = await ask(github, `GET /gists/${id}`);
  const etag = first.headers.get("etag")!;
  const again = await ask(github, `GET /gists/${id}`, { headers: { "if-none-match": etag } });
  assert.equal(again.status, 304);
  github.putGist({ id, owner: "octocat", files: { "arona.json": "[]" } });
  const changed = await ask(github, `GET /gists/${id}`, { headers: { "if-none-match": etag } });
  assert.equal(changed.status, 200);
  assert.equal(changed.headers.get("x-ratelimit-remaining"), "58");
});

githubApi.test("GithubStandIn lists a user's public gists page by page, newest first", async () => {
  await using github = await startGithub();
  const token = github.addUser("octocat");
  const ids = Array.from(
    { length: 5 },
    (_, index) => github.putGist({ owner: "octocat", files: { "a.json": "x" }, public: index !== 2 }),
  );
  const first = await ask(github, "GET /users/Octocat/gists?per_page=2");
  assert.deepEqual(first.body.map((gist: { id: string }) => gist.id), [ids[4], ids[3]]);
  assert.equal(first.body[0].files["a.json"].content, undefined);
  const next = /<([^>]+)>; rel="next"/.exec(first.headers.get("link")!)![1];
  const second = await ask(github, `GET ${next.slice(github.url.length)}`);
  assert.deepEqual(second.body.map((gist: { id: string }) => gist.id), [ids[1], ids[0]]);
  assert.doesNotMatch(second.headers.get("link")!, /rel="next"/);
  assert.equal((await ask(github, "GET /users/octocat/gists", { token })).body.length, 5);
  assert.equal((await ask(github, "GET /users/nobody/gists")).status, 404);
});

githubApi.test("GithubStandIn lets a token do only what it is for", async () => {
  await using github = await startGithub();
  const id = github.putGist({ owner: "octocat", files: { "arona.json": "{}" } });
  const body = { files: { "arona.json": { content: "[]" } } };
  const status = async (token?: string) => (await ask(github, `PATCH /gists/${id}`, { token, body })).status;
  assert.equal(await status(), 401);
  assert.equal(await status("ghp_wrong"), 401);
  assert.equal(await status(github.addUser("mallory")), 404);
  assert.equal(await status(github.addUser("octocat", { scopes: ["repo"] })), 404);
  assert.equal(await status(github.addUser("octocat", { scopes: null, mayWriteGists: false })), 403);
  const token = github.addUser("octocat", { scopes: null });
  assert.equal(await status(token), 200);
  github.revoke(token);
  assert.equal(await status(token), 401);
});

githubApi.test("GithubStandIn refuses more requests than the hour has until it is over", async () => {
  let nowMs = Date.UTC(2026, 0, 1);
  await using github = await startGithub({ now: () => nowMs });
  const id = github.putGist({ owner: "octocat", files: { "arona.json": "{}" } });
  github.setRateLimit(null, { remaining: 1, resetAtMs: nowMs + 60_000 });
  assert.equal((await ask(github, `GET /gists/${id}`)).status, 200);
  const refused = await ask(github, `GET /gists/${id}`);
  assert.equal(refused.status, 403);
  assert.equal(refused.headers.get("x-ratelimit-remaining"), "0");
  assert.equal(Number(refused.headers.get("x-ratelimit-reset")) * 1_000, nowMs + 60_000);
  nowMs += 60_000;
  assert.equal((await ask(github, `GET /gists/${id}`)).status, 200);
});

githubApi.test("GithubStandIn fails as it is told to, once for each fault", async () => {
  await using github = await startGithub();
  const id = github.putGist({ owner: "octocat", files: { "arona.json": "{}" } });
  const get = () => ask(github, `GET /gists/${id}`);
  github.next({ kind: "status", status: 502, headers: { "retry-after": "7" } });
  const failed = await get();
  assert.equal(failed.status, 502);
  assert.equal(failed.headers.get("retry-after"), "7");
  github.next({ kind: "secondaryLimit", retryAfterS: 30, status: 429 });
  assert.equal((await get()).status, 429);
  github.next({ kind: "redirect", to: "https://elsewhere.example/" });
  assert.equal((await get()).status, 301);
  github.next({ kind: "alter", alter: (gist) => ({ ...gist, id: "another" }) });
  assert.equal((await get()).body.id, "another");
  github.next({ kind: "cut" });
  await assert.rejects(get());
  github.next({ kind: "status", status: 500 }, { operation: "gists/create" });
  assert.equal((await get()).status, 200);

  const token = github.addUser("octocat");
  const body = { files: { "arona.json": { content: "{}" } } };
  assert.equal((await ask(github, "POST /gists", { token, body })).status, 500);
  github.next({ kind: "lost", status: 504 });
  assert.equal((await ask(github, "POST /gists", { token, body })).status, 504);
  assert.equal(github.gists.size, 2);
});

githubApi.test("GithubStandIn hangs until the client gives up", async () => {
  await using github = await startGithub();
  for (const kind of ["hang", "hangBody"] as const) {
    github.next({ kind });
    const ending = new AbortController();
    const asked = ask(github, "GET /gists/1", { signal: ending.signal });
    await github.seen(github.requests.length + 1);
    ending.abort();
    await assert.rejects(asked);
  }
});

githubApi.test("a wrong request fails the test that made it", async () => {
  const wrong: [string, string, Parameters<typeof ask>[2]?][] = [
    ["POST /gists: body must have required property 'files'", "POST /gists", { body: { public: true } }],
    ["must NOT have additional properties (publik)", "POST /gists", { body: { publik: true, files: {} } }],
    ["/files/a.json/content must be string", "POST /gists", {
      body: { files: { "a.json": { content: 1 } } },
    }],
    ["there is no such operation", "PUT /gists/1", { body: {} }],
    ["it has no parameter pages", "GET /users/octocat/gists?pages=2"],
    ["per_page must be integer", "GET /users/octocat/gists?per_page=many"],
    ["User-Agent does not name the program", "GET /gists/1", { headers: { "user-agent": "Deno/2" } }],
    ["Accept is not", "GET /gists/1", { headers: { accept: "*/*" } }],
    ["X-GitHub-Api-Version is not", "GET /gists/1", { headers: { "x-github-api-version": "2020-01-01" } }],
    ["Authorization is no Bearer token", "GET /gists/1", { headers: { authorization: "Basic eDp5" } }],
    ["its body is missing", "POST /gists"],
  ];
  for (const [expected, request, options] of wrong) {
    const github = await startGithub();
    await ask(github, request, options);
    await assert.rejects(github.close(), (error: Error) => error.message.includes(expected), expected);
  }
});

Deno.test("excerpt() keeps a path and all that it refers to, and nothing else", () => {
  const whole = {
    openapi: "3.0.3",
    info: { version: "1" },
    paths: { "/a": { $ref: "#/components/schemas/a" }, "/b": {} },
    components: { schemas: { a: { items: { $ref: "#/components/schemas/c" } }, b: {}, c: {} } },
  };
  assert.deepEqual(excerpt(whole, ["/a"]), {
    openapi: "3.0.3",
    info: { version: "1" },
    paths: { "/a": { $ref: "#/components/schemas/a" } },
    components: { schemas: { a: { items: { $ref: "#/components/schemas/c" } }, c: {} } },
  });
});

interface Asked {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into whatever came
  readonly body: any;
}

async function ask(github: GithubStandIn, what: string, options: Asked = {}): Promise<Answered> {
  const [method, path] = what.split(" ");
  const response = await fetch(github.url + path, {
    method,
    redirect: "manual",
    signal: options.signal,
    headers: {
      ...HEADERS,
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...options.headers,
    },
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}
