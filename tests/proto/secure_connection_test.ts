/** The encrypted connection as its users see it, in memory and over TCP: frames, batching, closing, deadlines. */

import assert from "node:assert/strict";
import {
  connectSecure,
  encodeControl,
  equalBytes,
  type ErrorCode,
  FakeClock,
  fetchDocument,
  type Frame,
  FrameType,
  HANDSHAKE_TIMEOUT_MS,
  isAronaError,
  MAX_CONNECTION_AGE_MS,
  memoryTransportPair,
  type OutFrame,
  type SecureConnection,
  type Transport,
} from "../../proto/mod.ts";
import {
  accepting,
  type Connected,
  connected,
  GREETING,
  memoryWire,
  provider,
  sharedRelay,
  START_MS,
  tcpWire,
  turn,
  type Wire,
} from "./fixture.ts";

const relay = await sharedRelay();

function msg(length: number, fill = 1): OutFrame {
  return { type: FrameType.MSG, parts: [new Uint8Array(length).fill(fill)] };
}

async function receiveCount(connection: SecureConnection, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  while (frames.length < count) {
    const more = await connection.receive();
    if (more === null) break;
    frames.push(...more);
  }
  return frames;
}

function test(
  wire: Wire,
  name: string,
  action: (ends: Connected) => Promise<void>,
  authenticated = true,
): void {
  Deno.test(`connection over ${wire.name}: ${name}`, async () => {
    const ends = await connected(wire, { authenticated });
    try {
      await action(ends);
    } finally {
      ends.dispose();
    }
  });
}

const fails = (action: Promise<unknown>, code: ErrorCode) =>
  assert.rejects(action, (error) => isAronaError(error, code));

for (const wire of [memoryWire, tcpWire]) {
  test(
    wire,
    "both ends share the exporter, the greeting and the relay's fingerprint",
    ({ client, server }) => {
      assert.deepEqual(client.exporter, server.exporter);
      assert.deepEqual([client.greeting, server.greeting], [GREETING, GREETING]);
      assert.deepEqual(client.relayFingerprint, relay.document.fingerprint);
      assert.deepEqual(server.relayFingerprint, relay.document.fingerprint);
      assert.ok(client.remoteAddress !== "" && server.remoteAddress !== "");
      return Promise.resolve();
    },
  );

  test(wire, "frames of every size arrive in order, both ways", async ({ client, server }) => {
    const sizes = [0, 1, 2_800, 65_536, 500_000, 3, 1_048_576, 10];
    for (const end of [client, server]) end.queue(...sizes.map((size, i) => msg(size, i + 1)));
    for (const end of [client, server]) {
      const frames = await receiveCount(end, sizes.length);
      assert.deepEqual(frames.map((frame) => frame.body.length), sizes);
      frames.forEach((frame, i) => assert.ok(frame.body.every((byte) => byte === i + 1)));
    }
  });

  test(wire, "a fetched document is the relay's, and the connection is closed after it", async () => {
    const end = await accepting(wire);
    try {
      const bytes = await fetchDocument({ transport: end.client, clock: end.clock });
      assert.ok(equalBytes(bytes, relay.bytes));
      assert.equal(await end.accepted, null);
      assert.deepEqual(end.refusals, ["document"]);
    } finally {
      end.dispose();
    }
  });

  test(
    wire,
    "close() delivers what was queued, says why, and ends the peer's receive() with null",
    async (ends) => {
      const { client, server } = ends;
      server.queue(msg(100_000), msg(5));
      const closing = server.close({ code: "CONFLICT", message: "a newer connection took over" });
      assert.equal((await receiveCount(client, 2)).length, 2);
      assert.equal(await client.receive(), null);
      assert.deepEqual(client.peerReason, { code: "CONFLICT", message: "a newer connection took over" });
      await closing;
      await server.close();
      assert.ok(client.closed && server.closed);
      assert.equal(await server.receive(), null);
      client.queue(msg(1));
      assert.equal(client.queuedBytes, 0);
      await client.close();
    },
  );

  test(wire, "an end without BYE is reported as TRUNCATED", async ({ client, server, transports }) => {
    const receiving = client.receive();
    transports.server.close();
    await fails(receiving, "TRUNCATED");
    await fails(client.receive(), "TRUNCATED");
    assert.ok(client.closed);
    server.abort();
  });

  test(wire, "abort() ends a waiting receive() with CLOSED", async ({ client }) => {
    const receiving = client.receive();
    client.abort();
    await fails(receiving, "CLOSED");
  });

  test(wire, "PING is answered by itself and handed on", async ({ client, server }) => {
    const body = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    client.queue({ type: FrameType.PING, parts: [body] });
    assert.deepEqual(await server.receive(), [{ type: FrameType.PING, body }]);
    assert.deepEqual(await client.receive(), [{ type: FrameType.PONG, body }]);
  });

  test(wire, "PING of another size is refused", async ({ client, server }) => {
    client.queue({ type: FrameType.PING, parts: [new Uint8Array(7)] });
    await fails(server.receive(), "BAD_FRAME");
  });

  test(wire, "a client may be sent large frames right behind AUTH_OK", async ({ client, server }) => {
    server.authenticated();
    server.queue(...encodeControl(FrameType.AUTH_OK, { id: 1 }), msg(300_000));
    assert.equal((await receiveCount(client, 2))[1].body.length, 300_000);
    client.queue(msg(300_000));
    assert.equal((await receiveCount(server, 1))[0].body.length, 300_000);
  }, false);
}

