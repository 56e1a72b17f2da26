/**
 * DNS messages as multicast DNS has them (RFC 1035 section 4, RFC 6762 section 18): the few kinds of records that announcing a service
 * takes. Records and questions of other kinds and classes are passed over.
 *
 *     message   id(2) flags(2) questions(2) answers(2) authorities(2) additionals(2), then all of them
 *     question  name type(2) class(2)                          class's top bit: an answer by unicast will do
 *     record    name type(2) class(2) ttl(4) length(2) data    class's top bit: replaces what was said of the name before
 *     name      labels, each length(1) and UTF-8, up to an empty one, or up to a pointer(2) to an earlier name
 */

import { ByteReader, ByteWriter, utf8 } from "./bytes.ts";
import { AronaError } from "./errors.ts";

/** A name as its labels, without the empty last one. */
export type DnsName = readonly string[];

/** Kinds of records, as questions ask for them. */
export const DnsType = {
  A: 1,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  ANY: 255,
} as const;

/** A question. */
export interface DnsQuestion {
  readonly name: DnsName;
  /** One of {@link DnsType}, or another one. */
  readonly type: number;
}

/** What a record says. */
export type DnsData =
  | { readonly type: "A"; readonly address: Uint8Array } // 4 bytes
  | { readonly type: "AAAA"; readonly address: Uint8Array } // 16 bytes
  | { readonly type: "PTR"; readonly target: DnsName }
  | { readonly type: "SRV"; readonly port: number; readonly target: DnsName }
  | { readonly type: "TXT"; readonly strings: readonly Uint8Array[] }; // one at least (RFC 6763 section 6.1)

/** A record. */
export type DnsRecord = DnsData & {
  readonly name: DnsName;
  /** How long it may be believed; 0 takes it back. */
  readonly ttlSeconds: number;
  /** Whether it replaces what was said of the name before. */
  readonly flush: boolean;
};

