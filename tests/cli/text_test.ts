import assert from "node:assert/strict";
import { isShown } from "../../cli/commands/tail.ts";
import { ConnectionWatch } from "../../cli/connection_watch.ts";
import { eventObject } from "../../cli/event_json.ts";
import { eventText, historyText, quoteText, type Surroundings } from "../../cli/event_text.ts";
import { parseInput } from "../../cli/plain/input.ts";
import { describeEvent } from "../../cli/relay_log.ts";
import type { ClientEvent } from "../../client/mod.ts";
import type { DeviceId, GroupId } from "../../proto/mod.ts";

const WHERE = { group: "#general", groupId: "00".repeat(16) as GroupId, kind: "channel" as const };
const NOTHING: Surroundings = {
  account: "me",
  shortId: () => null,
  message: () => null,
  shownMessage: () => null,
};
const CREATED: ClientEvent = {
  type: "MsgCreated",
  ...WHERE,
  from: "alice",
  id: "11".repeat(16),
  at: "2026-01-01T00:00:00.000Z",
  own: false,
  device: "44".repeat(16) as DeviceId,
  text: "hello",
};

Deno.test("eventObject() has the documented fields first and in order", () => {
  assert.deepEqual(Object.keys(eventObject(CREATED)), [
    "type",
    "group",
    "kind",
    "from",
    "id",
    "text",
    "at",
    "groupId",
    "own",
    "device",
  ]);
  const edited = eventObject({ ...CREATED, type: "MsgEdited", target: "22".repeat(16) });
  assert.deepEqual(Object.keys(edited).slice(0, 8), [
    "type",
    "group",
    "kind",
    "from",
    "id",
    "text",
    "at",
    "target",
  ]);
});

Deno.test("eventText() shows names and texts of others inert", () => {
  const evil = "\x1b]52;c;AAAA\x07\x1b[2J\u202e\r\nbob: I am not here";
  const quoted = { from: evil, text: evil };
  const around = { ...NOTHING, message: () => quoted, shownMessage: () => quoted };
  const events: ClientEvent[] = [
    { ...CREATED, replyTo: "t" },
    { ...CREATED, text: evil, from: evil, group: evil },
    { ...CREATED, type: "MsgEdited", target: "t", text: evil },
    { ...CREATED, type: "MsgDeleted", target: "t", from: evil },
    { ...CREATED, type: "Reaction", target: "t", emoji: evil, removed: false },
    { type: "GroupCreated", ...WHERE, group: evil, by: evil, suite: "s" },
    { type: "MemberJoined", ...WHERE, account: evil, fingerprint: "", by: evil },
    { type: "MemberLeft", ...WHERE, account: evil, fingerprint: "", by: "x" },
    { type: "GroupChanged", ...WHERE, by: evil },
    { type: "GroupLeft", ...WHERE, group: evil, reason: "left" },
    { type: "Gap", ...WHERE, reason: evil },
    { type: "MsgFailed", ...WHERE, id: "i", code: "QUOTA", reason: evil },
    { type: "IdentityChanged", account: evil, pinned: "", seen: "" },
  ];
  for (const event of events) {
    const text = eventText(event, around)!;
    for (const line of text.split("\n")) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}]/u, event.type);
    assert.doesNotMatch(text, /^bob: /m, `${event.type}: no line that looks like another's`);
  }
});

