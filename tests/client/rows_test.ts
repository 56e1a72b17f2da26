/** Rows of earlier versions of a profile, which are read as if they had been written today. */

import assert from "node:assert/strict";
import { Conversation, loadConversations } from "../../client/conversation.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import { decodeOutboxRow, encodeOutboxRow, type OutboxRow } from "../../client/outbox_row.ts";
import { decodeKnownRelay, encodeKnownRelay, type KnownRelay } from "../../client/discovery/mod.ts";
import { fromUtf8, utf8 } from "../../proto/mod.ts";
import { createWorld, Room } from "./groups_support.ts";

/** Base vector16, sent u64, sent before u64, replaced vector16: what version 2 has behind version 1, here empty. */
const NEW_IN_RECORD_BYTES = 2 + 8 + 8 + 2;
/** Version, group, message id, time, an empty boot id. */
const OUTBOX_HEAD_BYTES = 1 + 16 + 16 + 8 + 2;

Deno.test("a conversation of version 1 has sent nothing yet and does not know by which commit it came to its epoch", async () => {
  const world = createWorld();
  const anna = await world.peer("anna");
  const { group } = (await Room.open(world, anna, { kind: "dm" })).at(0);
  const store = createMemoryStore();
  const conversation = new Conversation(group, "bert");
  conversation.ownMessages = 7;
  store.write((writer) => {
    conversation.saveGroup(anna.engine, writer, group);
    conversation.save(anna.engine, writer);
    const record = writer.get("groups", `${group.id}/record`)!;
    assert.deepEqual(record.slice(-NEW_IN_RECORD_BYTES), new Uint8Array(NEW_IN_RECORD_BYTES));
    const old = record.slice(0, -NEW_IN_RECORD_BYTES);
    old[0] = 1;
    writer.put("groups", `${group.id}/record`, old);
  });
  const [loaded] = loadConversations(store, anna.engine);
  assert.deepEqual([loaded.peer, loaded.ownMessages, loaded.base, loaded.sent, loaded.sentBefore], [
    "bert",
    7,
    "",
    0,
    0,
  ]);
  store.write((writer) => loaded.save(anna.engine, writer));
  assert.equal(store.get("groups", `${group.id}/record`)![0], 2);
});

Deno.test("an outbox row of version 1 is sealed anew", () => {
  const row = outboxRow({ reached: 2, lost: false });
  const old = Uint8Array.from([
    1,
    ...encodeOutboxRow(row).slice(1, contentEnd(row)),
    ...encodeOutboxRow(row).slice(contentEnd(row) + 5, sealedStart(row) + 8), // without `reached` and `lost`
    ...encodeOutboxRow(row).slice(sealedStart(row) + 16), //                     without the sequence
  ]);
  assert.deepEqual(decodeOutboxRow(row.id, old), { ...row, sealed: null, reached: 0 });
});

Deno.test("an outbox row of version 2 is one that nobody was unable to open, and reads what it counted as people", () => {
  const row = outboxRow({ reached: 2, lost: true });
  const bytes = encodeOutboxRow(row);
  assert.deepEqual(decodeOutboxRow(row.id, bytes), row);
  const old = Uint8Array.from([
    2,
    ...bytes.slice(1, contentEnd(row) + 4),
    ...bytes.slice(contentEnd(row) + 5), // without `lost`
  ]);
  assert.deepEqual(decodeOutboxRow(row.id, old), { ...row, lost: false });
});

Deno.test("a relay that was saved when there were no sources has none", () => {
  const relay: KnownRelay = {
    endpoints: ["relay.example:7700", "[2001:db8::7]:7700"],
    sources: [],
    fingerprint: new Uint8Array(32).fill(7),
    document: null,
    highestSequence: 3,
    boot: "00112233445566ff",
  };
  const { sources: _new, ...old } = JSON.parse(fromUtf8(encodeKnownRelay(relay)));
  assert.deepEqual(decodeKnownRelay(utf8(JSON.stringify(old))), relay);
  const known = { ...relay, sources: ["gist:0123456789abcdef", "@alice", "https://relay.example", "lan"] };
  assert.deepEqual(decodeKnownRelay(encodeKnownRelay(known)), known);
});

Deno.test("a saved relay whose sources are none is damaged, not half read", () => {
  const row = { endpoints: [], fingerprint: "A".repeat(43), document: null, highestSequence: 0, boot: "" };
  for (const sources of [null, "@alice", ["nonsense"], [7], Array(9).fill("@alice")]) {
    assert.throws(() => decodeKnownRelay(utf8(JSON.stringify({ ...row, sources }))), {
      code: "CORRUPT_STORE",
    });
  }
});

function outboxRow(options: Pick<OutboxRow, "reached" | "lost">): OutboxRow {
  return {
    id: "000000000001",
    group: "ab".repeat(16) as OutboxRow["group"],
    messageId: "cd".repeat(16),
    createdAtMs: 5,
    content: new Uint8Array(9).fill(1),
    sealed: { epoch: 3, sequence: 4, envelope: new Uint8Array(16), ciphertext: new Uint8Array(20) },
    acceptedBoot: null,
    ...options,
  };
}

function contentEnd({ content }: OutboxRow): number {
  return OUTBOX_HEAD_BYTES + 4 + content.length;
}

/** Behind `reached`, `lost` and the flag. */
function sealedStart(row: OutboxRow): number {
  return contentEnd(row) + 4 + 1 + 1;
}
