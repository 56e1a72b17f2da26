/** Publishing to a Gist, against a stand-in for GitHub that refuses wrong requests. Time stands still but where a test moves it. */

import assert from "node:assert/strict";
import { FakeClock, isAronaError, toBase64Url, utf8 } from "../../proto/mod.ts";
import {
  type GistPublisher,
  type GistPublisherEvent,
  type GistPublisherOptions,
  startGistPublisher,
} from "../../server/discovery/mod.ts";
import {
  GITHUB_TIMEOUT_MS,
  MAX_GITHUB_ANSWER_BYTES,
  PUBLISH_BURST,
  PUBLISH_INTERVAL_MS,
} from "../../server/mod.ts";
import {
  type Fault,
  githubApi,
  type GithubStandIn,
  startGithub,
  type UserOptions,
} from "../helpers/github.ts";

const FINGERPRINT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ";

githubApi.test("publish() makes one public Gist that holds the document, and says where it is", async () => {
  await using world = await startWorld();
  world.publish(1);
  const event = await world.next("published");
  const [gist] = [...world.github.gists.values()];
  assert.deepEqual(event, {
    type: "published",
    gistId: gist.id,
    url: `https://gist.github.com/octocat/${gist.id}`,
    login: "octocat",
    isPublic: true,
    sequence: 1,
  });
  assert.deepEqual([...gist.files], [["arona.json", text(1)]]);
  assert.equal(gist.public, true);
  assert.match(gist.description!, new RegExp(FINGERPRINT));
  assert.equal(world.publisher.status().state, "published");
});

githubApi.test("publish() updates the Gist that it has made, and only where something is new", async () => {
  await using world = await startWorld();
  world.publish(1);
  await world.next("published");
  world.publish(1);
  world.publish(2);
  world.publish(1);
  assert.equal((await world.next("published")).sequence, 2);
  assert.deepEqual(world.asked(), ["GET /gists?per_page=100", "POST /gists", `PATCH /gists/${world.gistId}`]);
  assert.equal(world.github.gists.size, 1);
  assert.equal(world.content(), text(2));
});

githubApi.test("publish() updates the Gist that it is given, and leaves the rest of it alone", async () => {
  await using world = await startWorld({
    gist: (github) => {
      const id = github.putGist({
        owner: "octocat",
        description: "my things",
        files: { "notes.txt": "mine", "arona.json": "old" },
        public: false,
      });
      return { id, replaceable: false };
    },
  });
  world.publish(3);
  const { isPublic, gistId } = await world.next("published");
  assert.equal(isPublic, false);
  const gist = world.github.gists.get(gistId)!;
  assert.deepEqual(Object.fromEntries(gist.files), { "notes.txt": "mine", "arona.json": text(3) });
  assert.equal(gist.description, "my things");
  assert.deepEqual(world.asked(), [`PATCH /gists/${gistId}`]);
});

githubApi.test("publish() sends one request at a time, and of the documents that come meanwhile only the newest", async () => {
  let underWay = 0;
  let most = 0;
  await using world = await startWorld({
    fetch: async (url, init) => {
      most = Math.max(most, ++underWay);
      return await fetch(url, init).finally(() => underWay--);
    },
  });
  for (let sequence = 1; sequence <= 5; sequence++) world.publish(sequence);
  assert.equal((await world.next("published")).sequence, 1);
  assert.equal((await world.next("published")).sequence, 5);
  assert.equal(world.content(), text(5));
  assert.equal(most, 1);
  assert.equal(world.github.requests.length, 3);
});

for (const fault of [{ kind: "lost", status: 502 }, { kind: "cut" }, { kind: "hangBody" }] as const) {
  githubApi.test(`publish() makes no second Gist where the answer to the first got lost (${fault.kind})`, async () => {
    await using world = await startWorld();
    world.github.next(fault, { operation: "gists/create" });
    world.publish(1);
    if (fault.kind === "hangBody") {
      await world.github.seen(2);
      await world.github.requests[1].answered;
      world.clock.advance(GITHUB_TIMEOUT_MS);
    }
    await world.retry();
    assert.equal((await world.next("published")).gistId, world.gistId);
    assert.equal(world.github.gists.size, 1);
  });
}

