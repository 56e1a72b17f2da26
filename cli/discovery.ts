/** Discovery as commands use it: the platform's network, and GitHub or what stands in for it. */

import { createDiscovery, type Discovery } from "../client/discovery/mod.ts";
import { type Clock, connectTcp, isLoopbackHost } from "../proto/mod.ts";
import { usageFailure } from "./failure.ts";
import type { Io } from "./io.ts";

const GITHUB_API_VARIABLE = "ARONA_GITHUB_API";

/** Looks for relays wherever they can be. @throws {CommandFailure} where the environment names no place to ask GitHub */
export function commandDiscovery(io: Pick<Io, "env">, clock: Clock): Discovery {
  return createDiscovery({ clock, fetch, dial: connectTcp, githubApi: githubApi(io) });
}

/**
 * Base of GitHub's API where the environment names another one, without a slash at its end.
 *
 * @throws {CommandFailure} where it is not https, except on this computer
 */
export function githubApi(io: Pick<Io, "env">): string | undefined {
  const set = io.env(GITHUB_API_VARIABLE);
  if (!set) return undefined;
  const url = URL.canParse(set) ? new URL(set) : null;
  const isSafe = url?.protocol === "https:" || url?.protocol === "http:" && isLoopbackHost(url.host);
  if (url === null || !isSafe || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw usageFailure(
      `Cannot use ${GITHUB_API_VARIABLE}: ${JSON.stringify(set.slice(0, 100))} is not an https address`,
      "It looks like https://api.github.com.",
    );
  }
  return url.href.replace(/\/+$/, "");
}
