/** Damage in a profile's database: told as CORRUPT_STORE, never shown as something else, and nobody else's business. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { isAronaError } from "../../../proto/mod.ts";
import { Random } from "../../fuzz/prng.ts";
import { Refused } from "./client_process.ts";
import type { ShownEntry } from "./lines.ts";
import type { Person } from "./person.ts";
import { readProfile } from "./stored_profile.ts";
import { talk } from "./talk.ts";
import { FaultWorld } from "./world.ts";

/** How {@link damageProfiles} runs. */
export interface DamageOptions {
  readonly seed: string;
  /** How many copies of the profile are damaged, one place each. */
  readonly damages: number;
}

type Damage = "a row of a table" | "a row of a history" | "a byte of the file";
const DAMAGES: readonly Damage[] = ["a row of a table", "a row of a history", "a byte of the file"];

/** One of three people has a bad disk. */
export async function damageProfiles({ seed, damages }: DamageOptions): Promise<void> {
  const random = new Random(`damage ${seed}`);
  await using world = await FaultWorld.open({ seed });
  const people = await world.gather(3);
  const [victim, ...others] = people;
  const room = await world.channel("#room", people);
  await talk(world, { conversations: [room], round: 0, random, messages: 8 });
  await world.settle([room]);
  await victim.stop();
  const sound = `${world.home}/sound`;
  await copyFolder(victim.folder, sound);
  const expected = await readProfile(sound);
  for (let i = 0; i < damages; i++) {
    const damage = DAMAGES[i % DAMAGES.length];
    const folder = `${world.home}/damaged-${i}`;
    await copyFolder(sound, folder);
    const where = damageFolder(folder, { damage, random });
    await assertTold(folder, { expected, damage, where });
    await Deno.remove(folder, { recursive: true });
  }
  await withDamage(victim, random, () => assertToldByProcess(victim, room));
  await copyFolder(sound, victim.folder);
  await talk(world, { conversations: [room], round: 1, random, messages: 2, people: others });
  await world.settle([room]);
  await world.verifyLive([room]);
  await world.verifyStored();
}

/** Either everything is as it was, or the damage is told. */
async function assertTold(
  folder: string,
  { expected, damage, where }: { expected: Map<string, ShownEntry[]>; damage: Damage; where: string },
): Promise<void> {
  try {
    assert.deepEqual(await readProfile(folder), expected, `${damage} (${where}): wrong content`);
  } catch (error) {
    assert.ok(isAronaError(error, "CORRUPT_STORE"), `${damage} (${where}): ${error}`);
    return;
  }
  // Some rows and bytes are not read for a history; its own are.
  assert.notEqual(damage, "a row of a history", `${where}: not noticed`);
}

/** The client itself: it does not open, or it does not show that history. */
async function assertToldByProcess(victim: Person, room: string): Promise<void> {
  const told = async () => {
    await victim.open();
    await victim.tell({ do: "history", to: room });
  };
  await assert.rejects(told, (error) => error instanceof Refused && error.fault.code === "CORRUPT_STORE");
  await victim.kill();
}

async function withDamage(victim: Person, random: Random, action: () => Promise<void>): Promise<void> {
  damageFolder(victim.folder, { damage: "a row of a history", random });
  await action();
}

/** Flips one bit. @returns where */
function damageFolder(
  folder: string,
  { damage, random }: { damage: Damage; random: Random },
): string {
  const path = `${folder}/profile.db`;
  if (damage === "a byte of the file") {
    const bytes = Deno.readFileSync(path);
    const at = random.below(bytes.length);
    bytes[at] ^= 1 << random.below(8);
    Deno.writeFileSync(path, bytes);
    return `byte ${at}`;
  }
  const table = damage === "a row of a table" ? "rows" : "log";
  const database = new DatabaseSync(path);
  try {
    const rows = database.prepare(`SELECT sealed FROM ${table} ORDER BY sealed`).all();
    const row = random.below(rows.length);
    const sealed = rows[row].sealed as Uint8Array<ArrayBuffer>;
    const changed = sealed.slice();
    const at = random.below(changed.length);
    changed[at] ^= 1 << random.below(8);
    database.prepare(`UPDATE ${table} SET sealed = ? WHERE sealed = ?`).run(changed, sealed);
    return `${table}, byte ${at} of ${changed.length}`;
  } finally {
    database.close();
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true, mode: 0o700 });
  for await (const { name } of Deno.readDir(to)) await Deno.remove(`${to}/${name}`);
  for await (const { name } of Deno.readDir(from)) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
}
