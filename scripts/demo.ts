/**
 * The demonstration: a relay and three people in one process, talking over real sockets on loopback; ends with exit code 0 only if
 * everything that it claims held. It keeps a copy of every byte on the sockets and of every envelope in the relay's hands, and
 * searches them, and the relay's files, for what was said.
 */

import { type AronaClient, type ClientEvent, type Conversation, openClient } from "../client/mod.ts";
import { createGroupEngine } from "../client/groups/mod.ts";
import { openProfileStore } from "../client/store/mod.ts";
import { connectTcp, selectProvider, systemClock, toHex, utf8 } from "../proto/mod.ts";
import { openSqliteRelayStore, type RunningRelay, startRelay } from "../server/mod.ts";
import { recordingMailboxes, type SeenEnvelope } from "./demo/relay_view.ts";
import { Wiretap } from "./demo/wiretap.ts";

const TIMEOUT_MS = 25_000;
/** Columns of the conversations, and bytes shown of each envelope. */
const WIDTH = 62;
const SAMPLE_BYTES = 12;

const crypto = await selectProvider();
const started = performance.now();
const folder = await Deno.makeTempDir({ prefix: "arona-demo-" });
const tap = new Wiretap();
const seen: SeenEnvelope[] = [];
const failures: string[] = [];
const SAID: string[] = [];

async function demonstrate(): Promise<void> {
  title("A relay starts on loopback, and three people register");
  await Deno.mkdir(`${folder}/relay`);
  const store = openSqliteRelayStore(`${folder}/relay/relay.db`);
  const relay = await startRelay({
    listen: { hostname: "127.0.0.1", port: 0 },
    store,
    mailboxes: recordingMailboxes(seen),
    crypto,
    clock: systemClock,
    name: "demo",
    log: () => {},
  });
  console.log(`  relay   ${relay.link}`);
  const alice = await Person.register("alice", relay);
  const bob = await Person.register("bob", relay);
  const carol = await Person.register("carol", relay);
  const people = [alice, bob, carol];

  title("A channel: alice opens #general, the others join, all talk");
  const aliceGeneral = await alice.client.join("#general");
  const bobGeneral = await bob.client.join("#general");
  const carolGeneral = await carol.client.join("#general");
  await alice.says(aliceGeneral, "The kettle is on, who is coming?");
  await bob.hears("The kettle is on, who is coming?");
  await bob.says(bobGeneral, "Me! Ten minutes.");
  await carol.says(carolGeneral, "Save me a biscuit 🍪");
  await everybodyHears(people, "Save me a biscuit 🍪");

  title("A direct message: alice and bob");
  const aliceToBob = await alice.client.openDirect("bob");
  await alice.says(aliceToBob, "Her birthday is on Friday. Not a word!");
  await bob.hears("Her birthday is on Friday. Not a word!");
  await bob.says(await bob.client.openDirect("alice"), "My lips are sealed.");
  await alice.hears("My lips are sealed.");

  title("A private group gains carol, then loses her");
  const party = await alice.client.createGroup("surprise party");
  await alice.client.invite(party, "bob");
  await alice.client.invite(party, "carol");
  await carol.joins("surprise party");
  await alice.says(party, "Welcome to the planning");
  await carol.hears("Welcome to the planning");
  await bob.hears("Welcome to the planning");
  const carolBefore = carol.client.find("surprise party").group;
  await alice.client.remove(party, "carol");
  await carol.leaves("surprise party");
  await alice.says(party, "She must not know: cake at six");
  await bob.hears("She must not know: cake at six");

  title("What each of them saw, and beside it what the relay saw");
  printSideBySide(people);

  title("What that proves");
  check("alice, bob and carol all read the channel", people.every((p) => p.read("Save me a biscuit 🍪")));
  check("carol did not get the direct message", !carol.read("Her birthday is on Friday. Not a word!"));
  check("carol read the group while she was in it", carol.read("Welcome to the planning"));
  check("carol did not get what came after", !carol.read("She must not know: cake at six"));
  const spied = await carol.tryToOpen(carolBefore, seen);
  check(
    `and the keys she kept open none of the ${spied.tried} envelopes that followed`,
    spied.tried > 0 && spied.opened === 0,
  );
  await Promise.all(people.map((person) => person.close()));
  await relay.stop();
  store.close();
  await checkNoPlaintext();
  const elapsed = ((performance.now() - started) / 1000).toFixed(1);
  if (failures.length === 0) {
    console.log(`\nEverything held (${elapsed} s). Now your own:\n`);
    console.log("  npx -y deno@2.9.6 task arona serve              on the machine that stays on");
    console.log(
      "  npx -y deno@2.9.6 task arona connect LINK       on every friend's, with the link it prints\n",
    );
  }
}

