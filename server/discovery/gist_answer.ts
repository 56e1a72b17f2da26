/** What GitHub's answers say of a Gist, as far as publishing needs it. Everything else in them is passed over. */

import { AronaError, formatSource, GIST_FILE, parseGistId, parseSource } from "../../proto/mod.ts";

/** A Gist that holds a document. */
export interface PublishedGist {
  readonly id: string;
  /** Its page. */
  readonly url: string;
  /** Whose it is; null where GitHub does not say. */
  readonly login: string | null;
  /** Whether it is among what others see of that user. */
  readonly isPublic: boolean;
}

const PAGE_PATTERN = /^https:\/\/[A-Za-z0-9.-]+(:\d+)?\/[A-Za-z0-9_\/-]+$/;

/**
 * Reads the answer to creating or updating a Gist.
 *
 * @param expected.content what its file has to hold now
 * @param expected.id which one it has to be
 * @throws {AronaError} `BAD_ENCODING` where it is not what was asked for
 */
export function parsePublished(
  answer: unknown,
  expected: { readonly content: string; readonly id?: string },
): PublishedGist {
  const gist = objectOf(answer, "the answer");
  const id = gistId(gist.id);
  if (expected.id !== undefined && id !== expected.id) throw bad("it is about another Gist");
  const files = objectOf(gist.files, "files");
  const file = objectOf(Object.hasOwn(files, GIST_FILE) ? files[GIST_FILE] : undefined, GIST_FILE);
  // Space around the document says nothing.
  if (typeof file.content !== "string" || file.content.trim() !== expected.content.trim()) {
    throw bad(`${GIST_FILE} does not hold what was sent`);
  }
  const page = gist.html_url;
  return {
    id,
    url: typeof page === "string" && PAGE_PATTERN.test(page) ? page : `https://gist.github.com/${id}`,
    login: loginOf(gist.owner),
    isPublic: gist.public === true,
  };
}

/** The id of the newest of a user's Gists that has this description and holds a document; null for none. @throws {AronaError} `BAD_ENCODING` */
export function findGist(answer: unknown, description: string): string | null {
  if (!Array.isArray(answer)) throw bad("it is not a list");
  for (const gist of answer.map((gist) => objectOf(gist, "a Gist"))) {
    const isOurs = gist.description === description &&
      Object.hasOwn(objectOf(gist.files, "files"), GIST_FILE);
    if (isOurs) return gistId(gist.id);
  }
  return null;
}

function loginOf(owner: unknown): string | null {
  const login = typeof owner === "object" && owner !== null ? (owner as Record<string, unknown>).login : null;
  try {
    const source = parseSource(`@${login}`);
    return source.kind === "user" ? formatSource(source).slice(1) : null;
  } catch {
    return null;
  }
}

function gistId(value: unknown): string {
  try {
    return parseGistId(String(value));
  } catch {
    throw bad("the Gist's id is not one");
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function bad(state: string): AronaError {
  return new AronaError("BAD_ENCODING", `Cannot publish to GitHub: its answer cannot be used: ${state}`);
}