/** A message. */
export interface DnsMessage {
  readonly kind: "query" | "response";
  readonly questions: readonly DnsQuestion[];
  /** In a query: what the asker knows already. */
  readonly answers: readonly DnsRecord[];
  /** In a query: what the asker is about to claim. */
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** The largest message of multicast DNS (RFC 6762 section 17). */
export const MAX_DNS_MESSAGE_BYTES = 9_000;
/** Questions and records of one message together. */
export const MAX_DNS_ENTRIES = 256;
/** Bytes of a label. */
export const MAX_DNS_LABEL_BYTES = 63;
/** Bytes of one string of a TXT record. */
export const MAX_DNS_STRING_BYTES = 255;

const MAX_NAME_BYTES = 255;
/** Pointers that one name may follow; each leads back, so this is about time only. */
const MAX_POINTERS = 16;
const NO_STRING = new Uint8Array();
const CLASS_IN = 1;
const TOP_BIT = 0x8000;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
/** Operation and result: multicast DNS has only 0 (RFC 6762 sections 18.3 and 18.11). */
const OPCODE_AND_RCODE = 0x780f;
const LABEL_DECODER = new TextDecoder(); // names of others may be anything; they are only compared

/**
 * Reads a message.
 *
 * @throws {AronaError} `BAD_ENCODING`
 */
export function decodeDnsMessage(bytes: Uint8Array): DnsMessage {
  if (bytes.length > MAX_DNS_MESSAGE_BYTES) throw bad(`it has ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  reader.u16(); // the id says nothing here (RFC 6762 section 18.1)
  const flags = reader.u16();
  if ((flags & OPCODE_AND_RCODE) !== 0) throw bad("its operation or result is not 0");
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const;
  const total = counts.reduce((sum, count) => sum + count);
  if (total > MAX_DNS_ENTRIES) throw bad(`it has ${total} questions and records`);
  return {
    kind: (flags & FLAG_RESPONSE) !== 0 ? "response" : "query",
    questions: readMany(counts[0], () => readQuestion(reader)),
    answers: readMany(counts[1], () => readRecord(reader)),
    authorities: readMany(counts[2], () => readRecord(reader)),
    additionals: readMany(counts[3], () => readRecord(reader)),
  };
}

/**
 * Writes a message, every name in full.
 *
 * @throws {AronaError} `INTERNAL` for what has no encoding
 */
export function encodeDnsMessage(message: Partial<DnsMessage> & Pick<DnsMessage, "kind">): Uint8Array {
  const { kind, questions = [], answers = [], authorities = [], additionals = [] } = message;
  const writer = new ByteWriter().u16(0).u16(kind === "response" ? FLAG_RESPONSE | FLAG_AUTHORITATIVE : 0);
  for (const part of [questions, answers, authorities, additionals]) writer.u16(part.length);
  for (const { name, type } of questions) writer.raw(encodeName(name)).u16(type).u16(CLASS_IN);
  for (const record of [...answers, ...authorities, ...additionals]) {
    const data = encodeDnsData(record);
    writer.raw(encodeName(record.name)).u16(DnsType[record.type])
      .u16(CLASS_IN | (record.flush ? TOP_BIT : 0)).u32(record.ttlSeconds).u16(data.length).raw(data);
  }
  const bytes = writer.finish();
  if (bytes.length > MAX_DNS_MESSAGE_BYTES) throw unencodable(`${bytes.length} bytes`);
  return bytes;
}

/** A record's data without its head; two records say the same where type and this are the same. */
export function encodeDnsData(data: DnsData): Uint8Array {
  switch (data.type) {
    case "A":
    case "AAAA":
      return data.address;
    case "PTR":
      return encodeName(data.target);
    case "SRV": // priority and weight 0: there is one only
      return new ByteWriter().u16(0).u16(0).u16(data.port).raw(encodeName(data.target)).finish();
    case "TXT": {
      const writer = new ByteWriter();
      for (const string of data.strings) {
        if (string.length > MAX_DNS_STRING_BYTES) throw unencodable(`a string of ${string.length} bytes`);
        writer.u8(string.length).raw(string);
      }
      return data.strings.length === 0 ? Uint8Array.of(0) : writer.finish();
    }
  }
}

/** Whether two names are one; letters of ASCII count the same in either case (RFC 6762 section 16). */
export function sameDnsName(a: DnsName, b: DnsName): boolean {
  return a.length === b.length && dnsNameKey(a) === dnsNameKey(b);
}

/** One text for all spellings of a name. */
export function dnsNameKey(name: DnsName): string {
  return JSON.stringify(name).replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function readMany<T>(count: number, read: () => T | null): T[] {
  const values: T[] = [];
  for (let i = 0; i < count; i++) {
    const value = read();
    if (value !== null) values.push(value);
  }
  return values;
}

function readQuestion(reader: ByteReader): DnsQuestion | null {
  const name = readName(reader);
  const type = reader.u16();
  const isInternet = (reader.u16() & ~TOP_BIT) === CLASS_IN;
  return isInternet ? { name, type } : null;
}

function readRecord(reader: ByteReader): DnsRecord | null {
  const name = readName(reader);
  const type = reader.u16();
  const classBits = reader.u16();
  const ttlSeconds = reader.u32();
  const length = reader.u16();
  const rest = reader.remaining - length;
  if (rest < 0) throw bad("a record goes beyond its end");
  const data = (classBits & ~TOP_BIT) === CLASS_IN ? readData(reader, { type, length }) : null;
  if (data === null) {
    reader.take(length);
    return null;
  }
  if (reader.remaining !== rest) throw bad("a record has another length than it says");
  return { ...data, name, ttlSeconds, flush: (classBits & TOP_BIT) !== 0 };
}

/** Null, and nothing read, for another type. */
function readData(reader: ByteReader, { type, length }: { type: number; length: number }): DnsData | null {
  switch (type) {
    case DnsType.A:
      if (length !== 4) throw bad("an IPv4 address has another length");
      return { type: "A", address: reader.take(4) };
    case DnsType.AAAA:
      if (length !== 16) throw bad("an IPv6 address has another length");
      return { type: "AAAA", address: reader.take(16) };
    case DnsType.PTR:
      return { type: "PTR", target: readName(reader) };
    case DnsType.SRV: {
      reader.take(4); // priority and weight
      return { type: "SRV", port: reader.u16(), target: readName(reader) };
    }
    case DnsType.TXT: {
      const strings: Uint8Array[] = [];
      const data = new ByteReader(reader.take(length));
      while (data.remaining > 0) strings.push(data.take(data.u8()));
      return { type: "TXT", strings: strings.length === 0 ? [NO_STRING] : strings };
    }
    default:
      return null;
  }
}

function readName(reader: ByteReader): DnsName {
  const labels: string[] = [];
  let part = reader;
  let before = reader.bytes.length - reader.remaining;
  let pointers = 0;
  for (let length = 1;;) {
    const size = part.u8();
    if (size === 0) return labels;
    if (size >= 0xc0) {
      const target = (size & 0x3f) << 8 | part.u8();
      if (target >= before || ++pointers > MAX_POINTERS) throw bad("a name leads nowhere");
      before = target;
      part = new ByteReader(reader.bytes.subarray(target));
      continue;
    }
    length += size + 1;
    if (size > MAX_DNS_LABEL_BYTES || length > MAX_NAME_BYTES) throw bad("a name is too long");
    labels.push(LABEL_DECODER.decode(part.take(size)));
  }
}

function encodeName(name: DnsName): Uint8Array {
  const writer = new ByteWriter();
  for (const label of name) {
    const bytes = utf8(label);
    if (bytes.length === 0 || bytes.length > MAX_DNS_LABEL_BYTES) {
      throw unencodable(`a label of ${bytes.length} bytes`);
    }
    writer.u8(bytes.length).raw(bytes);
  }
  const bytes = writer.u8(0).finish();
  if (bytes.length > MAX_NAME_BYTES) throw unencodable(`a name of ${bytes.length} bytes`);
  return bytes;
}

function bad(state: string): AronaError {
  return new AronaError("BAD_ENCODING", `Cannot decode DNS message: ${state}`);
}

function unencodable(state: string): AronaError {
  return new AronaError("INTERNAL", `Cannot encode DNS message: ${state}`);
}
