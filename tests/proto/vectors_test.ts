/** proto/vectors.json is what this code makes, and both providers understand its bytes. */

import assert from "node:assert/strict";
import {
  type AccountName,
  answerHandshake,
  checkPow,
  Deframer,
  Direction,
  finishHandshake,
  formatSource,
  type Frame,
  fromHex,
  MAX_RECORD_BYTES,
  parseLink,
  parseSourceLink,
  RecordOpener,
  ReplayGuard,
  type SourceLink,
  startHandshake,
  toHex,
  verifyAuth,
  verifyDocument,
} from "../../proto/mod.ts";
import { generateVectors, VECTORS_URL } from "../../scripts/generate_vectors.ts";
import { noble, provider, START_MS } from "./fixture.ts";

const text = await Deno.readTextFile(VECTORS_URL);
const vectors = JSON.parse(text);
const bytes = (hex: string) => fromHex(hex);

Deno.test("the generator writes proto/vectors.json again, byte for byte", async () => {
  assert.equal(
    await generateVectors() === text,
    true,
    "run scripts/generate_vectors.ts and look at the difference",
  );
});

for (const crypto of new Set([provider, noble])) {
  Deno.test(`${crypto.name} provider: the vectors' document, link and keys fit together`, async () => {
    const { document, seeds } = vectors;
    const link = parseLink(document.link);
    const verified = await verifyDocument(crypto, bytes(document.bytes), {
      nowMs: START_MS,
      fingerprint: link.fingerprint,
      highestSequence: 1,
    });
    assert.equal(toHex(verified.fingerprint), document.fingerprint);
    const identity = await crypto.signatureKeyPair("ML-DSA-65", bytes(seeds.relayIdentity));
    assert.deepEqual(verified.identityKey, identity.publicKey);
    const relayKey = await crypto.kemKeyPair("X-Wing", bytes(seeds.relayKey));
    assert.deepEqual(verified.relayKey.publicKey, relayKey.publicKey);
  });

  Deno.test(`${crypto.name} provider: the vectors' later document names its sources, and their links fit`, async () => {
    const { document, documentWithSources } = vectors;
    const verified = await verifyDocument(crypto, bytes(documentWithSources.bytes), {
      nowMs: START_MS,
      fingerprint: bytes(document.fingerprint),
      highestSequence: 1,
    });
    assert.deepEqual(verified.sources, documentWithSources.sources);
    const links = documentWithSources.links.map(parseSourceLink) as SourceLink[];
    assert.deepEqual(links.map((link) => formatSource(link.source)), documentWithSources.sources);
    for (const { fingerprint } of links) assert.deepEqual(fingerprint, verified.fingerprint);
  });

  Deno.test(`${crypto.name} provider: opens the vectors' M1 and M2 and derives the same secrets`, async () => {
    const { document, handshake, seeds } = vectors;
    const fingerprint = bytes(document.fingerprint);
    const answer = await answerHandshake(crypto, bytes(handshake.m1), {
      relay: { fingerprint, keys: [{ id: bytes(document.relayKeyId), privateKey: bytes(seeds.relayKey) }] },
      replay: new ReplayGuard(),
      greeting: handshake.greeting,
    });
    assert.equal(answer.kind, "accepted");
    const finished = await finishHandshake(crypto, await clientBetween(), bytes(handshake.m2));
    assert.deepEqual(finished.greeting, handshake.greeting);
    for (const name of ["clientToRelay", "relayToClient", "exporter"] as const) {
      assert.equal(toHex(finished.secrets[name]), handshake[name]);
    }
  });

  Deno.test(`${crypto.name} provider: accepts the vectors' AUTH and proof of work`, async () => {
    const { auth, document, handshake } = vectors;
    const account = auth.account as AccountName;
    const exporter = bytes(handshake.exporter);
    await verifyAuth(crypto, {
      connection: { exporter, relayFingerprint: bytes(document.fingerprint) },
      account,
      blobs: [auth.certificate, auth.deviceKey, auth.signature].map(bytes),
      nowMs: START_MS,
    });
    const challenge = { exporter, account, identityKey: bytes(auth.identityKey), bits: auth.powBits };
    assert.ok(checkPow(crypto, challenge, auth.pow));
  });

  Deno.test(`${crypto.name} provider: opens the vectors' records, both ways, in order`, () => {
    const { handshake, exchange } = vectors;
    const opener = (direction: Direction, secret: string) =>
      new RecordOpener(crypto, { direction, secret: bytes(secret) });
    const openers = {
      client: opener(Direction.CLIENT_TO_RELAY, handshake.clientToRelay),
      relay: opener(Direction.RELAY_TO_CLIENT, handshake.relayToClient),
    };
    let opened = 0;
    for (const { from, frames, wire } of exchange as Exchange[]) {
      if (wire === undefined) break; // the records of an object too long to be spelled out end the list for this test
      assert.deepEqual(openAll(openers[from], bytes(wire)), frames.map(expected(crypto)));
      if (opened++ === 0) openers.client.authenticated();
    }
    assert.equal(opened, 5);
  });
}

interface Exchange {
  from: "client" | "relay";
  frames: { type: number; body?: string; sha256?: string }[];
  wire?: string;
}

/** The client as it was between M1 and M2. Only noble makes the same M1 again. */
async function clientBetween() {
  const { document, seeds, handshake } = vectors;
  const state = await startHandshake(noble, {
    fingerprint: bytes(document.fingerprint),
    relayKey: { id: bytes(document.relayKeyId), publicKey: bytes(document.relayPublicKey) },
  }, { ephemeralSeed: bytes(seeds.ephemeral), encapsulationSeed: bytes(seeds.clientEncapsulation) });
  assert.equal(toHex(state.m1), handshake.m1);
  return state;
}

function openAll(opener: RecordOpener, stream: Uint8Array): { type: number; hash: string }[] {
  const deframer = new Deframer(MAX_RECORD_BYTES);
  deframer.push(stream);
  const frames: Frame[] = [];
  for (let body = deframer.next(); body !== null; body = deframer.next()) frames.push(...opener.open(body));
  return frames.map(({ type, body }) => ({ type, hash: toHex(noble.digest("SHA-256", body)) }));
}

function expected(crypto: typeof noble) {
  return ({ type, body, sha256 }: Exchange["frames"][number]) => ({
    type,
    hash: sha256 ?? toHex(crypto.digest("SHA-256", bytes(body!))),
  });
}
