/** GitHub's API as both sides ask it: where it is and what every request says. */

import { AronaError } from "./errors.ts";
import { isLoopbackHost } from "./source.ts";

/** GitHub itself; `ARONA_GITHUB_API` names another one. */
export const GITHUB_API = "https://api.github.com";

/** What GitHub asks every request to say. */
export const GITHUB_HEADERS: Readonly<Record<string, string>> = {
  accept: "application/vnd.github+json",
  "user-agent": "arona",
  "x-github-api-version": "2022-11-28",
};

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
