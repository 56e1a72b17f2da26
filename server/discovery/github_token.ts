/** The operator's GitHub token: checked before it is used, and kept out of everything that is shown. */

import { AronaError } from "../../proto/mod.ts";

/** Letters, digits and what GitHub's kinds of token have between them; shorter ones would be found in innocent text. */
const TOKEN_PATTERN = /^[A-Za-z0-9_.-]{16,1024}$/;
const MAX_SHOWN_CHARACTERS = 300;

/** What a person who has no usable token should do. */
export const TOKEN_HINT =
  "Make a classic token with the scope gist and nothing else at https://github.com/settings/tokens/new?scopes=gist, and put it into" +
  " GITHUB_TOKEN.";

/**
 * Refuses what cannot be a token, and never shows it.
 *
 * @throws {AronaError} `USAGE` with a hint
 */
export function checkGithubToken(token: string): string {
  if (TOKEN_PATTERN.test(token)) return token;
  const state = /\s/.test(token) ? "there is white space in it" : "it does not look like a token";
  throw new AronaError("USAGE", `Cannot use GITHUB_TOKEN: ${state}`, { hint: TOKEN_HINT });
}

/** Text from outside, fit to be shown: one short line of plain characters without the token. */
export function withoutToken(text: string, token: string): string {
  const line = text.replaceAll(token, "[token]").replace(/[\p{C}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
  return line.length > MAX_SHOWN_CHARACTERS ? `${line.slice(0, MAX_SHOWN_CHARACTERS)}…` : line;
}
