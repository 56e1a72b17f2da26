/** Discovery documents: signed, strict, bounded in time and order. */

import assert from "node:assert/strict";
import {
  type DiscoveryFields,
  type ErrorCode,
  fromBase64Url,
  fromUtf8,
  isAronaError,
  MAX_DOCUMENT_BYTES,
  MAX_DOCUMENT_SOURCES,
  MAX_SEQUENCE_JUMP,
  signDocument,
  toBase64Url,
  utf8,
  verifyDocument,
  type VerifyDocumentOptions,
} from "../../proto/mod.ts";
import { DAY_MS, provider, sharedRelay, START_MS, testRelay } from "./fixture.ts";

const relay = await sharedRelay();
const verify = (bytes: Uint8Array, options: Partial<VerifyDocumentOptions> = {}) =>
  verifyDocument(provider, bytes, { nowMs: START_MS + 1, ...options });
const fails = (action: Promise<unknown>, code: ErrorCode, message = /./) =>
  assert.rejects(action, (error) => isAronaError(error, code) && message.test(error.message));

/** Signs a payload that `signDocument()` itself would refuse. */
async function forge(change: (payload: Record<string, unknown>) => void): Promise<Uint8Array> {
  const payload = JSON.parse(fromUtf8(fromBase64Url(JSON.parse(fromUtf8(relay.bytes)).payload)));
  change(payload);
  return await sign(utf8(JSON.stringify(payload)));
}

async function sign(payload: Uint8Array): Promise<Uint8Array> {
  const label = utf8("arona discovery v1");
  const statement = Uint8Array.of(0, label.length, ...label, ...payload);
  const signature = await provider.sign("ML-DSA-65", relay.identity.privateKey, statement);
  return utf8(JSON.stringify({ payload: toBase64Url(payload), signature: toBase64Url(signature) }));
}

Deno.test("verifyDocument() gives back what signDocument() was given", async () => {
  const { fingerprint, identityKey, sources, ...fields } = await verify(relay.bytes, {
    fingerprint: provider.digest("SHA-256", relay.identity.publicKey),
    highestSequence: 7,
  });
  assert.deepEqual(fields, relay.fields);
  assert.deepEqual(sources, []);
  assert.deepEqual(identityKey, relay.identity.publicKey);
  assert.deepEqual(fingerprint, relay.document.fingerprint);
  assert.ok(relay.bytes.length <= MAX_DOCUMENT_BYTES);
});

Deno.test("a document of another relay is WRONG_RELAY, not merely wrong", async () => {
  const other = await testRelay(provider, 50);
  await fails(verify(other.bytes, { fingerprint: relay.document.fingerprint }), "WRONG_RELAY");
});

Deno.test("a changed payload or signature is refused", async () => {
  const envelope = JSON.parse(fromUtf8(relay.bytes));
  for (const part of ["payload", "signature"]) {
    const bytes = fromBase64Url(envelope[part]);
    const position = part === "payload" ? fromUtf8(bytes).indexOf("at home") : 100;
    bytes[position] ^= 1;
    const changed = utf8(JSON.stringify({ ...envelope, [part]: toBase64Url(bytes) }));
    await fails(verify(changed), "BAD_DOCUMENT", /signature/);
  }
});

Deno.test("times are checked: expired, from the future, lives too long", async () => {
  await fails(verify(relay.bytes, { nowMs: START_MS + 7 * DAY_MS + 1 }), "BAD_DOCUMENT", /expired/);
  await fails(verify(relay.bytes, { nowMs: START_MS - 600_001 }), "BAD_DOCUMENT", /future/);
  await verify(relay.bytes, { nowMs: START_MS - 600_000 });
  await verify(relay.bytes, { nowMs: START_MS + 7 * DAY_MS });
  await fails(
    verify(await forge((p) => p.expiresAt = START_MS + 7 * DAY_MS + 1)),
    "BAD_DOCUMENT",
    /lifetime/,
  );
  await fails(verify(await forge((p) => p.expiresAt = START_MS)), "BAD_DOCUMENT", /lifetime/);
  const key = (changes: Record<string, unknown>) =>
    forge((p) => p.relayKey = { ...p.relayKey as Record<string, unknown>, ...changes });
  await fails(verify(await key({ notAfter: START_MS + 30 * DAY_MS + 1 })), "BAD_DOCUMENT", /lifetime/);
  await fails(
    verify(await key({ notBefore: START_MS - 2, notAfter: START_MS })),
    "BAD_DOCUMENT",
    /expired/,
  );
});

