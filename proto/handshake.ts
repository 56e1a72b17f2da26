/**
 * The handshake: two messages, pattern pqNK, as state machines without I/O (PROTOCOL.md section 4).
 *
 *     client                                              relay
 *     M1  encapsulation to the relay key, ephemeral key ──▶
 *     ◀── M2  encapsulation to the ephemeral key, greeting
 *
 *     M1 4,096 = 0x10 ‖ version 1 ‖ relay key id 8 ‖ ephemeral key 1,216 ‖ encapsulation 1,120 ‖ sealed options 1,750
 *     M2 2,048 = 0x11 ‖ encapsulation 1,120 ‖ sealed greeting 927
 *
 * The relay is authenticated because only it can open the encapsulation to its key. Nothing but padding is told to who does not
 * have that key: a wrong M1 gets no answer at all.
 */

import { ByteReader, concatBytes, equalBytes } from "./bytes.ts";
import type { RelayGreeting } from "./connection.ts";
import type { CryptoProvider, KeyPair } from "./crypto/provider.ts";
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, KEM_SIZES } from "./crypto/sizes.ts";
import { PROTOCOL_VERSION, RELAY_KEY_ID_BYTES } from "./document.ts";
import { AronaError } from "./errors.ts";
import { greetingFields, padJson, parseGreeting, unpadJson } from "./greeting.ts";
import {
  type FirstKeys,
  firstKeys,
  secondKeys,
  type SessionSecrets,
  sessionSecrets,
} from "./key_schedule.ts";
import { M1_BYTES, M2_BYTES } from "./limits.ts";
import type { ReplayGuard } from "./replay_guard.ts";

/** The first byte of every body before the records begin. */
export const HandshakeKind = {
  DOCUMENT_REQUEST: 0x01, // version u8
  DOCUMENT: 0x02, //         the document's bytes
  M1: 0x10,
  M2: 0x11,
} as const;

/** Fixed randomness for test vectors; only the noble provider takes an encapsulation seed. */
export interface HandshakeRandomness {
  /** 32 bytes, the client's ephemeral key. */
  readonly ephemeralSeed?: Uint8Array;
  /** 64 bytes. */
  readonly encapsulationSeed?: Uint8Array;
}

/** What the client has to know of the relay before it connects. */
export interface RelayIdentity {
  /** SHA-256 of the identity key. */
  readonly fingerprint: Uint8Array;
  readonly relayKey: { readonly id: Uint8Array; readonly publicKey: Uint8Array };
}

/** The client between M1 and M2. */
export interface ClientHandshake {
  readonly m1: Uint8Array;
  readonly ephemeral: KeyPair;
  readonly chain: Uint8Array;
  readonly fingerprint: Uint8Array;
}

/** One of the relay's X-Wing keys. */
export interface RelayHandshakeKey {
  readonly id: Uint8Array;
  /** The 32-byte seed; the array must stay the same one. */
  readonly privateKey: Uint8Array;
}

/** What the relay answers handshakes with. */
export interface RelayHandshakeKeys {
  /** SHA-256 of the identity key. */
  readonly fingerprint: Uint8Array;
  /** The current key and those that published documents still name; read anew for every handshake. */
  readonly keys: readonly RelayHandshakeKey[];
}

/** Why the relay does not answer. Never told to the peer. */
export type HandshakeRefusal = "length" | "version" | "unknown-key" | "replay" | "bad-key" | "bad-seal";

/** What the relay does with an M1. */
export type HandshakeAnswer =
  | { readonly kind: "accepted"; readonly m2: Uint8Array; readonly secrets: SessionSecrets }
  | { readonly kind: "refused"; readonly reason: HandshakeRefusal };

const X_WING = KEM_SIZES["X-Wing"];
const M1_HEAD_BYTES = 2 + RELAY_KEY_ID_BYTES + X_WING.publicKey + X_WING.ciphertext;
const M2_HEAD_BYTES = 1 + X_WING.ciphertext;
/** Each of these keys seals exactly one message. */
const ZERO_NONCE = new Uint8Array(AEAD_NONCE_BYTES);

/** The client's first step. */
export async function startHandshake(
  crypto: CryptoProvider,
  relay: RelayIdentity,
  randomness: HandshakeRandomness = {},
): Promise<ClientHandshake> {
  const ephemeral = await crypto.kemKeyPair("X-Wing", randomness.ephemeralSeed);
  const { ciphertext, sharedSecret } = await crypto.encapsulate(
    "X-Wing",
    relay.relayKey.publicKey,
    randomness.encapsulationSeed,
  );
  const head = concatBytes(
    Uint8Array.of(HandshakeKind.M1, PROTOCOL_VERSION),
    relay.relayKey.id,
    ephemeral.publicKey,
    ciphertext,
  );
  const first = firstKeys(crypto, relay.fingerprint, sharedSecret);
  const options = padJson({ v: PROTOCOL_VERSION }, M1_BYTES - M1_HEAD_BYTES - AEAD_TAG_BYTES);
  const m1 = concatBytes(head, crypto.seal("ChaCha20-Poly1305", first.sealKey, ZERO_NONCE, head, options));
  return { m1, ephemeral, chain: first.chain, fingerprint: relay.fingerprint };
}