githubApi.test("publish() with a wrong token says so, and waits for the next document", async () => {
  await using world = await startWorld();
  world.github.revoke(world.token);
  world.publish(1);
  const { reason, hint, retryAtMs } = await world.next("failed");
  assert.match(reason, /the token is wrong or has expired.*Bad credentials/);
  assert.match(hint!, /scope gist and nothing else/);
  assert.equal(retryAtMs, undefined);
  assert.equal(world.clock.pendingTimers, 0);
  assert.deepEqual(world.publisher.status(), { state: "failed", failure: { reason, hint } });
  world.publish(2);
  await world.next("failed");
  assert.equal(world.github.requests.length, 2);
});

for (const status of [403, 429] as const) {
  githubApi.test(`publish() waits for the end of the hour that GitHub names with ${status}, by GitHub's clock`, async () => {
    await using world = await startWorld();
    const GITHUB_IS_AHEAD_MS = 2_000_000;
    world.githubAheadMs = GITHUB_IS_AHEAD_MS;
    const startMs = world.clock.now();
    const resetAtMs = startMs + GITHUB_IS_AHEAD_MS + 1_200_000;
    world.github.next({ kind: "rateLimit", resetAtMs, status });
    world.publish(1);
    const { reason, retryAtMs } = await world.next("failed");
    assert.match(reason, /GitHub has been asked too often/);
    assert.equal(retryAtMs, startMs + 1_200_000 + 1_500);
    assert.equal(world.publisher.status().state, "waiting");
    world.publish(2); // does not shorten the wait
    world.clock.advance(1_200_000);
    assert.equal(world.github.requests.length, 1);
    world.clock.advance(1_500);
    assert.equal((await world.next("published")).sequence, 2);
  });
}

githubApi.test("publish() waits as long as GitHub says, or a minute and more where it does not say, after too many requests at once", async () => {
  await using world = await startWorld();
  world.github.next({ kind: "secondaryLimit", retryAfterS: 7 });
  world.github.next({ kind: "secondaryLimit", status: 429 });
  world.publish(1);
  assert.equal(await world.retry(), 8_500);
  assert.equal(await world.retry(), 61_500);
  await world.next("published");
});

githubApi.test("publish() says which scope the token lacks, or what else it may not do", async () => {
  const cases: [UserOptions, RegExp][] = [
    [{ scopes: ["repo"] }, /lacks the scope gist/],
    [{ scopes: [] }, /lacks the scope gist/],
    [{ scopes: null, mayWriteGists: false }, /may not write Gists.*not accessible by personal access token/],
  ];
  for (const [user, reason] of cases) {
    await using world = await startWorld({ user });
    world.publish(1);
    const event = await world.next("failed");
    assert.match(event.reason, reason);
    assert.match(event.hint!, /scopes=gist/);
    assert.equal(event.retryAtMs, undefined);
    assert.equal(world.github.gists.size, 0);
  }
});

githubApi.test("publish() warns once of a token that may do more than it is needed for", async () => {
  await using world = await startWorld({ user: { scopes: ["gist", "repo", "delete_repo"] } });
  world.publish(1);
  const warning = await world.next("warning");
  assert.match(warning.reason, /more than it is needed for: repo, delete_repo$/);
  await world.next("published");
  world.publish(2);
  await world.next("published");
});

githubApi.test("publish() to a given Gist that is gone is an error; one that was made before is replaced, and that is said", async () => {
  for (const replaceable of [false, true]) {
    await using world = await startWorld({ gist: () => ({ id: "0123456789abcdef", replaceable }) });
    world.publish(1);
    if (replaceable) {
      assert.match((await world.next("warning")).reason, /0123456789abcdef cannot be updated: it is gone/);
      assert.notEqual((await world.next("published")).gistId, "0123456789abcdef");
    } else {
      const { reason, hint, retryAtMs } = await world.next("failed");
      assert.match(reason, /Cannot publish to Gist 0123456789abcdef: it is gone/);
      assert.match(hint!, /--gist-id/);
      assert.equal(retryAtMs, undefined);
      assert.equal(world.github.gists.size, 0);
    }
  }
});

