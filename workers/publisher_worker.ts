/** The publisher behind its wall: puts the relay's document into a Gist. It may reach the API's host, and has the operator's token. */

import { systemClock } from "../proto/base/mod.ts";
import {
  type GistPublisherEvent,
  type GistPublisherStatus,
  startGistPublisher,
} from "../server/discovery/mod.ts";
import { type Contract, runRole } from "./role.ts";

/** What the publisher is started with. */
export interface PublisherInit {
  /** Base of GitHub's API. */
  readonly api: string;
  /** Handed over this once. */
  readonly token: string;
  /** The relay's, as in its links. */
  readonly fingerprint: string;
  /** The Gist to update. @default one is found or made */
  readonly gist?: { readonly id: string; readonly replaceable: boolean };
}

/** What the supervisor and the publisher say to each other. */
export interface PublisherContract extends Contract {
  readonly role: "publisher";
  readonly init: PublisherInit;
  readonly methods: {
    /** Has this document published instead of any before. */
    publish(document: Uint8Array): void;
  };
  readonly event: { readonly event: GistPublisherEvent; readonly status: GistPublisherStatus };
  readonly host: Record<never, never>;
}

runRole<PublisherContract>((init, side) => {
  const publisher = startGistPublisher({
    ...init,
    fetch,
    clock: systemClock,
    random: Math.random,
    // They come with requests, and those are few, so that there is always room.
    onEvent: (event) => void side.emit({ event, status: publisher.status() }),
  });
  return { publish: (document) => publisher.publish(document) };
});
