/** GitHub's API as both sides ask it: where it is and what every request says. */

import { AronaError } from "./errors.ts";
import { isLoopbackHost } from "./source.ts";

/** GitHub itself; `ARONA_GITHUB_API` names another one. */
export const GITHUB_API = "https://api.github.com";

/** Where GitHub has the files of Gists. */
export const GITHUB_RAW_HOST = "gist.githubusercontent.com";

/** What GitHub asks every request to say. */
export const GITHUB_HEADERS: Readonly<Record<string, string>> = {
  accept: "application/vnd.github+json",
  "user-agent": "arona",
  "x-github-api-version": "2022-11-28",
};

/** What an answer says of the limit on requests. */
export interface GithubLimit {
  /** Seconds until GitHub may be asked again. */
  readonly retryAfterS: number | null;
  /** When the hour's share is there again, in seconds since the Unix epoch. */
  readonly resetS: number | null;
  readonly isUsedUp: boolean;
}

/** Reads it; what is no number is not there. */
export function githubLimit(headers: Headers): GithubLimit {
  const number = (name: string) => {
    const text = headers.get(name);
    return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
  };
  return {
    retryAfterS: number("retry-after"),
    resetS: number("x-ratelimit-reset"),
    isUsedUp: headers.get("x-ratelimit-remaining") === "0",
  };
}

/**
 * Reads the base of an API, as `ARONA_GITHUB_API` has it. Its path stays: GitHub Enterprise Server has the API at `/api/v3`.
 *
 * @returns without a slash at its end
 * @throws {AronaError} `USAGE` with a hint
 */
export function parseGithubApi(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) throw badApi("it is not an address");
  const { protocol, host, username, password, search, hash } = url;
  if (username !== "" || password !== "") throw badApi("there is a password in it");
  if (search !== "" || hash !== "") throw badApi("there is a ? or a # in it");
  if (protocol !== "https:" && !(protocol === "http:" && isLoopbackHost(host))) {
    throw badApi("only https is safe");
  }
  return url.href.replace(/\/+$/, "");
}

function badApi(state: string): AronaError {
  return new AronaError("USAGE", `Cannot use the address of GitHub's API: ${state}`, {
    hint: `Write it like ${GITHUB_API}, or leave ARONA_GITHUB_API out.`,
  });
}
