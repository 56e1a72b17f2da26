/** Discovery as commands use it: the platform's network, and GitHub or what stands in for it. */

import { type Browse, createDiscovery, type Discovery } from "../client/discovery/mod.ts";
import { type Clock, connectTcp, parseGithubApi } from "../proto/mod.ts";
import type { CommandContext } from "./command.ts";
import type { Io } from "./io.ts";

/** Looks for relays wherever they can be. @throws {AronaError} `USAGE` where the environment names no place to ask GitHub */
export function commandDiscovery({ io, settings }: CommandContext, clock: Clock): Discovery {
  return createDiscovery({
    clock,
    fetch,
    dial: connectTcp,
    githubApi: githubApi(io),
    browse: settings.switch("lan") ? browseInWorker : undefined,
  });
}

/** Base of GitHub's API where the environment names another one. @throws {AronaError} `USAGE` where it is not https, except on this computer */
export function githubApi(io: Pick<Io, "env">): string | undefined {
  const set = io.env("ARONA_GITHUB_API");
  return set ? parseGithubApi(set) : undefined;
}

/** Loaded where somebody looks there at all. */
const browseInWorker: Browse = async function* (signal) {
  const { browseLan } = await import("./lan.ts");
  yield* browseLan(signal);
};
