/** What GitHub's API says of Gists, as far as it matters here. Everything else in the answers is passed over. */

import {
  AronaError,
  fromUtf8,
  GIST_FILE,
  MAX_DOCUMENT_BYTES,
  parseGistId,
  utf8,
} from "../../proto/base/mod.ts";

/** The file `arona.json` of a Gist: its bytes, or where they are when the answer does not hold all of them. */
export type GistFile =
  | { readonly kind: "content"; readonly bytes: Uint8Array }
  | { readonly kind: "elsewhere"; readonly rawUrl: string };

/** What a page of a user's Gists says. */
export interface GistPage {
  /** Ids of those that hold an `arona.json`, newest first as GitHub orders them. */
  readonly ids: readonly string[];
  /** How many Gists there are on the page, of any kind. */
  readonly count: number;
}

/**
 * Reads the answer about one Gist.
 *
 * @returns null where it holds no `arona.json`
 * @throws {AronaError} `BAD_DOCUMENT` where the answer is none, `TOO_LARGE` for a file that cannot be a document
 */
export function parseGist(answer: Uint8Array): GistFile | null {
  const file = fileOf(objectOf(parseJson(answer), "the answer"));
  if (file === null) return null;
  if (typeof file.size === "number" && file.size > MAX_DOCUMENT_BYTES) throw tooLarge(file.size);
  if (file.truncated !== true && typeof file.content === "string") {
    const bytes = utf8(file.content);
    if (bytes.length > MAX_DOCUMENT_BYTES) throw tooLarge(bytes.length);
    return { kind: "content", bytes };
  }
  if (typeof file.raw_url !== "string") throw bad("the file has neither content nor an address");
  return { kind: "elsewhere", rawUrl: file.raw_url };
}

/** Reads one page of a user's Gists. @throws {AronaError} `BAD_DOCUMENT` */
export function parseGistPage(answer: Uint8Array): GistPage {
  const gists = parseJson(answer);
  if (!Array.isArray(gists)) throw bad("the answer is not a list");
  const ids: string[] = [];
  for (const gist of gists.map((gist) => objectOf(gist, "a Gist"))) {
    if (fileOf(gist) !== null) ids.push(gistId(gist.id));
  }
  return { ids, count: gists.length };
}

function fileOf(gist: Record<string, unknown>): Record<string, unknown> | null {
  const files = objectOf(gist.files, "files");
  return Object.hasOwn(files, GIST_FILE) ? objectOf(files[GIST_FILE], GIST_FILE) : null;
}

function gistId(value: unknown): string {
  try {
    return parseGistId(String(value));
  } catch {
    throw bad("a Gist's id is not one");
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw bad("the answer is not JSON", cause);
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function tooLarge(bytes: number): AronaError {
  return new AronaError(
    "TOO_LARGE",
    `Cannot use ${GIST_FILE}: it has ${bytes} bytes, a document has at most ${MAX_DOCUMENT_BYTES}`,
  );
}

function bad(state: string, cause?: unknown): AronaError {
  return new AronaError("BAD_DOCUMENT", `Cannot read GitHub's answer: ${state}`, { cause });
}
