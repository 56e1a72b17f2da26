/** Targets of what a client keeps: rows, the key file and MLS states. They are sealed, so this is about damage and about old versions. */

import assert from "node:assert/strict";
import {
  type AccountName,
  AronaError,
  ByteWriter,
  type DeviceId,
  fingerprintOf,
  fromHex,
  parseSource,
  toBase64Url,
  utf8,
} from "../../proto/mod.ts";
import { Conversation, loadConversations } from "../../client/conversation.ts";
import { decodeKnownRelay, encodeKnownRelay, splitEndpoint } from "../../client/discovery/mod.ts";
import { decodeKeyPackagePair } from "../../client/groups/key_package.ts";
import {
  type Contact,
  decodeContact,
  decodeIdentity,
  encodeContact,
  encodeIdentity,
} from "../../client/identity/mod.ts";
import { storedKeyPackages } from "../../client/key_packages.ts";
import { decodeOutboxRow, encodeOutboxRow } from "../../client/outbox_row.ts";
import { decodeKeyFile, encodeKeyFile } from "../../client/store/key_file.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import { codecTarget, sameBytes } from "./checks.ts";
import { fixedGroup, fixedIdentity, fixedRelay, START_MS } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import { changeJson, type Json } from "./mutate_json.ts";
import { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

const random = new Random("store corpus");
const GROUP = "ab".repeat(16);
const OTHER_DEVICE = "cd".repeat(16) as DeviceId;
const PASSPHRASE = "correct horse";
/** More than this is not waited for here. */
const MAX_COST_TRIED = 1_024;

const keyFile: FuzzTarget = {
  name: "key-file",
  what: "key files: changed anywhere, or with other fields and the right check",
  cost: 2,
  async open() {
    const crypto = seededProvider("key file");
    const key = random.bytes(32);
    const corpus = [
      await encodeKeyFile(crypto, { key, passphrase: "" }),
      await encodeKeyFile(crypto, { key, passphrase: PASSPHRASE, cost: { N: 2, r: 1, p: 1 } }),
      await encodeKeyFile(crypto, { key, passphrase: PASSPHRASE, cost: { N: 64, r: 8, p: 1 } }),
    ];
    const objects = corpus.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Json);
    return {
      corpus,
      generate: (random) =>
        random.oneIn(2) ? mutate(random, corpus) : checked(changeJson(random, random.pick(objects))),
      async run(input) {
        const unlocked = await decodeKeyFile(provider, {
          bytes: input,
          passphrase: () =>
            costOf(input) > MAX_COST_TRIED ? Promise.reject(tooSlow()) : Promise.resolve(PASSPHRASE),
        });
        assert.equal(unlocked.key.length, 32);
      },
    };
  },
};

const groupState: FuzzTarget = {
  name: "group-state",
  what: "MLS states: what decodes can be looked at, used and encoded",
  cost: 20,
  async open() {
    const { members } = await fixedGroup();
    const { engine } = members[0].peer;
    return {
      corpus: members.map(({ group }) => engine.encode(group)),
      async run(input) {
        const group = engine.decode(input);
        assert.ok(group.members.length > 0 && group.self.account !== "");
        engine.decode(engine.encode(group));
        if (group.active) await engine.encrypt(group, Uint8Array.of(1));
      },
    };
  },
};

const conversation: FuzzTarget = {
  name: "conversation",
  what: "a conversation's record, with and without a commit that waits",
  cost: 4,
  async open() {
    const { members } = await fixedGroup();
    const { peer: { engine }, group } = members[0];
    const parts = engine.encodeParts(group);
    const store = createMemoryStore();
    const id = `${GROUP}/record`;
    const load = (record: Uint8Array) => {
      store.write((writer) => {
        for (const { id } of writer.all("groups")) writer.delete("groups", id);
        writer.put("groups", `${GROUP}/tree`, parts.tree);
        writer.put("groups", `${GROUP}/secrets`, parts.secrets);
        writer.put("groups", id, record);
      });
      return loadConversations(store, engine)[0];
    };
    const save = (conversation: Conversation) => {
      store.write((writer) => {
        for (const { id } of writer.all("groups")) writer.delete("groups", id);
        conversation.save(engine, writer);
      });
      return store.get("groups", `${conversation.id}/record`)!;
    };
    const fresh = new Conversation(group, null);
    const waiting = new Conversation(group, "bert");
    Object.assign(waiting, { participation: "left", ownMessages: 7, renewedAtMs: START_MS });
    waiting.pending = { hash: "cd".repeat(32), next: group };
    return {
      corpus: [save(fresh), save(waiting)],
      run(input) {
        const conversation = load(input);
        assert.ok(["member", "left", "removed", "stuck"].includes(conversation.participation));
        const again = save(conversation);
        // The former version had fewer fields.
        if (conversation.pending === null && input[0] !== 1) sameBytes(again, input);
      },
      close: () => store.close(),
    };
  },
};

