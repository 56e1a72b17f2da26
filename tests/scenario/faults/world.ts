/** A relay, its people, the ledger of what they say, and the ending that every scenario has: settle, read back, check. */

import assert from "node:assert/strict";
import { Random } from "../../fuzz/prng.ts";
import { check, type CheckOptions } from "./check.ts";
import { Ledger } from "./ledger.ts";
import { Person } from "./person.ts";
import { RelayProcess } from "./relay_process.ts";
import { Signal } from "./signal.ts";
import { readProfile } from "./stored_profile.ts";

/** How much faster the clients' clocks run: their pauses between tries grow to half a minute. */
const CLIENT_SPEED = 8;

/** How {@link FaultWorld.open} makes a world. */
export interface WorldOptions {
  readonly seed: string;
  /** Where the relay keeps its data. @default a folder in the world's own */
  readonly relayData?: string;
  /** Whether something may be missing where a gap stands, see check.ts. @default "refused" */
  readonly gaps?: CheckOptions["gaps"];
}

/** One relay and everybody who uses it, all of them processes. */
export class FaultWorld implements AsyncDisposable {
  readonly ledger = new Ledger();
  readonly people: Person[] = [];
  readonly random: Random;
  readonly #signal = new Signal();
  #lines = 0;
  #finals = 0;

  private constructor(
    readonly home: string,
    readonly relay: RelayProcess,
    private readonly options: WorldOptions,
  ) {
    this.random = new Random(options.seed);
  }

  static async open(options: WorldOptions): Promise<FaultWorld> {
    const home = await Deno.makeTempDir({ prefix: "arona-faults-" });
    const world = new FaultWorld(home, new RelayProcess(home, options.relayData), options);
    try {
      await world.relay.start();
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A person whose client is not started yet. @param options.through the port of a proxy to the relay */
  add(name: string, options: { through?: number; folder?: string; speed?: number } = {}): Person {
    const { through, folder = `${this.home}/${name}`, speed = CLIENT_SPEED } = options;
    const person = new Person(name, { folder, link: this.relay.link, through, speed }, {
      ledger: this.ledger,
      onLine: () => {
        this.#lines++;
        this.#signal.notify();
      },
    });
    this.people.push(person);
    return person;
  }

  /** Started and connected people, p0 to p(count − 1). */
  async gather(count: number, options: { through?: number } = {}): Promise<Person[]> {
    const people = Array.from({ length: count }, (_, i) => this.add(`p${i}`, options));
    await Promise.all(people.map((person) => person.backOnline()));
    return people;
  }

  /** A channel with `people` in it. @returns its id */
  async channel(name: string, people: readonly Person[]): Promise<string> {
    let id = "";
    for (const person of people) {
      id = await person.insist({ do: "join", channel: name }) as string;
      this.ledger.joined(person.name, id);
    }
    return id;
  }

  /** A private group that the first of `people` makes for the others. @returns its id */
  async group(name: string, [maker, ...others]: readonly Person[]): Promise<string> {
    const id = await maker.insist({ do: "create", name }) as string;
    this.ledger.joined(maker.name, id);
    for (const other of others) {
      await maker.insist({ do: "invite", to: id, account: other.name });
      await this.enters(other, id);
    }
    return id;
  }

  /** Waits until `person` has entered a conversation by invitation. */
  async enters(person: Person, id: string): Promise<void> {
    await person.enters(id);
    this.ledger.joined(person.name, id);
  }

  /**
   * Waits until the listener has seen what the speaker was told to say, unless the speaker has died without keeping it. Whoever dies
   * meanwhile is started again.
   */
  async reaches(
    said: { conversation: string; text: string; speaker: Person; listener: Person },
  ): Promise<void> {
    const { conversation, text, speaker, listener } = said;
    const seenBy = ({ name }: Person) => this.ledger.hasSeen(name, conversation, text);
    while (!seenBy(listener)) {
      await speaker.readHistory(conversation);
      if (!seenBy(speaker)) return;
      await listener.readIfThere(conversation);
      await this.until(
        `${listener.name} to see ${JSON.stringify(text)}`,
        () => seenBy(listener) || !speaker.alive || !listener.alive,
      );
    }
  }

  /** Takes somebody out of the story: nothing that is said from now on is for them. */
  async dismiss(person: Person): Promise<void> {
    await person.stop();
    this.ledger.left(person.name);
    this.people.splice(this.people.indexOf(person), 1);
  }

  /**
   * Resolves after `count` more lines from any client: a moment that is as random as the seed makes it; or when `talking` is over, since
   * nobody may say anything then.
   */
  async afterLines(count: number, talking: Promise<void>): Promise<void> {
    const target = this.#lines + count;
    let over = false;
    const noteEnd = () => {
      over = true;
      this.#signal.notify();
    };
    talking.then(noteEnd, noteEnd);
    await this.until("somebody to say anything", () => over || this.#lines >= target);
  }

  /** Waits for a line of anybody that makes `condition` true. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await this.#signal.until(condition, () => `waited in vain for ${what}.\n${this.describe()}`);
  }

  /**
   * Everybody says one more thing in each conversation and waits until all have seen it: since each sender's order holds, everything
   * that was said before has arrived by then, or never will.
   *
   * @param people who says and sees; the others are let be. @default everybody
   */
  async settle(conversations: readonly string[], people: readonly Person[] = this.people): Promise<void> {
    const number = this.#finals++;
    const speeches = conversations.flatMap((conversation) =>
      this.#membersOf(conversation).filter((member) => people.includes(member))
        .map((speaker) => ({ conversation, speaker }))
    );
    await Promise.all(
      new Set(speeches.map(({ speaker }) => speaker)).values().map((person) => person.backOnline()),
    );
    await Promise.all(speeches.map(async ({ conversation, speaker }) => {
      const text = await speaker.sayKept(conversation, `final ${number} ${speaker.name} ${conversation}`);
      const listeners = this.#membersOf(conversation).filter((member) => people.includes(member));
      await Promise.all(listeners.map((listener) => this.reaches({ conversation, text, speaker, listener })));
    }));
  }

  /** Checks the invariant on the histories of the clients as they run. */
  async verifyLive(conversations: readonly string[]): Promise<void> {
    for (const conversation of conversations) {
      for (const person of this.#membersOf(conversation)) await person.readHistory(conversation);
    }
    this.#assertInvariant();
  }

  /** Ends all clients, some in good order and some not, and checks the invariant on what their stores hold. */
  async verifyStored(): Promise<void> {
    await Promise.all(this.people.map((person) => this.random.oneIn(2) ? person.kill() : person.stop()));
    for (const { name, folder } of this.people) {
      for (const [conversation, entries] of await readProfile(folder)) {
        this.ledger.read(name, conversation, entries);
      }
    }
    this.#assertInvariant();
  }

  describe(): string {
    return this.people.map((person) => person.describe()).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.people.map((person) => person[Symbol.asyncDispose]()));
    await this.relay[Symbol.asyncDispose]();
    await Deno.remove(this.home, { recursive: true }).catch(() => {}); // a folder may be mounted elsewhere
  }

  #membersOf(conversation: string): Person[] {
    const members = this.ledger.membersOf(conversation);
    return this.people.filter((person) => members.includes(person.name));
  }

  #assertInvariant(): void {
    const problems = check(this.ledger, { gaps: this.options.gaps ?? "refused" });
    assert.ok(problems.length === 0, `${problems.length} problems:\n  ${problems.slice(0, 20).join("\n  ")}`);
  }
}
