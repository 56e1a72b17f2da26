import assert from "node:assert/strict";
import {
  LaunchedWorker,
  type Rights,
  type RunningWorker,
  spawnModule,
  workerUrl,
} from "../../workers/mod.ts";
import { rightsOf } from "../../workers/permissions.ts";
import type { ProbeContract } from "./probe_worker.ts";

const RIGHTS: Rights = { ...rightsOf("lan", { addresses: [] }), net: false };

function spawnProbe(
  options: Partial<Parameters<typeof spawnModule<ProbeContract>>[1]> = {},
): Promise<RunningWorker<ProbeContract>> {
  return spawnModule<ProbeContract>("relay", {
    url: new URL("./probe_worker.ts", import.meta.url),
    rights: RIGHTS,
    init: {},
    methods: { upper: (text) => text.toUpperCase() },
    ...options,
  });
}

Deno.test("spawnModule() starts a role, calls it, is called by it and hears its events", async () => {
  const events: string[] = [];
  using probe = await spawnProbe({ onEvent: (event) => events.push(event) });
  assert.equal(await probe.remote.askHost("hello"), "HELLO");
  assert.deepEqual(events, ["begun"]);
});

Deno.test("spawnModule() throws what the role's start threw", async () => {
  await assert.rejects(spawnProbe({ init: { fail: "not today" } }), {
    name: "RangeError",
    message: "not today",
  });
});

Deno.test("spawnModule() throws where the module cannot run", async () => {
  for (const name of ["broken_worker.ts", "missing_worker.ts"]) {
    await assert.rejects(spawnProbe({ url: new URL(`./${name}`, import.meta.url) }), {
      code: "INTERNAL",
      message: /^Cannot go on: the relay ended: /,
    });
  }
});

Deno.test("spawnModule() stops waiting where its signal aborts", async () => {
  const abort = new AbortController();
  const spawned = spawnProbe({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(spawned, { message: "enough" });
});

Deno.test("an error that nobody catches in a worker is reported, and the worker goes on", async () => {
  const faults: string[] = [];
  const both = Promise.withResolvers<void>();
  using probe = await spawnProbe({
    onFault: ({ message }) => {
      if (faults.push(message) === 2) both.resolve();
    },
    onEnd: (error) => both.reject(error),
  });
  await probe.remote.throwLater("thrown");
  await probe.remote.rejectLater("rejected");
  await both.promise;
  assert.deepEqual(faults.sort(), ["rejected", "thrown"]);
  assert.equal(await probe.remote.askHost("still here"), "STILL HERE");
});

Deno.test("a worker that ends by itself fails the calls under way and is reported once", async () => {
  const end = Promise.withResolvers<Error>();
  using worker = await spawnProbe({
    url: new URL("./dying_worker.ts", import.meta.url),
    onEnd: end.resolve,
  });
  const call = worker.remote.wait();
  await assert.rejects(call, {
    code: "INTERNAL",
    message: /^Cannot go on: the relay ended: .*died on purpose/,
  });
  assert.equal(await end.promise, await call.catch((error) => error));
});

Deno.test("terminate() fails calls under way, and is no end that is reported", async () => {
  using probe = await spawnProbe({ onEnd: () => assert.fail("it was ended on purpose") });
  const call = probe.remote.wait();
  probe.terminate();
  await assert.rejects(call, { code: "CLOSED" });
  await assert.rejects(probe.remote.wait(), { code: "CLOSED" });
});

Deno.test("a launched worker is taken once, by who wants the same role with the same rights", async () => {
  const place = { url: new URL("./probe_worker.ts", import.meta.url), rights: RIGHTS };
  using launched = new LaunchedWorker("relay", place);
  assert.equal(launched.take("link", place), false);
  assert.equal(launched.take("relay", { ...place, rights: { ...RIGHTS, net: ["127.0.0.1:1"] } }), false);
  assert.equal(launched.take("relay", { ...place, url: new URL("./dying_worker.ts", place.url) }), false);
  {
    using probe = await spawnProbe({ launched });
    assert.equal(await probe.remote.askHost("hello"), "HELLO");
    assert.equal(launched.take("relay", place), false);
  }
  using other = await spawnProbe({ launched });
  assert.equal(await other.remote.askHost("again"), "AGAIN");
});

Deno.test("a launched worker whose module cannot run says so where it is started", async () => {
  const url = new URL("./broken_worker.ts", import.meta.url);
  using launched = new LaunchedWorker("relay", { url, rights: RIGHTS });
  await launched.failed;
  await assert.rejects(spawnProbe({ url, launched }), { code: "INTERNAL", message: /broken on purpose/ });
});

Deno.test("workerUrl() is the role's module beside the one that starts it", () => {
  assert.equal(workerUrl("relay").href, new URL("../../workers/relay_worker.ts", import.meta.url).href);
});