const knownRelay: FuzzTarget = {
  name: "known-relay",
  what: "what a profile remembers of its relay",
  async open() {
    const relay = await fixedRelay();
    const { fingerprint } = relay.document;
    const endpoints = ["relay.example:7700", "[2001:db8::7]:7700"];
    const sources = ["gist:0123456789abcdef", "@alice", "https://relay.example", "lan"];
    const corpus = [
      {
        endpoints,
        sources,
        fingerprint,
        document: relay.bytes,
        highestSequence: 7,
        boot: "00112233445566ff",
      },
      { endpoints, sources: [], fingerprint, document: null, highestSequence: 0, boot: "" },
    ].map(encodeKnownRelay);
    const objects = corpus.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Json);
    return {
      corpus,
      generate: (random) =>
        random.oneIn(2)
          ? mutate(random, corpus)
          : utf8(JSON.stringify(changeJson(random, random.pick(objects)))),
      run(input) {
        const known = decodeKnownRelay(input);
        assert.equal(known.fingerprint.length, 32);
        assert.ok(known.document === null || known.document instanceof Uint8Array);
        assert.ok(Number.isSafeInteger(known.highestSequence) && known.highestSequence >= 0);
        assert.equal(typeof known.boot, "string");
        for (const endpoint of known.endpoints) splitEndpoint(endpoint);
        for (const source of known.sources) parseSource(source);
        assert.deepEqual(decodeKnownRelay(encodeKnownRelay(known)), known);
      },
    };
  },
};

const keyPackageRow: FuzzTarget = {
  name: "key-package-row",
  what: "an own KeyPackage's row and the private half in it",
  async open() {
    const { keyPackages: [pair], outsider } = await fixedGroup();
    const row = new ByteWriter().u16(0x0052).u8(0).vector32(pair.publicBytes).vector32(pair.privateBytes)
      .finish();
    const store = createMemoryStore();
    return {
      corpus: [row],
      run(input) {
        store.write((writer) => writer.put("key_packages", "1", input));
        const [stored] = storedKeyPackages(store);
        const { suite, lastResort, publicBytes, privateBytes } = stored;
        const again = new ByteWriter().u16(suite).u8(lastResort ? 1 : 0).vector32(publicBytes)
          .vector32(privateBytes);
        sameBytes(again.finish(), input);
        decodeKeyPackagePair(stored, outsider.device.keys[0x0052].privateKey);
      },
      close: () => store.close(),
    };
  },
};

/** Targets by the tables that the rows are in. */
export const storeTargets: readonly FuzzTarget[] = [
  keyFile,
  codecTarget({
    name: "identity",
    what: "the own identity's row",
    corpus: async () => {
      const identity = await fixedIdentity();
      return [identity, { ...identity, identitySeed: null, primary: OTHER_DEVICE }].map(encodeIdentity);
    },
    decode: decodeIdentity,
    encode: encodeIdentity,
  }),
  codecTarget({
    name: "contact",
    what: "a contact's row, with and without an identity that waits",
    corpus: () => contacts().map(encodeContact),
    decode: decodeContact,
    encode: encodeContact,
  }),
  knownRelay,
  groupState,
  conversation,
  keyPackageRow,
  codecTarget({
    name: "outbox-row",
    what: "an outbox row, not sealed yet, and accepted",
    corpus: () => {
      const row = {
        id: "000000000001",
        group: GROUP as Conversation["id"],
        messageId: "12".repeat(16),
        createdAtMs: START_MS,
        content: random.bytes(256),
        reached: 0,
        lost: false,
      };
      const sealed = {
        epoch: 3,
        sequence: 7,
        envelope: fromHex("34".repeat(16)),
        ciphertext: random.bytes(300),
      };
      return [
        encodeOutboxRow({ ...row, sealed: null, acceptedBoot: null }),
        encodeOutboxRow({ ...row, sealed, acceptedBoot: "00112233445566ff", reached: 2, lost: true }),
      ];
    },
    decode(bytes) {
      const row = decodeOutboxRow("000000000001", bytes);
      if (bytes[0] < 3) {
        throw new AronaError("CORRUPT_STORE", "a row of the former version has another form");
      }
      return row;
    },
    encode: encodeOutboxRow,
  }),
];

function contacts(): Contact[] {
  const identity = (fill: number) => {
    const identityKey = new Uint8Array(1_952).fill(fill);
    return { identityKey, fingerprint: fingerprintOf(provider, identityKey) };
  };
  const bob = { account: "bob" as AccountName, firstSeenMs: START_MS, ...identity(1) };
  return [{ ...bob, verified: false }, { ...bob, verified: true, pending: identity(2) }];
}

/** A key file of these fields with the check that fits them. */
function checked(value: Json): Uint8Array {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return utf8(JSON.stringify(value));
  const { check: _, ...fields } = value;
  const check = provider.digest("SHA-256", utf8(JSON.stringify(fields))).subarray(0, 16);
  return utf8(`${JSON.stringify({ ...fields, check: toBase64Url(check) })}\n`);
}

function costOf(file: Uint8Array): number {
  const { kdf } = JSON.parse(new TextDecoder().decode(file));
  return kdf.N * kdf.r * kdf.p;
}

function tooSlow(): AronaError {
  return new AronaError("WRONG_PASSPHRASE", "Cannot unlock profile: it would take too long here");
}
