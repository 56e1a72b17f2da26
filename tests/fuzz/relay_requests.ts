/** Requests to a relay: a valid one of every kind, and changes to them. */

import {
  type DeviceId,
  encodeControl,
  encodeStatement,
  type Frame,
  FrameType,
  type GroupId,
} from "../../proto/mod.ts";
import type { TestDevice } from "../server/raw_client.ts";
import { externalCommit, memberCommit, SUITE } from "../server/test_relay.ts";
import { bodyOf } from "./checks.ts";
import { arbitraryJson, changeJson, type Json } from "./mutate_json.ts";
import type { Random } from "./prng.ts";

/** Ids of the groups and devices that requests are about. */
export const GROUP = "11".repeat(16);
export const CHANNEL = "22".repeat(16);
export const WITNESS = "44".repeat(16);
export const PEER = "55".repeat(16);
/** Frame types that ask something. */
export const REQUEST_TYPES = { first: 0x20, last: 0x2f };
/** Bytes that the relay passes on without a look. */
export const SHORT_BLOB: Uint8Array = new Uint8Array(60).fill(7);

/** Random bytes at the end of a commit from outside that the relay does not look at. */
const RANDOM_TAIL_BYTES = 200;
const FRESH_GROUP = "33".repeat(16);
/** A request before its id. */
export interface RequestShape {
  readonly type: FrameType;
  readonly fields: { [name: string]: Json };
  readonly blobs: readonly Uint8Array[];
}

/** No bytes. */
export const NONE: Uint8Array = new Uint8Array();
/** A commit that changes nothing. */
export const COMMIT_FIELDS = { epoch: 0, add: [], remove: [], external: false };

/** Valid requests of every kind, in an order in which each of them can be granted. */
export function requestShapes(peer: TestDevice, statement: Uint8Array): RequestShape[] {
  const keys = (fields: RequestShape["fields"], ...blobs: Uint8Array[]) =>
    shape(FrameType.KEYS, fields, blobs);
  const group = (fields: RequestShape["fields"], ...blobs: Uint8Array[]) =>
    shape(FrameType.GROUP, fields, blobs);
  const join = externalCommit(peer, CHANNEL as GroupId, 0).fill(1, -RANDOM_TAIL_BYTES);
  return [
    keys({ op: "publish", suite: SUITE, lastResort: true }, SHORT_BLOB, SHORT_BLOB),
    keys({ op: "claim", account: "witness", suite: SUITE }),
    keys({ op: "lookup", account: "witness" }),
    keys({ op: "claim", account: "witness", suite: SUITE, devices: [WITNESS] }),
    keys({ op: "link", rendezvous: "88".repeat(16) }),
    keys({ op: "link" }),
    group({ op: "list" }),
    group({ op: "channels" }),
    group({ op: "create", group: FRESH_GROUP, kind: "dm", suite: SUITE, peer: "witness" }),
    group({ op: "create", group: "66".repeat(16), kind: "channel", name: "#fuzz", suite: SUITE }, SHORT_BLOB),
    group({ op: "create", group: "77".repeat(16), kind: "group", name: "Freunde", suite: 0x51 }),
    group({ op: "members", group: GROUP }),
    group({ op: "info", group: CHANNEL }),
    group({ op: "sync", group: GROUP, epoch: 0 }),
    shape(FrameType.JOIN, { channel: "#general" }, []),
    group({ op: "commit", group: CHANNEL, ...COMMIT_FIELDS, external: true }, join, NONE, SHORT_BLOB),
    group(
      {
        op: "commit",
        group: GROUP,
        ...COMMIT_FIELDS,
        epoch: 1,
        admins: ["peer", "witness"],
        banned: ["mallory"],
      },
      commitOf(GROUP, 1),
      NONE,
      NONE,
    ),
    group(
      { op: "commit", group: GROUP, ...COMMIT_FIELDS, epoch: 2, remove: [WITNESS] },
      commitOf(GROUP, 2),
      NONE,
      NONE,
    ),
    group(
      { op: "commit", group: GROUP, ...COMMIT_FIELDS, epoch: 3, add: [WITNESS] },
      commitOf(GROUP, 3),
      SHORT_BLOB,
      NONE,
    ),
    group({ op: "reset", group: FRESH_GROUP }),
    shape(FrameType.PART, { group: GROUP }, [statement]),
  ];
}

/** Requests that are well formed and refused as they stand. */
export function refusedShapes(): RequestShape[] {
  const group = (fields: RequestShape["fields"], ...blobs: Uint8Array[]) =>
    shape(FrameType.GROUP, { group: GROUP, ...fields }, blobs);
  return [
    shape(FrameType.KEYS, { op: "link_answer", rendezvous: "88".repeat(16) }, [SHORT_BLOB]),
    shape(FrameType.KEYS, { op: "revoke" }, [
      encodeStatement({ kind: "revoke", device: PEER as DeviceId, signature: new Uint8Array(3_309) }),
    ]),
    group({ op: "refuse", epoch: 1, hash: "ab".repeat(32) }),
    group({ op: "commit", ...COMMIT_FIELDS, unbanned: ["mallory"] }, commitOf(GROUP, 0), NONE, NONE),
    shape(FrameType.PART, { group: GROUP }, []),
  ];
}

/** A member's commit as far as the relay looks at it. */
export function commitOf(group: string, epoch: number): Uint8Array {
  return memberCommit(group as GroupId, epoch, SHORT_BLOB);
}

/** The request with another field, blob or type. */
export function changeShape(
  random: Random,
  chosen: RequestShape,
  all: readonly RequestShape[],
): RequestShape {
  const { op, ...rest } = chosen.fields;
  // Another op is most often no op at all, so most changes leave it.
  const changed = changeJson(random, random.oneIn(6) ? chosen.fields : rest);
  const fields = isObject(changed) && op !== undefined ? { op, ...changed } : changed;
  let blobs = [...chosen.blobs];
  if (random.oneIn(4)) blobs = [...random.pick(all).blobs];
  if (random.oneIn(4)) blobs[random.below(blobs.length + 1)] = random.bytes(random.length(3_000));
  const type = random.oneIn(20) ? REQUEST_TYPES.first + random.below(16) : chosen.type;
  return {
    type: type as FrameType,
    fields: isObject(fields) && !random.oneIn(20) ? fields : { op: arbitraryJson(random) },
    blobs,
  };
}

/** A request. */
export function shape(
  type: FrameType,
  fields: RequestShape["fields"],
  blobs: readonly Uint8Array[],
): RequestShape {
  return { type, fields, blobs };
}

/** Its frames. */
export function encode(request: RequestShape, id: number): Frame[] {
  return encodeControl(request.type, { ...request.fields, id }, { blobs: request.blobs })
    .map((frame) => asFrame(frame.type, bodyOf(frame)));
}

/** A frame as it would be received. */
export function asFrame(type: number, body: Uint8Array): Frame {
  return { type, body };
}

function isObject(value: Json): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