test(memoryWire, "what is queued together, or while a write is under way, leaves in one record", async () => {
  const writes: number[] = [];
  const pair = await connected(memoryWire, { tap: (inner) => counting(inner, writes) });
  try {
    writes.length = 0;
    for (let i = 0; i < 10; i++) pair.client.queue(msg(100, i));
    assert.equal((await pair.server.receive())?.length, 10);
    assert.equal(writes.length, 1);
  } finally {
    pair.dispose();
  }
});

test(
  memoryWire,
  "queuedBytes and drained() tell how far a slow reader is behind",
  async ({ client, server }) => {
    for (let i = 0; i < 10; i++) client.queue(msg(60_000));
    assert.ok(client.queuedBytes >= 600_000);
    for (let i = 0; i < 20; i++) await turn();
    assert.ok(client.queuedBytes > 400_000);
    let drained = false;
    const draining = client.drained(1_000).then(() => drained = true);
    await turn();
    assert.equal(drained, false);
    assert.equal((await receiveCount(server, 10)).length, 10);
    await draining;
    assert.ok(client.queuedBytes <= 1_000);
  },
);

test(memoryWire, "drained() resolves when the connection is cut", async ({ client }) => {
  for (let i = 0; i < 10; i++) client.queue(msg(60_000));
  const draining = client.drained(0);
  client.abort();
  await draining;
});

test(
  memoryWire,
  "close() towards a peer that never reads becomes a cut in time",
  async ({ client, clock }) => {
    for (let i = 0; i < 10; i++) client.queue(msg(60_000));
    const closing = client.close();
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(client.closed, false);
    clock.advance(2_000);
    await closing;
    assert.ok(client.closed);
  },
);

test(
  memoryWire,
  "a peer that pings but does not read gets a bounded number of answers",
  async ({ client, server }) => {
    const ping = { type: FrameType.PING, parts: [new Uint8Array(8)] };
    const reading = receiveCount(server, 60_000);
    for (let i = 0; i < 60; i++) {
      client.queue(...Array(1_000).fill(ping));
      await client.drained(0);
    }
    await reading;
    assert.ok(server.queuedBytes <= 65_536 + 12);
  },
);

test(
  memoryWire,
  "with the first frame after a day the connection says BYE",
  async ({ client, server, clock }) => {
    clock.advance(MAX_CONNECTION_AGE_MS - 1);
    client.queue(msg(1));
    assert.equal((await server.receive())?.length, 1);
    assert.ok(!client.closed && !server.closed);
    clock.advance(1);
    client.queue(msg(2));
    assert.equal((await server.receive())?.[0].body.length, 2);
    assert.equal(await server.receive(), null);
    assert.equal(await client.receive(), null);
    assert.ok(client.closed && server.closed);
  },
);

