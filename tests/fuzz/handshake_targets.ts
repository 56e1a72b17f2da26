/** Targets of the handshake and of AUTH. */

import assert from "node:assert/strict";
import {
  answerHandshake,
  type AuthBinding,
  ByteReader,
  ByteWriter,
  concatBytes,
  createAuth,
  equalBytes,
  finishHandshake,
  IDENTITY_SIGNATURE_BYTES,
  M1_BYTES,
  type RelayGreeting,
  ReplayGuard,
  startHandshake,
  utf8,
  verifyAuth,
} from "../../proto/mod.ts";
import { firstKeys } from "../../proto/key_schedule.ts";
import { GREETING } from "../proto/fixture.ts";
import { refuse } from "./checks.ts";
import { fixedDevice, fixedRelay, START_MS } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import { arbitraryJson, changeJson, type Json } from "./mutate_json.ts";
import type { FuzzTarget } from "./runner.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

const AUTH_BLOB_LIMIT_BYTES = 100_000;

const m1: FuzzTarget = {
  name: "m1",
  what: "M1 at the relay: changed anywhere, or well sealed options of any kind",
  cost: 8,
  async open() {
    const relay = await fixedRelay();
    const { m1 } = await startHandshake(seededProvider("m1"), relay.document);
    const headBytes = 2 + 8 + 1_216 + 1_120;
    const head = m1.subarray(0, headBytes);
    const shared = await provider.decapsulate(
      "X-Wing",
      relay.relayKeyPair.privateKey,
      head.subarray(headBytes - 1_120),
    );
    const { sealKey } = firstKeys(provider, relay.keys.fingerprint, shared);
    const plaintext = new Uint8Array(M1_BYTES - headBytes - 16);
    return {
      corpus: [m1],
      generate(random) {
        if (random.oneIn(2)) return mutate(random, [m1]);
        const options = plaintext.slice();
        const json = JSON.stringify(changeJson(random, { v: 2, more: arbitraryJson(random) }));
        options.set(utf8(json).subarray(0, options.length));
        const changed = random.oneIn(2) ? options : mutate(random, [options]);
        return concatBytes(
          head,
          provider.seal("ChaCha20-Poly1305", sealKey, new Uint8Array(12), head, changed),
        );
      },
      async run(input) {
        const answer = await answerHandshake(provider, input, {
          relay: relay.keys,
          replay: new ReplayGuard(),
          greeting: GREETING,
        });
        if (answer.kind === "refused") refuse(answer.reason);
      },
    };
  },
};

const m2: FuzzTarget = {
  name: "m2",
  what: "M2 at the client: changed anywhere, or well sealed greetings of any kind",
  cost: 8,
  async open() {
    const relay = await fixedRelay();
    const crypto = seededProvider("m2");
    const handshake = await startHandshake(crypto, relay.document);
    const answer = async (greeting: unknown) => {
      const made = await answerHandshake(crypto, handshake.m1, {
        relay: relay.keys,
        replay: new ReplayGuard(),
        greeting: greeting as RelayGreeting,
      });
      if (made.kind === "refused") throw new Error(made.reason);
      return made.m2;
    };
    const valid = await answer(GREETING);
    // One whole answer costs some milliseconds, so greetings are sealed under the key of the first one.
    let seal: ((plaintext: Uint8Array) => Uint8Array) | undefined;
    const watched = {
      ...provider,
      open: (...[aead, key, nonce, head, sealed]: Parameters<typeof provider.open>) => {
        seal = (plaintext) => concatBytes(head, provider.seal(aead, key, nonce, head, plaintext));
        return provider.open(aead, key, nonce, head, sealed);
      },
    };
    await finishHandshake(watched, handshake, valid);
    const room = valid.length - 1 - 1_120 - 16;
    const { version, powBits, inviteOnly, timeMs, ...rest } = GREETING;
    const fields: Json = { ...rest, v: version, pow: powBits, invite: inviteOnly, time: timeMs };
    return {
      corpus: [valid],
      generate(random) {
        if (random.oneIn(3)) return mutate(random, [valid]);
        const plaintext = new Uint8Array(room);
        plaintext.set(utf8(JSON.stringify(changeJson(random, fields))).subarray(0, room));
        return seal!(random.oneIn(3) ? mutate(random, [plaintext]) : plaintext);
      },
      async run(input) {
        const { greeting } = await finishHandshake(provider, handshake, input);
        assert.ok(greeting.powBits >= 0 && greeting.powBits <= 20);
        assert.match(greeting.boot, /^[0-9a-f]{16}$/);
      },
    };
  },
};

const auth: FuzzTarget = {
  name: "auth",
  what: "AUTH's blobs: changed anywhere, or a changed certificate that is well signed",
  cost: 4,
  async open() {
    const device = await fixedDevice();
    const connection: AuthBinding = {
      exporter: new Uint8Array(32).fill(1),
      relayFingerprint: new Uint8Array(32).fill(2),
    };
    const { blobs } = await createAuth(seededProvider("auth"), {
      connection,
      account: device.account,
      certificate: device.certificate,
      devicePublicKey: device.keys.publicKey,
      devicePrivateKey: device.keys.privateKey,
    });
    const valid = joined(blobs);
    const head = blobs[0].subarray(0, blobs[0].length - IDENTITY_SIGNATURE_BYTES);
    return {
      corpus: [valid],
      generate(random) {
        if (random.oneIn(2)) return mutate(random, [valid]);
        const changed = mutate(random, [head]);
        return joined([changed, ...blobs.slice(1)]); // signed when it runs
      },
      async run(input) {
        const parts = split(input);
        const { privateKey } = device.identity;
        if (parts.length > 0 && parts[0].length < blobs[0].length - IDENTITY_SIGNATURE_BYTES / 2) {
          const label = new ByteWriter().vector16(utf8("arona device certificate v1")).finish();
          const signed = concatBytes(label, parts[0], device.keys.publicKey);
          parts[0] = concatBytes(parts[0], await provider.sign("ML-DSA-65", privateKey, signed));
        }
        const { account } = device;
        const verified = await verifyAuth(provider, { connection, account, blobs: parts, nowMs: START_MS });
        assert.equal(verified.certificate.account, account);
        assert.ok(equalBytes(verified.deviceKey, device.keys.publicKey));
      },
    };
  },
};

/** Targets in the order of a connection. */
export const handshakeTargets: readonly FuzzTarget[] = [m1, m2, auth];

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter();
  for (const part of parts) writer.vector32(part);
  return writer.finish();
}

/** The parts of {@link joined}; the last one is what is left where lengths do not fit. */
function split(bytes: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(bytes);
  const parts: Uint8Array[] = [];
  while (reader.remaining >= 4) {
    const length = Math.min(reader.u32(), reader.remaining, AUTH_BLOB_LIMIT_BYTES);
    parts.push(reader.take(length));
  }
  return parts;
}
