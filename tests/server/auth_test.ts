/** AUTH and registration, as an attacker and as a person would try them. */

import assert from "node:assert/strict";
import {
  checkPow,
  connectSecure,
  createAuth,
  encodeControl,
  encodeSubmission,
  FakeClock,
  FrameType,
  HANDSHAKE_TIMEOUT_MS,
  type SecureConnection,
} from "../../proto/mod.ts";
import { INVITE_LIFETIME_MS, MemoryRelayStore, openSqliteRelayStore } from "../../server/mod.ts";
import { Registration } from "../../server/registration.ts";
import type { RawClientOptions, TestDevice } from "./raw_client.ts";
import { codeOf, TestRelay } from "./test_relay.ts";

type Auth = Parameters<NonNullable<RawClientOptions["tamper"]>>[0];

/** The code of a refused login, and what it says of the invite. */
async function refusalOf(login: Promise<unknown>): Promise<[unknown, unknown]> {
  const error = await login.then(() => null, (error) => error);
  return [error?.code, error?.details?.invite];
}

async function bareConnection(relay: TestRelay): Promise<SecureConnection> {
  const { crypto, clock, document } = relay;
  return await connectSecure({ transport: relay.transport(), crypto, clock, document });
}

Deno.test("AUTH registers a new account once and knows its device afterwards", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.device("alice");
  const first = await relay.connect(alice);
  assert.deepEqual([first.login.registered, first.login.gap, first.login.next], [true, false, 0]);
  await first.close();
  const second = await relay.connect(alice, { register: false });
  assert.deepEqual([second.login.registered, second.login.gap], [false, false]);
});

Deno.test("AUTH refuses another identity under a known name", async () => {
  await using relay = await TestRelay.start();
  await relay.connect("alice");
  assert.equal(await codeOf(relay.connect("alice")), "AUTH_FAILED");
});

Deno.test("AUTH lets a second device of the same identity in without proof of work", async () => {
  await using relay = await TestRelay.start();
  const { identity, device } = await relay.device("alice");
  await relay.connect(await relay.device("alice", { identity, device }));
  const laptop = await relay.connect(await relay.device("alice", { identity }), { register: false });
  assert.equal(laptop.login.registered, false);
  const { fields, blobs } = await laptop.request(FrameType.KEYS, { op: "lookup", account: "alice" });
  assert.deepEqual(fields.devices, [device, laptop.device.device]);
  assert.deepEqual(blobs[3], laptop.device.keys.publicKey);
});

Deno.test("AUTH takes a renewed key of a known device", async () => {
  await using relay = await TestRelay.start();
  const { identity, device } = await relay.device("alice");
  await relay.connect(await relay.device("alice", { identity, device }));
  const renewed = await relay.connect(await relay.device("alice", { identity, device }), { register: false });
  const { fields, blobs } = await renewed.request(FrameType.KEYS, { op: "lookup", account: "alice" });
  assert.deepEqual(fields.devices, [device]);
  assert.deepEqual(blobs[1], renewed.device.keys.publicKey);
});

Deno.test("AUTH refuses a device id that belongs to another account", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.device("alice");
  await relay.connect(alice);
  assert.equal(
    await codeOf(relay.connect(await relay.device("mallory", { device: alice.device }))),
    "AUTH_FAILED",
  );
});

const TAMPERED: Record<string, (auth: Auth, shortNonce: () => string) => void> = {
  "a signature one byte short": (auth) => auth.blobs[2] = auth.blobs[2].slice(0, -1),
  "a signature one byte long": (auth) => auth.blobs[2] = Uint8Array.from([...auth.blobs[2], 0]),
  "a signature with a flipped bit": (auth) => auth.blobs[2] = flipped(auth.blobs[2]),
  "a certificate with a flipped bit": (auth) => auth.blobs[0] = flipped(auth.blobs[0]),
  "a certificate that ends early": (auth) => auth.blobs[0] = auth.blobs[0].slice(0, 100),
  "another device key": (auth) => auth.blobs[1] = flipped(auth.blobs[1]),
  "a missing blob": (auth) => auth.blobs.pop(),
  "a blob too many": (auth) => auth.blobs.push(new Uint8Array(1)),
  "another account than the certificate's": (auth) => auth.fields.account = "alicia",
  "no registration for a new account": (auth) => delete auth.fields.register,
  "a proof of work that falls short": (auth, shortNonce) => auth.fields.register = { pow: shortNonce() },
  "a proof of work that is no hexadecimal": (auth) => auth.fields.register = { pow: "zz" },
  "a Cyrillic letter in the name": (auth) => auth.fields.account = "\u0430lice",
  "a bidirectional override in the name": (auth) => auth.fields.account = "alice\u202e",
  "a zero-width space in the name": (auth) => auth.fields.account = "al\u200bice",
  "an upper-case name": (auth) => auth.fields.account = "Alice",
  "a name of 33 characters": (auth) => auth.fields.account = "a".repeat(33),
  "a name that is an object": (auth) => auth.fields.account = { toString: "alice" },
};

