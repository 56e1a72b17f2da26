/** The network as a command has it: workers that reach one place each, and GitHub or what stands in for it. */

import type { Browse } from "../client/discovery/mod.ts";
import { type Clock, parseGithubApi } from "../proto/base/mod.ts";
import { Links, WalledDiscovery } from "../workers/mod.ts";
import type { CommandContext } from "./command.ts";
import type { Io } from "./io.ts";

/** What a command reaches others by. */
export interface CommandNetwork extends Disposable {
  /** Connections to relays. */
  readonly links: Links;
  /** Looks for relays wherever they can be. */
  readonly discovery: WalledDiscovery;
}

/** Starts nothing before it is needed. @throws {AronaError} `USAGE` where the environment names no place to ask GitHub */
export function commandNetwork(
  { io, settings }: Pick<CommandContext, "io" | "settings">,
  clock: Clock,
): CommandNetwork {
  const links = new Links();
  const discovery = new WalledDiscovery({
    clock,
    links,
    githubApi: githubApi(io),
    browse: settings.switch("lan") ? browseInWorker : undefined,
  });
  return {
    links,
    discovery,
    [Symbol.dispose]() {
      discovery[Symbol.dispose]();
      links[Symbol.dispose]();
    },
  };
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