githubApi.test("publish() does not touch a Gist of somebody else", async () => {
  await using world = await startWorld({
    gist: (github) => ({ id: github.putGist({ owner: "mallory", files: { a: "b" } }), replaceable: true }),
  });
  world.publish(1);
  await world.next("warning");
  const { gistId } = await world.next("published");
  assert.equal(world.github.gists.get(gistId)!.owner, "octocat");
});

const PASSING: [string, Fault, RegExp][] = [
  [
    "409",
    { kind: "status", status: 409, message: "Gist cannot be updated." },
    /being changed.*cannot be updated/,
  ],
  ["500", { kind: "status", status: 500 }, /GitHub has a fault, 500/],
  ["503", { kind: "status", status: 503 }, /GitHub has a fault, 503/],
  ["a broken answer", { kind: "cut" }, /cut off/],
  ["what is no JSON", { kind: "body", text: "<html>" }, /not JSON/],
  ["another Gist", { kind: "alter", alter: (gist) => ({ ...gist, id: "abc" }) }, /another Gist/],
  ["another content", {
    kind: "alter",
    alter: (gist) => ({ ...gist, files: { "arona.json": { content: "x" } } }),
  }, /not hold what was sent/],
  ["no file", { kind: "alter", alter: (gist) => ({ ...gist, files: {} }) }, /arona\.json is not an object/],
  ["no object", { kind: "body", text: "7" }, /not an object/],
  ["too much", { kind: "body", text: " ".repeat(MAX_GITHUB_ANSWER_BYTES + 1) }, /over 4194304 bytes/],
  [
    "a redirect to another host",
    { kind: "redirect", to: "https://evil.example/gists" },
    /another host, evil\.example/,
  ],
  [
    "a redirect to http",
    { kind: "redirect", to: "//127.0.0.1/gists", status: 307 },
    /another host, 127\.0\.0\.1/,
  ],
  ["a redirect to nowhere", { kind: "redirect", to: "http://[" }, /sends on to nowhere/],
];

for (const [what, fault, reason] of PASSING) {
  githubApi.test(`publish() tries again after ${what}`, async () => {
    const hosts = new Set<string>();
    await using world = await startWorld({
      gist: (github) => ({ id: github.putGist({ owner: "octocat", files: { a: "b" } }), replaceable: true }),
      fetch: (url, init) => {
        hosts.add(new URL(url).host);
        return fetch(url, init);
      },
    });
    world.github.next(fault);
    world.publish(1);
    const failed = await world.next("failed");
    assert.match(failed.reason, reason);
    assert.equal(failed.retryAtMs, world.clock.now() + 1_500);
    world.clock.advance(1_500);
    await world.next("published");
    assert.equal(world.content(), text(1));
    assert.deepEqual([...hosts], [new URL(world.github.url).host]);
  });
}

githubApi.test("publish() makes a Gist where there are too many to look for one", async () => {
  await using world = await startWorld();
  world.github.next({ kind: "body", text: " ".repeat(MAX_GITHUB_ANSWER_BYTES + 1) }, {
    operation: "gists/list",
  });
  world.publish(1);
  await world.next("published");
  assert.equal(world.content(), text(1));
});

githubApi.test("publish() follows redirects within GitHub, and not for ever", async () => {
  await using world = await startWorld();
  world.github.next({ kind: "redirect", to: "/gists", status: 307 }, { operation: "gists/create" });
  world.publish(1);
  await world.next("published");
  world.github.next({ kind: "redirect", to: `/gists/${world.gistId}` }, { times: 9 });
  world.publish(2);
  assert.match((await world.next("failed")).reason, /sends on and on/);
});