for (const [what, tamper] of Object.entries(TAMPERED)) {
  Deno.test(`AUTH refuses ${what}, with the same answer as for everything`, async () => {
    await using relay = await TestRelay.start();
    const device = await relay.device("alice");
    const wrapped: RawClientOptions["tamper"] = (auth, { exporter, greeting }) => {
      const { account, identity: { publicKey: identityKey } } = device;
      const challenge = { exporter, account, identityKey, bits: greeting.powBits };
      tamper(auth, () => {
        let nonce = 0;
        while (checkPow(relay.crypto, challenge, hex16(nonce))) nonce++;
        return hex16(nonce);
      });
    };
    assert.equal(await codeOf(relay.connect(device, { tamper: wrapped })), "AUTH_FAILED");
    assert.equal(relay.relay.stats().accounts, 0);
  });
}

Deno.test("AUTH refuses a certificate that has ended or has not begun", async () => {
  const clock = new FakeClock();
  await using relay = await TestRelay.start({ clock });
  const alice = await relay.device("alice");
  clock.jump(clock.now() + 401 * 86_400_000);
  // The document has expired too; the client here does not look.
  const document = { ...relay.document, relayKey: { ...relay.document.relayKey, notAfterMs: Infinity } };
  assert.equal(await codeOf(relay.connect(alice, { document })), "AUTH_FAILED");
});

Deno.test("AUTH made on another connection, or for another relay, is refused", async () => {
  await using relay = await TestRelay.start();
  await using other = await TestRelay.start();
  const alice = await relay.device("alice");
  for (const target of [relay, other]) {
    const elsewhere = await bareConnection(target);
    const { blobs } = await authBlobs(relay, alice, elsewhere);
    elsewhere.abort();
    const tamper = (auth: Auth) => auth.blobs[2] = blobs[2];
    assert.equal(await codeOf(relay.connect(alice, { tamper })), "AUTH_FAILED");
  }
  await relay.connect(alice);
});

Deno.test("a frame before AUTH closes the connection", async () => {
  await using relay = await TestRelay.start();
  const frames = [
    encodeControl(FrameType.GROUP, { id: 1, op: "channels" }),
    [encodeSubmission({
      request: 1,
      flags: 0,
      group: new Uint8Array(16),
      epoch: 0,
      envelope: new Uint8Array(16),
      ciphertext: new Uint8Array(1),
    })],
    [{ type: FrameType.OBJECT, parts: [new Uint8Array(12)] }],
    [{ type: 0x7e as FrameType, parts: [new Uint8Array(12)] }],
  ];
  for (const [out] of frames) {
    const connection = await bareConnection(relay);
    connection.queue(out);
    assert.equal(await connection.receive(), null);
  }
});

Deno.test("a connection that does not log in is closed at the deadline", async () => {
  await using relay = await TestRelay.start();
  const connection = await bareConnection(relay);
  relay.clock.advance(HANDSHAKE_TIMEOUT_MS + 1);
  await assert.rejects(connection.receive(), { code: "TRUNCATED" });
});

Deno.test("a newer connection of the same device replaces the older, which is told CONFLICT", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.device("alice");
  const bob = await relay.connect("bob");
  const older = await relay.connect(alice);
  const group = await relay.group(bob, older);
  const newer = await relay.connect(alice);
  assert.equal(await older.ended, "CONFLICT");
  await bob.send(group, { epoch: 1 });
  assert.equal((await newer.deliveries.next()).epoch, 1);
  assert.equal(relay.relay.stats().sessions, 2);
});

Deno.test("AUTH twice on one connection closes it", async () => {
  await using relay = await TestRelay.start();
  const alice = await relay.connect("alice");
  alice.connection.queue(...encodeControl(FrameType.AUTH, { id: 9, account: "alice" }));
  assert.equal(await alice.ended, "BAD_FRAME");
});

