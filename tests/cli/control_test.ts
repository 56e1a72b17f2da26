/** Control of a running relay: who is listened to, what is understood, and the file that leads there. */

import assert from "node:assert/strict";
import { ControlClient } from "../../cli/control/client.ts";
import { controlPath, readControlFile, writeControlFile } from "../../cli/control/control_file.ts";
import { type ControlledRelay, MAX_CONTROL_BODY_BYTES } from "../../cli/control/protocol.ts";
import { serveControl } from "../../cli/control/server.ts";
import { span, statusLines, statusObject } from "../../cli/control/status_text.ts";
import { changeLimits, DEFAULT_RELAY_LIMITS, type RelayLimits } from "../../server/mod.ts";
import { parseSubject } from "../../cli/control/subject.ts";
import { FakeClock, toBase64Url, toHex } from "../../proto/mod.ts";
import { temporaryFolder } from "./test_io.ts";
import { testStatus } from "./test_status.ts";

class FakeRelay implements ControlledRelay {
  readonly calls: unknown[] = [];
  current: RelayLimits = DEFAULT_RELAY_LIMITS;
  status = () => Promise.resolve(testStatus());
  ban = (subject: Parameters<ControlledRelay["ban"]>[0]) => {
    this.calls.push(["ban", subject]);
    return Promise.resolve({ subject, changed: true, sessions: 1 });
  };
  unban = this.ban;
  kick = this.ban;
  bans = () => Promise.resolve([{ kind: "account" as const, subject: "alice", atMs: 0 }]);
  limits = () => Promise.resolve(this.current);
  // deno-lint-ignore require-await -- what it throws has to be a rejection
  setLimits = async (change: Record<string, unknown>) => this.current = changeLimits(this.current, change);
  reload = () => Promise.reject(new Error("a secret that is nobody's business"));
  drain = (options: object) => {
    this.calls.push(["drain", options]);
    return Promise.resolve();
  };
}

async function served() {
  const folder = await temporaryFolder();
  const relay = new FakeRelay();
  const faults: unknown[] = [];
  const control = serveControl({
    relay,
    onFault: (error) => faults.push(error),
  });
  const { address, token } = control;
  await writeControlFile(folder.path, { address, token, pid: Deno.pid });
  return {
    folder: folder.path,
    relay,
    faults,
    token,
    control,
    ask: (path: string, init: RequestInit = {}) =>
      fetch(`http://${control.address}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...init.headers },
      }),
    async [Symbol.asyncDispose]() {
      await control.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const JSON_TYPE = { "content-type": "application/json" };

/** Status and code of an answer. */
async function outcome(response: Promise<Response>): Promise<[number, string | undefined]> {
  const answer = await response;
  return [answer.status, (await answer.json()).error?.code];
}

Deno.test("control answers whoever has the file, and the file is its owner's alone", async () => {
  await using s = await served();
  if (Deno.build.os !== "windows") {
    assert.equal((await Deno.stat(controlPath(s.folder))).mode! & 0o777, 0o600);
  }
  const client = await ControlClient.find(s.folder);
  assert.deepEqual(await client.status(), testStatus());
  assert.deepEqual(await client.subject("ban", "@alice"), {
    kind: "account",
    subject: "alice",
    changed: true,
    sessions: 1,
  });
  assert.deepEqual(await client.bans(), [{
    kind: "account",
    subject: "alice",
    at: "1970-01-01T00:00:00.000Z",
  }]);
  assert.equal((await client.setLimits({ messageBurst: 7 })).messageBurst, 7);
  assert.equal((await client.limits()).messageBurst, 7);
  await client.drain({ withinMs: 10 });
  assert.deepEqual(s.relay.calls.at(-1), ["drain", { withinMs: 10 }]);
});

Deno.test("control refuses without the token, with another, and to web pages", async () => {
  await using s = await served();
  const url = `http://${s.control.address}/v1/status`;
  assert.deepEqual(await outcome(fetch(url)), [401, "AUTH_FAILED"]);
  for (const token of ["", "x", s.token.slice(1), `${s.token}x`, s.token.toLowerCase()]) {
    assert.deepEqual(await outcome(fetch(url, { headers: { authorization: `Bearer ${token}` } })), [
      401,
      "AUTH_FAILED",
    ]);
  }
  assert.deepEqual(await outcome(s.ask("/v1/status", { headers: { origin: "https://evil.test" } })), [
    403,
    "FORBIDDEN",
  ]);
  const preflight = await s.ask("/v1/status", { method: "OPTIONS" });
  assert.equal(preflight.headers.get("access-control-allow-origin"), null);
  await preflight.body?.cancel();
  // A page whose name was made to point at loopback sends its own name as the host.
  const [status] = await raw(
    s.control.address,
    `GET /v1/status HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer ${s.token}\r\n`,
  );
  assert.match(status, / 403 /);
});

Deno.test("control refuses what is too long, no JSON, no such thing", async () => {
  await using s = await served();
  const post = (path: string, body: string, type = "application/json") =>
    outcome(s.ask(path, { method: "POST", body, headers: { "content-type": type } }));
  assert.deepEqual(await post("/v1/ban", JSON.stringify({ subject: "x".repeat(MAX_CONTROL_BODY_BYTES) })), [
    413,
    "TOO_LARGE",
  ]);
  assert.deepEqual(await post("/v1/ban", "{"), [400, "BAD_REQUEST"]);
  assert.deepEqual(await post("/v1/ban", "[]"), [400, "BAD_REQUEST"]);
  assert.deepEqual(await post("/v1/ban", "{}"), [400, "BAD_REQUEST"]);
  assert.deepEqual(await post("/v1/ban", '{"subject":"alice"}', "text/plain"), [400, "BAD_REQUEST"]);
  assert.deepEqual(await post("/v1/ban", '{"subject":"Ali ce"}'), [400, "BAD_NAME"]);
  const { error } =
    await (await s.ask("/v1/ban", { method: "POST", body: '{"subject":"Ali ce"}', headers: JSON_TYPE }))
      .json();
  assert.match(error.message, /"Ali ce" does not fit\. Use 2 to 32 of a-z, 0-9/);
  assert.deepEqual(await post("/v1/limits", '{"messageBurst":0}'), [400, "BAD_REQUEST"]);
  assert.deepEqual(await post("/v1/drain", '{"withinMs":-1}'), [400, "BAD_REQUEST"]);
  assert.deepEqual(await outcome(s.ask("/v1/nonsense")), [404, "NOT_FOUND"]);
  assert.deepEqual(await outcome(s.ask("/v1/ban")), [404, "NOT_FOUND"]);
  assert.deepEqual(await outcome(s.ask("/")), [404, "NOT_FOUND"]);
  assert.deepEqual(s.relay.calls, []);
});

Deno.test("control keeps what went wrong inside to itself and the log", async () => {
  await using s = await served();
  const response = await s.ask("/v1/reload", { method: "POST" });
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /secret/);
  assert.match(String(s.faults[0]), /secret/);
});