test(
  memoryWire,
  "keys are renewed on the way without anybody noticing",
  async ({ client, server, clock }) => {
    for (let i = 0; i < 5; i++) {
      clock.advance(600_000);
      client.queue(msg(10, i));
      server.queue(msg(20, i));
      assert.deepEqual((await server.receive())?.map((frame) => frame.body), [new Uint8Array(10).fill(i)]);
      assert.deepEqual((await client.receive())?.map((frame) => frame.body), [new Uint8Array(20).fill(i)]);
    }
  },
);

Deno.test("lastHeardMs moves with each record, also with those of a frame that is not complete yet", async () => {
  let allowed = Infinity;
  let allow = () => {};
  const tap = (inner: Transport): Transport => ({
    remoteAddress: inner.remoteAddress,
    send: (bytes) => inner.send(bytes),
    close: () => inner.close(),
    async *[Symbol.asyncIterator]() {
      for await (const chunk of inner) {
        while (allowed === 0) await new Promise<void>((resolve) => allow = resolve);
        allowed--;
        yield chunk;
      }
    },
  });
  const ends = await connected(memoryWire, { tap });
  const { client, server, clock } = ends;
  allowed = 1;
  clock.advance(1_000);
  server.queue(msg(300_000));
  let complete = false;
  const receiving = client.receive().finally(() => complete = true);
  while (client.lastHeardMs !== clock.monotonic()) await turn();
  assert.equal(complete, false);
  clock.advance(1_000);
  allowed = Infinity;
  allow();
  assert.equal((await receiving)?.length, 1);
  assert.equal(client.lastHeardMs, clock.monotonic());
  server.queue(msg(1));
  clock.advance(1_000);
  assert.notEqual(client.lastHeardMs, clock.monotonic(), "what is sent says nothing of the peer");
  ends.dispose();
});

Deno.test("connectSecure() gives up in time where nothing answers", async () => {
  const [transport] = memoryTransportPair();
  const clock = new FakeClock(START_MS);
  const connecting = connectSecure({ transport, crypto: provider, clock, document: relay.document });
  for (let i = 0; i < 20; i++) await turn();
  clock.advance(HANDSHAKE_TIMEOUT_MS);
  await fails(connecting, "TIMEOUT");
});

Deno.test("connectSecure() and fetchDocument() end with their signal's reason", async () => {
  const reason = new Error("the user changed their mind");
  for (const early of [true, false]) {
    for (
      const start of [
        (transport: Transport, signal: AbortSignal) =>
          connectSecure({
            transport,
            crypto: provider,
            clock: new FakeClock(START_MS),
            document: relay.document,
            signal,
          }),
        (transport: Transport, signal: AbortSignal) =>
          fetchDocument({ transport, clock: new FakeClock(START_MS), signal }),
      ]
    ) {
      const [transport] = memoryTransportPair();
      const controller = new AbortController();
      if (early) controller.abort(reason);
      const running = start(transport, controller.signal);
      running.catch(() => {});
      for (let i = 0; i < 20; i++) await turn();
      controller.abort(reason);
      await assert.rejects(running, (error) => error === reason);
    }
  }
});

Deno.test("connectSecure() does not use a relay key that has expired", async () => {
  const [transport] = memoryTransportPair();
  const clock = new FakeClock(relay.document.relayKey.notAfterMs + 1);
  await fails(
    connectSecure({ transport, crypto: provider, clock, document: relay.document }),
    "BAD_DOCUMENT",
  );
});

Deno.test("fetchDocument() refuses an answer that is none, or too large", async () => {
  for (
    const answer of [
      Uint8Array.of(0, 0, 0, 1, 0x11),
      Uint8Array.of(0, 0, 0x40, 0x02, 2),
      new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"),
    ]
  ) {
    const [transport, server] = memoryTransportPair();
    await server.send(answer);
    await assert.rejects(
      fetchDocument({ transport, clock: new FakeClock(START_MS) }),
      (error) => isAronaError(error, "BAD_DOCUMENT", "TOO_LARGE"),
    );
  }
});

function counting(inner: Transport, writes: number[]): Transport {
  return {
    remoteAddress: inner.remoteAddress,
    send(bytes) {
      writes.push(bytes.length);
      return inner.send(bytes);
    },
    close: () => inner.close(),
    [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
  };
}
