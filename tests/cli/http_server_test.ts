/** The operator's HTTP: it ends although somebody holds on to it, and waits for nobody's body. */

import assert from "node:assert/strict";
import { readBody, serveHttp } from "../../cli/http_server.ts";
import { FakeClock } from "../../proto/mod.ts";

const LISTEN = { hostname: "127.0.0.1", port: 0 };
/** What whoever wants to hold a server up sends, and then nothing more. */
const HELD = {
  "nothing": "",
  "half a head": "GET / HTTP/1.1\r\nHost: x",
  "half a body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
  "a whole request, and stays": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
};

for (const [what, text] of Object.entries(HELD)) {
  Deno.test(`a server ends within a second although somebody sends ${what}`, async () => {
    const clock = new FakeClock();
    const server = serveHttp(LISTEN, { handler: () => Promise.resolve(new Response("ok\n")), clock });
    using connection = await Deno.connect(server);
    await connection.write(new TextEncoder().encode(text));
    // Whoever comes later is answered later: by then the server has seen the first.
    assert.equal(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), "ok\n");
    const stopping = server.stop();
    assert.equal(server.stop(), stopping);
    clock.advance(1_000);
    await stopping;
    assert.equal(clock.pendingTimers, 0);
  });
}

Deno.test("a server that ends still gives the answers that are under way", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  const server = serveHttp(LISTEN, {
    handler: () => (asked.resolve(), answer.promise),
    clock: new FakeClock(),
  });
  const asking = fetch(`http://127.0.0.1:${server.port}/`);
  await asked.promise;
  const stopping = server.stop();
  answer.resolve(new Response("x".repeat(100_000)));
  assert.equal((await (await asking).text()).length, 100_000);
  await stopping;
});

Deno.test("readBody() takes what comes in time, and gives up on what is too long or does not come", async () => {
  const clock = new FakeClock();
  const request = (body: BodyInit | null) => new Request("http://127.0.0.1/", { method: "POST", body });
  const read = (body: BodyInit | null) => readBody(request(body), { maxBytes: 4, clock });
  assert.deepEqual(await read("abcd"), new TextEncoder().encode("abcd"));
  assert.deepEqual(await read(null), new Uint8Array());
  await assert.rejects(read("abcde"), { code: "TOO_LARGE" });
  let cancelled = false;
  const silent = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: () => void (cancelled = true),
  });
  const reading = read(silent);
  clock.advance(5_000);
  await assert.rejects(reading, { code: "TIMEOUT" });
  assert.ok(cancelled);
  assert.equal(clock.pendingTimers, 0);
});
