/** One link: login that hangs, silence, probes, and what becomes of requests. */

import assert from "node:assert/strict";
import {
  AUTH_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  DEAD_AFTER_MS,
  PING_AFTER_MS,
  PROBE_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
} from "../../client/limits.ts";
import { boundedDial } from "../../client/session/bounded_dial.ts";
import { RelayLink } from "../../client/session/link.ts";
import {
  AronaError,
  type Control,
  encodeControl,
  FakeClock,
  FrameType,
  isAronaError,
  memoryTransportPair,
  type Transport,
} from "../../proto/mod.ts";
import { ScriptedConnection } from "../helpers/scripted_connection.ts";

interface Rig {
  readonly clock: FakeClock;
  readonly connection: ScriptedConnection;
  readonly link: RelayLink;
  readonly ended: Promise<AronaError>;
}

const AUTH = { fields: {}, blobs: [] };

function login(options: { signal?: AbortSignal } = {}) {
  const clock = new FakeClock();
  const connection = new ScriptedConnection(clock);
  const ended = Promise.withResolvers<AronaError>();
  const ignore = () => Promise.resolve();
  const link = RelayLink.login(connection, {
    auth: AUTH,
    clock,
    handlers: {
      onDelivery: () => Promise.resolve(true),
      onEvent: ignore,
      onReceipt: ignore,
      onClosed: ended.resolve,
    },
    ...options,
  });
  return { clock, connection, link, ended: ended.promise };
}

async function loggedIn(): Promise<Rig> {
  const { link, ...rest } = login();
  const fields = { id: 1, next: 0, backlog: 0, gap: false, registered: false, keyPackages: {} };
  rest.connection.hear(encodeControl(FrameType.AUTH_OK, fields)[0]);
  return { ...rest, link: await link };
}

const withCode = (code: string) => (error: unknown) => isAronaError(error) && error.code === code;

