/**
 * Frames: one protocol message each, inside the encrypted connection (PROTOCOL.md section 6).
 *
 * In a record's plaintext a frame is `[type u8][length u24][body]`. A set top bit of the type says that the body goes
 * on in the next frame, which has to be of the same type. Type 0 ends the frames of a record; padding follows.
 */

/** Frame types. `C`: control frame (control.ts). `B`: fixed binary (message.ts, object.ts). */
export const FrameType = {
  PADDING: 0x00, //     nothing follows in this record
  KEY_UPDATE: 0x01, //  B  empty; the sender's next record is under its next key
  BYE: 0x02, //         C  {code?, message?}; authenticated close, the last frame of a direction
  PING: 0x03, //        B  8 bytes, echoed in
  PONG: 0x04, //        B  8 bytes
  OBJECT: 0x05, //      B  a chunk of an object that a later control frame refers to
  AUTH: 0x10, //        C  client → relay, once
  AUTH_OK: 0x11, //     C  relay → client, the answer to AUTH
  OK: 0x12, //          C  relay → client, the answer to any other control request
  ERROR: 0x13, //       C  relay → client, the other answer: {id, code, ...details}
  LINK: 0x14, //        C  client → relay, instead of AUTH: a further device asks for its certificates
  JOIN: 0x20, //        C  client → relay: what is needed to join a channel
  PART: 0x21, //        C  client → relay: leave a group
  KEYS: 0x22, //        C  client → relay: publish, claim, look up
  GROUP: 0x23, //       C  client → relay: create, commit, sync …
  EVENT: 0x24, //       C  relay → client, unasked: something about a group changed
  MSG: 0x30, //         B  an envelope, either way
  ACK: 0x31, //         B  relay → client: accepted. client → relay: delivered up to
  RECEIPT: 0x32, //     B  relay → client: delivered to so many devices and people
  FILE_CHUNK: 0x33, //  B  reserved for files
} as const;

export type FrameType = typeof FrameType[keyof typeof FrameType];

/** Set in a frame's type byte where more of the same frame follows. */
export const FRAME_MORE = 0x80;

/** Bytes in front of a frame's body. */
export const FRAME_HEADER_BYTES = 4;

/** A received logical frame. Unknown types are passed on so that the receiver can skip them. */
export interface Frame {
  readonly type: number;
  readonly body: Uint8Array;
}

/** A frame to send. Its body is `parts` joined; the parts are read at the flush and must not change before it. */
export interface OutFrame {
  readonly type: FrameType;
  readonly parts: readonly Uint8Array[];
}
