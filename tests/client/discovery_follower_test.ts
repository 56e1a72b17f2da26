/** Following a relay that moved: sources are asked in good measure, and only what is new and its own counts. */

import assert from "node:assert/strict";
import { AronaError, FakeClock, formatSource, type RelaySource, signDocument } from "../../proto/mod.ts";
import {
  type Candidate,
  type Discovery,
  Follower,
  type KnownRelay,
  relayFromDocument,
  withDocument,
} from "../../client/discovery/mod.ts";
import {
  FOLLOW_FIRST_MS,
  FOLLOW_LONGEST_MS,
  FOLLOW_UNREACHABLE_MS,
  MAX_KNOWN_SOURCES,
} from "../../client/limits.ts";
import { provider, sharedRelay, START_MS, testRelay } from "../proto/fixture.ts";

const relay = await sharedRelay();
const stranger = await testRelay(provider, 50);
const GIST: RelaySource = { kind: "gist", id: "0123456789abcdef" };
const { signal } = new AbortController();

/** Sources that answer what a test says, and when they were asked. */
class Scene implements Discovery {
  readonly clock = new FakeClock(START_MS + 1);
  readonly asked: string[] = [];
  readonly refused: string[] = [];
  readonly answers = new Map<string, Uint8Array | AronaError>();
  lan = false;
  readonly follower = new Follower({
    discovery: this,
    crypto: provider,
    clock: this.clock,
    onRefused: (source, { message }) => this.refused.push(`${formatSource(source)}: ${message}`),
  });

  look(source: RelaySource): Promise<readonly Candidate[]> {
    const text = formatSource(source);
    this.asked.push(text);
    const answer = this.answers.get(text) ?? new AronaError("NOT_FOUND", "Cannot look: nothing is there");
    return answer instanceof AronaError
      ? Promise.reject(answer)
      : Promise.resolve([{ bytes: answer, source }]);
  }

  async follow(known: KnownRelay) {
    const found = await this.follower.follow(known, signal);
    return found === null ? null : { ...found, relay: withDocument(known, found) };
  }

  /** Times in seconds at which a source is asked, tried each second of so many. */
  async times(known: KnownRelay, seconds: number): Promise<number[]> {
    const times: number[] = [];
    for (let second = 0; second < seconds; second++) {
      const before = this.asked.length;
      await this.follow(known);
      if (this.asked.length > before) times.push(second);
      this.clock.advance(1_000);
    }
    return times;
  }
}

const known = relayFromDocument(relay, { found: [GIST] });
const moved = (fields: Partial<typeof relay.fields>) =>
  signDocument(provider, { ...relay.fields, ...fields }, { identity: relay.identity });

Deno.test("a newer document is taken, with its addresses first and the one used last at the end", async () => {
  const scene = new Scene();
  const bytes = await moved({ sequence: 8, endpoints: ["new.example:1"], sources: ["@alice"] });
  scene.answers.set("gist:0123456789abcdef", bytes);
  const followed = await scene.follow(known);
  assert.deepEqual(followed?.relay.endpoints, ["new.example:1", "relay.example:7700"]);
  assert.deepEqual(followed?.relay.sources, ["@alice", "gist:0123456789abcdef"]);
  assert.deepEqual(followed?.relay.document, bytes);
  assert.equal(followed?.relay.highestSequence, 8);
  assert.equal(followed?.trust, "pinned");
  assert.deepEqual(scene.refused, []);
});

Deno.test("of several sources the newest document is taken", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", await moved({ sequence: 8, endpoints: ["older.example:1"] }));
  scene.answers.set("@alice", await moved({ sequence: 9, endpoints: ["newer.example:1"] }));
  const followed = await scene.follow({ ...known, sources: [...known.sources, "@alice"] });
  assert.equal(followed?.relay.endpoints[0], "newer.example:1");
});