Deno.test("login: a relay that does not answer AUTH is given up in time", async () => {
  const { clock, connection, link } = login();
  clock.advance(AUTH_TIMEOUT_MS - 1);
  assert.equal(connection.closed, false);
  clock.advance(1);
  await assert.rejects(link, withCode("TIMEOUT"));
  assert.equal(connection.closed, true);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("login: the signal ends it at once", async () => {
  const abort = new AbortController();
  const { clock, connection, link } = login({ signal: abort.signal });
  abort.abort(new AronaError("CLOSED", "Cannot connect: the client was closed"));
  await assert.rejects(link, abort.signal.reason);
  assert.equal(connection.closed, true);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("login: only a refusal is a refusal; a relay that stops just then is tried again", async () => {
  for (
    const [bye, code] of [["AUTH_FAILED", "AUTH_FAILED"], ["SHUTTING_DOWN", "CLOSED"], ["CLOSED", "CLOSED"]]
  ) {
    const { connection, link } = login();
    connection.bye(bye);
    await assert.rejects(link, withCode(code));
  }
});

Deno.test("a silent relay is asked and given up, and requests under way are told at once", async () => {
  const { clock, connection, link, ended } = await loggedIn();
  const atMs = clock.monotonic();
  clock.advance(PING_AFTER_MS);
  assert.equal(connection.pings, 1);
  const request = link.request(FrameType.GROUP, { op: "list" });
  const submission = link.submit({
    flags: 0,
    group: new Uint8Array(16),
    epoch: 0,
    envelope: new Uint8Array(16),
    ciphertext: new Uint8Array(1),
  });
  const told = [assert.rejects(request, withCode("CLOSED")), assert.rejects(submission, withCode("CLOSED"))];
  clock.advance(DEAD_AFTER_MS - PING_AFTER_MS);
  assert.equal(clock.monotonic() - atMs, DEAD_AFTER_MS);
  assert.equal(link.closed, true);
  assert.equal(connection.closed, true);
  await Promise.all(told);
  assert.equal((await ended).code, "TIMEOUT");
  await assert.rejects(link.request(FrameType.GROUP, {}), withCode("CLOSED"));
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("a link that only writes is given up all the same", async () => {
  const { clock, link, ended } = await loggedIn();
  for (let atMs = 0; atMs < DEAD_AFTER_MS; atMs += 1_000) {
    assert.equal(link.closed, false);
    link.request(FrameType.GROUP, { op: "list" }).catch(() => {});
    clock.advance(1_000);
  }
  assert.equal(link.closed, true);
  await ended;
});

Deno.test("a relay that answers PING and nothing else keeps the link; requests run out of time", async () => {
  const { clock, connection, link, ended } = await loggedIn();
  connection.onPing = () => connection.hear();
  const request = assert.rejects(link.request(FrameType.GROUP, { op: "list" }), withCode("TIMEOUT"));
  clock.advance(REQUEST_TIMEOUT_MS);
  await request;
  clock.advance(10 * DEAD_AFTER_MS);
  assert.equal(link.closed, false);
  assert.equal(connection.pings, Math.floor((REQUEST_TIMEOUT_MS + 10 * DEAD_AFTER_MS) / PING_AFTER_MS));
  await link.close();
  await ended;
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("frames cost no timer: what is heard puts the question off by itself", async () => {
  const { clock, connection, link } = await loggedIn();
  for (let frame = 0; frame < 100; frame++) {
    clock.advance(PING_AFTER_MS / 4);
    connection.hear();
    assert.equal(clock.pendingTimers, 1);
  }
  assert.equal(connection.pings, 0);
  await link.close();
});

for (const disturbance of ["woke", "network"] as const) {
  Deno.test(`${disturbance}: a dead link ends 5 s after the question, a live one goes on`, async () => {
    const dead = await loggedIn();
    dead.clock.advance(1_000);
    dead.link.probe(disturbance);
    dead.clock.advance(PROBE_TIMEOUT_MS - 1);
    assert.equal(dead.link.closed, false);
    dead.clock.advance(1);
    assert.equal((await dead.ended).code, "TIMEOUT");
    dead.link.probe(disturbance); // nothing to ask any more
    assert.equal(dead.connection.pings, 1);
    assert.equal(dead.clock.pendingTimers, 0);

    const live = await loggedIn();
    live.clock.advance(1_000);
    live.connection.onPing = () => live.connection.hear();
    live.link.probe(disturbance);
    live.clock.advance(10 * DEAD_AFTER_MS);
    assert.equal(live.link.closed, false);
    await live.link.close();
  });
}

Deno.test("an answer is still read after a probe of a link that stands", async () => {
  const { connection, link } = await loggedIn();
  const request = link.request(FrameType.GROUP, { op: "list" });
  link.probe("network");
  connection.hear();
  connection.hear(encodeControl(FrameType.OK, { id: 1, groups: [] })[0]);
  assert.deepEqual((await request as Control).fields.groups, []);
  await link.close();
});

Deno.test("boundedDial() gives up an address that does not answer, and closes what comes too late", async () => {
  const clock = new FakeClock();
  const late = Promise.withResolvers<Transport>();
  const address = { hostname: "192.0.2.1", port: 7_700 };
  const dialling = boundedDial(() => late.promise, clock)(address);
  clock.advance(CONNECT_TIMEOUT_MS);
  await assert.rejects(dialling, withCode("UNREACHABLE"));
  const [near, far] = memoryTransportPair();
  late.resolve(near);
  for await (const _ of far) assert.fail("nothing was sent");
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("boundedDial() tells the adapter to stop, and passes on what it gives", async () => {
  const clock = new FakeClock();
  const abort = new AbortController();
  let told: AbortSignal | undefined;
  const hanging = boundedDial(({ signal }) => {
    told = signal;
    return new Promise(() => {});
  }, clock)({ hostname: "h", port: 1, signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(hanging, /enough/);
  assert.equal(told?.aborted, true);
  const [near] = memoryTransportPair();
  assert.equal(await boundedDial(() => Promise.resolve(near), clock)({ hostname: "h", port: 1 }), near);
  assert.equal(clock.pendingTimers, 0);
});
