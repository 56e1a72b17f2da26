/**
 * Writes proto/vectors.json: one whole connection with fixed keys and randomness, byte for byte (PROTOCOL.md section 12).
 *
 * `deno run --allow-write=proto scripts/generate_vectors.ts`
 */

import {
  type AccountName,
  answerHandshake,
  concatBytes,
  createAuth,
  type DeviceId,
  Direction,
  encodeAccepted,
  encodeCertificate,
  encodeControl,
  encodeDelivered,
  encodeDelivery,
  encodeSubmission,
  finishHandshake,
  formatLink,
  formatSourceLink,
  FrameType,
  issueCertificate,
  KEY_LIFETIME_MS,
  loadNobleProvider,
  type OutFrame,
  parseSource,
  RecordSealer,
  type RelayGreeting,
  relayKeyId,
  ReplayGuard,
  SignatureAlgorithm,
  signDocument,
  solvePow,
  startHandshake,
  toHex,
  utf8,
  verifyDocument,
} from "../proto/mod.ts";

/** Where the vectors are. */
export const VECTORS_URL = new URL("../proto/vectors.json", import.meta.url);

const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const ACCOUNT = "alice" as AccountName;

const noble = await loadNobleProvider();

if (import.meta.main) await Deno.writeTextFile(VECTORS_URL, await generateVectors());

