/**
 * The record layer's layout and its two directions: frames packed together, padded and sealed with ChaCha20-Poly1305 (PROTOCOL.md section 5).
 *
 *     wire       length u32 ‖ ciphertext ‖ tag 16
 *     plaintext  frame* ‖ [0x00 ‖ anything]      padded to a Padmé length, at least 256, at most 65,520
 *     nonce      IV xor (0^4 ‖ counter u64)
 *     AAD        direction u8 ‖ counter u64 ‖ length u32
 *
 * The counter never goes back, not even when the key is ratcheted, so no nonce can come twice.
 */

import { AEAD_TAG_BYTES } from "./crypto/sizes.ts";
import { MAX_RECORD_BYTES } from "./limits.ts";

/** Which way a record goes. */
export const Direction = { CLIENT_TO_RELAY: 0x01, RELAY_TO_CLIENT: 0x02 } as const;
export type Direction = typeof Direction[keyof typeof Direction];

/** Largest plaintext of a record. */
export const MAX_PLAINTEXT_BYTES = MAX_RECORD_BYTES - AEAD_TAG_BYTES;
/** A frame is split only where at least this much of it fits into the record. */
export const MIN_FRAGMENT_BYTES = 1_024;

/** How one direction of a connection begins. */
export interface RecordOptions {
  readonly direction: Direction;
  /** 48 bytes from the handshake. */
  readonly secret: Uint8Array;
  /** Records under one key. @default MAX_RECORDS_PER_KEY */
  readonly recordsPerKey?: number;
}
