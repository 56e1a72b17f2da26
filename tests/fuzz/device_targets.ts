/** Targets of what lets a further device in: the code, and what is sealed under its secret. */

import assert from "node:assert/strict";
import {
  type DeviceId,
  equalBytes,
  FakeClock,
  formatDeviceCode,
  parseDeviceCode,
  utf8,
} from "../../proto/mod.ts";
import {
  answerFor,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  openRequest,
  sealRequest,
} from "../../client/identity/linking.ts";
import { type LinkRequest, requestFor } from "../../client/identity/mod.ts";
import { codecTarget, once } from "./checks.ts";
import { fixedIdentity, START_MS } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import type { FuzzTarget } from "./runner.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

const PLACE = { fingerprint: new Uint8Array(32).fill(7), secret: new Uint8Array(16).fill(9) };
const CODE = { hostname: "relay.example", port: 7700, ...PLACE };

const request = once(async (): Promise<LinkRequest> => {
  const { keys } = await fixedIdentity();
  return requestFor({ device: "ef".repeat(16) as DeviceId, pairs: keys }, "a phone");
});

const code: FuzzTarget = {
  name: "device-code",
  what: "codes of further devices; what is read is written and read the same again",
  open() {
    const written = formatDeviceCode(CODE);
    const corpus = [
      written,
      `  ${written.replace(/(.{6})$/, "-$1 ")}\n`,
      formatDeviceCode({ ...CODE, hostname: "::1" }),
    ];
    return {
      corpus: corpus.map(utf8),
      run(input) {
        const code = parseDeviceCode(new TextDecoder().decode(input));
        assert.deepEqual(parseDeviceCode(formatDeviceCode(code)), code);
      },
    };
  },
};

const box: FuzzTarget = {
  name: "link-box",
  what: "sealed requests: nothing opens but what was sealed",
  async open() {
    const sealed = sealRequest(seededProvider("link box"), PLACE, await request());
    return {
      corpus: [sealed],
      generate: (random) => mutate(random, [sealed]),
      run(input) {
        openRequest(provider, PLACE, input);
        assert.ok(equalBytes(input, sealed), "something else opened");
      },
    };
  },
};

/** The code, the box, and what is in either box. */
export const deviceTargets: readonly FuzzTarget[] = [
  code,
  box,
  codecTarget({
    name: "link-request",
    what: "what a further device asks with",
    corpus: async () => [encodeRequest(await request())],
    decode: decodeRequest,
    encode: encodeRequest,
  }),
  codecTarget({
    name: "link-answer",
    what: "what a further device is given",
    corpus: async () => [
      encodeAnswer(
        await answerFor(provider, {
          identity: await fixedIdentity(),
          request: await request(),
          label: "laptop",
          clock: new FakeClock(START_MS),
        }),
      ),
    ],
    decode: decodeAnswer,
    encode: encodeAnswer,
  }),
];
