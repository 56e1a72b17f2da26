/** Targets of what a connected client is sent: content from members, and frames and events from a relay that means no good. */

import assert from "node:assert/strict";
import {
  AronaError,
  type Control,
  DeliveryKind,
  encodeControl,
  encodeDelivery,
  type Frame,
  FrameType,
  utf8,
} from "../../proto/mod.ts";
import { encodeContent } from "../../client/groups/mod.ts";
import { readHistory } from "../../client/history.ts";
import { CONTENTS, generateContent } from "./content_targets.ts";
import { fixedGroup, freshSeat, START_MS } from "./fixture.ts";
import { createClient, type LinkPeers, lost, openLink } from "./client_parts.ts";
import { frameList, readFrames } from "./frames.ts";
import { mutate } from "./mutate.ts";
import { changeJson, type Json } from "./mutate_json.ts";
import type { FuzzTarget } from "./runner.ts";

/** More than a device publishes at once. */
const MOST_KEY_PACKAGES = 40;

const inbox: FuzzTarget = {
  name: "inbox",
  what: "content of every kind from a member: it is stored and reported, or a gap is, and the inbox goes on",
  cost: 10,
  stateful: true,
  async open() {
    const { members: [anna, bert] } = await fixedGroup();
    const client = createClient(freshSeat(bert));
    let { group } = freshSeat(anna);
    const encoded = CONTENTS.map(encodeContent);
    return {
      corpus: encoded,
      generate: (random) => generateContent(random, encoded),
      async run(input) {
        const sealed = await anna.peer.engine.encrypt(group, input);
        group = sealed.next;
        client.events.length = 0;
        await client.deliver({
          kind: DeliveryKind.APPLICATION,
          epoch: group.epoch,
          payload: sealed.ciphertext,
        });
        for (const { message } of readHistory(client.context.store, group.id, { limit: 3 })) {
          new Date(message.sentAtMs).toISOString();
        }
        const gap = client.events.find((event) => event.type === "Gap");
        if (gap !== undefined) throw new AronaError("BAD_MLS", gap.reason);
      },
      close: () => client.close(),
    };
  },
};

const deliveries: FuzzTarget = {
  name: "inbox-delivery",
  what: "deliveries of any kind: byte 0 is the kind, then its payload; what cannot be used is a gap",
  cost: 20,
  async open() {
    const { members: [, bert], message, welcome, commits } = await fixedGroup();
    const corpus = commits.map((commit) => withKind(DeliveryKind.COMMIT, commit));
    const inputs = [
      ...corpus,
      withKind(DeliveryKind.APPLICATION, message),
      withKind(DeliveryKind.WELCOME, welcome.bytes),
    ];
    return {
      corpus,
      generate: (random) => mutate(random, inputs),
      async run(input) {
        const client = createClient(freshSeat(bert));
        try {
          const kind = 1 + (input[0] ?? 0) % DeliveryKind.WELCOME as DeliveryKind;
          await client.deliver({ kind, epoch: bert.group.epoch, payload: input.subarray(1) });
        } finally {
          client.close();
        }
        const gap = client.events.find((event) => event.type === "Gap");
        if (gap !== undefined) throw new AronaError("BAD_MLS", gap.reason);
      },
    };
  },
};

const events: FuzzTarget = {
  name: "relay-event",
  what: "EVENT and AUTH_OK's counts from a relay: no event makes more work than the device may have",
  cost: 20,
  stateful: true,
  async open() {
    const { id, members: [, bert] } = await fixedGroup();
    const client = createClient(freshSeat(bert));
    const fields: Json[] = [
      { type: "left", group: id, device: bert.peer.device.device },
      { type: "keys_low", suite: 82, unused: 11 },
      { type: "keys_low", suite: 81, unused: 3 },
      { type: "keys_low", suite: 82, unused: -5_000 },
      { type: "keys_low", suite: 82, unused: { toString: 1 } },
      { type: "shutdown", afterMs: 0 },
    ];
    const corpus = fields.map((one) => utf8(JSON.stringify(one)));
    return {
      corpus,
      generate: (random) => utf8(JSON.stringify(changeJson(random, random.pick(fields)))),
      async run(input) {
        const before = client.context.store.all("key_packages").length;
        const event = asControl(input);
        await client.inbox.event(event);
        await client.settled();
        await client.membership.publishKeyPackages({ 82: event.fields.unused as number, 81: 12 }).catch(lost);
        const made = client.context.store.all("key_packages");
        assert.ok(
          made.length - before <= MOST_KEY_PACKAGES,
          `${made.length - before} key packages were made`,
        );
        client.context.store.write((writer) => made.forEach(({ id }) => writer.delete("key_packages", id)));
      },
      close: () => client.close(),
    };
  },
};

const link: FuzzTarget = {
  name: "client-link",
  what: "any frames from a relay: the link goes on, or ends with an AronaError",
  cost: 4,
  stateful: true,
  open() {
    const delivery = encodeDelivery({
      kind: DeliveryKind.APPLICATION,
      group: new Uint8Array(16),
      epoch: 1,
      envelope: new Uint8Array(16),
      atMs: START_MS,
      payload: new Uint8Array(40),
    });
    const control = (type: FrameType, fields: Record<string, unknown>, blobs: Uint8Array[] = []) =>
      encodeControl(type, fields, { blobs }).map(({ type, parts }) => ({ type, body: parts[0] }));
    const frames: Frame[][] = [
      [{ type: FrameType.MSG, body: delivery }, { type: FrameType.ACK, body: new Uint8Array(12) }],
      control(FrameType.EVENT, { type: "dropped", group: "00".repeat(16) }, [new Uint8Array(5)]),
      control(FrameType.OK, { id: 4_000_000, epoch: 3 }),
      control(FrameType.ERROR, { id: 4_000_000, code: "QUOTA", retryAfterMs: 5 }),
      [{ type: FrameType.RECEIPT, body: new Uint8Array(40) }, { type: 0x7f, body: new Uint8Array(3) }],
    ];
    let peers: LinkPeers | null = null;
    return {
      corpus: frames.map(frameList),
      async run(input) {
        peers ??= await openLink();
        const ended = await peers.exchange(readFrames(input));
        if (ended === null) return;
        peers.close();
        peers = null;
        throw ended;
      },
      close: () => peers?.close(),
    };
  },
};

/** Targets from the outside in. */
export const clientTargets: readonly FuzzTarget[] = [link, deliveries, inbox, events];

function withKind(kind: DeliveryKind, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = kind - 1;
  bytes.set(payload, 1);
  return bytes;
}

function asControl(json: Uint8Array): Control {
  const value = JSON.parse(new TextDecoder().decode(json));
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return { fields: isObject ? value : {}, blobs: [new Uint8Array(2_452)] };
}
