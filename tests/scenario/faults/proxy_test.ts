/** The proxy does to a connection what it is told, and nothing else. */

import assert from "node:assert/strict";
import { type Disturbance, Proxy } from "./proxy.ts";

/** An echo on loopback behind a proxy. */
async function withEcho(
  action: (proxy: Proxy, connect: () => Promise<Deno.TcpConn>) => Promise<void>,
): Promise<void> {
  const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const connection of echo) {
      served.push(connection.readable.pipeTo(connection.writable).catch(() => {}));
    }
  })();
  const connections: Deno.TcpConn[] = [];
  const proxy = await Proxy.open(echo.addr.port);
  try {
    await action(proxy, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
      connections.push(connection);
      return connection;
    });
  } finally {
    for (const connection of connections) connection.close();
    await proxy[Symbol.asyncDispose]();
    echo.close();
    await accepting;
    await Promise.all(served);
  }
}

async function read(connection: Deno.TcpConn, length: number): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(1_024);
  while (text.length < length) {
    const count = await connection.read(buffer);
    if (count === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

const write = (connection: Deno.TcpConn, text: string) => connection.write(new TextEncoder().encode(text));

Deno.test("a proxy passes on what comes, both ways, and the end of it", () =>
  withEcho(async (_proxy, connect) => {
    const connection = await connect();
    await write(connection, "hello");
    assert.equal(await read(connection, 5), "hello");
    await connection.closeWrite();
    assert.equal(await connection.read(new Uint8Array(1)), null);
  }));

Deno.test("a planned cut lets exactly so many bytes pass", () =>
  withEcho(async (proxy, connect) => {
    proxy.plan = (index) =>
      index === 0 ? { lane: "down", afterBytes: 3, disturbance: { kind: "finish" } } : null;
    const cut = await connect();
    await write(cut, "hello");
    assert.equal(await read(cut, 5), "hel");
    const whole = await connect();
    await write(whole, "hello");
    assert.equal(await read(whole, 5), "hello");
  }));

Deno.test("a reset is a reset", () =>
  withEcho(async (proxy, connect) => {
    const connection = await connect();
    await write(connection, "hello");
    await read(connection, 5);
    proxy.disturb({ kind: "reset" });
    await assert.rejects(connection.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  }));

Deno.test("a half-open connection swallows both directions and stays", () =>
  withEcho(async (proxy, connect) => {
    const connection = await connect();
    await write(connection, "hello");
    await read(connection, 5);
    proxy.disturb({ kind: "half-open" });
    await write(connection, "gone");
    proxy.disturb({ kind: "finish" }); // or the read would wait for ever
    assert.equal(await connection.read(new Uint8Array(1)), null);
  }));

Deno.test("what is split, delayed or stalled arrives whole and in order", () =>
  withEcho(async (proxy, connect) => {
    const text = Array.from({ length: 200 }, (_, i) => `${i},`).join("");
    const disturbances: Disturbance[] = [
      { kind: "split", lane: "up", bytes: 1 },
      { kind: "delay", lane: "down", delayMs: 2 },
      { kind: "stall", lane: "down" },
    ];
    for (const disturbance of disturbances) {
      const connection = await connect();
      await write(connection, "hello");
      await read(connection, 5);
      proxy.disturb(disturbance);
      for (let at = 0; at < text.length; at += 100) await write(connection, text.slice(at, at + 100));
      proxy.relieve();
      assert.equal(await read(connection, text.length), text, disturbance.kind);
    }
  }));
