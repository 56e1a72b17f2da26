/** Limits of the wire that both sides enforce (PROTOCOL.md section 11). Sizes in bytes, times in milliseconds. */

/** Largest record on the wire, its 4-byte length not counted. */
export const MAX_RECORD_BYTES = 65_536;
/** Records are padded to at least this many plaintext bytes. */
export const MIN_PADDED_BYTES = 256;
/** Largest logical frame once AUTH has succeeded. */
export const MAX_FRAME_BYTES = 1_048_576;
/** Largest logical frame before AUTH: a certificate, a device key, an ML-DSA-44 signature (9,0xx B) and some JSON. */
export const MAX_FRAME_BYTES_BEFORE_AUTH = 12_288;
/** Largest object (Welcome, GroupInfo, commit) that travels in OBJECT chunks; also all objects under way on one connection. */
export const MAX_OBJECT_BYTES = 16_777_216;
/** Blobs over this size leave the control frame and travel as an object. */
export const MAX_INLINE_BLOB_BYTES = 262_144;
/** Payload of one OBJECT chunk. */
export const OBJECT_CHUNK_BYTES = 49_152;
/** Blobs in one control frame. */
export const MAX_BLOBS = 256;
/** JSON part of a control frame; the list of a full channel's members is the largest. */
export const MAX_CONTROL_JSON_BYTES = 262_144;
/** Fixed body size of the handshake messages. */
export const M1_BYTES = 4_096;
export const M2_BYTES = 2_048;
/** From accept to AUTH_OK. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Records under one key, and the time after which a key is ratcheted. */
export const MAX_RECORDS_PER_KEY = 65_536;
export const KEY_LIFETIME_MS = 600_000;
/** A connection is renewed after this time. */
export const MAX_CONNECTION_AGE_MS = 86_400_000;
/** Relay key certificates are valid no longer than this. */
export const MAX_RELAY_KEY_LIFETIME_MS = 30 * 86_400_000;
/** Discovery documents are valid no longer than this, and no larger. */
export const MAX_DOCUMENT_LIFETIME_MS = 7 * 86_400_000;
export const MAX_DOCUMENT_BYTES = 16_384;
/** One application ciphertext; above 16 KiB of text plus MLS's own bytes. */
export const MAX_ENVELOPE_BYTES = 65_536;
/** Text of one message, as UTF-8. */
export const MAX_TEXT_BYTES = 16_384;
/** Group and channel names, in characters. */
export const MAX_GROUP_NAME_CHARACTERS = 64;
/** Members of a channel. */
export const MAX_GROUP_MEMBERS = 1_000;
/** KeyPackages a device may have on the relay, for each suite. */
export const MAX_KEY_PACKAGES_PER_DEVICE = 64;
/** Sealed request or answer of a further device: two certificates and some bytes are the most. */
export const MAX_LINK_BOX_BYTES = 11_264;
/** How long a rendezvous waits for the further device. */
export const RENDEZVOUS_LIFETIME_MS = 600_000;
/** Highest proof of work a relay may ask for, in leading zero bits. */
export const MAX_POW_BITS = 20;
