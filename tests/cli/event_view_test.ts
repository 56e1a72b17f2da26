import assert from "node:assert/strict";
import { EventView } from "../../cli/event_view.ts";
import type { ClientEvent, ConversationInfo, HistoryEntry } from "../../client/mod.ts";
import type { DeviceId, GroupId } from "../../proto/mod.ts";

const A = `${"aa".repeat(4)}${"00".repeat(12)}` as GroupId;
const B = `${"aa".repeat(5)}${"00".repeat(11)}` as GroupId;

function conversation(title: string, id: GroupId, participation = "member"): ConversationInfo {
  const isOpen = participation === "member";
  return {
    title,
    id,
    participation,
    isOpen,
    ref: { group: title, groupId: id, kind: "group" },
  } as ConversationInfo;
}

function viewOf(conversations: ConversationInfo[], entries: HistoryEntry[] = []): EventView {
  return new EventView({
    account: "me",
    conversations: () => conversations,
    history: () => entries,
    message: (_, id) => entries.find(({ message }) => message.id === id)?.message ?? null,
  });
}

function stored(id: string, text: string): HistoryEntry {
  return { sequence: 1, message: { id, from: "alice", fingerprint: "", sentAtMs: 0, text } };
}

function created(id: string, text: string, more: { replyTo?: string } = {}): ClientEvent {
  return { type: "MsgCreated", ...common(id), from: "alice", text, ...more };
}

function edited(target: string, text: string): ClientEvent {
  return { type: "MsgEdited", ...common("e"), from: "alice", target, text };
}

function common(id: string) {
  const at = "2026-01-01T00:00:00.000Z";
  const device = "44".repeat(16) as DeviceId;
  return { group: "plans", groupId: A, kind: "group" as const, id, at, own: false, device };
}

const tail = (line: string | null) => line!.replace(/^..:.. \[plans\] /, "");

Deno.test("an edit says what the message was when it was shown last", async () => {
  const view = viewOf([conversation("plans", A)]);
  await view.line(created("1", "helo"));
  assert.equal(tail(await view.line(edited("1", "hello"))), "alice edited “helo”: hello");
  assert.equal(tail(await view.line(edited("1", "hi"))), "alice edited “hello”: hi");
  const deleted: ClientEvent = { type: "MsgDeleted", ...common("d"), from: "alice", target: "1" };
  assert.equal(tail(await view.line(deleted)), "alice deleted “hi”");
});

Deno.test("an edit of a message from before this start says so where recall() has seen it, and else takes no guess", async () => {
  const log = [stored("1", "helo")];
  const seen = await viewOf([conversation("plans", A)], log).recall();
  log[0] = stored("1", "hello"); // the store has the new text when the event comes
  assert.equal(tail(await seen.line(edited("1", "hello"))), "alice edited “helo”: hello");
  const unseen = viewOf([conversation("plans", A)], log);
  assert.equal(tail(await unseen.line(edited("1", "hello"))), "alice edited an earlier message: hello");
});

Deno.test("a reply quotes the message meant, from the history too", async () => {
  const view = viewOf([conversation("plans", A)], [stored("1", "tea?")]);
  assert.equal(
    tail(await view.line(created("2", "yes", { replyTo: "1" }))),
    "alice replies to alice “tea?”: yes",
  );
  assert.equal(
    tail(await view.line(created("3", "no", { replyTo: "9" }))),
    "alice replies to an earlier message: no",
  );
});

Deno.test("names that clash have an id behind them, as long as it takes to tell them apart", async () => {
  const one = conversation("plans", A);
  const two = conversation("plans", B);
  assert.equal(viewOf([one, conversation("tea", B)]).label(one), "plans");
  assert.equal(viewOf([one, conversation("plans", B, "left")]).label(one), "plans", "the other one is past");
  const view = viewOf([one, two]);
  assert.equal(view.label(one), `plans [${A.slice(0, 9)}]`);
  assert.equal(view.label(two), `plans [${B.slice(0, 9)}]`);
  assert.match((await view.line(created("1", "x")))!, /\[plans\] \[aaaaaaaa0\] alice: x$/);
});