Deno.test("historyText() tells edits, deletions, reactions and gaps", () => {
  const message = { id: "i", from: "alice", fingerprint: "", sentAtMs: 0, text: "tea?" };
  const text = (more: object) =>
    historyText(WHERE, { sequence: 1, message: { ...message, ...more } }, NOTHING);
  assert.match(text({}), /\[#general\] alice: tea\?$/);
  assert.match(text({ edited: true }), /tea\? \(edited\)$/);
  assert.match(text({ deleted: true }), /alice deleted a message$/);
  assert.match(text({ reactions: { "☕": ["bob", "carol"], "👎": [] } }), /tea\? {2}☕ 2$/);
  assert.match(text({ replyTo: "r" }), /alice replies to an earlier message: tea\?$/);
  assert.match(text({ gap: "lost" }), /something is missing here: lost/);
});

Deno.test("eventText() says who brought you into a group, and not where you went yourself", () => {
  const text = (more: object) =>
    eventText({ type: "GroupCreated", ...WHERE, by: "bob", suite: "s", ...more }, NOTHING);
  assert.equal(text({ group: "plans", kind: "group" }), "[plans] bob has added you (s)");
  assert.equal(text({ group: "@bob", kind: "dm" }), "[@bob] bob has begun to talk with you (s)");
  assert.equal(text({ by: "me" }), "[#general] you are in (s)");
  assert.equal(text({}), "[#general] you are in (s)", "bob is the channel's admin");
});

Deno.test("quoteText() is short, on one line, and shows where something is left out", () => {
  assert.equal(quoteText("helo"), "“helo”");
  assert.equal(quoteText("helo\nworld"), "“helo…”");
  assert.equal(quoteText("  helo \n"), "“helo”");
  assert.equal(quoteText("👍".repeat(30)), `“${"👍".repeat(24)}…”`);
});

Deno.test("tail shows messages and what a reader must not miss, and all of it with --all", () => {
  const gap: ClientEvent = { type: "Gap", ...WHERE, reason: "lost" };
  const failed: ClientEvent = { type: "MsgFailed", ...WHERE, id: "i", code: "QUOTA", reason: "full" };
  const changed: ClientEvent = { type: "IdentityChanged", account: "bob", pinned: "", seen: "" };
  for (const event of [CREATED, gap, failed, changed]) {
    assert.ok(isShown(event, { all: false }), event.type);
    assert.ok(isShown(event, { all: false, target: "#general" }), event.type);
    assert.equal(isShown(event, { all: false, target: "#other" }), event === changed, event.type);
  }
  const joined: ClientEvent = { type: "MemberJoined", ...WHERE, account: "bob", fingerprint: "", by: "bob" };
  assert.equal(isShown(joined, { all: false }), false);
  assert.equal(isShown(joined, { all: true }), true);
});

Deno.test("parseInput() tells text from commands, and // from both", () => {
  assert.deepEqual(parseInput("  "), { kind: "empty" });
  assert.deepEqual(parseInput("hello /join"), { kind: "text", text: "hello /join" });
  assert.deepEqual(parseInput("/Join  #a  "), { kind: "command", name: "join", rest: "#a" });
  assert.deepEqual(parseInput("//join"), { kind: "text", text: "/join" });
  assert.deepEqual(parseInput("/msg @u a  b"), { kind: "command", name: "msg", rest: "@u a  b" });
});

Deno.test("losing and finding the relay is told once, and what is final ends the waiting", async () => {
  const told: string[] = [];
  const watch = new ConnectionWatch((text) => told.push(text));
  watch.note({ type: "Status", status: "online" });
  watch.note({ type: "Status", status: "offline", reason: "cut off" });
  watch.note({ type: "Status", status: "connecting" });
  watch.note({ type: "Status", status: "offline", reason: "cut off" });
  watch.note({ type: "Status", status: "online" });
  assert.deepEqual(told, ["The relay is away, trying again … (cut off)", "Connected again."]);
  watch.note({ type: "Status", status: "offline", reason: "another relay", final: true });
  await assert.rejects(watch.lost, /another relay/);
});

Deno.test("another relay in place of the known one is told loudly, and once until that one is back", () => {
  const told: string[] = [];
  const watch = new ConnectionWatch((text) => told.push(text));
  const another = "Cannot connect to h:1: a relay answers there, but not the one this profile knows";
  watch.note({ type: "Status", status: "online" });
  for (const reason of [another, "nothing listens there", another, another]) {
    watch.note({ type: "Status", status: "offline", reason });
    watch.note({ type: "Status", status: "connecting" });
  }
  assert.equal(told.filter((text) => text.startsWith("WARNING: something else answers")).length, 1);
  assert.equal(told.length, 2);
  watch.note({ type: "Status", status: "online" });
  assert.equal(told.at(-1), "Connected again.");
  watch.note({ type: "Status", status: "offline", reason: another });
  assert.match(told.at(-1)!, /^WARNING/);
});

Deno.test("the relay's log says nothing of who it is about", () => {
  assert.deepEqual(describeEvent({ type: "session_started", registered: true }), [
    "debug",
    "session started, new account",
  ]);
  const [level, text] = describeEvent({ type: "started", address: "127.0.0.1:1", fingerprint: "SECRET" });
  assert.equal(level, "info");
  assert.ok(!text.includes("SECRET"));
  assert.deepEqual(describeEvent({ type: "session_ended", reason: "cut", code: "TRUNCATED" }), [
    "debug",
    "session ended: cut (TRUNCATED)",
  ]);
});
