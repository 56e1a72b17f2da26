/** The handshake's state machines, without I/O: agreement, and every way in which the relay stays silent. */

import assert from "node:assert/strict";
import {
  answerHandshake,
  type ErrorCode,
  finishHandshake,
  type HandshakeRefusal,
  isAronaError,
  M1_BYTES,
  M2_BYTES,
  ReplayGuard,
  startHandshake,
} from "../../proto/mod.ts";
import { GREETING, noble, provider, sharedRelay, testRelay } from "./fixture.ts";

const relay = await sharedRelay();

function answer(m1: Uint8Array, replay = new ReplayGuard(), keys = relay.keys) {
  return answerHandshake(provider, m1, { relay: keys, replay, greeting: GREETING });
}

async function accepted(m1: Uint8Array, replay?: ReplayGuard) {
  const result = await answer(m1, replay);
  assert.ok(result.kind === "accepted");
  return result;
}

async function refusedWith(reason: HandshakeRefusal, m1: Uint8Array, keys = relay.keys): Promise<void> {
  assert.deepEqual(await answer(m1, undefined, keys), { kind: "refused", reason });
}

function changed(bytes: Uint8Array, offset: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, offset);
  return copy;
}

const fails = (action: Promise<unknown>, code: ErrorCode) =>
  assert.rejects(action, (error) => isAronaError(error, code));

Deno.test("both sides get the same secrets, different ones each time, and the greeting", async () => {
  const exporters = new Set<string>();
  for (const [client, server] of [[provider, noble], [noble, provider]]) {
    const handshake = await startHandshake(client, relay.document);
    const result = await answerHandshake(server, handshake.m1, {
      relay: relay.keys,
      replay: new ReplayGuard(),
      greeting: GREETING,
    });
    assert.ok(result.kind === "accepted");
    assert.deepEqual([handshake.m1.length, result.m2.length], [M1_BYTES, M2_BYTES]);
    const { secrets, greeting } = await finishHandshake(client, handshake, result.m2);
    assert.deepEqual(secrets, result.secrets);
    assert.deepEqual(greeting, GREETING);
    assert.notDeepEqual(secrets.clientToRelay, secrets.relayToClient);
    exporters.add(secrets.exporter.join());
  }
  assert.equal(exporters.size, 2);
});

Deno.test("the relay stays silent for a wrong length or kind", async () => {
  const { m1 } = await startHandshake(provider, relay.document);
  await refusedWith("length", m1.subarray(1));
  await refusedWith("length", m1.subarray(0, 100));
  await refusedWith("length", new Uint8Array());
  await refusedWith("length", changed(m1, 0, 0x11));
});

Deno.test("the relay stays silent for an unknown version and an unknown key", async () => {
  const { m1 } = await startHandshake(provider, relay.document);
  await refusedWith("version", changed(m1, 1, 3));
  await refusedWith("unknown-key", changed(m1, 2, m1[2] ^ 1));
  await refusedWith("unknown-key", m1, { ...relay.keys, keys: [] });
});

Deno.test("the relay stays silent for whoever lacks its key, or changes any part", async () => {
  const other = await testRelay(provider, 60);
  const stranger = await startHandshake(provider, {
    fingerprint: relay.document.fingerprint,
    relayKey: { id: relay.document.relayKey.id, publicKey: other.document.relayKey.publicKey },
  });
  await refusedWith("bad-seal", stranger.m1);
  const { m1 } = await startHandshake(provider, relay.document);
  for (const offset of [10, 1_225, 1_226, 2_345, 2_346, 4_095]) {
    await refusedWith("bad-seal", changed(m1, offset, m1[offset] ^ 1));
  }
});

Deno.test("a handshake for another identity that has the same X-Wing key is refused", async () => {
  const { m1 } = await startHandshake(provider, { ...relay.document, fingerprint: new Uint8Array(32) });
  await refusedWith("bad-seal", m1);
});