async function checkNoPlaintext(): Promise<void> {
  const secrets = SAID.flatMap((text) => [utf8(text), utf8(text.slice(0, 12))]);
  const onDisk: Uint8Array[] = [];
  for await (const entry of Deno.readDir(`${folder}/relay`)) {
    if (entry.isFile) onDisk.push(await Deno.readFile(`${folder}/relay/${entry.name}`));
  }
  const diskBytes = onDisk.reduce((sum, file) => sum + file.length, 0);
  check(
    `nothing they said is in the relay's files (${diskBytes} bytes searched)`,
    diskBytes > 0 && !contains(onDisk, secrets),
  );
  check(
    `nor in the envelopes it passed on (${seen.length} of them)`,
    seen.length > 0 && !contains(seen.map((envelope) => envelope.bytes), secrets),
  );
  const chunks = tap.chunks();
  check(
    `nor on the wire (${tap.totalBytes()} bytes, both directions)`,
    tap.totalBytes() > 0 && !contains(chunks, secrets),
  );
  // The search itself has to be able to find something.
  check("and the search does find what it looks for", contains([...chunks, utf8(`x${SAID[0]}`)], secrets));
}

/** One person: a client, what they saw, and waiting for it. */
class Person {
  readonly lines: string[] = [];
  readonly #heard = new Set<string>();
  readonly #waiters = new Set<() => void>();

  private constructor(readonly name: string, readonly client: AronaClient, private readonly end: () => void) {
    client.onAny((event) => {
      this.#note(event);
      for (const wake of this.#waiters) wake();
    });
  }

  static async register(name: string, relay: RunningRelay): Promise<Person> {
    const profile = await openProfileStore({
      folder: `${folder}/${name}`,
      passphrase: () => Promise.resolve(""),
      crypto,
      create: true,
    });
    const client = await openClient({
      store: profile.store,
      crypto,
      dial: async (address) => tap.listen(await connectTcp(address)),
      link: relay.link,
      username: name,
    });
    const person = new Person(name, client, () => profile.close());
    await client.connect();
    console.log(`  ${name.padEnd(7)} ${client.fingerprint.slice(0, 32)}…`);
    return person;
  }

  async says(conversation: Conversation, text: string): Promise<void> {
    SAID.push(text);
    await this.client.send(conversation, text).accepted;
  }

  hears(text: string): Promise<void> {
    return this.#until(() => this.#heard.has(text), `${this.name} to hear "${text}"`);
  }

  joins(group: string): Promise<void> {
    return this.#until(
      () =>
        this.client.conversations().some((conversation) =>
          conversation.title === group && conversation.participation === "member"
        ),
      `${this.name} to join ${group}`,
    );
  }

