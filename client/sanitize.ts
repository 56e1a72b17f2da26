/**
 * Makes text and names from others inert for a terminal: nothing in them moves the cursor, turns the writing around, hides,
 * or talks to the terminal. What is taken out stays visible: ␛ for ESC, \u{202e} for a bidi override.
 */

/** Joins that scripts need inside words (CONTEXTJ of RFC 5892 appendix A, by script). */
const JOINING_SCRIPTS =
  "Arabic|Bengali|Devanagari|Gujarati|Gurmukhi|Kannada|Khmer|Malayalam|Mongolian|Myanmar|Nko|Oriya|Sinhala|Syriac|Tamil|Telugu";
const JOINING_LETTERS = JOINING_SCRIPTS.split("|").map((script) => `\\p{Script=${script}}`).join("");
/** Some of these scripts have marks of their own that are not visible; nothing joins to those. */
const JOINING = `[${JOINING_LETTERS}]--\\p{Default_Ignorable_Code_Point}`;

/** Format characters that are visible signs (prepended concatenation marks). */
const VISIBLE = "\\u{600}-\\u{605}\\u{6dd}\\u{70f}\\u{890}\\u{891}\\u{8e2}\\u{110bd}\\u{110cd}";

/**
 * In this order: whole emoji, which keep their joiners, tags and selectors; joiners inside words; whatever is not visible.
 * The variation selectors for text and emoji style do nothing by themselves and stay.
 */
const PATTERN = new RegExp(
  `(?<emoji>\\p{RGI_Emoji})|(?<join>(?<=[${JOINING}]\\p{M}*)[\\u200c\\u200d](?=[${JOINING}]))|` +
    `(?<hidden>[[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]--[\\ufe0e\\ufe0f${VISIBLE}]])`,
  "gv",
);

/**
 * The text without anything that a terminal would act on. Without `multiline` it is one line, and nothing joins or hides
 * outside emoji: for names.
 *
 * @param options.multiline keeps newline and tab, and takes CR LF as a newline. @default false
 */
export function sanitizeText(text: string, options: { multiline?: boolean } = {}): string {
  const { multiline = false } = options;
  const lines = multiline ? text.replaceAll("\r\n", "\n") : text;
  return lines.replaceAll(PATTERN, (match, ...rest) => {
    const { hidden, join } = rest.at(-1) as Record<string, string | undefined>;
    if (join !== undefined) return multiline ? match : escape(match);
    if (hidden === undefined || (multiline && (match === "\n" || match === "\t"))) return match;
    return escape(match);
  });
}

/** The control pictures of U+2400 where there is one, else the number. */
function escape(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\\u{${code.toString(16)}}`;
}