Deno.test("an invite lets exactly one of 100 racing registrations in", async () => {
  const folder = Deno.makeTempDirSync();
  const store = openSqliteRelayStore(`${folder}/relay.db`);
  try {
    await using relay = await TestRelay.start({ store, limits: { registration: "invite-only" } });
    const invite = relay.relay.createInvite();
    const devices = await Promise.all(Array.from({ length: 100 }, (_, i) => relay.device(`racer${i}`)));
    const codes = await Promise.all(devices.map((device) => codeOf(relay.connect(device, { invite }))));
    assert.equal(codes.filter((code) => code === "OK").length, 1);
    assert.equal(codes.filter((code) => code === "AUTH_FAILED").length, 99);
    assert.equal(relay.relay.stats().accounts, 1);
  } finally {
    store.close();
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("an invite-only relay refuses no invite, a wrong one, a used one and one that is too old", async () => {
  await using relay = await TestRelay.start({ limits: { registration: "invite-only" } });
  assert.equal(await codeOf(relay.connect("alice")), "AUTH_FAILED");
  assert.equal(await codeOf(relay.connect("alice", { invite: "wrong" })), "AUTH_FAILED");
  const invite = relay.relay.createInvite();
  await relay.connect("alice", { invite });
  assert.equal(await codeOf(relay.connect("bob", { invite })), "AUTH_FAILED");
  const old = relay.relay.createInvite();
  relay.clock.jump(relay.clock.now() + INVITE_LIFETIME_MS + 1);
  const bob = await relay.device("bob");
  const document = { ...relay.document, relayKey: { ...relay.document.relayKey, notAfterMs: Infinity } };
  assert.equal(await codeOf(relay.connect(bob, { invite: old, document })), "AUTH_FAILED");
});

Deno.test("who has an invite that is good for nothing learns why, and nothing about names", async () => {
  const store = new MemoryRelayStore();
  await using relay = await TestRelay.start({ store, limits: { registration: "invite-only" } });
  const { crypto, clock } = relay;
  const registration = new Registration({ store, crypto, clock }, "invite-only");
  const [used, revoked, expired, waiting] = [{}, {}, { lifetimeMs: 1_000 }, {}].map((options) =>
    registration.createInvite(options)
  );
  await relay.connect("alice", { invite: used });
  relay.relay.ban({ kind: "account", subject: "mallory" });
  registration.revokeInvite(registration.invite(revoked)!);
  relay.clock.jump(relay.clock.now() + 1_001);
  for (
    const [invite, fault] of [[used, "used"], [revoked, "revoked"], [expired, "expired"], ["x", "unknown"]]
  ) {
    for (const name of ["alice", "bob", "mallory"]) { // taken, free, banned
      assert.deepEqual(await refusalOf(relay.connect(name, { invite })), ["AUTH_FAILED", fault], name);
    }
  }
  for (const options of [{}, { invite: waiting }]) {
    assert.deepEqual(await refusalOf(relay.connect("alice", options)), ["AUTH_FAILED", undefined]);
  }
  await relay.connect("bob", { invite: waiting });
});

Deno.test("an account comes back with the invite that it was made with", async () => {
  await using relay = await TestRelay.start({ limits: { registration: "invite-only" } });
  const invite = relay.relay.createInvite();
  const alice = await relay.device("alice");
  await relay.connect(alice, { invite });
  await relay.connect(alice, { invite }); // as whoever did not hear that the first was accepted
});

Deno.test("the proof of work rises from 10 to 18 bits with registrations, and falls again", async () => {
  const clock = new FakeClock();
  await using relay = await TestRelay.start();
  const registration = new Registration(
    { store: new MemoryRelayStore(), clock, crypto: relay.crypto },
    "open",
  );
  const { device, account } = await relay.device("alice");
  assert.equal(registration.powBits(), 10);
  for (let i = 0; i < 400; i++) {
    const stored = { device: `${device}${i}`, account: `${account}${i}` };
    registration.register({
      account: { account: stored.account as typeof account, fingerprint: "f" },
      device: {
        device: stored.device as typeof device,
        account: stored.account as typeof account,
        certificate: new Uint8Array(),
        deviceKey: new Uint8Array(),
      },
      invite: null,
    });
    if (i === 15) assert.equal(registration.powBits(), 11);
  }
  assert.equal(registration.powBits(), 18);
  clock.advance(300_001);
  assert.equal(registration.powBits(), 10);
});

async function authBlobs(relay: TestRelay, device: TestDevice, connection: SecureConnection) {
  return await createAuth(relay.crypto, {
    connection,
    account: device.account,
    certificate: device.certificate,
    devicePublicKey: device.keys.publicKey,
    devicePrivateKey: device.keys.privateKey,
  });
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[copy.length - 40] ^= 1;
  return copy;
}