Deno.test("an older sequence is refused, the same one is not, a jump is capped", async () => {
  await verify(relay.bytes, { highestSequence: 7 });
  await fails(verify(relay.bytes, { highestSequence: 8 }), "BAD_DOCUMENT", /older/);
  const far = await forge((p) => p.sequence = 8 + MAX_SEQUENCE_JUMP);
  await fails(verify(far, { highestSequence: 7 }), "BAD_DOCUMENT", /too far ahead/);
  await verify(far, { highestSequence: 8 });
  await verify(far);
});

Deno.test("versions that this program does not speak are UNKNOWN_VERSION", async () => {
  await fails(verify(await forge((p) => p.version = 3)), "UNKNOWN_VERSION");
  await fails(verify(await forge((p) => p.protocols = [3, 4])), "UNKNOWN_VERSION");
  assert.deepEqual((await verify(await forge((p) => p.protocols = [3, 2]))).protocols, [3, 2]);
});

Deno.test("unknown fields are ignored", async () => {
  assert.equal((await verify(await forge((p) => p.motto = "Schale"))).sequence, 7);
});

Deno.test("a document may name up to four sources, each public and in its one text form", async () => {
  const sources = ["gist:0123456789abcdef", "@alice", "https://relay.example", "https://relay.example:8443"];
  const bytes = await signDocument(provider, { ...relay.fields, sources }, { identity: relay.identity });
  assert.deepEqual((await verify(bytes)).sources, sources);
  assert.deepEqual((await verify(await forge((p) => p.sources = []))).sources, []);
  const wrong: unknown[] = [
    null,
    "@alice",
    Array(MAX_DOCUMENT_SOURCES + 1).fill("@alice"),
    [["@alice"]],
    ["relay.example:7700"],
    ["lan"],
    ["@Alice"],
    [" @alice"],
    ["http://127.0.0.1:8080"],
    ["https://relay.example/"],
    ["https://192.168.1.1"],
    ["https://gist.github.com/0123456789abcdef"],
    ["ftp://relay.example"],
  ];
  for (const value of wrong) {
    await fails(verify(await forge((p) => p.sources = value)), "BAD_DOCUMENT", /source/);
  }
});

Deno.test("fields of a wrong type, size or form are refused", async () => {
  const wrong: [string, unknown][] = [
    ["name", 5],
    ["name", "x".repeat(65)],
    ["name", "a\u001b[2Jb"],
    ["name", "a\u202eb"],
    ["endpoints", "relay.example:7700"],
    ["endpoints", ["relay.example"]],
    ["endpoints", [["relay.example:7700"]]],
    ["endpoints", Array(17).fill("relay.example:7700")],
    ["identityKey", "AAAA"],
    ["identityKey", undefined],
    ["relayKey", []],
    ["relayKey", null],
    ["protocols", []],
    ["protocols", ["2"]],
    ["protocols", Array(17).fill(2)],
    ["sequence", -1],
    ["sequence", 1.5],
    ["sequence", 2 ** 53],
    ["issuedAt", "now"],
    ["expiresAt", null],
  ];
  for (const [field, value] of wrong) {
    await fails(
      verify(await forge((p) => p[field] = value)),
      "BAD_DOCUMENT",
      /^Cannot use discovery document: /,
    );
  }
  await fails(
    verify(await forge((p) => p.relayKey = { ...p.relayKey as object, id: toBase64Url(new Uint8Array(8)) })),
    "BAD_DOCUMENT",
    /id/,
  );
});

Deno.test("bytes that are no document are refused", async () => {
  const envelope = JSON.parse(fromUtf8(relay.bytes));
  const wrong = [
    utf8(""),
    utf8("null"),
    utf8("[]"),
    utf8("{}"),
    Uint8Array.of(0xff, 0xfe),
    utf8(JSON.stringify({ ...envelope, payload: envelope.payload + "=" })),
    utf8(JSON.stringify({ ...envelope, signature: envelope.signature.slice(4) })),
    utf8(JSON.stringify({ ...envelope, payload: 5 })),
    utf8(fromUtf8(relay.bytes) + " ".repeat(MAX_DOCUMENT_BYTES)),
    relay.bytes.subarray(0, 1_000),
  ];
  for (const bytes of wrong) await fails(verify(bytes), "BAD_DOCUMENT");
  await fails(verify(await sign(utf8("7"))), "BAD_DOCUMENT");
});

Deno.test("signDocument() refuses what would not verify", async () => {
  const wrong: Partial<DiscoveryFields>[] = [
    { name: "x".repeat(65) },
    { endpoints: ["no port"] },
    { expiresAtMs: START_MS + 8 * DAY_MS },
  ];
  for (const fields of wrong) {
    await fails(
      signDocument(provider, { ...relay.fields, ...fields }, { identity: relay.identity }),
      "BAD_DOCUMENT",
    );
  }
});
