/** The keys of one direction of the record layer, and sealing and opening with them (PROTOCOL.md sections 4.4 and 5.2). */

import type { CryptoProvider } from "./crypto/provider.ts";
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES } from "./crypto/sizes.ts";
import { deriveSecret, SECRET_BYTES } from "./key_schedule.ts";
import type { Direction, RecordOptions } from "./record.ts";

const LENGTH_BYTES = 4;
const AAD_BYTES = 13;
const KEY_OFFSET = SECRET_BYTES;
const IV_OFFSET = KEY_OFFSET + AEAD_KEY_BYTES;

/** The keys of one direction: key and IV from a secret, the next secret from this one. */
export class KeyChain {
  readonly #crypto: CryptoProvider;
  readonly #direction: Direction;
  /** `secret 48 ‖ key 32 ‖ iv 12` in one array: every array costs an idle connection more than these bytes do. */
  readonly #state = new Uint8Array(SECRET_BYTES + AEAD_KEY_BYTES + AEAD_NONCE_BYTES);
  #counter = 0;
  #firstOfKey = 0;

  constructor(crypto: CryptoProvider, options: RecordOptions) {
    this.#crypto = crypto;
    this.#direction = options.direction;
    this.#use(options.secret);
  }

  /** Records under the present key so far. */
  get records(): number {
    return this.#counter - this.#firstOfKey;
  }

  /** Goes on with the next secret; the present one and its key are overwritten. */
  ratchet(): void {
    const secret = this.#state.subarray(0, SECRET_BYTES);
    const next = deriveSecret(this.#crypto, secret, { label: "arona next secret v2", length: SECRET_BYTES });
    this.#firstOfKey = this.#counter;
    this.#use(next);
  }

  seal(plaintext: Uint8Array): Uint8Array {
    const length = plaintext.length + AEAD_TAG_BYTES;
    this.#prepare(length);
    const record = this.#crypto.seal("ChaCha20-Poly1305", this.#key(), NONCE, AAD, plaintext, LENGTH_BYTES);
    record[0] = length >>> 24;
    record[1] = length >>> 16;
    record[2] = length >>> 8;
    record[3] = length;
    this.#counter++;
    return record;
  }

  open(body: Uint8Array): Uint8Array | null {
    this.#prepare(body.length);
    const plaintext = this.#crypto.open("ChaCha20-Poly1305", this.#key(), NONCE, AAD, body);
    if (plaintext !== null) this.#counter++;
    return plaintext;
  }

  #use(secret: Uint8Array): void {
    const key = deriveSecret(this.#crypto, secret, { label: "arona record key v2", length: AEAD_KEY_BYTES });
    const iv = deriveSecret(this.#crypto, secret, { label: "arona record iv v2", length: AEAD_NONCE_BYTES });
    this.#state.set(secret);
    this.#state.set(key, KEY_OFFSET);
    this.#state.set(iv, IV_OFFSET);
  }

  #key(): Uint8Array {
    return this.#state.subarray(KEY_OFFSET, IV_OFFSET);
  }

  /** Fills the shared nonce and associated data for the record at hand. */
  #prepare(length: number): void {
    AAD[0] = this.#direction;
    // Two halves: bitwise operators work on 32 bits. 2^53 records do not happen.
    AAD_VIEW.setUint32(1, Math.floor(this.#counter / 0x1_0000_0000));
    AAD_VIEW.setUint32(5, this.#counter >>> 0);
    AAD_VIEW.setUint32(9, length);
    for (let i = 0; i < AEAD_NONCE_BYTES; i++) NONCE[i] = this.#state[IV_OFFSET + i];
    for (let i = 0; i < 8; i++) NONCE[4 + i] ^= AAD[1 + i];
  }
}

/** Shared by all connections of a thread, because each use is over before the next one begins: sealing and opening are synchronous. */
const NONCE = new Uint8Array(AEAD_NONCE_BYTES);
const AAD = new Uint8Array(AAD_BYTES);
const AAD_VIEW = new DataView(AAD.buffer);