/**
 * The client's second step: opens M2.
 *
 * @throws {AronaError} `BAD_HANDSHAKE`, `UNKNOWN_VERSION`
 */
export async function finishHandshake(
  crypto: CryptoProvider,
  handshake: ClientHandshake,
  m2: Uint8Array,
): Promise<{ secrets: SessionSecrets; greeting: RelayGreeting }> {
  if (m2.length !== M2_BYTES || m2[0] !== HandshakeKind.M2) {
    throw new AronaError("BAD_HANDSHAKE", "Cannot connect securely: the answer is not an Arona relay's", {
      hint: "Check the port: something else may be listening there.",
    });
  }
  const head = m2.subarray(0, M2_HEAD_BYTES);
  const sharedSecret = await crypto.decapsulate("X-Wing", handshake.ephemeral.privateKey, head.subarray(1));
  const second = secondKeys(crypto, handshake, sharedSecret);
  const plaintext = crypto.open(
    "ChaCha20-Poly1305",
    second.sealKey,
    ZERO_NONCE,
    head,
    m2.subarray(M2_HEAD_BYTES),
  );
  if (plaintext === null) {
    throw new AronaError("BAD_HANDSHAKE", "Cannot connect securely: the relay could not prove who it is", {
      hint:
        "Try again; if it stays like this, somebody may be in between, or the relay has a new key: get a new link.",
    });
  }
  return {
    greeting: parseGreeting(unpadJson(plaintext)),
    secrets: sessionSecrets(crypto, second.prk, handshake.m1, m2, handshake.fingerprint),
  };
}

/** The relay's only step. It never throws for what the peer sent. */
export async function answerHandshake(
  crypto: CryptoProvider,
  m1: Uint8Array,
  options: {
    relay: RelayHandshakeKeys;
    replay: ReplayGuard;
    greeting: RelayGreeting;
    randomness?: HandshakeRandomness;
  },
): Promise<HandshakeAnswer> {
  if (m1.length !== M1_BYTES || m1[0] !== HandshakeKind.M1) return refused("length");
  if (m1[1] !== PROTOCOL_VERSION) return refused("version");
  const reader = new ByteReader(m1.subarray(2, M1_HEAD_BYTES));
  const keyId = reader.take(RELAY_KEY_ID_BYTES);
  const ephemeralKey = reader.take(X_WING.publicKey);
  const encapsulation = reader.take(X_WING.ciphertext);
  const key = options.relay.keys.find((candidate) => equalBytes(candidate.id, keyId));
  if (key === undefined) return refused("unknown-key");
  const digest = crypto.digest("SHA-256", m1);
  if (options.replay.has(digest)) return refused("replay");

  const head = m1.subarray(0, M1_HEAD_BYTES);
  const { fingerprint } = options.relay;
  let first: FirstKeys;
  try {
    first = firstKeys(crypto, fingerprint, await crypto.decapsulate("X-Wing", key.privateKey, encapsulation));
  } catch {
    return refused("bad-key");
  }
  const sealed = m1.subarray(M1_HEAD_BYTES);
  const plaintext = crypto.open("ChaCha20-Poly1305", first.sealKey, ZERO_NONCE, head, sealed);
  if (plaintext === null) return refused("bad-seal");
  if (!options.replay.add(digest)) return refused("replay");
  try {
    unpadJson(plaintext);
  } catch {
    return refused("bad-seal");
  }

  let answer;
  try {
    answer = await crypto.encapsulate("X-Wing", ephemeralKey, options.randomness?.encapsulationSeed);
  } catch {
    return refused("bad-key");
  }
  const second = secondKeys(crypto, { m1, chain: first.chain, fingerprint }, answer.sharedSecret);
  const m2Head = concatBytes(Uint8Array.of(HandshakeKind.M2), answer.ciphertext);
  const greeting = padJson(greetingFields(options.greeting), M2_BYTES - M2_HEAD_BYTES - AEAD_TAG_BYTES);
  const m2 = concatBytes(
    m2Head,
    crypto.seal("ChaCha20-Poly1305", second.sealKey, ZERO_NONCE, m2Head, greeting),
  );
  return { kind: "accepted", m2, secrets: sessionSecrets(crypto, second.prk, m1, m2, fingerprint) };
}

function refused(reason: HandshakeRefusal): HandshakeAnswer {
  return { kind: "refused", reason };
}
