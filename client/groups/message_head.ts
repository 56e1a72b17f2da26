/**
 * The authenticated data of an application message (PROTOCOL.md section 13.5): in which state of the group its sender was, and its place
 * among the sender's messages.
 *
 *     version u8 = 1 ‖ state tag 16 ‖ sequence u64 ‖ earlier u32
 *
 * `sequence` counts the sender's messages since it came in, from 1 on; 0 is for what does not count. `earlier` of them came before this one
 * in its epoch: whoever is in the epoch has to have those.
 *
 * The tag is cut from SHA-256(vector16("arona state v1") ‖ group 16 ‖ epoch u64 ‖ epoch authenticator). It says nothing about any key, and
 * everybody who is in the same state has the same one.
 */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type CryptoProvider,
  equalBytes,
  fromHex,
  utf8,
} from "../../proto/mod.ts";
import type { Group, MessagePlace } from "./group.ts";

const VERSION = 1;
const LABEL = "arona state v1";
const TAG_BYTES = 16;

/** The authenticated data of a message in the present state of `group`. */
export function encodeMessageHead(
  crypto: CryptoProvider,
  group: Group,
  { sequence, earlier }: MessagePlace,
): Uint8Array<ArrayBuffer> {
  return new ByteWriter().u8(VERSION).raw(stateTag(crypto, group)).u64(sequence).u32(earlier).finish();
}

/**
 * The place that a message's authenticated data says.
 *
 * @param current the group, where the message is of its present epoch; null for one of an earlier epoch
 * @throws {AronaError} `BAD_MLS` for another layout, `FORKED` where the sender was in another state
 */
export function readMessageHead(
  crypto: CryptoProvider,
  current: Group | null,
  bytes: Uint8Array,
): MessagePlace {
  const { tag, ...place } = decode(bytes);
  if (current !== null && !equalBytes(tag, stateTag(crypto, current))) {
    throw new AronaError("FORKED", "Cannot decrypt: its sender has another state of the group");
  }
  return place;
}

function decode(bytes: Uint8Array): { tag: Uint8Array } & MessagePlace {
  try {
    const reader = new ByteReader(bytes);
    if (reader.u8() !== VERSION) throw new Error("another version");
    const head = { tag: reader.take(TAG_BYTES), sequence: reader.u64(), earlier: reader.u32() };
    reader.end();
    return head;
  } catch (cause) {
    throw new AronaError("BAD_MLS", "Cannot decrypt: the message's authenticated data does not fit", {
      cause,
    });
  }
}

function stateTag(crypto: CryptoProvider, { id, epoch, authenticator }: Group): Uint8Array {
  const state = new ByteWriter().vector16(utf8(LABEL)).raw(fromHex(id)).u64(epoch).raw(authenticator)
    .finish();
  return crypto.digest("SHA-256", state).subarray(0, TAG_BYTES);
}
