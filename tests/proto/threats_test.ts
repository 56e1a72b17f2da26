/** THREATS "Framing and hop": what a peer can do to one connection, in memory and over TCP. It closes, and others do not notice. */

import assert from "node:assert/strict";
import {
  connectSecure,
  type ErrorCode,
  FrameType,
  HANDSHAKE_TIMEOUT_MS,
  isAronaError,
  M1_BYTES,
  ReplayGuard,
  type SecureConnection,
  startHandshake,
  type Transport,
} from "../../proto/mod.ts";
import {
  type Accepting,
  accepting,
  connected,
  drain,
  framed,
  memoryWire,
  provider,
  sharedRelay,
  tcpWire,
  testRelay,
  turn,
  type Wire,
} from "./fixture.ts";

const relay = await sharedRelay();
const PING = { type: FrameType.PING, parts: [new Uint8Array(8)] };

/** A bystander is connected while `attack` runs against a fresh connection; afterwards the bystander still works. */
function threat(wire: Wire, name: string, attack: (end: Accepting) => Promise<void>): void {
  Deno.test(`over ${wire.name}: ${name}`, async () => {
    const bystander = await connected(wire);
    const end = await accepting(wire);
    try {
      await attack(end);
      bystander.client.queue(PING);
      assert.equal((await bystander.server.receive())?.length, 1);
    } finally {
      end.dispose();
      bystander.dispose();
    }
  });
}

/** The peer gets nothing but the end of the stream. */
async function getsNothing(end: Accepting, reason: string): Promise<void> {
  assert.equal(await drain(end.client), 0);
  assert.equal(await end.accepted, null);
  assert.deepEqual(end.refusals, [reason]);
}

const fails = (action: Promise<unknown>, code: ErrorCode) =>
  assert.rejects(action, (error) => isAronaError(error, code));

