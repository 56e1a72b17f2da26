/** How a friend finds a relay: published by one process, found by others, followed when it moves. Against a stand-in for GitHub. */

import assert from "node:assert/strict";
import { type DiscoveryFields, fromUtf8, signDocument, toBase64Url, utf8 } from "../../proto/mod.ts";
import { type GithubStandIn, startGithub } from "../helpers/github.ts";
import { provider, testRelay } from "../proto/fixture.ts";
import { Arona } from "./processes.ts";
import { run, type TestIoOptions } from "./test_io.ts";

const DAY_MS = 86_400_000;

Deno.test("with just the Gist's link a friend gets in, comes back without it, and follows the relay to another port", async () => {
  await using github = await startGithub();
  await using homes = await makeHomes("relay", "friend");
  const env = { ARONA_GITHUB_API: github.url, GITHUB_TOKEN: github.addUser("octocat") };
  const serve = () =>
    new Arona(homes.path("relay"), ["serve", "--publish-gist", "--json", "--listen", "127.0.0.1:0"], { env });
  const connect = (...args: string[]) =>
    new Arona(homes.path("friend"), ["connect", "--plain", ...args], {
      env: { ARONA_GITHUB_API: github.url },
    });

  let link: string;
  {
    await using relay = serve();
    const { link: printed } = await object(relay, "Published");
    link = printed;
    assert.match(link, /^arona:\/\/gist\/[0-9a-f]+#[\w-]{43}$/);
    await using friend = connect(link, "--username", "alice");
    await friend.type("/join #general\nhello\n");
    await friend.until("err", /You are in #general/);
    await friend.type("/quit\n");
    const { code, err } = await friend.outcome();
    assert.equal(code, 0, err);
    assert.doesNotMatch(err, /First contact/); // its key stood in the link
    await end(relay);
  }

  // The relay is somewhere else now. Nothing is given to connect.
  let friend: Arona;
  {
    await using relay = serve();
    const { address } = await object(relay, "Listening");
    await object(relay, "Published");
    friend = connect();
    await friend.until("out", new RegExp(`The relay has moved to ${address} \\(found by gist:`));
    await friend.type("/join #general\nback again\n");
    await friend.until("err", /You are in #general/);
    await end(relay);
  }
  await using _friend = friend;
  // And once more, while the friend is connected.
  await using relay = serve();
  const { address } = await object(relay, "Listening");
  await friend.until("out", new RegExp(`The relay has moved to ${address} \\(found by gist:`));
  await friend.type("and here\n/quit\n");
  const { code, err } = await friend.outcome();
  assert.equal(code, 0, err);
  await end(relay);
});

Deno.test("discover shows what a Gist holds and why it is trusted, or that it is not and why", async () => {
  await using github = await startGithub();
  const relay = await testRelay(provider, 1);
  const stranger = await testRelay(provider, 60);
  const fresh = await documentOf(relay, {});
  const id = github.putGist({ owner: "octocat", files: { "arona.json": fromUtf8(fresh) } });
  const key = toBase64Url(relay.document.fingerprint);
  const discover = (source: string, options: TestIoOptions = {}) =>
    lookWith(github, [source, "--json"], options);
  const put = (bytes: Uint8Array) =>
    github.putGist({ id, owner: "octocat", files: { "arona.json": fromUtf8(bytes) } });

  const linked = await discover(`arona://gist/${id}#${key}`);
  assert.equal(linked.code, 0, linked.err);
  const { type, source, trust, name, fingerprint, endpoints, sources, sequence, link } = linked.objects[0];
  assert.deepEqual([type, source, trust, name], ["Discovered", `gist:${id}`, "link", "Arona at home"]);
  assert.deepEqual([fingerprint, sequence, link], [key, 7, `arona://gist/${id}#${key}`]);
  assert.deepEqual([endpoints, sources], [["relay.example:7700"], []]);
  for (const source of [`gist:${id}`, `https://gist.github.com/octocat/${id}`, "@octocat"]) {
    const { code, objects } = await discover(source);
    assert.equal(code, 0);
    assert.deepEqual([objects[0].trust, objects[0].source], ["first", `gist:${id}`]);
  }
  const text = await lookWith(github, [`gist:${id}`]);
  assert.match(text.out, /relay +Arona at home\n +fingerprint +[\w-]{43}\n +address +relay\.example:7700\n/);
  assert.match(
    text.out,
    /document +number 7, of \d{4}-.*, valid until .* UTC\n +trusted +not yet: nobody has vouched/,
  );

  const tampered = JSON.parse(fromUtf8(fresh));
  tampered.payload = toBase64Url(
    utf8(fromUtf8(fromBase64(tampered.payload)).replace("relay.example", "relay.exampl3")),
  );
  const nowMs = Date.now();
  const refusals: [Uint8Array, string, RegExp][] = [
    [utf8(JSON.stringify(tampered)), "BAD_DOCUMENT", /its signature is wrong/],
    [
      await documentOf(relay, { issuedAtMs: nowMs - 8 * DAY_MS, expiresAtMs: nowMs - DAY_MS }),
      "BAD_DOCUMENT",
      /it has expired/,
    ],
    [await documentOf(stranger, {}), "WRONG_RELAY", /identity is not the one in the link/],
    [utf8("hello"), "BAD_DOCUMENT", /not JSON/],
  ];
  for (const [bytes, code, reason] of refusals) {
    put(bytes);
    const refused = await discover(`arona://gist/${id}#${key}`);
    assert.equal(refused.code, 1);
    assert.deepEqual([refused.objects[0].type, refused.objects[0].code], ["NotDiscovered", code]);
    assert.match(String(refused.objects[0].reason), reason);
    if (code === "WRONG_RELAY") { // shown, but not used
      const unverified = refused.objects[0].unverified as Record<string, unknown>;
      assert.equal(unverified.fingerprint, toBase64Url(stranger.document.fingerprint));
    }
    const connect = await lookWith(
      github,
      [`arona://gist/${id}#${key}`, "--username", "alice"],
      {},
      "connect",
    );
    assert.equal(connect.code, 1);
    assert.match(connect.err, reason);
  }
  github.removeGist(id);
  const gone = await discover(`gist:${id}`);
  assert.match(String(gone.objects[0].reason), /no such Gist/);
});

Deno.test("where a user has published several relays, the person is asked, and a script is told their links", async () => {
  await using github = await startGithub();
  const relays = [await testRelay(provider, 1), await testRelay(provider, 60)];
  for (const relay of relays) {
    const bytes = await documentOf(relay, { endpoints: ["127.0.0.1:1"] });
    github.putGist({ owner: "octocat", files: { "arona.json": fromUtf8(bytes) } });
  }
  const args = ["@octocat", "--username", "alice"];
  const script = await lookWith(github, args, {}, "connect");
  assert.equal(script.code, 2);
  for (const { document } of relays) {
    assert.match(
      script.err,
      new RegExp(`Arona at home arona://gist/\\w+#${toBase64Url(document.fingerprint)}`),
    );
  }
  const key = toBase64Url(relays[1].document.fingerprint).slice(0, 8);
  const answers = [`Arona at home at 127.0.0.1:1, key ${key}…`, "", ""];
  const person = await lookWith(github, args, { interactive: true, answers }, "connect");
  assert.deepEqual(person.questions[0], "Which relay?");
  assert.match(person.err, new RegExp(`First contact with the relay Arona at home\\. .*: ${key}`));
  assert.match(person.err, /Cannot connect to 127\.0\.0\.1:1: nothing listens there/);
});

Deno.test("a profile keeps to its relay: another one's link is refused, its own Gist's is one more way to it", async () => {
  await using github = await startGithub();
  await using homes = await makeHomes("relay", "friend");
  const env = { ARONA_GITHUB_API: github.url, GITHUB_TOKEN: github.addUser("octocat") };
  await using relay = new Arona(
    homes.path("relay"),
    ["serve", "--publish-gist", "--json", "--listen", "127.0.0.1:0"],
    { env },
  );
  const { link: direct } = await object(relay, "Listening");
  const { source } = await object(relay, "Published");
  const stranger = await testRelay(provider, 60);
  const wrong = github.putGist({
    owner: "mallory",
    files: { "arona.json": fromUtf8(await documentOf(stranger, {})) },
  });
  const send = (place: string) =>
    new Arona(homes.path("friend"), ["send", "#general", "hi", "--username", "alice", "--relay", place], {
      env,
    })
      .outcome();
  assert.equal((await send(direct)).code, 0);
  for (
    const place of [`gist:${wrong}`, `arona://gist/${wrong}#${toBase64Url(stranger.document.fingerprint)}`]
  ) {
    const { code, err } = await send(place);
    assert.equal(code, 1);
    assert.match(err, /the profile belongs to (another relay|a relay with another key)/);
  }
  assert.equal((await send(source)).code, 0);
  const before = github.requests.length;
  assert.equal((await send(source)).code, 0); // known by now: GitHub need not be asked
  assert.equal(github.requests.length, before);
  const found = await new Arona(homes.path("friend"), ["discover", "--json"], { env }).outcome();
  assert.equal(found.code, 0, found.err);
  const places = lines(found.out).map(({ type, source, trust }) => [type, source, trust]);
  assert.deepEqual(places[0], ["Discovered", direct.slice("arona://".length, direct.indexOf("#")), "pinned"]);
  assert.ok(
    places.some(([type, place, trust]) => type === "Discovered" && place === source && trust === "pinned"),
  );
  await end(relay);
});

Deno.test("discover --document prints what a web server has to have, and a friend finds the relay by that", async () => {
  await using homes = await makeHomes("relay", "friend");
  const start = (home: string, ...args: string[]) => new Arona(homes.path(home), args);
  await using relay = start("relay", "serve", "--json", "--listen", "127.0.0.1:0");
  const { address, link } = await object(relay, "Listening");
  const { code, out, err } = await start("friend", "discover", link, "--document").outcome();
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(Object.keys(JSON.parse(out)), ["payload", "signature"]);
  const asked: string[] = [];
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    asked.push(new URL(request.url).pathname);
    return new Response(out);
  });
  const place = `http://127.0.0.1:${web.addr.port}`;
  const sent = await start("friend", "send", "#general", "hi", "--username", "alice", "--relay", place)
    .outcome();
  assert.equal(sent.code, 0, sent.err);
  assert.deepEqual(asked, ["/.well-known/arona.json"]);
  const found = await start("friend", "discover", address, "--json", "--profile", "alice").outcome();
  assert.equal(lines(found.out)[0].trust, "pinned");
  await end(relay);
});

Deno.test("discover waits no longer than --timeout", async () => {
  await using github = await startGithub();
  const id = github.putGist({ owner: "octocat", files: { "arona.json": "{}" } });
  github.next({ kind: "hang" });
  const { code, objects } = await lookWith(github, [`gist:${id}`, "--timeout", "0.1", "--json"]);
  assert.equal(code, 1);
  assert.deepEqual([objects[0].code, objects[0].reason], [
    "TIMEOUT",
    `Cannot look at gist:${id}: no answer within 0.1 s`,
  ]);
});

Deno.test("a second machine is linked with the code's secret alone where it knows the relay's Gist", async () => {
  await using github = await startGithub();
  await using homes = await makeHomes("relay", "first", "second");
  const env = { ARONA_GITHUB_API: github.url, GITHUB_TOKEN: github.addUser("octocat") };
  const start = (home: string, ...args: string[]) => new Arona(homes.path(home), args, { env });
  await using relay = start("relay", "serve", "--publish-gist", "--json", "--listen", "127.0.0.1:0");
  const { source } = await object(relay, "Published");
  const joined = await start("first", "join", "#general", "--username", "alice", "--relay", source).outcome();
  assert.equal(joined.code, 0, joined.err);
  await using add = start("first", "device", "add", "--json");
  const [, secret] = await add.until("out", /"code":"arona:[^".]+(?:\.[^".]+)*\.([^".]+)"/);
  await add.until("err", /arona device link CODE/);
  const linked = await start("second", "device", "link", secret, "--relay", source, "--json").outcome();
  assert.equal(linked.code, 0, linked.err);
  assert.match(linked.err, /First contact with the relay Arona\. /);
  assert.equal((await add.outcome()).code, 0);
  await end(relay);
});

type Relay = Awaited<ReturnType<typeof testRelay>>;

/** What a relay would publish now. */
function documentOf(relay: Relay, changes: Partial<DiscoveryFields>): Promise<Uint8Array> {
  const nowMs = Date.now();
  const fields = {
    ...relay.fields,
    endpoints: ["relay.example:7700"],
    relayKey: { ...relay.fields.relayKey, notBeforeMs: nowMs - 10 * DAY_MS, notAfterMs: nowMs + 10 * DAY_MS },
    issuedAtMs: nowMs,
    expiresAtMs: nowMs + DAY_MS,
    ...changes,
  };
  return signDocument(provider, fields, { identity: relay.identity });
}

/** Runs a command in process, in a home that goes with it. */
async function lookWith(
  github: GithubStandIn,
  args: readonly string[],
  options: TestIoOptions = {},
  command = "discover",
) {
  await using homes = await makeHomes("own");
  const env = { ARONA_GITHUB_API: github.url, ARONA_HOME: homes.path("own"), ARONA_PASSPHRASE: "" };
  const result = await run([command, ...args], { ...options, env });
  return { ...result, objects: args.includes("--json") ? lines(result.out) : [] };
}

function lines(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

async function object(process: Arona, type: string): Promise<Record<string, string>> {
  const [line] = await process.until("out", new RegExp(`^\\{"type":"${type}".*\\n`, "m"));
  return JSON.parse(line);
}

async function end(process: Arona): Promise<void> {
  process.signal("SIGTERM");
  const { code, err } = await process.outcome();
  assert.equal(code, 0, err);
}

async function makeHomes(...names: string[]): Promise<{ path(name: string): string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "arona-discovery-" });
  for (const name of names) await Deno.mkdir(`${folder}/${name}`);
  return {
    path: (name) => `${folder}/${name}`,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}
