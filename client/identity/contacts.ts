/**
 * The identities this person knows: pinned when first seen, and never replaced without the person's word.
 *
 *     row = version u8 ‖ account vector16 ‖ first seen u64 ‖ flags u8 ‖ pinned identity ‖ pending identity, if any
 *     identity = fingerprint 32 ‖ public key 1,952;  flags: 1 verified, 2 a changed identity waits
 */

import {
  type AccountName,
  AronaError,
  ByteReader,
  ByteWriter,
  type Fingerprint,
  fromHex,
  fromUtf8,
  IDENTITY_KEY_BYTES,
  parseAccountName,
  toHex,
  utf8,
} from "../../proto/mod.ts";

/** An identity as somebody else shows it. */
export interface PublicIdentity {
  readonly fingerprint: Fingerprint;
  /** ML-DSA-65 public key, 1,952 B. */
  readonly identityKey: Uint8Array;
}

/** A person this profile knows. */
export interface Contact extends PublicIdentity {
  readonly account: AccountName;
  readonly firstSeenMs: number;
  /** Whether the safety number was compared. */
  readonly verified: boolean;
  /** Another identity that came under the same name and waits for the person's decision. */
  readonly pending?: PublicIdentity;
}

/** What is known of an account that shows a certain identity. */
export type ContactState = "new" | "known" | "verified" | "changed";

const VERSION = 1;
const FLAG_VERIFIED = 1;
const FLAG_PENDING = 2;
const FINGERPRINT_BYTES = 32;

/** Compares the identity that an account shows with the pinned one. */
export function checkContact(
  contacts: ReadonlyMap<AccountName, Contact>,
  account: AccountName,
  fingerprint: Fingerprint,
): ContactState {
  const contact = contacts.get(account);
  if (contact === undefined) return "new";
  if (contact.fingerprint !== fingerprint) return "changed";
  return contact.verified ? "verified" : "known";
}

/** Pins an identity on first use. */
export function pinContact(account: AccountName, identity: PublicIdentity, nowMs: number): Contact {
  const { fingerprint, identityKey } = identity;
  return { account, fingerprint, identityKey, firstSeenMs: nowMs, verified: false };
}

/** Remembers that another identity came under the contact's name; the pinned one stays. */
export function noteChange(contact: Contact, { fingerprint, identityKey }: PublicIdentity): Contact {
  if (fingerprint === contact.fingerprint) return contact;
  return { ...contact, pending: { fingerprint, identityKey } };
}

/**
 * Pins the identity that waits. It has to be verified anew.
 *
 * @throws {AronaError} `NOT_FOUND` where none waits
 */
export function acceptChange(contact: Contact, nowMs: number): Contact {
  if (contact.pending === undefined) {
    throw new AronaError("NOT_FOUND", `Cannot accept identity of ${contact.account}: it has not changed`);
  }
  return pinContact(contact.account, contact.pending, nowMs);
}

/** Marks the pinned identity as compared. */
export function markVerified(contact: Contact): Contact {
  return { ...contact, verified: true };
}

/** The contact's row in the store. */
export function encodeContact(contact: Contact): Uint8Array<ArrayBuffer> {
  const { account, firstSeenMs, verified, pending } = contact;
  const flags = (verified ? FLAG_VERIFIED : 0) | (pending ? FLAG_PENDING : 0);
  const writer = new ByteWriter().u8(VERSION).vector16(utf8(account)).u64(firstSeenMs).u8(flags);
  for (const identity of pending ? [contact, pending] : [contact]) {
    writer.raw(fromHex(identity.fingerprint)).raw(identity.identityKey);
  }
  return writer.finish();
}

/** @throws {AronaError} `CORRUPT_STORE` where the bytes are not what {@link encodeContact} made */
export function decodeContact(bytes: Uint8Array): Contact {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    const account = parseAccountName(fromUtf8(reader.vector16(32)));
    const firstSeenMs = reader.u64();
    const flags = reader.u8();
    if (version !== VERSION || flags > (FLAG_VERIFIED | FLAG_PENDING)) {
      throw new AronaError("BAD_ENCODING", `Cannot read contact: version ${version}, flags ${flags}`);
    }
    const contact = {
      account,
      firstSeenMs,
      verified: (flags & FLAG_VERIFIED) !== 0,
      ...readIdentity(reader),
    };
    const pending = (flags & FLAG_PENDING) === 0 ? {} : { pending: readIdentity(reader) };
    reader.end();
    return { ...contact, ...pending };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read contact: its row is damaged", { cause });
  }
}

function readIdentity(reader: ByteReader): PublicIdentity {
  const fingerprint = toHex(reader.take(FINGERPRINT_BYTES)) as Fingerprint;
  return { fingerprint, identityKey: reader.take(IDENTITY_KEY_BYTES).slice() };
}