  leaves(group: string): Promise<void> {
    return this.#until(
      () => this.client.conversations().some((c) => c.title === group && c.participation === "removed"),
      `${this.name} to be removed from ${group}`,
    );
  }

  read(text: string): boolean {
    return this.#heard.has(text);
  }

  /** Tries the group state kept from before the removal on every envelope that came after it. */
  async tryToOpen(
    kept: Conversation["group"],
    envelopes: readonly SeenEnvelope[],
  ): Promise<{ tried: number; opened: number }> {
    const engine = createGroupEngine({ crypto, clock: systemClock, trust: { check: () => "trusted" } });
    const later = envelopes.filter((envelope) => envelope.group === kept.id && envelope.epoch > kept.epoch);
    let opened = 0;
    for (const { payload } of later) {
      opened += await engine.decrypt(kept, payload).then(() => 1, () => 0);
    }
    return { tried: later.length, opened };
  }

  async close(): Promise<void> {
    await this.client.close();
    this.end();
  }

  #note(event: ClientEvent): void {
    switch (event.type) {
      case "MsgCreated":
        this.#heard.add(event.text);
        return void this.lines.push(`${event.group}  ${event.own ? "me" : event.from}: ${event.text}`);
      case "GroupCreated":
        return void this.lines.push(`${event.group}  you are in`);
      case "MemberJoined":
        return void this.lines.push(`${event.group}  + ${event.account}`);
      case "MemberLeft":
        return void this.lines.push(`${event.group}  − ${event.account}`);
      case "GroupLeft":
        return void this.lines.push(`${event.group}  you were removed`);
      case "Gap":
        failures.push(`${this.name}: a gap in ${event.group}: ${event.reason}`);
    }
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const wake = () => condition() && resolve();
    this.#waiters.add(wake);
    const late = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), 10_000);
    await promise.finally(() => {
      clearTimeout(late);
      this.#waiters.delete(wake);
    });
  }
}

async function everybodyHears(people: readonly Person[], text: string): Promise<void> {
  await Promise.all(people.map((person) => person.hears(text)));
}

/** The conversations on the left, the relay's envelopes on the right. */
function printSideBySide(people: readonly Person[]): void {
  const left = people.flatMap((person) => ["", person.name, ...person.lines.map((line) => `  ${line}`)]);
  const envelopes = seen.filter((envelope, i) => seen.findIndex((other) => other.id === envelope.id) === i);
  const right = [
    "",
    "relay: group     bytes  sealed content",
    ...envelopes.map(({ group, payload }) =>
      `${group.slice(0, 12)}  ${String(payload.length).padStart(6)}  …${toHex(payload.slice(-SAMPLE_BYTES))}`
    ),
    "",
    `${envelopes.length} envelopes, nothing else of what was said`,
  ];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const line = (left[i] ?? "").slice(0, WIDTH);
    console.log(`  ${line.padEnd(WIDTH)}  │ ${right[i] ?? ""}`.trimEnd());
  }
}

function contains(haystacks: readonly Uint8Array[], needles: readonly Uint8Array[]): boolean {
  const latin1 = new TextDecoder("latin1");
  const texts = needles.map((needle) => latin1.decode(needle));
  return haystacks.some((bytes) => {
    const hay = latin1.decode(bytes);
    return texts.some((needle) => hay.includes(needle));
  });
}

function check(claim: string, held: boolean): void {
  console.log(`  ${held ? "✓" : "✗"} ${claim}`);
  if (!held) failures.push(claim);
}

function title(text: string): void {
  console.log(`\n${text}`);
}

const overdue = setTimeout(() => {
  console.error(`Cannot finish the demonstration: it took longer than ${TIMEOUT_MS} ms`);
  Deno.exit(1);
}, TIMEOUT_MS);

try {
  await demonstrate();
} catch (error) {
  failures.push(error instanceof Error ? `${error.message}` : String(error));
  if (Deno.env.get("ARONA_DEBUG")) console.error(error);
} finally {
  clearTimeout(overdue);
  await Deno.remove(folder, { recursive: true });
}
for (const failure of failures) console.error(`FAILED: ${failure}`);
Deno.exit(failures.length === 0 ? 0 : 1);
