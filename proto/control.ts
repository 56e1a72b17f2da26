/**
 * Control frames: JSON for the fields, blobs for the bytes (PROTOCOL.md section 6.2).
 *
 * Body: `json vector32 ‖ count u16 ‖ blob*`, a blob being `0x00 ‖ vector32` inline or `0x01 ‖ object number u32` for one
 * that has arrived in OBJECT frames just before.
 */

import { ByteReader, ByteWriter, fromUtf8, utf8 } from "./bytes.ts";
import { AronaError } from "./errors.ts";
import type { FrameType, OutFrame } from "./frame.ts";
import { FrameType as Type } from "./frame.ts";
import {
  MAX_BLOBS,
  MAX_CONTROL_JSON_BYTES,
  MAX_FRAME_BYTES,
  MAX_INLINE_BLOB_BYTES,
  MAX_OBJECT_BYTES,
  OBJECT_CHUNK_BYTES,
} from "./limits.ts";

/** The JSON object of a control frame; every field still to be checked. */
export type ControlFields = Readonly<Record<string, unknown>>;

/** A decoded control frame. */
export interface Control {
  readonly fields: ControlFields;
  readonly blobs: readonly Uint8Array[];
}

const BLOB_INLINE = 0x00;
const BLOB_OBJECT = 0x01;
/** Inline blobs of one frame stay under this together, so that the frame stays under its limit. */
const MAX_INLINE_TOTAL_BYTES = MAX_FRAME_BYTES - MAX_CONTROL_JSON_BYTES - 16 * MAX_BLOBS;

/**
 * Encodes a control frame, with the OBJECT frames in front of it that its large blobs need.
 *
 * @param nextObjectNumber gives a number not in use on this connection; called once for each large blob
 */
export function encodeControl(
  type: FrameType,
  fields: ControlFields,
  options: { blobs?: readonly Uint8Array[]; nextObjectNumber?: () => number } = {},
): OutFrame[] {
  const blobs = options.blobs ?? [];
  const json = utf8(JSON.stringify(fields));
  if (json.length > MAX_CONTROL_JSON_BYTES || blobs.length > MAX_BLOBS) {
    throw new AronaError(
      "TOO_LARGE",
      `Cannot send request: ${json.length} bytes of JSON, ${blobs.length} blobs`,
    );
  }
  const frames: OutFrame[] = [];
  const writer = new ByteWriter().vector32(json).u16(blobs.length);
  let inlineBytes = 0;
  for (const blob of blobs) {
    if (blob.length > MAX_OBJECT_BYTES) {
      throw new AronaError("TOO_LARGE", `Cannot send request: an object of ${blob.length} bytes`);
    }
    const inline = blob.length <= MAX_INLINE_BLOB_BYTES &&
      inlineBytes + blob.length <= MAX_INLINE_TOTAL_BYTES;
    if (inline || options.nextObjectNumber === undefined) {
      inlineBytes += blob.length;
      writer.u8(BLOB_INLINE).vector32(blob);
    } else {
      const number = options.nextObjectNumber();
      frames.push(...objectFrames(number, blob));
      writer.u8(BLOB_OBJECT).u32(number);
    }
  }
  frames.push({ type, parts: [writer.finish()] });
  return frames;
}

/**
 * Decodes a control frame's body.
 *
 * @param objects takes the objects that arrived before it
 * @throws {AronaError} `BAD_FRAME`
 */
export function decodeControl(body: Uint8Array, objects: ObjectAssembler): Control {
  try {
    const reader = new ByteReader(body);
    const fields: unknown = JSON.parse(fromUtf8(reader.vector32(MAX_CONTROL_JSON_BYTES)));
    if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
      throw new AronaError("BAD_FRAME", "Cannot decode request: its JSON is not an object");
    }
    const count = reader.u16();
    if (count > MAX_BLOBS) throw new AronaError("BAD_FRAME", `Cannot decode request: ${count} blobs`);
    const blobs: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const kind = reader.u8();
      if (kind === BLOB_INLINE) blobs.push(reader.vector32(MAX_FRAME_BYTES));
      else if (kind === BLOB_OBJECT) blobs.push(objects.take(reader.u32()));
      else throw new AronaError("BAD_FRAME", `Cannot decode request: blob kind ${kind}`);
    }
    reader.end();
    return { fields: fields as ControlFields, blobs };
  } catch (cause) {
    throw new AronaError("BAD_FRAME", "Cannot decode request: its layout is wrong", { cause });
  }
}

/**
 * Puts objects together again from OBJECT frames: `number u32 ‖ total u32 ‖ offset u32 ‖ bytes`, chunks in order.
 * All objects of a connection together stay under {@link MAX_OBJECT_BYTES}.
 */
export class ObjectAssembler {
  readonly #objects = new Map<number, { bytes: Uint8Array; filled: number; readonly total: number }>();
  #heldBytes = 0;

  /** @throws {AronaError} `BAD_FRAME`, `TOO_LARGE` */
  add(body: Uint8Array): void {
    const reader = new ByteReader(body);
    const number = reader.u32();
    const total = reader.u32();
    const offset = reader.u32();
    const chunk = reader.rest();
    let object = this.#objects.get(number);
    if (object === undefined) {
      if (total > MAX_OBJECT_BYTES - this.#heldBytes || this.#objects.size >= MAX_BLOBS) {
        throw new AronaError("TOO_LARGE", `Cannot receive object: ${total} bytes more than are allowed`);
      }
      // Room is made for what has arrived only, so that a header alone costs the receiver nothing.
      object = { bytes: new Uint8Array(Math.min(total, chunk.length)), filled: 0, total };
      this.#objects.set(number, object);
      this.#heldBytes += total;
    }
    if (object.total !== total || offset !== object.filled || chunk.length > total - offset) {
      throw new AronaError("BAD_FRAME", "Cannot receive object: its chunks do not fit together");
    }
    const needed = offset + chunk.length;
    if (needed > object.bytes.length) {
      const grown = new Uint8Array(Math.min(total, Math.max(needed, object.bytes.length * 2)));
      grown.set(object.bytes.subarray(0, object.filled));
      object.bytes = grown;
    }
    object.bytes.set(chunk, offset);
    object.filled = needed;
  }

  /** Hands out a complete object and forgets it. @throws {AronaError} `BAD_FRAME` */
  take(number: number): Uint8Array {
    const object = this.#objects.get(number);
    if (object === undefined || object.filled !== object.total) {
      throw new AronaError("BAD_FRAME", `Cannot decode request: object ${number} is not complete`);
    }
    this.#objects.delete(number);
    this.#heldBytes -= object.total;
    return object.bytes;
  }
}

/** The OBJECT frames of `bytes` under `number`. */
export function objectFrames(number: number, bytes: Uint8Array): OutFrame[] {
  const frames: OutFrame[] = [];
  for (let offset = 0; offset < bytes.length; offset += OBJECT_CHUNK_BYTES) {
    const header = new ByteWriter().u32(number).u32(bytes.length).u32(offset).finish();
    frames.push({ type: Type.OBJECT, parts: [header, bytes.subarray(offset, offset + OBJECT_CHUNK_BYTES)] });
  }
  return frames;
}
