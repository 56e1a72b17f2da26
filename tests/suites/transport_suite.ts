/** What every Transport has to do: run it once for each adapter. */

import assert from "node:assert/strict";
import { isAronaError, type Transport } from "../../proto/mod.ts";

/** Makes a connected pair; `dispose` frees what was made besides the two. */
export type TransportPair = () => Promise<{ client: Transport; server: Transport; dispose: () => void }>;

const BIG_BYTES = 16 * 1_048_576;

/** Defines the suite's tests. */
export function transportSuite(name: string, pair: TransportPair): void {
  const test = (what: string, action: (client: Transport, server: Transport) => Promise<void>) =>
    Deno.test(`${name} transport: ${what}`, async () => {
      const { client, server, dispose } = await pair();
      try {
        await action(client, server);
      } finally {
        client.close();
        server.close();
        dispose();
      }
    });

  test("bytes arrive in order, both ways at once", async (client, server) => {
    const [up, down] = [pattern(300_000, 7), pattern(200_000, 11)];
    const [atServer, atClient] = await Promise.all([
      readBytes(server, up.length),
      readBytes(client, down.length),
      sendPieces(client, up),
      sendPieces(server, down),
    ]);
    assert.ok(same(atServer, up) && same(atClient, down));
  });

  test("send() waits for a peer that does not read, and goes on when it does", async (client, server) => {
    let sent = false;
    const sending = client.send(pattern(BIG_BYTES, 5)).then(() => sent = true);
    for (let i = 0; i < 50; i++) await turn();
    assert.equal(sent, false);
    assert.ok(same(await readBytes(server, BIG_BYTES), pattern(BIG_BYTES, 5)));
    await sending;
  });

  test("what was sent before close() still arrives, then the stream ends", async (client, server) => {
    await client.send(pattern(1_000, 3));
    client.close();
    assert.ok(same(await readAll(server), pattern(1_000, 3)));
  });

  test("close() ends the own reader too", async (client) => {
    const reading = readAll(client);
    await turn();
    client.close();
    assert.equal((await reading).length, 0);
  });

  test("close() may be called again, and send() afterwards says CLOSED", async (client) => {
    client.close();
    client.close();
    await assert.rejects(client.send(pattern(10, 1)), closed);
  });

  test("close() lets a send under way fail", async (client) => {
    const sending = client.send(pattern(BIG_BYTES, 5));
    await turn();
    client.close();
    await assert.rejects(sending, closed);
  });

  test("the peer's close lets a blocked send fail", async (client, server) => {
    const sending = client.send(pattern(BIG_BYTES, 5));
    await turn();
    server.close();
    await assert.rejects(sending, closed);
  });

  test("the sender may reuse its buffer, and chunks belong to the reader", async (client, server) => {
    const buffer = pattern(100, 3);
    await client.send(buffer);
    buffer.fill(0);
    await client.send(buffer);
    const chunks: Uint8Array[] = [];
    let count = 0;
    for await (const chunk of server) {
      chunks.push(chunk);
      count += chunk.length;
      if (count === 200) break;
    }
    assert.ok(same(join(chunks), join([pattern(100, 3), new Uint8Array(100)])));
  });

  test("remoteAddress says something", (client, server) => {
    assert.ok(client.remoteAddress.length > 0 && server.remoteAddress.length > 0);
    return Promise.resolve();
  });
}

/** Reads exactly `count` bytes with the transport's one iterator. */
async function readBytes(transport: Transport, count: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of transport) {
    chunks.push(chunk);
    held += chunk.length;
    if (held >= count) break;
  }
  assert.equal(held, count);
  return join(chunks);
}

async function readAll(transport: Transport): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of transport) chunks.push(chunk);
  return join(chunks);
}

async function sendPieces(transport: Transport, bytes: Uint8Array): Promise<void> {
  for (let offset = 0, size = 1; offset < bytes.length; offset += size, size = size * 3 % 70_001) {
    await transport.send(bytes.subarray(offset, offset + size));
  }
}

function pattern(length: number, factor: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * factor) >> 3;
  return bytes;
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    joined.set(chunk, offset);
    offset += chunk.length;
  }
  return joined;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function closed(error: unknown): boolean {
  return isAronaError(error, "CLOSED");
}

/** Lets the event loop go round once. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
