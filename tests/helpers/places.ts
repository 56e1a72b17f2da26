/** Places where tests put discovery documents: addresses and a local network in memory, a web server, GitHub's stand-in. */

import {
  AronaError,
  FakeClock,
  formatEndpoint,
  type LanService,
  memoryTransportPair,
  type Transport,
} from "../../proto/mod.ts";
import { type Browse, createDiscovery, type Dial, type Fetch } from "../../client/discovery/mod.ts";
import { fromUtf8 } from "../../proto/mod.ts";
import type { Place } from "../suites/discovery_suite.ts";
import { type GithubStandIn, startGithub } from "./github.ts";

/** The kind of the body that carries a document (PROTOCOL.md section 2). */
const DOCUMENT = 0x02;

/** Addresses that serve documents, and nothing else. */
export class Addresses {
  readonly documents = new Map<string, Uint8Array>();
  /** Addresses in the order in which they were dialled. */
  readonly dialled: string[] = [];
  #hanging: (() => void) | null = null;

  readonly dial: Dial = ({ hostname, port, signal }) => {
    const address = formatEndpoint({ hostname, port });
    this.dialled.push(address);
    if (this.#hanging !== null) {
      this.#hanging();
      return forever(signal);
    }
    const document = this.documents.get(address);
    if (document === undefined) {
      return Promise.reject(
        new AronaError("UNREACHABLE", `Cannot connect to ${address}: nothing listens there`),
      );
    }
    const [client, server] = memoryTransportPair();
    serve(server, document).catch(() => {}); // the client may have had enough
    return Promise.resolve(client);
  };

  /** From now on nobody answers. @returns what resolves when somebody dials */
  hang(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hanging = resolve;
    return promise;
  }
}

/** No network: every request fails the test that makes it. */
export const noFetch: Fetch = (url) => Promise.reject(new Error(`nobody should have asked ${url}`));

/** A relay's address. */
export function endpointPlace(): Promise<Place> {
  const addresses = new Addresses();
  const clock = new FakeClock();
  const source = { kind: "endpoint", hostname: "relay.example", port: 7700 } as const;
  return Promise.resolve({
    clock,
    source,
    narrowest: source,
    discovery: createDiscovery({ clock, fetch: noFetch, dial: addresses.dial }),
    put: (bytes) => put(addresses.documents, "relay.example:7700", bytes),
    hang: () => addresses.hang(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

/** The local network with one relay that announces itself. */
export function lanPlace(): Promise<Place> {
  const addresses = new Addresses();
  const clock = new FakeClock();
  const services: LanService[] = [{
    name: "home",
    fingerprint: "A".repeat(43),
    endpoints: ["192.0.2.7:7700"],
  }];
  return Promise.resolve({
    clock,
    source: { kind: "lan" },
    narrowest: { kind: "endpoint", hostname: "192.0.2.7", port: 7700 },
    discovery: createDiscovery({ clock, fetch: noFetch, dial: addresses.dial, browse: browseOnce(services) }),
    put: (bytes) => put(addresses.documents, "192.0.2.7:7700", bytes),
    hang: () => addresses.hang(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

/** Hears these relays, and then nothing more, without waiting. */
export function browseOnce(services: readonly LanService[]): Browse {
  return async function* () {
    yield* services;
  };
}

/** A web server that is only a function. */
export function webPlace(): Promise<Place> {
  const clock = new FakeClock();
  const source = { kind: "web", host: "relay.example" } as const;
  let body: Uint8Array | null = null;
  let hanging: (() => void) | null = null;
  const fetch: Fetch = (url, { signal }) => {
    if (url !== "https://relay.example/.well-known/arona.json") return noFetch(url, undefined!);
    if (hanging !== null) {
      hanging();
      return forever(signal);
    }
    return Promise.resolve(
      body === null ? new Response("no", { status: 404 }) : new Response(new Uint8Array(body)),
    );
  };
  return Promise.resolve({
    clock,
    source,
    narrowest: source,
    discovery: createDiscovery({ clock, fetch, dial: new Addresses().dial }),
    put: (bytes) => body = bytes,
    hang: () => new Promise((resolve) => hanging = resolve),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

/** A Gist at GitHub's stand-in, found by its id. */
export function gistPlace(): Promise<Place> {
  return githubPlace((id) => ({ kind: "gist", id }));
}

/** The same, found by its owner. */
export function userPlace(): Promise<Place> {
  return githubPlace(() => ({ kind: "user", login: "octocat" }));
}

async function githubPlace(sourceOf: (id: string) => Place["source"]): Promise<Place> {
  const github = await startGithub();
  const clock = new FakeClock();
  const id = "aa5a315d61ae9438b18d0c1f6e2f7c3b";
  return {
    clock,
    source: sourceOf(id),
    narrowest: { kind: "gist", id },
    discovery: createDiscovery({ clock, fetch, dial: new Addresses().dial, githubApi: github.url }),
    put(bytes) {
      if (bytes === null) github.removeGist(id);
      else putGist(github, { id, bytes });
    },
    hang() {
      github.next({ kind: "hang" });
      return github.seen(github.requests.length + 1);
    },
    [Symbol.asyncDispose]: () => github.close(),
  };
}

/** Puts a document where its owner would. */
export function putGist(
  github: GithubStandIn,
  { bytes, id, owner = "octocat" }: { bytes: Uint8Array; id?: string; owner?: string },
): string {
  return github.putGist({ id, owner, files: { "arona.json": fromUtf8(bytes), "notes.txt": "other things" } });
}

function put(documents: Map<string, Uint8Array>, address: string, bytes: Uint8Array | null): void {
  if (bytes === null) documents.delete(address);
  else documents.set(address, bytes);
}

/** Reads the question and answers with the document. */
async function serve(transport: Transport, document: Uint8Array): Promise<void> {
  for await (const _question of transport) break;
  const answer = new Uint8Array(5 + document.length);
  new DataView(answer.buffer).setUint32(0, 1 + document.length);
  answer[4] = DOCUMENT;
  answer.set(document, 5);
  await transport.send(answer);
  transport.close();
}

function forever(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}