/** The whole file's text. Always the same. */
export async function generateVectors(): Promise<string> {
  const crypto = noble;
  const seeds = {
    relayIdentity: filled(32, 0x01),
    relayKey: filled(32, 0x02),
    ephemeral: filled(32, 0x03),
    clientEncapsulation: filled(64, 0x04),
    relayEncapsulation: filled(64, 0x05),
    identity: filled(32, 0x06),
    device: filled(32, 0x07),
  };
  const relayIdentity = await crypto.signatureKeyPair("ML-DSA-65", seeds.relayIdentity);
  const relayKey = await crypto.kemKeyPair("X-Wing", seeds.relayKey);
  const identity = await crypto.signatureKeyPair("ML-DSA-65", seeds.identity);
  const device = await crypto.signatureKeyPair("ML-DSA-44", seeds.device);

  const fields = {
    name: "Arona at home",
    endpoints: ["relay.example:7700", "[2001:db8::7]:7700"],
    relayKey: {
      id: relayKeyId(crypto, relayKey.publicKey),
      publicKey: relayKey.publicKey,
      notBeforeMs: START_MS,
      notAfterMs: START_MS + 30 * DAY_MS,
    },
    protocols: [2],
    sequence: 1,
    issuedAtMs: START_MS,
    expiresAtMs: START_MS + 7 * DAY_MS,
  };
  const signing = { identity: relayIdentity, deterministic: true };
  const documentBytes = await signDocument(crypto, fields, signing);
  const sources = ["gist:aa5a315d61ae9438b18d0c1f6e2f7c3b", "@alice", "https://relay.example"];
  const laterDocument = await signDocument(crypto, { ...fields, sources, sequence: 2 }, signing);
  const document = await verifyDocument(crypto, documentBytes, { nowMs: START_MS });

  const greeting: RelayGreeting = {
    version: 2,
    boot: "00112233445566ff",
    name: "Arona at home",
    powBits: 8,
    inviteOnly: false,
    timeMs: START_MS,
  };
  const handshake = await startHandshake(crypto, document, {
    ephemeralSeed: seeds.ephemeral,
    encapsulationSeed: seeds.clientEncapsulation,
  });
  const answer = await answerHandshake(crypto, handshake.m1, {
    relay: {
      fingerprint: document.fingerprint,
      keys: [{ id: document.relayKey.id, privateKey: seeds.relayKey }],
    },
    replay: new ReplayGuard(),
    greeting,
    randomness: { encapsulationSeed: seeds.relayEncapsulation },
  });
  if (answer.kind === "refused") throw new Error(`the relay refused: ${answer.reason}`);
  const { secrets } = await finishHandshake(crypto, handshake, answer.m2);
  const connection = { exporter: secrets.exporter, relayFingerprint: document.fingerprint };

  const certificate = await issueCertificate(crypto, {
    identity,
    deviceKey: device.publicKey,
    algorithm: SignatureAlgorithm.ML_DSA_44,
    account: ACCOUNT,
    device: "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" as DeviceId,
    notBeforeMs: START_MS,
    notAfterMs: START_MS + 365 * DAY_MS,
    deterministic: true,
  });
  const { blobs } = await createAuth(crypto, {
    connection,
    account: ACCOUNT,
    certificate,
    devicePublicKey: device.publicKey,
    devicePrivateKey: seeds.device,
    deterministic: true,
  });
  // The search for a nonce starts at random; here it starts at zero.
  const fixed = { ...crypto, randomBytes: (length: number) => new Uint8Array(length) };
  const challenge = {
    exporter: secrets.exporter,
    account: ACCOUNT,
    identityKey: identity.publicKey,
    bits: 8,
  };
  const pow = await solvePow(fixed, challenge);

  const client = new RecordSealer(crypto, {
    direction: Direction.CLIENT_TO_RELAY,
    secret: secrets.clientToRelay,
  });
  const relay = new RecordSealer(crypto, {
    direction: Direction.RELAY_TO_CLIENT,
    secret: secrets.relayToClient,
  });
  const authFrames = encodeControl(FrameType.AUTH, { id: 1, account: ACCOUNT, register: { pow } }, { blobs });
  const exchange = [record("client", "AUTH", client, authFrames, 0)];
  client.mayFragment = relay.mayFragment = true;
  exchange.push(
    record("relay", "AUTH_OK and one delivery in one record", relay, [
      ...encodeControl(FrameType.AUTH_OK, {
        id: 1,
        device: certificate.device,
        registered: true,
        next: 0,
        backlog: 1,
        gap: false,
        keyPackages: { 82: 0, 81: 0 },
      }),
      {
        type: FrameType.MSG,
        parts: [encodeDelivery({
          kind: 0x01,
          group: filled(16, 0xb0),
          epoch: 3,
          envelope: filled(16, 0xb1),
          atMs: START_MS,
          payload: utf8("sealed for the members"),
        })],
      },
    ], 0),
    record("client", "ACK of the delivery, and a MSG", client, [
      encodeDelivered(1),
      encodeSubmission({
        request: 2,
        flags: 0x01,
        group: filled(16, 0xb0),
        epoch: 3,
        envelope: filled(16, 0xb2),
        ciphertext: utf8("also sealed for the members"),
      }),
    ], 0),
    record("relay", "ACK under a key that is over its time: KEY_UPDATE is at the record's end", relay, [
      encodeAccepted({ request: 2, queued: 4, full: 0 }),
    ], KEY_LIFETIME_MS),
    record("relay", "PING under the next key", relay, [{
      type: FrameType.PING,
      parts: [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)],
    }], KEY_LIFETIME_MS),
    record("client", "an OBJECT of 70,000 bytes c0 that spans two records", client, [{
      type: FrameType.OBJECT,
      parts: [filled(70_000, 0xc0)],
    }], 0),
    record("client", "BYE", client, encodeControl(FrameType.BYE, { code: "CLOSED" }), 0),
  );

  const vectors = {
    comment: "ArTP/2 test vectors. All bytes in hexadecimal. Written by scripts/generate_vectors.ts.",
    seeds: hexOf(seeds),
    document: {
      bytes: toHex(documentBytes),
      relayIdentityKey: toHex(relayIdentity.publicKey),
      fingerprint: toHex(document.fingerprint),
      relayKeyId: toHex(document.relayKey.id),
      relayPublicKey: toHex(relayKey.publicKey),
      link: formatLink({ hostname: "relay.example", port: 7700, fingerprint: document.fingerprint }),
    },
    documentWithSources: {
      bytes: toHex(laterDocument),
      sources,
      links: sources.map((source) =>
        formatSourceLink({ source: parseSource(source), fingerprint: document.fingerprint })
      ),
    },
    handshake: { m1: toHex(handshake.m1), m2: toHex(answer.m2), greeting, ...hexOf({ ...secrets }) },
    auth: {
      account: ACCOUNT,
      pow,
      powBits: challenge.bits,
      identityKey: toHex(identity.publicKey),
      certificate: toHex(encodeCertificate(certificate)),
      deviceKey: toHex(device.publicKey),
      signature: toHex(blobs[2]),
    },
    exchange,
  };
  return `${JSON.stringify(vectors, null, 2)}\n`;
}

/** Seals frames; long ones are described by their hash, so that the file stays readable. */
function record(
  from: "client" | "relay",
  what: string,
  sealer: RecordSealer,
  frames: OutFrame[],
  nowMs: number,
) {
  for (const frame of frames) sealer.enqueue(frame);
  const wire: Uint8Array[] = [];
  for (let bytes = sealer.seal(nowMs); bytes !== null; bytes = sealer.seal(nowMs)) wire.push(bytes);
  const bytes = concatBytes(...wire);
  const hash = toHex(noble.digest("SHA-256", bytes));
  return {
    from,
    what,
    frames: frames.map((frame) => {
      const body = concatBytes(...frame.parts);
      return body.length <= 4_096 ? { type: frame.type, body: toHex(body) } : {
        type: frame.type,
        bytes: body.length,
        sha256: toHex(noble.digest("SHA-256", body)),
      };
    }),
    wire: bytes.length <= 16_384 ? toHex(bytes) : undefined,
    wireBytes: bytes.length,
    wireSha256: hash,
  };
}

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function hexOf(fields: Record<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, bytes]) => [name, toHex(bytes)]));
}
