import assert from "node:assert/strict";
import {
  acceptPending,
  lookUpPerson,
  parseFingerprintPrefix,
  verificationLines,
  verificationOf,
} from "../../cli/verification.ts";
import type { ChatClient, Contact } from "../../client/mod.ts";
import { type AccountName, AronaError, type Fingerprint } from "../../proto/mod.ts";

const OLD = { fingerprint: "11".repeat(32) as Fingerprint, identityKey: Uint8Array.of(1) };
const NEW = { fingerprint: "22".repeat(32) as Fingerprint, identityKey: Uint8Array.of(2) };
const BOB: Contact = { account: "bob" as AccountName, ...OLD, firstSeenMs: 0, verified: true };
const CHANGED: Contact = { ...BOB, pending: NEW };

/** Of the client what the functions use. A missing answer is an error of the relay's. */
function clientOf(options: { relay: Contact | AronaError; known?: Contact; online?: boolean }) {
  const accepted: string[] = [];
  const { relay, known, online = true } = options;
  const answer = () => relay instanceof AronaError ? Promise.reject(relay) : Promise.resolve(relay);
  const client = {
    account: "alice",
    online,
    refreshContact: answer,
    contact: () => known === undefined ? answer() : Promise.resolve(known),
    safetyNumber: ({ identityKey }: Contact) => `${identityKey[0]}`.repeat(5),
    verify(account: string, { accept }: { accept: boolean }) {
      if (accept) accepted.push(account);
      return { ...BOB, ...NEW, verified: false };
    },
  } as unknown as ChatClient;
  return { client, accepted };
}

function lookUp(client: ChatClient, notes: string[] = []) {
  return lookUpPerson(client, "bob", {
    signal: new AbortController().signal,
    note: (text) => notes.push(text),
  });
}

Deno.test("a changed identity is shown with both safety numbers", async () => {
  const { client } = clientOf({ relay: CHANGED });
  const person = await verificationOf(client, CHANGED);
  assert.deepEqual([person.safetyNumber, person.pending?.safetyNumber], ["11111", "22222"]);
  const text = verificationLines("alice", person).join("\n");
  assert.match(
    text,
    /bob HAS CHANGED.*had verified \(identity 1{16}\).*11111.*new one \(identity 2{16}\).*22222/s,
  );
  assert.doesNotMatch(text, /you have compared it/);
});

Deno.test("--accept with the beginning of a fingerprint accepts that identity and no other", async () => {
  const { client, accepted } = clientOf({ relay: CHANGED });
  await assert.rejects(acceptPending(client, CHANGED, "11111111"), /the one that waits is 2{16}/);
  assert.deepEqual(accepted, []);
  await acceptPending(client, CHANGED, "22222222");
  await acceptPending(client, CHANGED, null);
  assert.deepEqual(accepted, ["bob", "bob"]);
});

Deno.test("parseFingerprintPrefix() takes what people read out, and nothing too short to mean one identity", () => {
  assert.equal(parseFingerprintPrefix("AbCd 0123"), "abcd0123");
  for (const bad of ["", "abcd012", "bob", "g".repeat(8), "0".repeat(65)]) {
    assert.throws(() => parseFingerprintPrefix(bad), /not the beginning of a fingerprint/);
  }
});

Deno.test("lookUpPerson() asks the relay first, so that a change is seen before it is needed", async () => {
  const { client } = clientOf({ relay: CHANGED, known: BOB });
  assert.equal((await lookUp(client)).pending, NEW);
});

Deno.test("lookUpPerson() goes on with what is known, and says why only where that is news", async () => {
  const notes: string[] = [];
  const gone = new AronaError("NOT_FOUND", "x");
  assert.equal(await lookUp(clientOf({ relay: gone, known: BOB }).client, notes), BOB);
  assert.match(notes.join(), /Cannot find @bob: nobody on this relay has that name\. What follows/);
  const away = new AronaError("CLOSED", "x");
  assert.equal(await lookUp(clientOf({ relay: away, known: BOB, online: false }).client, notes), BOB);
  assert.equal(notes.length, 1, "that the relay is away was said when the profile was opened");
  await assert.rejects(lookUp(clientOf({ relay: gone }).client), /nobody on this relay has that name/);
  await assert.rejects(
    lookUp(clientOf({ relay: away, online: false }).client),
    /has not met them, and the relay is away/,
  );
});