Deno.test("what is no news leads nowhere: the same document, or one that is older, which is said", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", relay.bytes);
  assert.equal(await scene.follow(known), null);
  assert.deepEqual(scene.refused, []);
  scene.clock.advance(FOLLOW_LONGEST_MS);
  assert.equal(await scene.follow({ ...known, highestSequence: 9 }), null);
  assert.deepEqual(scene.refused, [
    "gist:0123456789abcdef: Cannot use discovery document: it is older (number 7) than one seen before (9)",
  ]);
});

Deno.test("the same document counts where it has an address that is not known here", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", relay.bytes);
  const followed = await scene.follow({ ...known, endpoints: ["192.0.2.1:7700"] });
  assert.deepEqual(followed?.relay.endpoints, [...relay.fields.endpoints, "192.0.2.1:7700"]);
});

Deno.test("another relay's document is refused, once for each reason, however often it is there", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", stranger.bytes);
  for (let i = 0; i < 5; i++) {
    assert.equal(await scene.follow(known), null);
    scene.clock.advance(FOLLOW_LONGEST_MS);
  }
  assert.equal(scene.refused.length, 1);
  assert.match(scene.refused[0], /identity is not the one/);
});

Deno.test("a source is asked at once, then after 3 s, 6 s, 12 s … and at the longest every 10 min", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", relay.bytes);
  const times = await scene.times(known, 3_600);
  assert.deepEqual(times.slice(0, 9), [0, 3, 9, 21, 45, 93, 189, 381, 765]);
  assert.ok(times.length <= 14, `${times.length} times an hour`);
  assert.equal(times[11] - times[10], FOLLOW_LONGEST_MS / 1_000);
});

Deno.test("once the relay was there, its sources are asked soon again when it is lost", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", relay.bytes);
  await scene.times(known, 400);
  const { length } = scene.asked;
  scene.follower.found();
  await scene.follow(known);
  assert.equal(scene.asked.length, length + 1);
  await scene.follow(known);
  assert.equal(scene.asked.length, length + 1);
  scene.clock.advance(FOLLOW_FIRST_MS);
  await scene.follow(known);
  assert.equal(scene.asked.length, length + 2);
});

Deno.test("a source out of reach is asked again soon, one that names a time not before it", async () => {
  const scene = new Scene();
  scene.answers.set("gist:0123456789abcdef", new AronaError("UNREACHABLE", "Cannot ask: no network"));
  const away = await scene.times(known, 600);
  assert.equal(away.at(-1)! - away.at(-2)!, FOLLOW_UNREACHABLE_MS / 1_000);
  const limited = new Scene();
  const details = { retryAtMs: limited.clock.now() + 1_800_000 };
  limited.answers.set(
    "gist:0123456789abcdef",
    new AronaError("RATE_LIMITED", "Cannot ask: too often", { details }),
  );
  assert.deepEqual(await limited.times(known, 1_801), [0, 1_800]);
});

Deno.test("each source has pauses of its own", async () => {
  const scene = new Scene();
  await scene.follow(known);
  await scene.follow({ ...known, sources: ["@alice", ...known.sources] });
  assert.deepEqual(scene.asked, ["gist:0123456789abcdef", "@alice"]);
});

Deno.test("the local network is asked too where there is one to listen on, and else not even where it was named", async () => {
  const scene = new Scene();
  await scene.follow({ ...known, sources: ["lan"] });
  assert.deepEqual(scene.asked, []);
  scene.lan = true;
  await scene.follow({ ...known, sources: ["lan"] });
  assert.deepEqual(scene.asked, ["lan"]);
  assert.deepEqual(scene.refused, []);
});

Deno.test("what a relay can make a client remember is bounded", () => {
  let remembered: KnownRelay = known;
  for (let i = 0; i < 40; i++) {
    const endpoints = Array.from({ length: 16 }, (_, j) => `relay-${i}-${j}.example:1`);
    const sources = [1, 2, 3, 4].map((j) => `@user-${i}-${j}`);
    const document = { ...relay.document, endpoints, sources };
    remembered = withDocument(remembered, { document, bytes: relay.bytes });
  }
  assert.equal(remembered.sources.length, MAX_KNOWN_SOURCES);
  assert.equal(remembered.endpoints.length, 17);
});
