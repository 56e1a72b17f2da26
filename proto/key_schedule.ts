/** The key schedule of the handshake: HKDF-SHA-384, a label for every use (PROTOCOL.md sections 4.1 to 4.5). */

import { ByteWriter, concatBytes, utf8 } from "./bytes.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { AEAD_KEY_BYTES } from "./crypto/sizes.ts";

/** What a handshake gives both sides and nobody else. */
export interface SessionSecrets {
  /** 48 bytes: the first secret of the client's direction. */
  readonly clientToRelay: Uint8Array;
  /** 48 bytes: the first secret of the relay's direction. */
  readonly relayToClient: Uint8Array;
  /** 32 bytes for AUTH. */
  readonly exporter: Uint8Array;
}

/** Bytes of a direction's secret. */
export const SECRET_BYTES = 48;
const EXPORTER_BYTES = 32;
const PROTOCOL_LABEL = "arona handshake v2";

/** Derives `length` bytes: HKDF-Expand with SHA-384 and `vector16(label) ‖ context` as info. */
export function deriveSecret(
  crypto: CryptoProvider,
  secret: Uint8Array,
  options: { label: string; context?: Uint8Array; length: number },
): Uint8Array {
  const info = new ByteWriter().vector16(utf8(options.label)).raw(options.context ?? new Uint8Array())
    .finish();
  return crypto.hkdfExpand("SHA-384", secret, info, options.length);
}

/** What the encapsulation to the relay key gives. */
export interface FirstKeys {
  readonly sealKey: Uint8Array;
  readonly chain: Uint8Array;
}

/** Key of M1's sealed part, and what the second step builds on. */
export function firstKeys(
  crypto: CryptoProvider,
  fingerprint: Uint8Array,
  sharedSecret: Uint8Array,
): FirstKeys {
  const salt = new ByteWriter().vector16(utf8(PROTOCOL_LABEL)).raw(fingerprint).finish();
  const prk = crypto.hkdfExtract("SHA-384", salt, sharedSecret);
  return {
    sealKey: deriveSecret(crypto, prk, { label: "arona m1 key v2", length: AEAD_KEY_BYTES }),
    chain: deriveSecret(crypto, prk, { label: "arona chain v2", length: SECRET_BYTES }),
  };
}

/** Key of M2's sealed part, and what the session's secrets come from. */
export function secondKeys(
  crypto: CryptoProvider,
  handshake: { m1: Uint8Array; chain: Uint8Array; fingerprint: Uint8Array },
  sharedSecret: Uint8Array,
): { prk: Uint8Array; sealKey: Uint8Array } {
  const prk = crypto.hkdfExtract("SHA-384", handshake.chain, sharedSecret);
  const context = transcriptHash(crypto, [handshake.m1, handshake.fingerprint]);
  return {
    prk,
    sealKey: deriveSecret(crypto, prk, { label: "arona m2 key v2", context, length: AEAD_KEY_BYTES }),
  };
}

/** The session's secrets, bound to every byte of both messages and to the relay. */
export function sessionSecrets(
  crypto: CryptoProvider,
  prk: Uint8Array,
  m1: Uint8Array,
  m2: Uint8Array,
  fingerprint: Uint8Array,
): SessionSecrets {
  const context = transcriptHash(crypto, [m1, m2, fingerprint]);
  const derive = (label: string, length: number) => deriveSecret(crypto, prk, { label, context, length });
  return {
    clientToRelay: derive("arona client to relay v2", SECRET_BYTES),
    relayToClient: derive("arona relay to client v2", SECRET_BYTES),
    exporter: derive("arona exporter v2", EXPORTER_BYTES),
  };
}

function transcriptHash(crypto: CryptoProvider, parts: readonly Uint8Array[]): Uint8Array {
  const label = new ByteWriter().vector16(utf8(PROTOCOL_LABEL)).finish();
  return crypto.digest("SHA-384", concatBytes(label, ...parts));
}