for (const wire of [memoryWire, tcpWire]) {
  threat(wire, "length 0 closes the connection", async (end) => {
    await end.client.send(new Uint8Array(4));
    await getsNothing(end, "cut-off");
  });

  threat(wire, "length 2^32 - 1 closes the connection and nothing is allocated", async (end) => {
    const before = Deno.memoryUsage().external;
    await end.client.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x10));
    await getsNothing(end, "length");
    assert.ok(Deno.memoryUsage().external - before < 16_777_216);
  });

  threat(wire, "a byte now and then closes the connection at the deadline", async (end) => {
    const { m1 } = await startHandshake(provider, relay.document);
    for (const byte of framed(m1).subarray(0, 9)) {
      await end.client.send(Uint8Array.of(byte));
      end.clock.advance(HANDSHAKE_TIMEOUT_MS / 10);
      await turn();
    }
    assert.deepEqual(end.refusals, []);
    end.clock.advance(HANDSHAKE_TIMEOUT_MS / 10);
    await getsNothing(end, "timeout");
  });

  threat(wire, "a truncated M1 closes the connection", async (end) => {
    const { m1 } = await startHandshake(provider, relay.document);
    await end.client.send(framed(m1.subarray(0, M1_BYTES - 1)));
    await getsNothing(end, "length");
  });

  threat(wire, "an M1 that ends in the middle closes the connection", async (end) => {
    const { m1 } = await startHandshake(provider, relay.document);
    await end.client.send(framed(m1).subarray(0, 2_000));
    end.client.close();
    assert.equal(await end.accepted, null);
    assert.deepEqual(end.refusals, ["cut-off"]);
  });

  threat(wire, "an unknown version closes the connection", async (end) => {
    const { m1 } = await startHandshake(provider, relay.document);
    m1[1] = 9;
    await end.client.send(framed(m1));
    await getsNothing(end, "version");
  });

  threat(wire, "an unknown version of a document request closes the connection", async (end) => {
    await end.client.send(framed(Uint8Array.of(0x01, 9)));
    await getsNothing(end, "version");
  });

  threat(wire, "a request of another protocol gets no answer", async (end) => {
    await end.client.send(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n"));
    await getsNothing(end, "length");
  });

  threat(wire, "an all-zero KEM key closes the connection", async (end) => {
    await end.client.send(framed(await m1With(new Uint8Array(1_216))));
    await getsNothing(end, "bad-key");
  });

  threat(wire, "a KEM key with a coefficient over the modulus closes the connection", async (end) => {
    const { publicKey } = await provider.kemKeyPair("X-Wing");
    publicKey.set([0xff, 0xff]);
    await end.client.send(framed(await m1With(publicKey)));
    await getsNothing(end, "bad-key");
  });

  threat(wire, "a prober without the relay's key gets no answer", async (end) => {
    const other = await testRelay(provider, 80);
    await fails(
      connectSecure({ transport: end.client, crypto: provider, clock: end.clock, document: other.document }),
      "BAD_HANDSHAKE",
    );
    assert.equal(await end.accepted, null);
    assert.deepEqual(end.refusals, ["unknown-key"]);
  });

  Deno.test(`over ${wire.name}: a replayed M1 gets no session`, async () => {
    const replay = new ReplayGuard();
    const { m1 } = await startHandshake(provider, relay.document);
    const first = await accepting(wire, { replay });
    const second = await accepting(wire, { replay });
    try {
      await first.client.send(framed(m1));
      assert.notEqual(await first.accepted, null);
      await second.client.send(framed(m1));
      await getsNothing(second, "replay");
      (await first.accepted)?.abort();
    } finally {
      first.dispose();
      second.dispose();
    }
  });

  Deno.test(`over ${wire.name}: a relay with the wrong key cannot answer, and the client says why`, async () => {
    const other = await testRelay(provider, 90);
    const impostor = await accepting(wire, {
      relay: {
        fingerprint: relay.keys.fingerprint,
        keys: [{ ...other.keys.keys[0], id: relay.keys.keys[0].id }],
      },
    });
    try {
      const connecting = connectSecure({
        transport: impostor.client,
        crypto: provider,
        clock: impostor.clock,
        document: relay.document,
      });
      await assert.rejects(
        connecting,
        (error) => isAronaError(error, "BAD_HANDSHAKE") && error.hint !== undefined,
      );
      assert.equal(await impostor.accepted, null);
    } finally {
      impostor.dispose();
    }
  });

  Deno.test(`over ${wire.name}: nobody who logs in in time closes the connection`, async () => {
    const end = await accepting(wire);
    try {
      const client = await connectSecure({
        transport: end.client,
        crypto: provider,
        clock: end.clock,
        document: relay.document,
      });
      const server = await end.accepted;
      const receiving = server!.receive();
      end.clock.advance(HANDSHAKE_TIMEOUT_MS);
      await fails(receiving, "TIMEOUT");
      await fails(client.receive(), "TRUNCATED");
    } finally {
      end.dispose();
    }
  });

  const harms: [string, (records: Uint8Array[]) => Uint8Array[], ErrorCode][] = [
    ["a flipped tag", ([a]) => [flip(a, a.length - 1)], "BAD_RECORD"],
    ["a flipped ciphertext bit", ([a]) => [flip(a, 20)], "BAD_RECORD"],
    ["a flipped length bit", ([a]) => [flip(a, 3), new Uint8Array(64)], "BAD_RECORD"],
    ["a duplicated record", ([a]) => [a, a], "BAD_RECORD"],
    ["swapped records", ([a, b]) => [b, a], "BAD_RECORD"],
    ["a record left out", ([, b]) => [b], "BAD_RECORD"],
    ["a record that is cut off", ([a]) => [a.subarray(0, 100)], "TRUNCATED"],
  ];
  for (const [name, harm, code] of harms) {
    Deno.test(`over ${wire.name}: ${name} closes the connection with ${code}`, async () => {
      const held: Uint8Array[] = [];
      let holding = false;
      const tap = (inner: Transport): Transport => ({
        remoteAddress: inner.remoteAddress,
        send(bytes) {
          if (!holding) return inner.send(bytes);
          held.push(bytes);
          return Promise.resolve();
        },
        close: () => inner.close(),
        [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
      });
      const ends = await connected(wire, { tap });
      try {
        holding = true;
        for (let i = 0; i < 2; i++) {
          ends.client.queue(PING);
          await ends.client.drained(0);
        }
        for (const bytes of harm(held)) await ends.transports.client.send(bytes);
        if (code === "TRUNCATED") ends.transports.client.close();
        await fails(receiveAll(ends.server), code);
        assert.ok(ends.server.closed);
      } finally {
        ends.dispose();
      }
    });
  }

  Deno.test(`over ${wire.name}: FIN without BYE is a cut, not an end`, async () => {
    const ends = await connected(wire);
    try {
      ends.server.queue(PING);
      assert.equal((await ends.client.receive())?.length, 1);
      ends.transports.server.close();
      await fails(ends.client.receive(), "TRUNCATED");
    } finally {
      ends.dispose();
    }
  });

  Deno.test(`over ${wire.name}: endless fragments and frames too large before AUTH close the connection`, async () => {
    const ends = await connected(wire, { authenticated: false });
    try {
      ends.client.authenticated(); // the client breaks the rule; the relay does not
      ends.client.queue({ type: FrameType.OBJECT, parts: [new Uint8Array(1_000_000)] });
      await assert.rejects(receiveAll(ends.server), (error) => isAronaError(error, "TOO_LARGE", "BAD_FRAME"));
    } finally {
      ends.dispose();
    }
  });

  Deno.test(`over ${wire.name}: good frames in front of a bad record are handed out first`, async () => {
    const ends = await connected(wire);
    try {
      ends.client.queue(PING);
      await ends.client.drained(0);
      await ends.transports.client.send(framed(new Uint8Array(300)));
      assert.equal((await ends.server.receive())?.length, 1);
      await fails(ends.server.receive(), "BAD_RECORD");
    } finally {
      ends.dispose();
    }
  });
}

async function m1With(publicKey: Uint8Array): Promise<Uint8Array> {
  const lying = {
    ...provider,
    kemKeyPair: () => Promise.resolve({ publicKey, privateKey: new Uint8Array(32) }),
  };
  return (await startHandshake(lying, relay.document)).m1;
}

function flip(bytes: Uint8Array, position: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[position] ^= 1;
  return flipped;
}

async function receiveAll(connection: SecureConnection): Promise<void> {
  while (await connection.receive() !== null);
}
