/**
 * Just enough MLS framing (RFC 9420, sections 6 and 12.4) to see what a commit says that it is. The relay can verify no more of a
 * member's commit; of a commit from outside it can see who joins.
 *
 *     MLSMessage     version u16 = 1 ‖ wire format u16 ‖ PrivateMessage | PublicMessage
 *     PrivateMessage group id V ‖ epoch u64 ‖ content type u8 ‖ authenticated data V ‖ encrypted sender V ‖ ciphertext V
 *     PublicMessage  group id V ‖ epoch u64 ‖ sender type u8 ‖ authenticated data V ‖ content type u8 ‖ commit ‖ …
 *     commit         proposals V ‖ path present u8 = 1 ‖ leaf: encryption key V ‖ signature key V ‖ credential u16 ‖ identity V ‖ …
 *
 * `V` is a vector with a length of 1, 2 or 4 bytes in front, the shortest that fits.
 */

import { AronaError, ByteReader, type GroupId, toHex } from "../proto/mod.ts";

const MLS_10 = 1;
const WireFormat = { PUBLIC_MESSAGE: 1, PRIVATE_MESSAGE: 2 } as const;
const NEW_MEMBER_COMMIT = 4;
const CONTENT_COMMIT = 3;
const PATH_PRESENT = 1;
const BASIC_CREDENTIAL = 1;

/** Where a commit has to belong. */
export interface CommitPlace {
  readonly group: GroupId;
  /** The epoch before the commit. */
  readonly epoch: number;
}

/** The leaf of who joins from outside, as far as the relay looks at it. */
export interface JoinerLeaf {
  readonly signatureKey: Uint8Array;
  /** Identity of the basic credential: a device certificate. */
  readonly identity: Uint8Array;
}

/** @throws {AronaError} `BAD_REQUEST` where `bytes` are no PrivateMessage with a commit for `place` */
export function checkMemberCommit(bytes: Uint8Array, place: CommitPlace): void {
  parsed(() => {
    const reader = commitReader(bytes, { wireFormat: WireFormat.PRIVATE_MESSAGE, place });
    expect(reader.u8(), CONTENT_COMMIT);
    for (let field = 0; field < 3; field++) readVector(reader);
    reader.end();
  });
}

/** @throws {AronaError} `BAD_REQUEST` where `bytes` are no PublicMessage with an external commit for `place` */
export function parseExternalCommit(bytes: Uint8Array, place: CommitPlace): JoinerLeaf {
  return parsed(() => {
    const reader = commitReader(bytes, { wireFormat: WireFormat.PUBLIC_MESSAGE, place });
    expect(reader.u8(), NEW_MEMBER_COMMIT);
    readVector(reader); // authenticated data
    expect(reader.u8(), CONTENT_COMMIT);
    readVector(reader); // proposals
    expect(reader.u8(), PATH_PRESENT);
    readVector(reader); // encryption key
    const signatureKey = readVector(reader);
    expect(reader.u16(), BASIC_CREDENTIAL);
    return { signatureKey, identity: readVector(reader) };
  });
}

function commitReader(bytes: Uint8Array, options: { wireFormat: number; place: CommitPlace }): ByteReader {
  const reader = new ByteReader(bytes);
  expect(reader.u16(), MLS_10);
  expect(reader.u16(), options.wireFormat);
  expect(toHex(readVector(reader)), options.place.group);
  expect(reader.u64(), options.place.epoch);
  return reader;
}

/** A vector; its length has two bits for its own size in front (RFC 9420 section 2.1.2). */
function readVector(reader: ByteReader): Uint8Array {
  const first = reader.u8();
  const low = first & 0x3f;
  switch (first >> 6) {
    case 0:
      return reader.take(low);
    case 1:
      return reader.take(atLeast(low * 0x100 + reader.u8(), 0x40));
    case 2:
      return reader.take(atLeast(low * 0x100_0000 + reader.u24(), 0x4000));
    default:
      throw new AronaError("BAD_ENCODING", "Cannot decode vector: its length has no such size");
  }
}

function atLeast(length: number, minimum: number): number {
  if (length >= minimum) return length;
  throw new AronaError("BAD_ENCODING", "Cannot decode vector: its length is not minimal");
}

function expect<T>(actual: T, expected: T): void {
  if (actual === expected) return;
  throw new AronaError("BAD_ENCODING", `Cannot decode commit: ${actual} in place of ${expected}`);
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new AronaError("BAD_REQUEST", "Cannot accept commit: it is not framed as one for this epoch", {
      cause,
    });
  }
}
