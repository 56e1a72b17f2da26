/** What is sealed inside M1 and M2: JSON padded with zero bytes, the relay's greeting above all (PROTOCOL.md section 4.3). */

import { fromUtf8, utf8 } from "./bytes.ts";
import type { RelayGreeting } from "./connection.ts";
import { PROTOCOL_VERSION } from "./document.ts";
import { AronaError } from "./errors.ts";
import { MAX_POW_BITS } from "./limits.ts";

/** The greeting as JSON fields. */
export function greetingFields(greeting: RelayGreeting): Record<string, unknown> {
  return {
    v: greeting.version,
    boot: greeting.boot,
    name: greeting.name,
    pow: greeting.powBits,
    invite: greeting.inviteOnly,
    time: greeting.timeMs,
  };
}

/** @throws {AronaError} `BAD_HANDSHAKE`, `UNKNOWN_VERSION` */
export function parseGreeting(fields: Record<string, unknown>): RelayGreeting {
  const { v, boot, name, pow, invite, time } = fields;
  if (v !== PROTOCOL_VERSION) {
    throw new AronaError("UNKNOWN_VERSION", "Cannot talk to the relay: it chose another protocol version", {
      hint: "One of the two programs is too old: update it.",
    });
  }
  const fits = typeof boot === "string" && /^[0-9a-f]{16}$/.test(boot) && typeof name === "string" &&
    Number.isInteger(pow) && (pow as number) >= 0 && (pow as number) <= MAX_POW_BITS &&
    typeof invite === "boolean" && Number.isSafeInteger(time) && (time as number) >= 0;
  if (!fits) {
    throw new AronaError("BAD_HANDSHAKE", "Cannot connect securely: the relay's greeting is malformed");
  }
  return {
    version: v,
    boot: boot as string,
    name: name as string,
    powBits: pow as number,
    inviteOnly: invite as boolean,
    timeMs: time as number,
  };
}

/** JSON followed by zero bytes, `length` bytes in all. @throws {AronaError} `TOO_LARGE` */
export function padJson(fields: Record<string, unknown>, length: number): Uint8Array {
  const json = utf8(JSON.stringify(fields));
  if (json.length > length) {
    throw new AronaError("TOO_LARGE", `Cannot greet: ${json.length} bytes do not fit into ${length}`);
  }
  const padded = new Uint8Array(length);
  padded.set(json);
  return padded;
}

/** @throws {AronaError} `BAD_HANDSHAKE` */
export function unpadJson(padded: Uint8Array): Record<string, unknown> {
  const end = padded.indexOf(0);
  const json = end < 0 ? padded : padded.subarray(0, end);
  try {
    if (padded.subarray(json.length).some((byte) => byte !== 0)) {
      throw new Error("bytes after the padding began");
    }
    const value: unknown = JSON.parse(fromUtf8(json));
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("not an object");
    return value as Record<string, unknown>;
  } catch (cause) {
    throw new AronaError("BAD_HANDSHAKE", "Cannot connect securely: the sealed part is malformed", { cause });
  }
}
