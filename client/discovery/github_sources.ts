/** GitHub Gists as sources: one by its id, or all public ones of a user that hold an `arona.json`. */

import type { RelaySource } from "../../proto/base/mod.ts";
import type { GithubApi } from "./github_api.ts";
import type { Candidate } from "./look.ts";

/** What the two sources work with. */
export interface GithubLook {
  readonly github: GithubApi;
  readonly signal: AbortSignal;
}

/** One Gist. @throws {AronaError} see `GithubApi` */
export async function lookAtGist(
  source: Extract<RelaySource, { kind: "gist" }>,
  { github, signal }: GithubLook,
): Promise<readonly Candidate[]> {
  return [{ bytes: await github.gistDocument(source.id, signal), source }];
}

/** A user's Gists; one that cannot be read does not hide the others. @throws {AronaError} see `GithubApi` */
export async function lookAtUser(
  source: Extract<RelaySource, { kind: "user" }>,
  { github, signal }: GithubLook,
): Promise<readonly Candidate[]> {
  const ids = await github.gistsOf(source.login, signal);
  const looks = await Promise.allSettled(
    ids.map((id) => lookAtGist({ kind: "gist", id }, { github, signal })),
  );
  signal.throwIfAborted();
  const found = looks.flatMap((look) => look.status === "fulfilled" ? look.value : []);
  const failed = looks.find((look) => look.status === "rejected");
  if (found.length === 0 && failed !== undefined) throw failed.reason;
  return found;
}