githubApi.test("publish() gives a request up after 10 s", async () => {
  await using world = await startWorld();
  world.github.next({ kind: "hang" });
  world.publish(1);
  await world.github.seen(1);
  world.clock.advance(GITHUB_TIMEOUT_MS - 1);
  assert.equal(world.publisher.status().state, "publishing");
  world.clock.advance(1);
  assert.match((await world.next("failed")).reason, /not answered within 10 s/);
});

githubApi.test("publish() says that GitHub cannot be reached", async () => {
  await using world = await startWorld({ fetch: () => Promise.reject(new TypeError("no route")) });
  world.publish(1);
  const { reason, hint } = await world.next("failed");
  assert.match(reason, /127\.0\.0\.1:\d+ cannot be reached/);
  assert.match(hint!, /network/);
});

githubApi.test("publish() waits longer from failure to failure, up to ten minutes", async () => {
  await using world = await startWorld({ fetch: () => Promise.reject(new TypeError("no route")) });
  world.publish(1);
  const pauses: number[] = [];
  for (let failures = 0; failures < 12; failures++) pauses.push(await world.retry());
  assert.deepEqual(pauses.slice(0, 4), [1_500, 3_000, 6_000, 12_000]);
  assert.deepEqual(pauses.slice(-2), [450_000, 450_000]);
});

githubApi.test("publish() does not insist on what GitHub will not take", async () => {
  for (const status of [400, 422, 451]) {
    await using world = await startWorld();
    world.github.next({ kind: "status", status, message: "Validation Failed" });
    world.publish(1);
    const { reason, retryAtMs } = await world.next("failed");
    assert.match(reason, new RegExp(`does not take it, ${status}.*Validation Failed`));
    assert.equal(retryAtMs, undefined);
  }
});

githubApi.test("publish() spreads documents that come too fast", async () => {
  await using world = await startWorld();
  for (let sequence = 1; sequence <= PUBLISH_BURST; sequence++) {
    world.publish(sequence);
    await world.next("published");
  }
  const before = world.github.requests.length;
  world.publish(100);
  world.publish(101);
  assert.equal(world.clock.pendingTimers, 1);
  world.clock.advance(PUBLISH_INTERVAL_MS);
  assert.equal((await world.next("published")).sequence, 101);
  assert.equal(world.github.requests.length, before + 1);
});

githubApi.test("the token is in no event and in no status, whatever GitHub says", async () => {
  await using world = await startWorld({ user: { scopes: ["gist", "repo"] } });
  const message = `you sent ${world.token}\nand\u001b[31m more ${"x".repeat(1_000)}`;
  for (const status of [401, 403, 404, 409, 422, 429, 500]) {
    world.github.next({
      kind: "status",
      status,
      message,
      headers: { "x-oauth-scopes": `gist, ${world.token}` },
    });
    world.publish(status);
    const failed = await world.next("failed");
    assert.match(failed.reason, /you sent \[token\] and/);
    assert.doesNotMatch(failed.reason, /\p{C}/u);
    assert.ok(failed.reason.length <= 301);
    if (failed.retryAtMs !== undefined) await world.restart();
  }
  const everything = JSON.stringify([world.events, world.publisher.status()]);
  assert.equal(everything.includes(world.token), false);
});

githubApi.test("startGistPublisher() refuses what cannot be a token, and does not show it", () => {
  for (
    const token of [
      "",
      "short",
      "ghp_aaaaaaaaaaaaaaaaaaaa\n",
      "ghp_aaaaaaaaaaaa aaaaaaaa",
      "ghp_aaaaaaaaaaaaa:aaaaaaaa",
      "ghp_ääääääääääääääääää",
    ]
  ) {
    assert.throws(
      () => startGistPublisher({ ...NO_OPTIONS, token }),
      (error) =>
        isAronaError(error, "USAGE") &&
        (token === "" || !JSON.stringify([error.message, error.hint]).includes(token)),
    );
  }
});

