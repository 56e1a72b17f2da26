/** Fuzz targets of what an operator's files and requests hold: backups, and what is asked of a running relay. */

import assert from "node:assert/strict";
import { decodeManifest, encodeManifest } from "../../cli/backup/manifest.ts";
import { TarReader, TarWriter } from "../../cli/backup/tar.ts";
import type { ControlledRelay } from "../../cli/control/protocol.ts";
import { controlHandler } from "../../cli/control/server.ts";
import { AronaError, utf8 } from "../../proto/mod.ts";
import { changeLimits, DEFAULT_RELAY_LIMITS } from "../../server/mod.ts";
import type { FuzzTarget } from "./runner.ts";

const HASH = "0123456789abcdef".repeat(4);
const AT_MS = Date.UTC(2026, 0, 1);

/** Bytes that are read and written like a file. */
class MemoryFile {
  #read = 0;

  constructor(public bytes: Uint8Array<ArrayBuffer> = new Uint8Array()) {}

  read(into: Uint8Array): Promise<number | null> {
    const part = this.bytes.subarray(this.#read, this.#read + into.length);
    into.set(part);
    this.#read += part.length;
    return Promise.resolve(part.length === 0 && into.length > 0 ? null : part.length);
  }

  write(part: Uint8Array): Promise<number> {
    const bytes = new Uint8Array(this.bytes.length + part.length);
    bytes.set(this.bytes);
    bytes.set(part, this.bytes.length);
    this.bytes = bytes;
    return Promise.resolve(part.length);
  }
}

async function container(files: ReadonlyMap<string, Uint8Array>, mtimeMs: number): Promise<Uint8Array> {
  const file = new MemoryFile();
  const writer = new TarWriter(file, { mtimeMs });
  for (const [name, bytes] of files) await writer.add({ name, bytes: bytes.length }, [bytes]);
  await writer.end();
  return file.bytes;
}

/** Its decoders throw plain errors, which become sentences for a person further up. */
function refusals<T>(error: unknown): T {
  if (error instanceof assert.AssertionError) throw error;
  throw new AronaError("BAD_ENCODING", "Cannot read backup", { cause: error });
}

const backup: FuzzTarget = {
  name: "backup",
  what: "the container of a backup, which is read in one way only",
  cost: 4,
  async open() {
    const small = new Map([["profile.key", utf8("key")], ["profile.db", new Uint8Array(600).fill(7)]]);
    return {
      corpus: [await container(small, AT_MS), await container(new Map([["a", new Uint8Array()]]), 0)],
      async run(input) {
        const files = new Map<string, Uint8Array>();
        let total = 0;
        try {
          for await (
            const { name, bytes, content } of new TarReader(new MemoryFile(input.slice())).entries()
          ) {
            const parts: number[] = [];
            for await (const chunk of content) parts.push(...chunk);
            assert.equal(parts.length, bytes);
            assert.match(name, /^[a-z0-9][a-z0-9_.-]*$/);
            files.set(name, Uint8Array.from(parts));
            total += bytes;
          }
        } catch (error) {
          refusals(error);
        }
        assert.ok(total <= input.length);
      },
    };
  },
};

const manifest: FuzzTarget = {
  name: "backup-manifest",
  what: "a backup's manifest, which comes out the same again",
  open() {
    const file = (name: string) => ({ name, bytes: 5, sha256: HASH });
    return {
      corpus: [
        encodeManifest({
          kind: "relay",
          name: "relay",
          arona: "0.1.0",
          atMs: AT_MS,
          files: [file("relay.db")],
        }),
        encodeManifest({
          kind: "profile",
          name: "alice",
          arona: "0.1.0",
          atMs: AT_MS,
          files: [file("profile.key"), file("profile.db")],
        }),
      ],
      run(input) {
        let read;
        try {
          read = decodeManifest(input);
        } catch (error) {
          return refusals(error);
        }
        assert.deepEqual(decodeManifest(encodeManifest(read)), read);
      },
    };
  },
};

const control: FuzzTarget = {
  name: "operator-request",
  what: "what is asked of a running relay: no answer says that something went wrong inside",
  cost: 4,
  open() {
    let limits = DEFAULT_RELAY_LIMITS;
    const act: ControlledRelay["ban"] = (subject) => {
      assert.match(subject.subject, subject.kind === "account" ? /^[a-z0-9][a-z0-9_.-]+$/ : /^[0-9a-f]{64}$/);
      return Promise.resolve({ subject, changed: true, sessions: 0 });
    };
    const relay: ControlledRelay = {
      status: () => Promise.reject(new Error("not asked here")),
      ban: act,
      unban: act,
      kick: act,
      bans: () => Promise.resolve([]),
      limits: () => Promise.resolve(limits),
      // deno-lint-ignore require-await -- what it throws has to be a rejection
      setLimits: async (change) => limits = changeLimits(limits, change),
      reload: () => Promise.resolve({ applied: [], restart: [] }),
      drain: ({ withinMs = 0 }) => {
        assert.ok(withinMs >= 0);
        return Promise.resolve();
      },
    };
    const address = "127.0.0.1:1";
    const faults: unknown[] = [];
    const token = "t".repeat(43);
    const handler = controlHandler({
      relay,
      token,
      address: () => address,
      onFault: (error) => faults.push(error),
    });
    const headers = { host: address, authorization: `Bearer ${token}`, "content-type": "application/json" };
    return {
      // The path, a space, the body.
      corpus: [
        'ban {"subject":"alice"}',
        `kick {"subject":"${HASH}"}`,
        'unban {"subject":"@bob"}',
        'limits {"messageBurst":7,"registration":"closed"}',
        'drain {"withinMs":5}',
        "reload ",
      ].map((text) => utf8(text)),
      async run(input) {
        const text = new TextDecoder("latin1").decode(input);
        const at = text.indexOf(" ") + 1;
        const path = encodeURI(text.slice(0, Math.max(0, at - 1))).replaceAll(/[?#]/g, "_");
        const body = input.slice(at);
        const response = await handler(
          new Request(`http://${address}/v1/${path}`, { method: "POST", headers, body }),
        );
        const answer = await response.json();
        assert.deepEqual(faults, []);
        assert.ok(
          response.status === 200 || (response.status < 500 && typeof answer.error.code === "string"),
        );
        if (response.status !== 200) throw new AronaError("BAD_REQUEST", "Cannot answer: refused");
      },
    };
  },
};

/** Targets of operating a relay. */
export const operateTargets: readonly FuzzTarget[] = [backup, manifest, control];
