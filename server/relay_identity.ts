/** The relay's identity, its X-Wing keys and the discovery document that it signs with the one for the other. */

import {
  type Clock,
  type CryptoProvider,
  MAX_DOCUMENT_LIFETIME_MS,
  MAX_RELAY_KEY_LIFETIME_MS,
  PROTOCOL_VERSION,
  type RelayHandshakeKey,
  type RelayHandshakeKeys,
  relayKeyId,
  signDocument,
} from "../proto/mod.ts";
import { DOCUMENT_RENEWAL_MS, RELAY_KEY_ROTATION_MS } from "./limits.ts";
import type { RelayLog } from "./log.ts";
import type { RelayStore, StoredKeyPair, StoredRelayKey } from "./store.ts";

/** What the document says that is not a key. */
export interface DocumentContent {
  readonly name: string;
  /** `host:port`, best first. */
  readonly endpoints: readonly string[];
  /** Where newer documents will be: `gist:ID`, `@login`, `https://host`. */
  readonly sources: readonly string[];
}

interface Parts {
  readonly store: RelayStore;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly log: RelayLog;
}

/** Keys and document of a running relay. */
export class RelayIdentity implements RelayHandshakeKeys {
  readonly fingerprint: Uint8Array;
  #keys: StoredRelayKey[] = [];
  #handshakeKeys: RelayHandshakeKey[] = [];
  #content: DocumentContent = { name: "", endpoints: [], sources: [] };
  #document: Uint8Array = new Uint8Array();
  #expiresAtMs = 0;
  #sequence = 0;
  #signing: Promise<unknown> = Promise.resolve();

  private constructor(private readonly parts: Parts, private readonly identity: StoredKeyPair) {
    this.fingerprint = parts.crypto.digest("SHA-256", identity.publicKey);
  }

  /** Reads the identity from the store, or makes it at the first start. */
  static async load(parts: Parts): Promise<RelayIdentity> {
    let identity = parts.store.identity();
    if (identity === null) {
      identity = await parts.crypto.signatureKeyPair("ML-DSA-65");
      parts.store.saveIdentity(identity);
    }
    const relay = new RelayIdentity(parts, identity);
    relay.#useKeys();
    return relay;
  }

  /** Newest first; a key stays until its certificate ends, because clients may hold a document that names it. */
  get keys(): readonly RelayHandshakeKey[] {
    return this.#handshakeKeys;
  }

  /** The current document's bytes. */
  get document(): Uint8Array {
    return this.#document;
  }

  /** Its number and its end. */
  get documentState(): { sequence: number; expiresAtMs: number } {
    return { sequence: this.#sequence, expiresAtMs: this.#expiresAtMs };
  }

  /** What the newest document says. */
  get content(): DocumentContent {
    return this.#content;
  }

  /** Publishes changed content, with the next sequence number; where it cannot be signed, the content stays as it was. */
  publish(change: Partial<DocumentContent>): Promise<void> {
    return this.#inTurn(async () => {
      const content = { ...this.#content, ...change };
      await this.#sign(content);
      this.#content = content;
    });
  }

  /**
   * Replaces the relay key and the document before they end.
   *
   * @returns whether there is a new document
   */
  maintain(): Promise<boolean> {
    return this.#inTurn(async () => {
      const rotated = await this.#rotate();
      const endsSoon = this.#expiresAtMs - this.parts.clock.now() < DOCUMENT_RENEWAL_MS;
      if (rotated || endsSoon) await this.#sign();
      return rotated || endsSoon;
    });
  }

  /** One change at a time, so that a later document never has the lower number. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#signing.then(action);
    this.#signing = result.catch(() => {});
    return result;
  }

  async #rotate(): Promise<boolean> {
    const { store, crypto, clock, log } = this.parts;
    const nowMs = clock.now();
    const newest = this.#keys[0];
    // A clock that was set back far makes a key from the future: it is replaced as well.
    const usable = newest !== undefined && nowMs - newest.notBeforeMs < RELAY_KEY_ROTATION_MS &&
      nowMs >= newest.notBeforeMs - RELAY_KEY_ROTATION_MS;
    if (usable) return false;
    const pair = await crypto.kemKeyPair("X-Wing");
    store.saveRelayKey({ ...pair, notBeforeMs: nowMs, notAfterMs: nowMs + MAX_RELAY_KEY_LIFETIME_MS });
    store.expireRelayKeys(nowMs);
    this.#useKeys();
    if (newest !== undefined) log({ type: "relay_key_rotated" });
    return true;
  }

  async #sign(content = this.#content): Promise<void> {
    await this.#rotate();
    const { store, crypto, clock, log } = this.parts;
    const key = this.#keys[0];
    const sequence = store.nextSequence();
    const issuedAtMs = clock.now();
    const expiresAtMs = Math.min(issuedAtMs + MAX_DOCUMENT_LIFETIME_MS, key.notAfterMs);
    this.#document = await signDocument(crypto, {
      ...content,
      relayKey: { ...key, id: relayKeyId(crypto, key.publicKey) },
      protocols: [PROTOCOL_VERSION],
      sequence,
      issuedAtMs,
      expiresAtMs,
    }, { identity: { ...this.identity } });
    this.#expiresAtMs = expiresAtMs;
    this.#sequence = sequence;
    log({ type: "document_signed", sequence });
  }

  /** The arrays of keys in use stay the same ones: providers remember what they have imported by them. */
  #useKeys(): void {
    const { store, crypto } = this.parts;
    const byId = new Map(this.#handshakeKeys.map((key) => [String(key.id), key]));
    this.#keys = store.relayKeys().sort((a, b) => b.notBeforeMs - a.notBeforeMs);
    this.#handshakeKeys = this.#keys.map(({ publicKey, privateKey }) => {
      const id = relayKeyId(crypto, publicKey);
      return byId.get(String(id)) ?? { id, privateKey };
    });
  }
}
