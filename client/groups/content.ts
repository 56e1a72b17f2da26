/**
 * What a message says, inside MLS: a versioned union, padded so that its length says little.
 *
 * Layout: `length u32 ‖ body ‖ zeros`, padded by Padmé to at least 256 B. Body: `version u8 = 1 ‖ kind u8 ‖ id 16 ‖ sentAt u64 ‖ fields`.
 * A kind that this version does not know is kept as `unsupported`, so that newer clients may add kinds.
 */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  fromHex,
  fromUtf8,
  MAX_TEXT_BYTES,
  padmeLength,
  toHex,
  utf8,
} from "../../proto/mod.ts";

export const MESSAGE_ID_BYTES = 16;
export const MAX_EMOJI_BYTES = 64;
export const MAX_DISPLAY_NAME_BYTES = 256;
/** Body of the largest known kind, with room for kinds to come. */
export const MAX_CONTENT_BYTES = 32_768;

const CONTENT_VERSION = 1;
/** The last millisecond that a `Date` can hold; past it there is nothing to show. */
const MAX_TIME_MS = 8.64e15;

/** Codes of the kinds. Every target is a message id. */
const KINDS = {
  text: 0x01, //     text vector16
  edit: 0x02, //     target 16 ‖ text vector16
  delete: 0x03, //   target 16
  reaction: 0x04, // target 16 ‖ removed u8 ‖ emoji vector16
  reply: 0x05, //    target 16 ‖ text vector16
  typing: 0x06, //   typing u8
  read: 0x07, //     target 16: everything up to this message
  profile: 0x08, //  displayName vector16
} as const;

interface Headed {
  /** Message id: 32 hexadecimal digits, random. Receivers drop an id that they have seen. */
  readonly id: string;
  /** The sender's clock, Unix milliseconds. */
  readonly sentAtMs: number;
}

/** A message's content. */
export type Content =
  & Headed
  & (
    | { readonly kind: "text"; readonly text: string }
    | { readonly kind: "edit"; readonly target: string; readonly text: string }
    | { readonly kind: "delete"; readonly target: string }
    | {
      readonly kind: "reaction";
      readonly target: string;
      readonly emoji: string;
      readonly removed: boolean;
    }
    | { readonly kind: "reply"; readonly target: string; readonly text: string }
    | { readonly kind: "typing"; readonly typing: boolean }
    | { readonly kind: "read"; readonly target: string }
    | { readonly kind: "profile"; readonly displayName: string }
    | { readonly kind: "unsupported" }
  );

/**
 * Padded bytes of `content`.
 *
 * @throws {AronaError} `TOO_LARGE` for a text over {@link MAX_TEXT_BYTES}; `UNSUPPORTED` for a kind that was not understood
 */
export function encodeContent(content: Content): Uint8Array<ArrayBuffer> {
  if (content.kind === "unsupported") {
    throw new AronaError("UNSUPPORTED", "Cannot encode message: its kind is not known to this version");
  }
  const writer = new ByteWriter().u8(CONTENT_VERSION).u8(KINDS[content.kind]).raw(messageId(content.id))
    .u64(content.sentAtMs);
  switch (content.kind) {
    case "text":
      writer.vector16(limited(content.text, MAX_TEXT_BYTES));
      break;
    case "edit":
    case "reply":
      writer.raw(messageId(content.target)).vector16(limited(content.text, MAX_TEXT_BYTES));
      break;
    case "delete":
    case "read":
      writer.raw(messageId(content.target));
      break;
    case "reaction":
      writer.raw(messageId(content.target)).u8(content.removed ? 1 : 0)
        .vector16(limited(content.emoji, MAX_EMOJI_BYTES));
      break;
    case "typing":
      writer.u8(content.typing ? 1 : 0);
      break;
    case "profile":
      writer.vector16(limited(content.displayName, MAX_DISPLAY_NAME_BYTES));
      break;
  }
  const body = writer.finish();
  const padded = new Uint8Array(padmeLength(4 + body.length));
  new DataView(padded.buffer).setUint32(0, body.length);
  padded.set(body, 4);
  return padded;
}

/** @throws {AronaError} `BAD_ENCODING` */
export function decodeContent(bytes: Uint8Array): Content {
  const padded = new ByteReader(bytes);
  const body = new ByteReader(padded.vector32(MAX_CONTENT_BYTES));
  const padding = padded.rest();
  if (bytes.length !== padmeLength(4 + body.bytes.length) || padding.some((byte) => byte !== 0)) {
    throw new AronaError("BAD_ENCODING", "Cannot decode message: its padding is wrong");
  }
  const version = body.u8();
  if (version === 0) throw new AronaError("BAD_ENCODING", "Cannot decode message: version 0");
  const code = body.u8();
  const head = { id: toHex(body.take(MESSAGE_ID_BYTES)), sentAtMs: body.u64() };
  if (head.sentAtMs > MAX_TIME_MS) {
    throw new AronaError("BAD_ENCODING", "Cannot decode message: its time is no date");
  }
  const content = version === CONTENT_VERSION ? readFields(body, code) : null;
  if (content === null) return { ...head, kind: "unsupported" };
  body.end();
  return { ...head, ...content };
}

type Fields<T> = T extends unknown ? Omit<T, keyof Headed> : never;

function readFields(body: ByteReader, code: number): Fields<Content> | null {
  const target = () => toHex(body.take(MESSAGE_ID_BYTES));
  const text = (limit: number) => fromUtf8(body.vector16(limit));
  switch (code) {
    case KINDS.text:
      return { kind: "text", text: text(MAX_TEXT_BYTES) };
    case KINDS.edit:
      return { kind: "edit", target: target(), text: text(MAX_TEXT_BYTES) };
    case KINDS.delete:
      return { kind: "delete", target: target() };
    case KINDS.reaction:
      return { kind: "reaction", target: target(), removed: flag(body), emoji: text(MAX_EMOJI_BYTES) };
    case KINDS.reply:
      return { kind: "reply", target: target(), text: text(MAX_TEXT_BYTES) };
    case KINDS.typing:
      return { kind: "typing", typing: flag(body) };
    case KINDS.read:
      return { kind: "read", target: target() };
    case KINDS.profile:
      return { kind: "profile", displayName: text(MAX_DISPLAY_NAME_BYTES) };
    default:
      return null;
  }
}

function flag(body: ByteReader): boolean {
  const value = body.u8();
  if (value > 1) throw new AronaError("BAD_ENCODING", `Cannot decode message: flag ${value}`);
  return value === 1;
}

function messageId(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (bytes.length !== MESSAGE_ID_BYTES) {
    throw new AronaError("BAD_ENCODING", `Cannot encode message: an id of ${bytes.length} bytes`);
  }
  return bytes;
}

function limited(text: string, limit: number): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length > limit) {
    throw new AronaError(
      "TOO_LARGE",
      `Cannot send: the text has ${bytes.length} bytes, at most ${limit} fit`,
      {
        hint: "Shorten it or send it as a file.",
      },
    );
  }
  return bytes;
}
