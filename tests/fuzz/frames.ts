/** A list of frames as one input: `type u8 ‖ body vector32` of each. */

import { ByteReader, ByteWriter, type Frame } from "../../proto/mod.ts";

/** Input for {@link readFrames}. */
export function frameList(frames: readonly Frame[]): Uint8Array {
  const writer = new ByteWriter();
  for (const { type, body } of frames) writer.u8(type).vector32(body);
  return writer.finish();
}

/** The frames of an input. A body that is cut off is as long as what is left; the types that end a record are left out. */
export function readFrames(input: Uint8Array): Frame[] {
  const reader = new ByteReader(input);
  const frames: Frame[] = [];
  while (reader.remaining >= 5) {
    const type = reader.u8() & 0x7f;
    const body = reader.take(Math.min(reader.u32(), reader.remaining));
    if (type > 0x01) frames.push({ type, body });
  }
  return frames;
}
