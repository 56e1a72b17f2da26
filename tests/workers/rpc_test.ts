import assert from "node:assert/strict";
import { AronaError } from "../../proto/mod.ts";
import { MAX_CALLS, MAX_EVENTS, Rpc, Transferred } from "../../workers/rpc.ts";

type Methods = Record<string, (...args: never[]) => unknown>;

/** Two sides of one channel; `near` calls, `far` offers. */
function pair<M extends Methods>(
  methods: M,
  options: { onEvent?: (event: unknown) => void; onFault?: (error: unknown) => void } = {},
) {
  const { port1, port2 } = new MessageChannel();
  const near = new Rpc<M, unknown>(port1, options);
  const far = new Rpc<Record<never, never>, never, unknown>(port2, { methods });
  return { near, far, port: port2, [Symbol.dispose]: () => (near.close(), far.close()) };
}

Deno.test("Rpc calls a method of the other side and brings its result", async () => {
  using sides = pair({ add: (a: number, b: number) => a + b, later: async (text: string) => await text });
  assert.deepEqual(await Promise.all([sides.near.remote.add(1, 2), sides.near.remote.later("x")]), [3, "x"]);
});

Deno.test("Rpc brings an AronaError with its code, message, hint, details and cause", async () => {
  const cause = new TypeError("deep");
  using sides = pair({
    fail: () => {
      throw new AronaError("UNREACHABLE", "Cannot listen: no", { hint: "Do it.", details: { at: 1 }, cause });
    },
  });
  await assert.rejects(sides.near.remote.fail(), (error: AronaError) => {
    assert(error instanceof AronaError);
    assert.deepEqual([error.code, error.message, error.hint], ["UNREACHABLE", "Cannot listen: no", "Do it."]);
    assert.deepEqual(error.details, { at: 1 });
    assert.deepEqual([(error.cause as Error).name, (error.cause as Error).message], ["TypeError", "deep"]);
    return true;
  });
});

Deno.test("Rpc brings other errors by name, and what cannot be cloned as an error", async () => {
  using sides = pair({
    fail: () => {
      throw new RangeError("out");
    },
    odd: () => () => {},
    unknown: () => {
      throw new AronaError("NEWER" as never, "Cannot: newer");
    },
  });
  await assert.rejects(sides.near.remote.fail(), { name: "RangeError", message: "out" });
  await assert.rejects(sides.near.remote.odd(), { name: "DataCloneError" });
  await assert.rejects(sides.near.remote.unknown(), { name: "AronaError", message: "Cannot: newer" });
});

Deno.test("Rpc refuses what the other side does not offer itself, however it is named", async () => {
  using sides = pair({ known: () => 1 });
  const remote = sides.near.remote as unknown as Methods;
  for (const name of ["unknown", "constructor", "toString", "__proto__", "hasOwnProperty"]) {
    await assert.rejects(async () => await remote[name](), { code: "UNSUPPORTED" }, name);
  }
});

Deno.test("Rpc passes an abort on to the running method, and the caller does not wait for it", async () => {
  const aborted = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  using sides = pair({
    wait: (_: string, signal: AbortSignal) => {
      signal.addEventListener("abort", () => aborted.resolve());
      begun.resolve();
      return new Promise(() => {});
    },
  });
  const abort = new AbortController();
  const call = sides.near.remote.wait("x", abort.signal);
  await begun.promise;
  abort.abort(new Error("enough"));
  await assert.rejects(call, { message: "enough" });
  await aborted.promise;
  await assert.rejects(sides.near.remote.wait("x", abort.signal), { message: "enough" });
});

Deno.test("Rpc.close() fails calls under way and later ones with its reason", async () => {
  using sides = pair({ wait: () => new Promise(() => {}) });
  const call = sides.near.remote.wait();
  sides.near.close(new Error("it ended"));
  await assert.rejects(call, { message: "it ended" });
  await assert.rejects(sides.near.remote.wait(), { message: "it ended" });
  assert.equal(sides.near.emit(undefined as never), false);
});

Deno.test("Rpc sends events in order and says when there is no room for more", async () => {
  const seen: unknown[] = [];
  const all = Promise.withResolvers<void>();
  using sides = pair({}, {
    onEvent: (event) => {
      seen.push(event);
      if (event === "last") all.resolve();
    },
  });
  for (let i = 0; i < MAX_EVENTS; i++) assert(sides.far.emit(i));
  assert.equal(sides.far.emit("too many"), false);
  await sides.far.room();
  assert(sides.far.emit("last"));
  await all.promise;
  assert.deepEqual(seen, [...Array(MAX_EVENTS).keys(), "last"]);
});

Deno.test("Rpc.room() fails where the conversation ends while it waits", async () => {
  using sides = pair({});
  while (sides.far.emit(0));
  const room = sides.far.room();
  sides.far.close(new Error("it ended"));
  await assert.rejects(room, { message: "it ended" });
});

Deno.test("Rpc reports what an event's taker throws, and goes on", async () => {
  const faults: unknown[] = [];
  const second = Promise.withResolvers<void>();
  using sides = pair({}, {
    onEvent: (event) => {
      if (event === 2) return second.resolve();
      throw new Error("bad taker");
    },
    onFault: (error) => faults.push((error as Error).message),
  });
  sides.far.emit(1);
  sides.far.emit(2);
  await second.promise;
  assert.deepEqual(faults, ["bad taker"]);
});

Deno.test("Rpc bounds the calls of one side, and of a side that does not keep to it", async () => {
  using sides = pair({ wait: () => new Promise(() => {}) });
  for (let i = 0; i < MAX_CALLS; i++) sides.near.remote.wait().catch(() => {});
  await assert.rejects(sides.near.remote.wait(), { code: "QUOTA" });
  const { port1, port2 } = new MessageChannel();
  const answers: { kind: string; error: { code: string } }[] = [];
  const answered = Promise.withResolvers<void>();
  port1.onmessage = ({ data }) => (answers.push(data), answered.resolve());
  const far = new Rpc(port2, { methods: { wait: () => new Promise(() => {}) } });
  for (let id = 1; id <= MAX_CALLS + 1; id++) {
    port1.postMessage({ kind: "call", id, method: "wait", args: [] });
  }
  await answered.promise;
  assert.deepEqual(answers.map(({ kind, error }) => [kind, error.code]), [["failure", "QUOTA"]]);
  far.close();
  port1.close();
});

Deno.test("Rpc takes no notice of messages that are none of its own", async () => {
  using sides = pair({ ping: () => "pong" });
  const junk = [null, 7, "x", [], {}, { kind: "answer", id: 99 }, { kind: "abort" }, {
    kind: "taken",
    count: "x",
  }];
  for (const message of junk) sides.port.postMessage(message);
  assert.equal(await sides.near.remote.ping(), "pong");
});

Deno.test("Rpc moves what a method or a caller says shall move", async () => {
  using sides = pair({
    echo: (bytes: Uint8Array<ArrayBuffer>) => new Transferred(bytes, [bytes.buffer]),
  });
  const bytes = new Uint8Array([1, 2, 3]);
  assert.deepEqual(
    await sides.near.remote.echo(new Transferred(bytes, [bytes.buffer])),
    Uint8Array.of(1, 2, 3),
  );
  assert.equal(bytes.length, 0);
});
