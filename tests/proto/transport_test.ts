/** The Transport suite on TCP and in memory, and what only TCP has. */

import assert from "node:assert/strict";
import { connectTcp, isAronaError, listenTcp, memoryTransportPair } from "../../proto/mod.ts";
import { transportSuite } from "../suites/transport_suite.ts";

transportSuite("memory", () => {
  const [client, server] = memoryTransportPair();
  return Promise.resolve({ client, server, dispose() {} });
});

transportSuite("TCP", async () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept[Symbol.asyncIterator]().next();
  const client = await connectTcp(listener.address);
  const { value: server } = await accepting;
  return { client, server, dispose: () => listener.close() };
});

Deno.test("connectTcp() says UNREACHABLE and what to do where nothing listens", async () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  await assert.rejects(connectTcp(listener.address), (error) => {
    assert.ok(isAronaError(error, "UNREACHABLE"));
    assert.match(error.message, /^Cannot connect to 127\.0\.0\.1:\d+: nothing listens there$/);
    assert.match(error.hint ?? "", /relay running/);
    return true;
  });
});

Deno.test("connectTcp() gives up at once when its signal is aborted", async () => {
  const reason = new Error("no longer wanted");
  await assert.rejects(
    connectTcp({ hostname: "127.0.0.1", port: 9, signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  );
});

Deno.test("listenTcp() says that a port is in use", () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  try {
    assert.throws(
      () => listenTcp(listener.address),
      (error) => isAronaError(error, "UNREACHABLE") && /in use/.test(error.message),
    );
  } finally {
    listener.close();
  }
});

Deno.test("listenTcp() stops accepting when it is closed", async () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept[Symbol.asyncIterator]().next();
  listener.close();
  listener.close();
  assert.equal((await accepting).done, true);
});
