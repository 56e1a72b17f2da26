/** This device's own KeyPackages: made here, their private halves kept until a Welcome uses them up. */

import { AronaError, ByteReader, ByteWriter, fromUtf8, type GroupId, toHex, utf8 } from "../proto/mod.ts";
import type { ClientContext } from "./context.ts";
import type { SuiteId } from "./groups/mod.ts";
import { LAST_RESORT_RENEWAL_MS } from "./limits.ts";
import type { Store, StoreWriter } from "./store/mod.ts";

/** Before a group's id, where it is kept with which KeyPackage this device asks to return. */
const RETURN = "return ";

/** A KeyPackage with its private half. */
export interface StoredKeyPackage {
  readonly id: string;
  readonly suite: number;
  /** Handed out when no other is left, and never used up. */
  readonly lastResort: boolean;
  readonly publicBytes: Uint8Array;
  readonly privateBytes: Uint8Array;
}

/** Makes `count` KeyPackages and stores them. */
export async function makeKeyPackages(
  context: ClientContext,
  options: { suite: SuiteId; count: number; lastResort: boolean },
): Promise<StoredKeyPackage[]> {
  const made: StoredKeyPackage[] = [];
  for (let i = 0; i < options.count; i++) {
    const { publicBytes, privateBytes } = await context.engine.keyPackage(context.device, options.suite, {
      lastResort: options.lastResort,
    });
    const id = toHex(context.crypto.digest("SHA-256", publicBytes));
    made.push({ id, suite: options.suite, lastResort: options.lastResort, publicBytes, privateBytes });
  }
  context.store.write((writer) => {
    for (const keyPackage of made) writer.put("key_packages", keyPackage.id, encode(keyPackage));
  });
  return made;
}

/**
 * The KeyPackage by which this device asks for another leaf in a group: the same one until a Welcome has used it up, or it is old.
 */
export async function returnKeyPackage(
  context: ClientContext,
  { group, suite }: { group: GroupId; suite: SuiteId },
): Promise<StoredKeyPackage> {
  const { store, clock } = context;
  const place = `${RETURN}${group}`;
  const [id, madeAtMs] = fromUtf8(store.get("profile", place) ?? new Uint8Array()).split(" ");
  const known = storedKeyPackages(store).find((one) => one.id === id && one.suite === suite);
  if (known !== undefined && clock.now() - Number(madeAtMs) < LAST_RESORT_RENEWAL_MS) return known;
  const [made] = await makeKeyPackages(context, { suite, count: 1, lastResort: false });
  store.write((writer) => {
    writer.put("profile", place, utf8(`${made.id} ${clock.now()}`));
    if (known !== undefined) writer.delete("key_packages", known.id);
  });
  return made;
}

/** These files are an older copy: what they would ask with may have been used up since. */
export function forgetReturns(writer: StoreWriter): void {
  for (const { id } of writer.all("profile")) if (id.startsWith(RETURN)) writer.delete("profile", id);
}

/** All of them. @throws {AronaError} `CORRUPT_STORE` */
export function storedKeyPackages(store: Store): StoredKeyPackage[] {
  return store.all("key_packages").map(({ id, row }) => decode(id, row));
}

/** Forgets a used KeyPackage, unless it is the last resort. */
export function consumeKeyPackage(writer: StoreWriter, keyPackage: StoredKeyPackage): void {
  if (!keyPackage.lastResort) writer.delete("key_packages", keyPackage.id);
}

function encode(keyPackage: StoredKeyPackage): Uint8Array {
  return new ByteWriter().u16(keyPackage.suite).u8(keyPackage.lastResort ? 1 : 0)
    .vector32(keyPackage.publicBytes).vector32(keyPackage.privateBytes).finish();
}

/** @throws {AronaError} `CORRUPT_STORE` where the bytes are not what {@link encode} made */
function decode(id: string, row: Uint8Array): StoredKeyPackage {
  try {
    const reader = new ByteReader(row);
    const suite = reader.u16();
    const flag = reader.u8();
    if (flag > 1) throw new AronaError("BAD_ENCODING", `Cannot read key package: flag ${flag}`);
    const publicBytes = reader.vector32(1 << 20);
    const privateBytes = reader.vector32(1 << 20);
    reader.end();
    return { id, suite, lastResort: flag === 1, publicBytes, privateBytes };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read key package: its row is damaged", { cause });
  }
}
