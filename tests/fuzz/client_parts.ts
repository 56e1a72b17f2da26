/** The parts of a client that handle what arrives, each by itself. */

import {
  AronaError,
  decodeControl,
  type Delivery,
  encodeControl,
  FakeClock,
  type Frame,
  FrameType,
  ObjectAssembler,
} from "../../proto/mod.ts";
import { Contacts } from "../../client/contacts.ts";
import type { ClientContext } from "../../client/context.ts";
import { Conversation } from "../../client/conversation.ts";
import type { ClientEvent } from "../../client/events.ts";
import { createGroupEngine } from "../../client/groups/mod.ts";
import { Inbox } from "../../client/inbox.ts";
import { Membership } from "../../client/membership.ts";
import { RelayLink } from "../../client/session/link.ts";
import type { RelayApi } from "../../client/session/relay_api.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import { connected, memoryWire } from "../proto/fixture.ts";
import { type Seat, START_MS } from "./fixture.ts";
import { provider } from "./seeded_crypto.ts";

/** A relay that knows nobody and answers nothing else. */
const relay = new Proxy({}, {
  get: (_, request) => () =>
    request === "lookup"
      ? Promise.resolve([])
      : Promise.reject(new AronaError("CLOSED", "Cannot do that: not connected to the relay")),
}) as RelayApi;

/** The parts of a client that handle what arrives, without a connection. */
export function createClient({ peer: { device }, group }: Seat) {
  const clock = new FakeClock(START_MS);
  const store = createMemoryStore();
  const reported: ClientEvent[] = [];
  const tasks = new Set<Promise<void>>();
  const emit = (event: ClientEvent) => void reported.push(event);
  const contacts = new Contacts({
    store,
    crypto: provider,
    clock,
    own: device.account,
    ownFingerprint: group.self.fingerprint,
    emit,
  });
  const engine = createGroupEngine({ crypto: provider, clock, trust: contacts });
  const context: ClientContext = {
    ...{ clock, crypto: provider, store, engine, device, contacts, emit, online: false },
    account: device.account,
    fingerprint: group.self.fingerprint,
    conversations: new Map([[group.id, new Conversation(group, null)]]),
    entered: () => () => {},
    cameBack: () => {},
    goesOn: () => {},
    relay: () => relay,
    stopped: new AbortController().signal,
    background: (task) => void tasks.add(task().catch(lost)),
  };
  const inbox: Inbox = new Inbox(context, () => membership);
  const membership = new Membership(context, {
    settlePending: (conversation) => inbox.settlePending(conversation),
    synchronize: (conversation) => inbox.synchronize(conversation),
    removed: (conversation) => inbox.removed(conversation),
  });
  return {
    context,
    membership,
    inbox,
    events: reported,
    deliver(delivery: Pick<Delivery, "kind" | "epoch" | "payload">) {
      const envelope = provider.randomBytes(16);
      return inbox.deliver({ ...delivery, group: idBytes(group.id), envelope, atMs: START_MS });
    },
    async settled() {
      await Promise.all(tasks);
      tasks.clear();
    },
    close: () => store.close(),
  };
}

/** There is no relay here; whatever needs one may fail, and nothing else. */
export function lost(error: unknown): void {
  if (!(error instanceof AronaError)) throw error;
}

/** A client's link to a relay that the fuzzer plays. */
export interface LinkPeers {
  /** Sends frames to the client and waits until it has taken them. @returns why the link ended, if it did */
  exchange(frames: readonly Frame[]): Promise<AronaError | null>;
  close(): void;
}

/** Logs a client in. */
export async function openLink(): Promise<LinkPeers> {
  const { client, server, dispose } = await connected(memoryWire);
  const { promise: ended, resolve: end } = Promise.withResolvers<AronaError>();
  const nothing = () => Promise.resolve();
  server.queue(...encodeControl(FrameType.AUTH_OK, { id: 1, next: 0, keyPackages: {} }));
  const link = await RelayLink.login(client, {
    auth: { fields: {}, blobs: [] },
    clock: new FakeClock(START_MS),
    handlers: {
      onDelivery: () => Promise.resolve(true),
      onEvent: nothing,
      onReceipt: nothing,
      onClosed: end,
    },
  });
  await server.receive(); // AUTH
  return {
    async exchange(frames) {
      const answered = link.request(FrameType.GROUP, { op: "list" }).then(() => null, () => ended);
      const id = await requestId(server);
      // What decides the frame's type is the sender's business; here it is anything that fits a byte.
      const sent = frames.map(({ type, body }) => ({ type: type as FrameType, parts: [body] }));
      server.queue(...sent, ...encodeControl(FrameType.OK, { id }));
      return await answered;
    },
    close() {
      dispose();
    },
  };
}

async function requestId(server: { receive(): Promise<readonly Frame[] | null> }): Promise<unknown> {
  for (;;) {
    const frames = await server.receive();
    const request = frames?.find(({ type }) => type === FrameType.GROUP);
    if (request) return decodeControl(request.body, new ObjectAssembler()).fields.id;
    if (frames === null) throw new Error("the client closed the connection");
  }
}

function idBytes(id: string): Uint8Array {
  return Uint8Array.from({ length: id.length / 2 }, (_, i) => parseInt(id.slice(2 * i, 2 * i + 2), 16));
}
