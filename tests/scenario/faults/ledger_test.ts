/** The checker catches what it is for: loss, doubling, disorder, invention; and it accepts a gap in the right place only. */

import assert from "node:assert/strict";
import { check } from "./check.ts";
import { Ledger } from "./ledger.ts";
import type { ShownEntry } from "./lines.ts";

const ROOM = "room";

/** alice says a1 to a4 and bob b1, all accepted; alice and bob are members, carol joined after a2. */
function story(): Ledger {
  const ledger = new Ledger();
  for (const who of ["alice", "bob"]) ledger.joined(who, ROOM);
  const say = (from: string, text: string) => {
    ledger.say({ conversation: ROOM, from, text });
    ledger.accepted({ text, id: `id-${text}` });
  };
  say("alice", "a1");
  say("alice", "a2");
  ledger.joined("carol", ROOM);
  say("alice", "a3");
  say("bob", "b1");
  say("alice", "a4");
  ledger.read("alice", ROOM, entries("a1 a2 a3 b1 a4"));
  ledger.read("bob", ROOM, entries("a1 b1 a2 a3 a4"));
  ledger.read("carol", ROOM, entries("a3 b1 a4"));
  return ledger;
}

/** `gap` is a mark; a text is from whom its letter says. */
function entries(texts: string): ShownEntry[] {
  const people: Record<string, string> = { a: "alice", b: "bob", c: "carol" };
  return texts.split(" ").map((text, i) =>
    text === "gap"
      ? { id: `gap-${i}`, from: "", text: "", gap: "something is missing" }
      : { id: `id-${text}`, from: people[text[0]], text }
  );
}

function shown(ledger: Ledger, who: string, texts: string): void {
  for (const entry of entries(texts)) ledger.shown(who, { ...entry, conversation: ROOM });
}

/** What the checker says when `who` has read this instead. */
function problems(who: string, texts: string): string[] {
  const ledger = story();
  ledger.read(who, ROOM, entries(texts));
  return check(ledger);
}

Deno.test("check() accepts a story in which everybody has everything, and joiners only what came later", () => {
  const ledger = story();
  shown(ledger, "bob", "a1 a2 a4");
  assert.deepEqual(check(ledger), []);
});

Deno.test("check() catches a message that a member does not have", () => {
  assert.match(problems("bob", "a1 b1 a3 a4").join(), /bob misses "a2" of alice, and no gap/);
  assert.match(problems("bob", "b1 a2 a3 a4").join(), /bob misses "a1"/);
  assert.match(problems("bob", "a1 b1 a2 a3").join(), /bob misses "a4"/);
  assert.match(problems("carol", "b1 a4").join(), /carol misses "a3"/);
});

Deno.test("check() catches an own message that is gone, gap or not", () => {
  assert.match(problems("bob", "a1 a2 a3 gap a4").join(), /bob misses "b1"/);
});

Deno.test("check() accepts a gap between the neighbours of what is missing, and nowhere else", () => {
  assert.deepEqual(problems("bob", "a1 gap b1 a3 a4"), []);
  assert.deepEqual(problems("bob", "a1 b1 gap a3 a4"), []);
  assert.deepEqual(problems("bob", "gap b1 a2 a3 a4"), []);
  assert.deepEqual(problems("bob", "a1 b1 a2 a3 gap"), []);
  assert.deepEqual(problems("bob", "b1 gap"), []);
  assert.match(problems("bob", "gap a1 b1 a3 a4").join(), /bob misses "a2"/);
  assert.match(problems("bob", "a1 b1 a3 gap a4").join(), /bob misses "a2"/);
  assert.match(problems("bob", "a1 gap b1 a3").join(), /bob misses "a4"/);
});

Deno.test("check() refuses every gap where none is due", () => {
  const ledger = story();
  assert.deepEqual(check(ledger, { gaps: "refused" }), []);
  ledger.read("bob", ROOM, entries("a1 gap b1 a3 a4"));
  assert.match(check(ledger, { gaps: "refused" }).join(), /bob has a gap at 1: something is missing/);
});

Deno.test("check() catches a message that is shown twice", () => {
  assert.match(problems("bob", "a1 b1 a2 a2 a3 a4").join(), /bob has "a2" twice/);
  const ledger = story();
  shown(ledger, "bob", "a1 a2");
  shown(ledger, "bob", "a2 a3"); // another life of the client
  assert.match(check(ledger).join(), /bob reported "a2" twice/);
});

Deno.test("check() catches a message under two ids", () => {
  const ledger = story();
  ledger.shown("bob", { conversation: ROOM, id: "other", from: "alice", text: "a1" });
  assert.match(check(ledger).join(), /under the id other instead of id-a1/);
});

Deno.test("check() catches a sender's messages in another order", () => {
  assert.match(problems("bob", "a2 b1 a1 a3 a4").join(), /bob has "a1" after "a2"/);
  const ledger = story();
  shown(ledger, "bob", "a2 a1");
  assert.match(check(ledger).join(), /bob reported "a1" in another order/);
});

Deno.test("check() catches what was shown and not kept", () => {
  const ledger = story();
  ledger.say({ conversation: ROOM, from: "alice", text: "a5" });
  shown(ledger, "bob", "a5");
  assert.match(check(ledger).join(), /bob reported "a5" and has not kept it/);
});

Deno.test("check() catches wrong content, a wrong author and a wrong place", () => {
  assert.match(problems("bob", "a1 b1 a2 a3 a4 axx").join(), /"axx", which nobody has said/);
  const ledger = story();
  ledger.read("bob", ROOM, [{ id: "id-a1", from: "bob", text: "a1" }, ...entries("b1 a2 a3 a4")]);
  assert.match(check(ledger).join(), /as if bob had said it/);
  ledger.read("bob", "other room", entries("a1"));
  assert.match(check(ledger).join(), /in another conversation/);
});

Deno.test("check() wants what was kept and overtaken, even where nobody was told that it was accepted", () => {
  const ledger = story();
  ledger.say({ conversation: ROOM, from: "alice", text: "a5" }); // killed before it was told
  ledger.say({ conversation: ROOM, from: "alice", text: "a6" });
  ledger.accepted({ text: "a6", id: "id-a6" });
  ledger.read("bob", ROOM, entries("a1 b1 a2 a3 a4 a6"));
  ledger.read("carol", ROOM, entries("a3 b1 a4 a6"));
  ledger.read("alice", ROOM, entries("a1 a2 a3 b1 a4 a6"));
  assert.deepEqual(check(ledger), []); // it was never kept
  ledger.read("alice", ROOM, entries("a1 a2 a3 b1 a4 a5 a6"));
  assert.match(check(ledger).join(), /bob misses "a5"/);
});

Deno.test("check() lets a message be missing that was never accepted, and knows one that failed", () => {
  const ledger = story();
  ledger.say({ conversation: ROOM, from: "alice", text: "a5" });
  ledger.read("alice", ROOM, entries("a1 a2 a3 b1 a4 a5"));
  assert.deepEqual(check(ledger), []);
  ledger.failed("id-a4");
  assert.match(check(ledger).join(), /"a4" of alice was accepted and failed/);
});

Deno.test("check() catches a member whose history nobody has read", () => {
  const ledger = story();
  ledger.joined("dave", ROOM);
  ledger.say({ conversation: ROOM, from: "alice", text: "a5" });
  ledger.accepted({ text: "a5", id: "id-a5" });
  assert.match(check(ledger).join(), /nobody has read the history of dave/);
});