Deno.test("control.json is replaced whole, and nothing else is taken for one", async () => {
  await using folder = await temporaryFolder();
  const file = { address: "127.0.0.1:1", token: "t".repeat(43), pid: 1 };
  await writeControlFile(folder.path, file);
  await writeControlFile(folder.path, { ...file, pid: 2 });
  assert.deepEqual(await readControlFile(folder.path), { ...file, pid: 2 });
  for (const text of ["", "{", "[]", "{}", '{"version":1,"address":"evil.test:1","token":"x","pid":1}']) {
    await Deno.writeTextFile(controlPath(folder.path), text);
    assert.equal(await readControlFile(folder.path), null, text);
  }
});

Deno.test("a file that a killed relay has left is recognised", async () => {
  await using folder = await temporaryFolder();
  await assert.rejects(ControlClient.find(folder.path), /none runs in .*|arona serve/);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await writeControlFile(folder.path, { address: `127.0.0.1:${port}`, token: "t".repeat(43), pid: 4_711 });
  const client = await ControlClient.find(folder.path);
  await assert.rejects(client.status(), (error: Error & { hint?: string }) => {
    assert.match(error.message, /process 4711 does not answer/);
    assert.match(error.hint!, /killed.*control\.json/);
    return true;
  });
});

Deno.test("a relay that hangs is given up on after 5 s, one that drains after its own time and a little", async () => {
  await using folder = await temporaryFolder();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  await writeControlFile(folder.path, { address: `127.0.0.1:${port}`, token: "t".repeat(43), pid: 4_711 });
  const clock = new FakeClock();
  const client = await ControlClient.find(folder.path, { clock });
  const asked = async (ask: Promise<unknown>, seconds: number) => {
    using _ = await listener.accept();
    clock.advance(seconds * 1_000 - 1);
    assert.equal(clock.pendingTimers, 1, "not yet");
    clock.advance(1);
    await assert.rejects(ask, (error: Error & { hint?: string }) => {
      assert.equal(error.message, `Cannot ask the relay: process 4711 has not answered for ${seconds} s`);
      assert.match(error.hint!, /hangs.*start it again/);
      return true;
    });
  };
  await asked(client.status(), 5);
  await asked(client.drain(), 25);
  await asked(client.drain({ withinMs: 3_600_000 }), 3_620);
});

Deno.test("status is told in words and as one object", () => {
  const status = testStatus({
    publisher: { state: "published", source: "gist:abc", sequence: 17 },
    tunnel: { up: false, reason: "the process ended" },
  });
  const text = statusLines(status, 1e10).join("\n");
  assert.match(text, /up +1 d 1 h/);
  assert.match(text, /publisher +published, gist:abc, number 17/);
  assert.match(text, /tunnel +down: the process ended/);
  const object = statusObject(status, null);
  assert.equal(object.type, "Status");
  assert.equal(object.uptimeS, 90_000);
  assert.deepEqual(object.document, { sequence: 17, expiresAt: "2026-01-09T00:00:00.000Z" });
  assert.deepEqual([span(0), span(59.6), span(3_600), span(90_061)], ["0 s", "1 min", "1 h", "1 d 1 h"]);
});

Deno.test("parseSubject() tells names from fingerprints, however they are written", () => {
  const bytes = new Uint8Array(32).map((_, i) => i * 8);
  const fingerprint = { kind: "fingerprint", subject: toHex(bytes) };
  assert.deepEqual(parseSubject(toHex(bytes)), fingerprint);
  assert.deepEqual(parseSubject(toHex(bytes).toUpperCase().match(/.{4}/g)!.join(" ")), fingerprint);
  assert.deepEqual(parseSubject(toBase64Url(bytes)), fingerprint);
  assert.deepEqual(parseSubject("@alice"), { kind: "account", subject: "alice" });
  assert.deepEqual(parseSubject("alice"), { kind: "account", subject: "alice" });
  for (const text of ["", "@", "a", "Ali ce", "x".repeat(42), toHex(bytes).slice(1)]) {
    assert.throws(() => parseSubject(text), { code: "BAD_NAME" }, text);
  }
});

/** Speaks HTTP by hand. @returns the lines of the answer */
async function raw(address: string, head: string): Promise<string[]> {
  const [hostname, port] = address.split(":");
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(`${head}Connection: close\r\n\r\n`));
  let text = "";
  for await (const chunk of connection.readable) text += new TextDecoder().decode(chunk);
  return text.split("\r\n");
}
