/** `arona serve --publish-gist` as a process of its own, against a stand-in for GitHub that refuses wrong requests. */

import assert from "node:assert/strict";
import {
  type DiscoveryDocument,
  parseSourceLink,
  selectProvider,
  toBase64Url,
  utf8,
  verifyDocument,
} from "../../proto/mod.ts";
import { githubApi, type GithubStandIn, startGithub } from "../helpers/github.ts";
import { Arona } from "./processes.ts";

const PUBLISHED = /^\{"type":"Published".*\n/m;

githubApi.test("arona serve --publish-gist publishes, and updates the same Gist when the relay comes back elsewhere", async () => {
  await using github = await startGithub();
  await using home = await makeHome();
  const token = github.addUser("Octocat");
  const args = ["--publish-gist", "--json", "--log-level", "debug"];
  const said: string[] = [];
  let first: Published;
  {
    await using relay = serve(home, { github, token, args });
    const { address, fingerprint } = await listening(relay);
    first = await published(relay);
    assert.equal(first.link, `arona://gist/${first.source.slice("gist:".length)}#${fingerprint}`);
    assert.ok(first.link.length <= 120);
    assert.equal(parseSourceLink(first.link).source.kind, "gist");
    assert.match(first.url, /^https:\/\/gist\.github\.com\//);
    await relay.until("out", /^\{"type":"Published".*\n[^]*^\{"type":"Published"/m); // now it names the Gist itself
    const document = await inGist(github);
    assert.deepEqual(document.endpoints, [address]);
    assert.deepEqual(document.sources, [first.source, "@octocat"]);
    assert.equal(toBase64Url(document.fingerprint), fingerprint);
    const status = await new Arona(home.path, ["status", "--json"]).outcome();
    assert.match(status.out, new RegExp(`"source":"${first.source}"`), status.err);
    said.push(status.out, ...await end(relay));
  }
  {
    await using relay = serve(home, { github, token, args });
    const { address } = await listening(relay);
    const again = await published(relay);
    assert.deepEqual([again.source, again.link, again.url], [first.source, first.link, first.url]);
    const document = await inGist(github);
    assert.deepEqual(document.endpoints, [address]);
    assert.deepEqual(document.sources, [first.source, "@octocat"]);
    assert.equal(github.gists.size, 1);
    said.push(...await end(relay));
  }
  for await (const text of filesIn(home.path)) said.push(text);
  assert.ok(said.join("").includes("is in the Gist"), "the log says nothing");
  assert.equal(said.join("").includes(token), false, "the token was shown or kept");
});

githubApi.test("arona serve --publish-gist publishes again when its address changes while it runs", async () => {
  await using github = await startGithub();
  await using home = await makeHome();
  const token = github.addUser("octocat");
  const file = `${home.path}/config.json`;
  await Deno.writeTextFile(file, "{}");
  await using relay = serve(home, { github, token, args: ["--publish-gist", "--json"] });
  await published(relay);
  await Deno.writeTextFile(file, `{"public-address": ["chat.example.org:7700"]}`);
  relay.signal("SIGHUP");
  await relay.until("err", /configuration read again: public-address/);
  await until(github, async () => (await inGist(github)).endpoints.join() === "chat.example.org:7700");
  assert.equal(github.gists.size, 1);
  await end(relay);
});

githubApi.test("arona serve --publish-gist goes on where GitHub refuses, says why, and never shows the token", async () => {
  await using github = await startGithub();
  await using home = await makeHome();
  const token = github.addUser("octocat", { scopes: ["repo"] });
  github.next({ kind: "status", status: 500, message: `cannot cope with ${token}` });
  const args = ["--publish-gist", "--json", "--log-level", "debug", "--log-format", "json"];
  await using relay = serve(home, { github, token, args });
  const [passing] = await relay.until("out", /^\{"type":"PublishFailed".*"retryAt".*\n/m);
  assert.match(passing, /GitHub has a fault, 500 \(it says: cannot cope with \[token\]\)/);
  const [final] = await relay.until("out", /^\{"type":"PublishFailed".*lacks the scope gist.*\n/m);
  assert.doesNotMatch(final, /retryAt/);
  const [out, err] = await end(relay);
  assert.match(err, /"event":"publisher_warning".*more than it is needed for: repo/);
  assert.match(err, /"event":"publish_failed".*scopes=gist/);
  assert.equal(`${out}${err}`.includes(token), false);
});

githubApi.test("arona serve --gist-id publishes in that Gist, named by its id or its page, and shows people the short link", async () => {
  await using github = await startGithub();
  await using home = await makeHome();
  const token = github.addUser("octocat");
  const id = github.putGist({ owner: "octocat", files: { "notes.txt": "mine" }, public: false });
  const page = `https://gist.github.com/octocat/${id}`;
  await using relay = serve(home, { github, token, args: ["--publish-gist", "--gist-id", page] });
  const [, linked] = await relay.until("out", /^short link {3}arona:\/\/gist\/([0-9a-f]+)#[\w-]{43}$/m);
  assert.equal(linked, id);
  assert.match(relay.out, new RegExp(`^published {4}${page}$`, "m"));
  assert.equal(github.gists.get(id)!.files.get("notes.txt"), "mine");
  assert.deepEqual((await inGist(github)).sources, [`gist:${id}`]);
  await end(relay);
});

githubApi.test("arona serve refuses to publish without a token, with an odd one, and what it cannot understand", async () => {
  await using home = await makeHome();
  const token = `ghp_${"a".repeat(36)}`;
  const cases: [readonly string[], Record<string, string>, RegExp][] = [
    [
      ["--publish-gist"],
      {},
      /GITHUB_TOKEN is not set\. Make a classic token with the scope gist and nothing else at https:\/\/github\.com/,
    ],
    [
      ["--publish-gist"],
      { GITHUB_TOKEN: `${token} x` },
      /Cannot use GITHUB_TOKEN: there is white space in it/,
    ],
    [["--publish-gist"], { GITHUB_TOKEN: "short" }, /it does not look like a token/],
    [["--publish-gist", "--gist-id", "mine"], { GITHUB_TOKEN: token }, /"mine": it is not a Gist's id/],
    [
      ["--publish-gist"],
      { GITHUB_TOKEN: token, ARONA_GITHUB_API: "http://api.github.com" },
      /only https is safe/,
    ],
    [["--gist-id", "0a"], { GITHUB_TOKEN: token }, /the relay does not publish\. Say --publish-gist too/],
  ];
  for (const [args, env, expected] of cases) {
    const arona = new Arona(home.path, ["serve", "--listen", "127.0.0.1:0", ...args], {
      env: { GITHUB_TOKEN: "", ...env },
    });
    const { code, out, err } = await arona.outcome();
    assert.equal(code, 2, err);
    assert.match(err, expected);
    assert.equal(out, "");
    assert.equal(err.includes(token), false);
  }
});

githubApi.test("the token can come in a file, as a service is handed it", async () => {
  await using github = await startGithub();
  await using home = await makeHome();
  const file = `${home.path}/token`;
  await Deno.writeTextFile(file, `${github.addUser("octocat")}\n`, { mode: 0o600 });
  const run = (path: string) =>
    new Arona(home.path, ["serve", "--listen", "127.0.0.1:0", "--publish-gist", "--json"], {
      env: { GITHUB_TOKEN: "", GITHUB_TOKEN_FILE: path, ARONA_GITHUB_API: github.url },
    });
  await using relay = run(file);
  await published(relay);
  await end(relay);
  const { code, err } = await run(`${file}-nowhere`).outcome();
  assert.equal(code, 1);
  assert.match(err, /Cannot read GITHUB_TOKEN_FILE .*nowhere: it does not exist/);
});

interface Published {
  readonly source: string;
  readonly link: string;
  readonly url: string;
}

/** A home for relays that go after the test. */
async function makeHome(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "arona-publish-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function serve(
  home: { path: string },
  { github, token, args }: { github: GithubStandIn; token: string; args: readonly string[] },
): Arona {
  const env = { GITHUB_TOKEN: token, ARONA_GITHUB_API: github.url };
  return new Arona(home.path, ["serve", "--listen", "127.0.0.1:0", ...args], { env });
}

async function listening(process: Arona): Promise<{ address: string; fingerprint: string }> {
  const [line] = await process.until("out", /^\{"type":"Listening".*\n/);
  return JSON.parse(line);
}

async function published(process: Arona): Promise<Published> {
  const [line] = await process.until("out", PUBLISHED);
  return JSON.parse(line);
}

/** What anybody reads in the one Gist. */
async function inGist(github: GithubStandIn): Promise<DiscoveryDocument> {
  const [gist] = github.gists.values();
  const bytes = utf8(gist.files.get("arona.json")!);
  return await verifyDocument(await selectProvider(), bytes, { nowMs: Date.now() });
}

/** Resolves when it holds after one of the requests. */
async function until(github: GithubStandIn, holds: () => Promise<boolean>): Promise<void> {
  for (let seen = github.requests.length; !await holds(); seen++) {
    await github.seen(seen);
    await github.requests.at(-1)?.answered;
  }
}

/** Ends it as a service manager would. @returns all that it has said */
async function end(process: Arona): Promise<string[]> {
  process.signal("SIGTERM");
  const { code, out, err } = await process.outcome();
  assert.equal(code, 0, err);
  return [out, err];
}

async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* filesIn(path);
    else yield new TextDecoder("latin1").decode(await Deno.readFile(path));
  }
}
