/** Pinned identities and safety numbers. */

import assert from "node:assert/strict";
import {
  acceptChange,
  checkContact,
  type Contact,
  decodeContact,
  encodeContact,
  markVerified,
  noteChange,
  pinContact,
  safetyNumber,
  verificationFits,
  verificationText,
} from "../../client/identity/mod.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";
import { type AccountName, fingerprintOf, parseAccountName } from "../../proto/identity.ts";

const crypto = createNativeProvider();
const bob = parseAccountName("bob");

function identity(fill: number) {
  const identityKey = new Uint8Array(1_952).fill(fill);
  return { identityKey, fingerprint: fingerprintOf(crypto, identityKey) };
}

Deno.test("a contact is pinned when first seen, and another identity under the name is noticed", () => {
  const contacts = new Map<AccountName, Contact>();
  const [first, second] = [identity(1), identity(2)];
  assert.equal(checkContact(contacts, bob, first.fingerprint), "new");
  contacts.set(bob, pinContact(bob, first, 1_000));
  assert.equal(checkContact(contacts, bob, first.fingerprint), "known");
  contacts.set(bob, markVerified(contacts.get(bob)!));
  assert.equal(checkContact(contacts, bob, first.fingerprint), "verified");
  assert.equal(checkContact(contacts, bob, second.fingerprint), "changed");

  contacts.set(bob, noteChange(contacts.get(bob)!, second));
  assert.equal(checkContact(contacts, bob, second.fingerprint), "changed", "noticing is not accepting");
  assert.equal(checkContact(contacts, bob, first.fingerprint), "verified", "the pinned identity stays");

  contacts.set(bob, acceptChange(contacts.get(bob)!, 2_000));
  assert.equal(
    checkContact(contacts, bob, second.fingerprint),
    "known",
    "an accepted identity is not verified",
  );
  assert.equal(checkContact(contacts, bob, first.fingerprint), "changed");
  assert.equal(contacts.get(bob)!.firstSeenMs, 2_000);
  assert.equal(contacts.get(bob)!.pending, undefined);
});

Deno.test("acceptChange() refuses where nothing has changed", () => {
  const contact = pinContact(bob, identity(1), 0);
  assert.throws(() => acceptChange(contact, 1), { code: "NOT_FOUND" });
  assert.equal(noteChange(contact, identity(1)), contact);
});

Deno.test("decodeContact() gives what encodeContact() was given", () => {
  const plain = pinContact(bob, identity(1), 1_700_000_000_000);
  for (
    const contact of [
      plain,
      markVerified(plain),
      noteChange(plain, identity(2)),
      markVerified(noteChange(plain, identity(3))),
    ]
  ) {
    assert.deepEqual(decodeContact(encodeContact(contact)), contact);
  }
});

Deno.test("decodeContact() refuses damaged rows with one code", () => {
  const bytes = encodeContact(noteChange(pinContact(bob, identity(1), 5), identity(2)));
  const version = bytes.slice();
  version[0] = 2;
  for (const broken of [version, bytes.subarray(0, -1), new Uint8Array([...bytes, 0]), new Uint8Array()]) {
    assert.throws(() => decodeContact(broken), { code: "CORRUPT_STORE" });
  }
});

Deno.test("safetyNumber() is 12 groups of 5 digits, the same on both sides and with both providers", () => {
  const [one, other] = [identity(1).identityKey, identity(2).identityKey];
  const number = safetyNumber(crypto, one, other);
  assert.match(number, /^\d{5}( \d{5}){11}$/);
  assert.equal(safetyNumber(crypto, other, one), number);
  assert.equal(safetyNumber(createNobleProvider(), one, other), number);
  assert.notEqual(safetyNumber(crypto, one, identity(3).identityKey), number);
  // Computed from the description in safety_number.ts by another implementation.
  assert.equal(number, "77004 00231 01961 95870 42537 67802 06358 97581 08709 50772 49665 56586");
});

Deno.test("a verification code fits only the two identities it was made for, seen from the other side", () => {
  const [alice, bobs, mallory] = [identity(1), identity(2), identity(3)].map(({ fingerprint }) =>
    fingerprint
  );
  const code = verificationText({ own: alice, contact: bobs });
  assert.match(code, /^arona-verify:1:[\w-]{43}:[\w-]{43}$/);
  assert.ok(verificationFits(` ${code}\n`, { own: bobs, contact: alice }));
  assert.ok(!verificationFits(code, { own: alice, contact: bobs }), "one's own code proves nothing");
  assert.ok(!verificationFits(code, { own: bobs, contact: mallory }));
  assert.ok(!verificationFits(code, { own: mallory, contact: alice }));
  for (const other of ["", "arona://host:1#x", "arona-verify:1:abc", `${code}:x`, code.slice(0, -1)]) {
    assert.throws(() => verificationFits(other, { own: bobs, contact: alice }), { code: "USAGE" });
  }
});