githubApi.test("stop() gives up what is under way and what waits", async () => {
  await using world = await startWorld();
  world.github.next({ kind: "hang" });
  world.publish(1);
  await world.github.seen(1);
  await world.publisher.stop();
  assert.equal(world.clock.pendingTimers, 0);
  world.publish(2);
  assert.equal(world.github.requests.length, 1);

  await world.restart();
  world.github.next({ kind: "status", status: 500 });
  world.publish(1);
  await world.next("failed");
  await world.publisher.stop();
  assert.equal(world.clock.pendingTimers, 0);
  assert.deepEqual(world.events.filter(({ type }) => type === "published"), []);
});

const NO_OPTIONS: Omit<GistPublisherOptions, "token"> = {
  fetch: () => Promise.reject(new Error("not to be called")),
  clock: new FakeClock(),
  random: () => 0.5,
  api: "http://127.0.0.1:1",
  fingerprint: FINGERPRINT,
  onEvent: () => {},
};

interface WorldOptions {
  readonly user?: UserOptions;
  readonly gist?: (github: GithubStandIn) => GistPublisherOptions["gist"];
  readonly fetch?: GistPublisherOptions["fetch"];
}

/** A publisher, the stand-in that it publishes to, and what it has reported. */
class World implements AsyncDisposable {
  readonly clock: FakeClock;
  readonly events: GistPublisherEvent[] = [];
  readonly token: string;
  publisher: GistPublisher;
  /** How much GitHub's clock is ahead of the relay's. */
  githubAheadMs = 0;
  #taken = 0;
  #wake = () => {};

  constructor(readonly github: GithubStandIn, clock: FakeClock, private readonly options: WorldOptions) {
    this.clock = clock;
    this.token = github.addUser("octocat", options.user);
    this.publisher = this.#start();
  }

  /** The one Gist's. */
  get gistId(): string {
    return [...this.github.gists.keys()][0];
  }

  content(): string | undefined {
    return this.github.gists.get(this.gistId)!.files.get("arona.json");
  }

  publish(sequence: number): void {
    this.publisher.publish(utf8(text(sequence)));
  }

  /** The requests so far. */
  asked(): string[] {
    return this.github.requests.map(({ method, path }) => `${method} ${path}`);
  }

  /** The next event, which has to be of this type. */
  async next<T extends GistPublisherEvent["type"]>(
    type: T,
  ): Promise<Extract<GistPublisherEvent, { type: T }>> {
    while (this.events.length === this.#taken) await new Promise<void>((wake) => this.#wake = wake);
    const event = this.events[this.#taken++];
    if (type !== "warning" && event.type === "warning" && this.options.user?.scopes?.includes("repo")) {
      return await this.next(type);
    }
    assert.equal(event.type, type, JSON.stringify(event));
    return event as Extract<GistPublisherEvent, { type: T }>;
  }

  /** Lets the pause after the next failure go by. @returns how long it was */
  async retry(): Promise<number> {
    const { retryAtMs } = await this.next("failed");
    const pauseMs = retryAtMs! - this.clock.now();
    this.clock.advance(pauseMs);
    return pauseMs;
  }

  async restart(): Promise<void> {
    await this.publisher.stop();
    this.publisher = this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publisher.stop();
    await this.github.close();
  }

  #start(): GistPublisher {
    return startGistPublisher({
      fetch: this.options.fetch ?? fetch,
      clock: this.clock,
      random: () => 0.5,
      api: this.github.url,
      token: this.token,
      fingerprint: FINGERPRINT,
      gist: this.options.gist?.(this.github),
      onEvent: (event) => {
        this.events.push(event);
        this.#wake();
      },
    });
  }
}

async function startWorld(options: WorldOptions = {}): Promise<World> {
  const clock = new FakeClock();
  let world: World | undefined;
  const github = await startGithub({ now: () => clock.now() + (world?.githubAheadMs ?? 0) });
  return world = new World(github, clock, options);
}

/** As much of a document as the publisher looks at. */
function text(sequence: number): string {
  return JSON.stringify({ payload: toBase64Url(utf8(JSON.stringify({ sequence }))), signature: "" });
}