Deno.test("an all-zero KEM key and one with a coefficient over the modulus are refused", async () => {
  const real = (await provider.kemKeyPair("X-Wing")).publicKey;
  const over = changed(real, 0, 0xff, 0xff);
  const lowOrder = real.slice().fill(0, 1_184);
  for (const publicKey of [new Uint8Array(1_216), over, lowOrder]) {
    const lying = {
      ...provider,
      kemKeyPair: () => Promise.resolve({ publicKey, privateKey: new Uint8Array(32) }),
    };
    await refusedWith("bad-key", (await startHandshake(lying, relay.document)).m1);
  }
  const { m1 } = await startHandshake(provider, relay.document);
  const zeroCiphertext = m1.slice().fill(0, 1_226, 2_346);
  await refusedWith("bad-key", zeroCiphertext);
});

Deno.test("a replayed M1 is refused, also after other handshakes", async () => {
  const replay = new ReplayGuard();
  const { m1 } = await startHandshake(provider, relay.document);
  await accepted(m1, replay);
  await accepted((await startHandshake(provider, relay.document)).m1, replay);
  assert.deepEqual(await answer(m1, replay), { kind: "refused", reason: "replay" });
});

Deno.test("of one M1 sent many times at once, one is answered", async () => {
  const replay = new ReplayGuard();
  const { m1 } = await startHandshake(provider, relay.document);
  const results = await Promise.all(Array.from({ length: 20 }, () => answer(m1, replay)));
  assert.equal(results.filter((result) => result.kind === "accepted").length, 1);
});

Deno.test("ReplayGuard is bounded and forgets the oldest first", () => {
  const guard = new ReplayGuard(8);
  const digest = (i: number) => new Uint8Array(32).fill(i);
  for (let i = 0; i < 9; i++) assert.ok(guard.add(digest(i)));
  assert.ok(guard.has(digest(8)) && guard.has(digest(5)) && !guard.has(digest(0)));
  assert.equal(guard.add(digest(8)), false);
});

Deno.test("the relay's earlier key still works while it is in the list", async () => {
  const next = await testRelay(provider, 70);
  const keys = { fingerprint: relay.keys.fingerprint, keys: [...next.keys.keys, ...relay.keys.keys] };
  const { m1 } = await startHandshake(provider, relay.document);
  assert.equal((await answer(m1, undefined, keys)).kind, "accepted");
});

Deno.test("the client refuses a changed, short or foreign M2", async () => {
  const handshake = await startHandshake(provider, relay.document);
  const { m2 } = await accepted(handshake.m1);
  for (const offset of [1, 1_120, 1_121, 2_047]) {
    await fails(finishHandshake(provider, handshake, changed(m2, offset, m2[offset] ^ 1)), "BAD_HANDSHAKE");
  }
  await fails(finishHandshake(provider, handshake, m2.subarray(1)), "BAD_HANDSHAKE");
  await fails(finishHandshake(provider, handshake, changed(m2, 0, 0x10)), "BAD_HANDSHAKE");
  const other = await accepted((await startHandshake(provider, relay.document)).m1);
  await fails(finishHandshake(provider, handshake, other.m2), "BAD_HANDSHAKE");
});

Deno.test("the client refuses a greeting that asks too much or is malformed", async () => {
  const wrong = [
    { ...GREETING, powBits: 21 },
    { ...GREETING, powBits: -1 },
    { ...GREETING, boot: "xyz" },
    { ...GREETING, timeMs: 1.5 },
  ];
  for (const greeting of wrong) {
    const handshake = await startHandshake(provider, relay.document);
    const options = { relay: relay.keys, replay: new ReplayGuard(), greeting };
    const result = await answerHandshake(provider, handshake.m1, options);
    assert.ok(result.kind === "accepted");
    await fails(finishHandshake(provider, handshake, result.m2), "BAD_HANDSHAKE");
  }
  const handshake = await startHandshake(provider, relay.document);
  const options = { relay: relay.keys, replay: new ReplayGuard(), greeting: { ...GREETING, version: 3 } };
  const result = await answerHandshake(provider, handshake.m1, options);
  assert.ok(result.kind === "accepted");
  await fails(finishHandshake(provider, handshake, result.m2), "UNKNOWN_VERSION");
});
