/** What every adapter of the Store port has to do. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Store, type StoreWriter, Table } from "../../client/store/mod.ts";
import { utf8 } from "../../proto/bytes.ts";

/** Defines the suite for one adapter; `open` gives an empty store and `dispose` whatever cleans up after it. */
export function storeSuite(adapter: string, open: () => { store: Store; dispose: () => void }): void {
  const test = (name: string, action: (store: Store) => void) =>
    Deno.test(`${adapter}: ${name}`, () => {
      const { store, dispose } = open();
      try {
        action(store);
      } finally {
        store.close();
        dispose();
      }
    });

  test("get() gives what put() stored, and null for what is not there", (store) => {
    store.write((tx) => tx.put(Table.GROUPS, "a", utf8("one")));
    store.write((tx) => tx.put(Table.GROUPS, "a", utf8("two")));
    store.write((tx) => tx.put(Table.GROUPS, "empty", new Uint8Array()));
    assert.deepEqual(store.get(Table.GROUPS, "a"), utf8("two"));
    assert.deepEqual(store.get(Table.GROUPS, "empty"), new Uint8Array());
    assert.equal(store.get(Table.GROUPS, "b"), null);
    assert.equal(store.get(Table.CONTACTS, "a"), null);
  });

  test("all() gives the rows of one table in the order of their ids", (store) => {
    store.write((tx) => {
      for (const id of ["c", "a", "é", "b"]) tx.put(Table.OUTBOX, id, utf8(`row ${id}`));
      tx.put(Table.SEEN, "other", new Uint8Array(1));
      tx.delete(Table.OUTBOX, "b");
      tx.delete(Table.OUTBOX, "never there");
    });
    assert.deepEqual(store.all(Table.OUTBOX).map(({ id }) => id), ["a", "c", "é"]);
    assert.deepEqual(store.all(Table.OUTBOX)[1].row, utf8("row c"));
    assert.deepEqual(store.all(Table.PROFILE), []);
  });

  test("rows are copies: changing one changes nothing stored", (store) => {
    const row = utf8("before");
    store.write((tx) => tx.put(Table.PROFILE, "a", row));
    row.fill(0);
    store.get(Table.PROFILE, "a")!.fill(0);
    store.all(Table.PROFILE)[0].row.fill(0);
    assert.deepEqual(store.get(Table.PROFILE, "a"), utf8("before"));
  });

  test("readLog() gives the newest rows, the newest last, and pages backwards", (store) => {
    store.write((tx) => {
      for (let i = 1; i <= 10; i++) assert.equal(tx.append("g", utf8(`${i}`)), i);
      assert.equal(tx.append("other", utf8("x")), 1);
    });
    const numbers = (options: { before?: number; limit: number }) =>
      store.readLog("g", options).map(({ sequence, row }) => {
        assert.deepEqual(row, utf8(`${sequence}`));
        return sequence;
      });
    assert.deepEqual(numbers({ limit: 3 }), [8, 9, 10]);
    assert.deepEqual(numbers({ before: 8, limit: 3 }), [5, 6, 7]);
    assert.deepEqual(numbers({ before: 3, limit: 5 }), [1, 2]);
    assert.deepEqual(numbers({ before: 1, limit: 5 }), []);
    assert.deepEqual(numbers({ before: 99, limit: 1 }), [10]);
    assert.deepEqual(numbers({ limit: 0 }), []);
    assert.deepEqual(store.readLog("nothing", { limit: 5 }), []);
  });

  test("replaceInLog() replaces one row and refuses a number the log does not have", (store) => {
    store.write((tx) => ["a", "b", "c"].forEach((text) => tx.append("g", utf8(text))));
    store.write((tx) => tx.replaceInLog("g", 2, utf8("B")));
    assert.deepEqual(store.readLog("g", { limit: 9 }).map(({ row }) => row), [
      utf8("a"),
      utf8("B"),
      utf8("c"),
    ]);
    for (const sequence of [0, 4, -1, 1.5]) {
      assert.throws(() => store.write((tx) => tx.replaceInLog("g", sequence, utf8("x"))), {
        code: "NOT_FOUND",
      });
    }
    assert.throws(() => store.write((tx) => tx.replaceInLog("h", 1, utf8("x"))), { code: "NOT_FOUND" });
  });

  test("write() gives what its action gives, and the action reads what it has written", (store) => {
    const seen = store.write((tx) => {
      tx.put(Table.SEEN, "a", utf8("1"));
      tx.append("g", utf8("x"));
      return [tx.get(Table.SEEN, "a"), tx.all(Table.SEEN).length, tx.readLog("g", { limit: 5 }).length];
    });
    assert.deepEqual(seen, [utf8("1"), 1, 1]);
  });

  test("a transaction that throws leaves nothing behind", (store) => {
    store.write((tx) => {
      tx.put(Table.GROUPS, "kept", utf8("old"));
      tx.put(Table.GROUPS, "dropped", utf8("old"));
      tx.append("g", utf8("first"));
    });
    const failure = new Error("no");
    const attempt = () =>
      store.write((tx) => {
        tx.put(Table.GROUPS, "kept", utf8("new"));
        tx.put(Table.GROUPS, "kept", utf8("newer"));
        tx.put(Table.GROUPS, "added", utf8("new"));
        tx.delete(Table.GROUPS, "dropped");
        tx.append("g", utf8("second"));
        tx.append("h", utf8("first"));
        tx.replaceInLog("g", 1, utf8("changed"));
        throw failure;
      });
    assert.throws(attempt, (error) => error === failure);
    assert.deepEqual(store.get(Table.GROUPS, "kept"), utf8("old"));
    assert.deepEqual(store.all(Table.GROUPS).map(({ id }) => id), ["dropped", "kept"]);
    assert.deepEqual(store.readLog("g", { limit: 9 }), [{ sequence: 1, row: utf8("first") }]);
    assert.deepEqual(store.readLog("h", { limit: 9 }), []);
    assert.equal(store.write((tx) => tx.append("g", utf8("second"))), 2);
  });

  test("write() refuses asynchronous actions and transactions inside transactions", (store) => {
    assert.throws(() => store.write((tx) => Promise.resolve(tx.put(Table.SEEN, "a", utf8("1")))), {
      code: "INTERNAL",
    });
    assert.equal(store.get(Table.SEEN, "a"), null);
    assert.throws(() => store.write(() => store.write(() => 1)), { code: "INTERNAL" });
    assert.equal(store.write(() => 1), 1);
  });

  test("a writer is of no use after its transaction", (store) => {
    let kept: StoreWriter | undefined;
    store.write((tx) => kept = tx);
    assert.throws(() => kept!.put(Table.SEEN, "a", utf8("1")), { code: "CLOSED" });
    assert.throws(() => kept!.get(Table.SEEN, "a"), { code: "CLOSED" });
  });

  test("ids are 1 to 1,024 bytes of well-formed text", (store) => {
    for (const id of ["", "x".repeat(1_025), "\ud800"]) {
      assert.throws(() => store.get(Table.SEEN, id), { code: "BAD_ENCODING" });
      assert.throws(() => store.write((tx) => tx.put(Table.SEEN, id, utf8("1"))), { code: "BAD_ENCODING" });
      assert.throws(() => store.write((tx) => tx.append(id, utf8("1"))), { code: "BAD_ENCODING" });
    }
    store.write((tx) => tx.put(Table.SEEN, "x".repeat(1_024), utf8("1")));
    assert.deepEqual(store.get(Table.SEEN, "x".repeat(1_024)), utf8("1"));
  });

  test("a closed store says so", (store) => {
    store.close();
    store.close();
    assert.throws(() => store.get(Table.SEEN, "a"), { code: "CLOSED" });
    assert.throws(() => store.readLog("g", { limit: 1 }), { code: "CLOSED" });
    assert.throws(() => store.write(() => 1), { code: "CLOSED" });
  });

  test("any sequence of transactions gives what a plain model gives", (store) => {
    const model = { rows: new Map<string, string>(), log: [] as string[] };
    const step = fc.record({
      kind: fc.constantFrom("put", "delete", "append", "replace"),
      id: fc.constantFrom("a", "b", "c"),
      text: fc.string({ maxLength: 20 }),
    });
    const transactions = fc.array(
      fc.record({ steps: fc.array(step, { maxLength: 6 }), fails: fc.boolean() }),
    );
    fc.assert(
      fc.property(transactions, (list) => {
        for (const { steps, fails } of list) {
          const next = { rows: new Map(model.rows), log: [...model.log] };
          const run = () =>
            store.write((tx) => {
              for (const { kind, id, text } of steps) {
                if (kind === "put") tx.put(Table.CONTACTS, id, utf8(text)), next.rows.set(id, text);
                else if (kind === "delete") tx.delete(Table.CONTACTS, id), next.rows.delete(id);
                else if (kind === "append") next.log.push(text), tx.append("log", utf8(text));
                else if (next.log.length > 0) tx.replaceInLog("log", 1, utf8(text)), next.log[0] = text;
              }
              if (fails) throw new Error("rolled back");
            });
          if (fails) assert.throws(run, /rolled back/);
          else {
            run();
            Object.assign(model, next);
          }
          const rows = store.all(Table.CONTACTS).map(({ id, row }) => [id, row]);
          assert.deepEqual(rows, [...model.rows].sort().map(([id, text]) => [id, utf8(text)]));
          const log = store.readLog("log", { limit: 1e6 }).map(({ row }) => row);
          assert.deepEqual(log, model.log.map((text) => utf8(text)));
        }
      }),
      { numRuns: 15, seed: 7 },
    );
  });
}
