/** The log of a relay: text and JSON lines, levels that change, nothing a terminal acts on. */

import assert from "node:assert/strict";
import { createRelayLog, describeEvent } from "../../cli/relay_log.ts";
import { DEFAULT_RELAY_LIMITS, type RelayLogEvent } from "../../server/mod.ts";

const EVENTS: readonly RelayLogEvent[] = [
  { type: "started", address: "127.0.0.1:1", fingerprint: "F" },
  { type: "connection_refused", reason: "too_many_pending" },
  { type: "session_ended", reason: "protocol", code: "BAD_FRAME" },
  { type: "banned", kind: "fingerprint", sessions: 1 },
  { type: "limits_changed", limits: DEFAULT_RELAY_LIMITS },
  { type: "drained", waiting: 2 },
  { type: "internal_error", where: "x", error: new Error("an {odd} one\u001b[31m\nin two lines") },
];

async function logged(level: "debug" | "info" | "warning", format: "text" | "json"): Promise<string[]> {
  const lines: string[] = [];
  const writer = await createRelayLog(level, (line) => lines.push(line), { format });
  for (const event of EVENTS) writer.log(event);
  await writer.close();
  return lines;
}

Deno.test("text lines have time, severity and a sentence; what is less than the level is left out", async () => {
  const lines = await logged("info", "text");
  assert.equal(lines.length, 5);
  for (const line of lines) assert.match(line, /^20\d\d-\S+Z (info|warning|error) \S/);
  assert.match(lines[1], /fingerprint banned, 1 session ended/);
  assert.match(lines[4], /internal error in x: an \{odd\} one\ufffd\[31m in two lines$/);
  assert.equal((await logged("warning", "text")).length, 2);
  assert.equal((await logged("debug", "text")).length, EVENTS.length);
});

Deno.test("JSON lines are one object each, with the event's name and fields for programs", async () => {
  const objects = (await logged("debug", "json")).map((line) => JSON.parse(line));
  assert.deepEqual(objects.map(({ event }) => event), EVENTS.map(({ type }) => type));
  for (const { time, level, message } of objects) {
    assert.match(time, /Z$/);
    assert.ok(["debug", "info", "warning", "error"].includes(level));
    assert.equal(typeof message, "string");
  }
  assert.deepEqual([objects[2].reason, objects[2].code], ["protocol", "BAD_FRAME"]);
  assert.equal(objects[4].limits.messageBurst, DEFAULT_RELAY_LIMITS.messageBurst);
  const [line] = (await logged("debug", "json")).slice(-1);
  // deno-lint-ignore no-control-regex -- control characters are what it looks for
  assert.doesNotMatch(line, /[\u0000-\u001f]/);
});

Deno.test("setLevel() changes what is left out from now on", async () => {
  const lines: string[] = [];
  const writer = await createRelayLog("error", (line) => lines.push(line));
  writer.say("info", "x", "one");
  writer.setLevel("info");
  writer.say("info", "x", "two {braces}");
  writer.setLevel("warning");
  writer.say("info", "x", "three");
  await writer.close();
  assert.deepEqual(lines.map((line) => line.split(" info ")[1]), ["two {braces}"]);
});

Deno.test("describeEvent() counts in words", () => {
  assert.match(describeEvent({ type: "kicked", sessions: 1 })[1], /^1 session ended/);
  assert.match(
    describeEvent({ type: "draining", sessions: 2, waiting: 1 })[1],
    /2 sessions, 1 delivery on the way/,
  );
});
