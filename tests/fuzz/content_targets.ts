/** Targets of what members say: content, settings, and text on its way to a terminal. */

import assert from "node:assert/strict";
import { type Fingerprint, padmeLength } from "../../proto/mod.ts";
import { type Content, decodeContent, encodeContent } from "../../client/groups/mod.ts";
import { decodeSettings, encodeSettings, makeSettings } from "../../client/groups/group_settings.ts";
import { sanitizeText } from "../../client/sanitize.ts";
import { codecTarget, sameBytes } from "./checks.ts";
import { START_MS } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import type { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";

/** One content of each kind; `target` is what the later ones are about. */
export const CONTENTS: readonly Content[] = ([
  { kind: "text", text: "hello, Wörld 👩‍👩‍👧" },
  { kind: "text", text: "" },
  { kind: "reply", target: messageId(0), text: "yes" },
  { kind: "reaction", target: messageId(0), emoji: "👍", removed: false },
  { kind: "reaction", target: messageId(0), emoji: "constructor", removed: false },
  { kind: "reaction", target: messageId(0), emoji: "__proto__", removed: true },
  { kind: "edit", target: messageId(0), text: "hello again" },
  { kind: "typing", typing: true },
  { kind: "read", target: messageId(0) },
  { kind: "profile", displayName: "Alice" },
  { kind: "delete", target: messageId(0) },
] as const).map((fields, i) => ({ ...fields, id: messageId(i), sentAtMs: START_MS + i }));

/** Numbers that a date, a list or a counter may stumble over. */
const TELLING_TIMES = [0, 8.64e15, 8.64e15 + 1, Number.MAX_SAFE_INTEGER];
const TELLING_TEXT = [
  ..."\u0000\u0007\b\t\n\v\f\r\u001b[]\\;\u007f\u0085\u009b\u009c\u009d\u00ad\u061c\u200b\u200c\u200d\u200e\u200f",
  ..."\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u3164\ufe0f\ufeff\ufff9\ud800\udc00👩🏽🏴é\u0301क्षبA1 ",
  "\u{e0041}",
  "\r\n",
  "\u001b]52;c;aGk=\u0007",
];

/** A body as content that is padded as it has to be. */
export function padContent(body: Uint8Array): Uint8Array {
  const padded = new Uint8Array(padmeLength(4 + body.length));
  new DataView(padded.buffer).setUint32(0, body.length);
  padded.set(body, 4);
  return padded;
}

/** Content that decodes more often than chance has it: changes inside the padding, other times and targets. */
export function generateContent(random: Random, encoded: readonly Uint8Array[]): Uint8Array {
  if (random.oneIn(4)) return mutate(random, encoded);
  if (random.oneIn(4)) {
    const content = random.pick(CONTENTS);
    const id = messageId(random.below(1_000));
    return encodeContent({ ...content, id, sentAtMs: random.pick(TELLING_TIMES) });
  }
  const bodies = encoded.map((bytes) => bytes.subarray(4, 4 + new DataView(bytes.buffer).getUint32(0)));
  return padContent(mutate(random, bodies));
}

const content: FuzzTarget = {
  name: "content",
  what: "what messages say",
  open() {
    const corpus = CONTENTS.map(encodeContent);
    return {
      corpus,
      generate: (random) => generateContent(random, corpus),
      run(input) {
        const content = decodeContent(input);
        new Date(content.sentAtMs).toISOString(); // every time can be shown
        if (content.kind !== "unsupported") sameBytes(encodeContent(content), input);
      },
    };
  },
};

const sanitizer: FuzzTarget = {
  name: "sanitizer",
  what: "text for a terminal holds nothing that the terminal acts on",
  open: () => ({
    corpus: ["plain", "two\r\nlines\tand \u001b[31m", "\u202eevil\u2066", "ष\u200c\u061c", "👩‍👩‍👧 नमस्\u200dते"]
      .map(utf16),
    generate(random) {
      let text = "";
      for (let left = random.length(40); left >= 0; left--) {
        text += random.oneIn(4) ? String.fromCharCode(random.below(0x10000)) : random.pick(TELLING_TEXT);
      }
      return utf16(text);
    },
    run(input) {
      const even = input.subarray(0, input.length & ~1).slice();
      const text = String.fromCharCode(...new Uint16Array(even.buffer));
      for (const multiline of [false, true]) {
        const shown = sanitizeText(text, { multiline });
        assert.ok(shown.isWellFormed(), "half a character is left");
        const harmful = multiline ? /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}]/u : /[\p{Cc}\p{Zl}\p{Zp}]/u;
        assert.ok(!harmful.test(shown), "a control character is left");
        assert.ok(!/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u.test(shown), "a mark is left");
        assert.equal(sanitizeText(shown, { multiline }), shown, "it is not the same when done twice");
      }
    },
  }),
};

/** Targets from the inside of a message to the screen. */
export const contentTargets: readonly FuzzTarget[] = [
  content,
  codecTarget({
    name: "settings",
    what: "a group's settings",
    corpus: () => {
      const [first, second, third] = ["aa", "bb", "cc"].map((pair) => pair.repeat(32) as Fingerprint);
      return [
        makeSettings({ kind: "dm", name: "", admins: [first], banned: [] }),
        makeSettings({ kind: "group", name: "Freunde 👋", admins: [first, second], banned: [third] }),
        makeSettings({ kind: "channel", name: "#general", admins: [second], banned: [first, third] }),
      ].map(encodeSettings);
    },
    decode: decodeSettings,
    encode: encodeSettings,
  }),
  sanitizer,
];

function messageId(number: number): string {
  return number.toString(16).padStart(32, "0");
}

function utf16(text: string): Uint8Array {
  return new Uint8Array(Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)).buffer);
}
