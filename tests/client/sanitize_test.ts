/** Untrusted text shown in a terminal. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { sanitizeText } from "../../client/sanitize.ts";

Deno.test("sanitizeText() shows control characters instead of sending them", () => {
  assert.equal(sanitizeText("\x1b[31mred\x1b[0m"), "␛[31mred␛[0m");
  assert.equal(sanitizeText("\x1b]52;c;aGk=\x07"), "␛]52;c;aGk=␇");
  assert.equal(sanitizeText("a\x00b\x7fc\x9bd"), "a␀b␡c\\u{9b}d");
  assert.equal(sanitizeText("a\rb\nc\td"), "a␍b␊c␉d");
});

Deno.test("sanitizeText() keeps newline and tab in text of several lines, and nothing else", () => {
  assert.equal(
    sanitizeText("a\r\nb\n\tc\rd\x0be\u2028f\x85g", { multiline: true }),
    "a\nb\n\tc␍d␋e\\u{2028}f\\u{85}g",
  );
});

Deno.test("sanitizeText() shows bidi controls, zero-width characters and fillers", () => {
  for (
    const code of [
      ...[
        0xad,
        0x34f,
        0x61c,
        0x115f,
        0x1160,
        0x180e,
        0x200b,
        0x200c,
        0x200d,
        0x200e,
        0x200f,
        0x202a,
        0x202e,
        0x2060,
      ],
      ...[0x2066, 0x2067, 0x2068, 0x2069, 0x206f, 0x3164, 0xfeff, 0xfff9, 0xffa0, 0xe0041, 0xe0100],
    ]
  ) {
    for (const multiline of [false, true]) {
      assert.equal(
        sanitizeText(`a${String.fromCodePoint(code)}b`, { multiline }),
        `a\\u{${code.toString(16)}}b`,
      );
    }
  }
});

Deno.test("sanitizeText() shows lone surrogates and keeps pairs", () => {
  assert.equal(sanitizeText("a\ud800b\udfffc𝄞"), "a\\u{d800}b\\u{dfff}c𝄞");
});

Deno.test("sanitizeText() leaves emoji whole and shows a joiner anywhere else", () => {
  for (const emoji of ["👩‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "👍🏽", "🏳️‍🌈", "1️⃣", "🇯🇵"]) assert.equal(sanitizeText(emoji), emoji);
  assert.equal(sanitizeText("a\u200db"), "a\\u{200d}b");
  assert.equal(sanitizeText("👩\u200d"), "👩\\u{200d}");
});

Deno.test("sanitizeText() leaves the world's scripts alone", () => {
  for (
    const text of [
      "Ünïcödé",
      "日本語のテキスト",
      "שלום",
      "مرحبا ١٢٣",
      "한국어",
      "Việt Nam",
      "e\u0301",
      "№ 5 – “x”",
    ]
  ) {
    assert.equal(sanitizeText(text), text);
  }
  const words = ["می\u200cخواهم", "क्\u200dष"];
  for (const word of words) {
    assert.equal(sanitizeText(word, { multiline: true }), word);
    assert.ok(!/[\u200c\u200d]/.test(sanitizeText(word)), "but a name has no joiners");
  }
});

const anything = fc.string({
  unit: fc.oneof(fc.constantFrom(...hostileUnits()), fc.string({ unit: "binary" })),
});

Deno.test("the output of sanitizeText() holds no control characters, whatever the input", () => {
  fc.assert(
    fc.property(anything, fc.boolean(), (text, multiline) => {
      const shown = sanitizeText(text, { multiline });
      const rest = multiline ? shown.replace(/[\n\t]/g, "") : shown;
      assert.ok(
        !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u.test(rest),
      );
      assert.ok(shown.isWellFormed());
    }),
    { numRuns: 2_000, seed: 11 },
  );
});

Deno.test("sanitizeText() changes nothing in its own output", () => {
  fc.assert(
    fc.property(anything, fc.boolean(), (text, multiline) => {
      const shown = sanitizeText(text, { multiline });
      assert.equal(sanitizeText(shown, { multiline }), shown);
    }),
    { numRuns: 1_000, seed: 12 },
  );
});

function hostileUnits(): string[] {
  const codes = [
    0,
    7,
    9,
    10,
    13,
    0x1b,
    0x7f,
    0x85,
    0x9b,
    0x9d,
    0x200b,
    0x200c,
    0x200d,
    0x202e,
    0x2066,
    0xfeff,
    0xfe0f,
  ];
  return [...codes.map((code) => String.fromCharCode(code)), "\ud800", "\udc00", "👩", "❤", "क", "a"];
}
