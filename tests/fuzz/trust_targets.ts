/** Targets of what decides whom to trust: certificates, the discovery document and links. */

import assert from "node:assert/strict";
import {
  ByteWriter,
  decodeCertificate,
  encodeCertificate,
  equalBytes,
  formatLink,
  formatSource,
  formatSourceLink,
  issueCertificate,
  parseEndpoint,
  parseLink,
  parsePublicSource,
  parseSource,
  parseSourceLink,
  SignatureAlgorithm,
  signDocument,
  toBase64Url,
  utf8,
  verifyDocument,
} from "../../proto/mod.ts";
import { splitEndpoint } from "../../client/discovery/mod.ts";
import { codecTarget } from "./checks.ts";
import { fixedDevice, fixedRelay, START_MS } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import { changeJson, type Json } from "./mutate_json.ts";
import type { FuzzTarget } from "./runner.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

const document: FuzzTarget = {
  name: "document",
  what: "the discovery document as it comes",
  cost: 2,
  open: async () => ({
    corpus: [(await fixedRelay()).bytes, await documentWithSources()],
    run: (input) => verify(input),
  }),
};

const documentPayload: FuzzTarget = {
  name: "document-payload",
  what: "any payload, well signed",
  cost: 8,
  async open() {
    const relay = await fixedRelay();
    const envelope = JSON.parse(new TextDecoder().decode(await documentWithSources()));
    const payload = Uint8Array.from(
      atob(envelope.payload.replaceAll("-", "+").replaceAll("_", "/")),
      (c) => c.charCodeAt(0),
    );
    const fields = JSON.parse(new TextDecoder().decode(payload)) as Json;
    return {
      corpus: [payload],
      generate: (random) =>
        random.oneIn(3) ? mutate(random, [payload]) : utf8(JSON.stringify(changeJson(random, fields))),
      async run(input) {
        const statement = new ByteWriter().vector16(utf8("arona discovery v1")).raw(input).finish();
        const signature = await provider.sign("ML-DSA-65", relay.identity.privateKey, statement);
        await verify(
          utf8(JSON.stringify({ payload: toBase64Url(input), signature: toBase64Url(signature) })),
        );
      },
    };
  },
};

async function documentWithSources(): Promise<Uint8Array> {
  const { fields, identity } = await fixedRelay();
  const sources = ["gist:0123456789abcdef", "@alice", "https://relay.example", "https://relay.example:8443"];
  return await signDocument(provider, { ...fields, sources }, { identity });
}

async function verify(bytes: Uint8Array): Promise<void> {
  const { document: known } = await fixedRelay();
  const { fingerprint } = known;
  const found = await verifyDocument(provider, bytes, { nowMs: START_MS, fingerprint });
  assert.ok(equalBytes(found.fingerprint, fingerprint));
  assert.ok(!/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u.test(found.name), "the name holds what cannot be shown");
  assert.ok(found.protocols.includes(2));
  for (const endpoint of found.endpoints) {
    assert.deepEqual(splitEndpoint(endpoint).port, parseEndpoint(endpoint).port);
  }
  assert.ok(found.sources.length <= 4);
  for (const source of found.sources) assert.equal(formatSource(parsePublicSource(source)), source);
}

const link: FuzzTarget = {
  name: "link",
  what: "arona:// links; what is read is written and read the same again",
  open() {
    const fingerprint = new Uint8Array(32).fill(7);
    const corpus = ["relay.example", "192.0.2.7", "2001:db8::7"].map((hostname) =>
      utf8(formatLink({ hostname, port: 7700, fingerprint }))
    );
    return {
      corpus: [...corpus, utf8(`  ARONA://Relay.Example:1/#${toBase64Url(fingerprint)}\n`)],
      run(input) {
        const link = parseLink(new TextDecoder().decode(input));
        const written = formatLink(link);
        assert.deepEqual(parseLink(written), link);
        assert.match(written, /^arona:\/\/[\x21-\x7e]+$/);
      },
    };
  },
};

const sourceLink: FuzzTarget = {
  name: "source-link",
  what: "whatever names a relay; what is read is written and read the same again",
  open() {
    const fingerprint = new Uint8Array(32).fill(7);
    const sources = [
      "relay.example:7700",
      "gist:0123456789abcdef",
      "https://gist.github.com/alice/0123456789abcdef#file-arona-json",
      "@alice",
      "https://relay.example",
      "https://[2001:db8::7]:8443/.well-known/arona.json",
      "http://127.0.0.1:8080",
      "lan",
    ];
    const links = sources.map((text) => formatSourceLink({ ...parseSourceLink(text), fingerprint }));
    return {
      corpus: [
        ...sources,
        ...links,
        ...["relay.example:7700", "gist/0123456789abcdef", "@alice", "relay.example"].map((place) =>
          `arona://${place}/invite/abcd23#${toBase64Url(fingerprint)}`
        ),
      ].map((text) => utf8(text)),
      run(input) {
        const link = parseSourceLink(new TextDecoder().decode(input));
        const written = formatSourceLink(link);
        assert.deepEqual(parseSourceLink(written), link);
        assert.deepEqual(parseSource(formatSource(link.source)), link.source);
        assert.match(written, /^[\x21-\x7e]+$/);
        assert.ok(written.length <= 400);
      },
    };
  },
};

/** Targets, in the order in which a client meets them. */
export const trustTargets: readonly FuzzTarget[] = [
  link,
  sourceLink,
  document,
  documentPayload,
  codecTarget({
    name: "certificate",
    what: "device certificates",
    corpus: async () => {
      const crypto = seededProvider("certificate");
      const { certificate, identity, account, device } = await fixedDevice();
      const second = await issueCertificate(crypto, {
        identity,
        deviceKey: (await crypto.signatureKeyPair("ML-DSA-65")).publicKey,
        algorithm: SignatureAlgorithm.ML_DSA_65,
        account,
        device,
        notBeforeMs: 0,
        notAfterMs: Number.MAX_SAFE_INTEGER,
      });
      return [encodeCertificate(certificate), encodeCertificate(second)];
    },
    decode: decodeCertificate,
    encode: encodeCertificate,
  }),
];
