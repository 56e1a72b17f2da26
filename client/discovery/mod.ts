/** Finding the relay: its document at one of many sources, whether to trust it, and where it is when it has moved. */

export { type Fetch, type FetchInit } from "./bounded_fetch.ts";
export {
  distinctRelays,
  type Expectation,
  find,
  type Finding,
  type FindOptions,
  type Found,
  judge,
  type Refused,
} from "./findings.ts";
export { Follower, type FollowerOptions } from "./follower.ts";
export { parseGist, parseGistPage } from "./gist_answer.ts";
export { browse, type BrowseOptions } from "./lan_browser.ts";
export { type Browse } from "./lan_source.ts";
export {
  type Candidate,
  createDiscovery,
  type Discovery,
  type DiscoveryPorts,
  type LookOptions,
} from "./look.ts";
export * from "./relay_address.ts";
