/** How a relay is found: puts its document where clients look for it, and announces it on the local network. What is needed of the system is handed in. */

export { findGist, parsePublished, type PublishedGist } from "./gist_answer.ts";
export {
  type GistPublisher,
  type GistPublisherEvent,
  type GistPublisherOptions,
  type GistPublisherStatus,
  startGistPublisher,
} from "./gist_publisher.ts";
export type { Fetch, FetchInit } from "./github_api.ts";
export { checkGithubToken, TOKEN_HINT } from "./github_token.ts";
export {
  type LanAnnouncer,
  type LanAnnouncerEvent,
  type LanAnnouncerOptions,
  startLanAnnouncer,
} from "./lan_announcer.ts";
export { type LanRelay, listeningAddresses } from "./lan_records.ts";
