/**
 * Ten members of a group and an eleventh device that comes and goes, around one relay. In each round all set out to change the group at
 * the same time, and a seed decides what happens next: which member begins, whose line passes its next record on and in which direction,
 * who loses the connection or the process, how time goes by. At the end of a round everything has arrived, and all have to agree.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Conversation } from "../../../client/conversation.ts";
import { MANDATORY_SUITE } from "../../../client/groups/mod.ts";
import {
  type AccountName,
  type ChannelName,
  type CryptoProvider,
  type ErrorCode,
  FakeClock,
  type GroupId,
  isAronaError,
  selectProvider,
  toHex,
  verifyDocument,
} from "../../../proto/mod.ts";
import {
  MemoryMailboxStore,
  MemoryRelayStore,
  type RelayLogEvent,
  type RunningRelay,
  startRelay,
} from "../../../server/mod.ts";
import type { Bus } from "../../../server/bus.ts";
import { Random } from "../../fuzz/prng.ts";
import { HeldLine } from "../../helpers/held_line.ts";
import { Settling } from "../../helpers/settling.ts";
import { type RaceGround, Racer } from "./racer.ts";

const NAMES = ["ann", "bob", "cleo", "dan", "eve", "finn", "gil", "hal", "ida", "jo"] as const;
const ELEVENTH = "kim";
/** Admins beside the one who made the group, at most. */
const MOST_OTHER_ADMINS = 2;
/** A round that needs more does not come to rest. */
const MOST_STEPS = 5_000;
const MOST_IDLE_STEPS = 60;
/** Steps that a failure shows. */
const SHOWN_STEPS = 60;

/** Milliseconds that time goes by at once: mostly less than a pause, now and then more than a loser waits for the winner's commit. */
const TICKS_MS = [5, 5, 20, 20, 60, 250, 6_000] as const;
/** More than a request waits for its answer. */
const LONG_SILENCE_MS = 31_000;
/** Deliveries are acknowledged by then. */
const REST_MS = 500;

/** What happened in a race, counted. */
export interface Tally {
  rounds: number;
  /** Commits that the relay accepted. */
  accepted: number;
  /** Answers to commits: `OK`, `CONFLICT`, or how it ended without an answer. */
  readonly outcomes: Map<string, number>;
  /** Commits whose sender had no answer, and that had been accepted. */
  lostAnswers: number;
  /** Steps after which not all members were at one epoch, and the most epochs between two of them. */
  apart: number;
  farthest: number;
  /** Messages that were sent in the middle of a race. */
  amid: number;
}

/** Options of {@link Race.open}. */
export interface RaceOptions {
  seed: string;
  /** @default "group" */
  kind?: "group" | "channel";
  /** The relay's parts. @default those that keep to the rules */
  relayStore?: MemoryRelayStore;
  bus?: Bus;
}

/** A way on which something waits. */
type Held = { readonly racer: Racer; readonly line: HeldLine; readonly name: "up" | "down" };
type Step = { readonly name: string; readonly run: () => void };

/** A member's plan for a round. */
interface Plan {
  readonly racer: Racer;
  readonly name: string;
  readonly action: (racer: Racer) => Promise<void>;
  /** Answers that end the plan and are no fault. */
  readonly mayEndWith: readonly ErrorCode[];
}

/** A race. */
export class Race {
  readonly tally: Tally = {
    rounds: 0,
    accepted: 0,
    outcomes: new Map(),
    lostAnswers: 0,
    apart: 0,
    farthest: 0,
    amid: 0,
  };
  readonly #random: Random;
  readonly #trace = createHash("sha256");
  readonly #steps: string[] = [];
  /** Of commits, in the step that is under way. */
  readonly #outcomes: string[] = [];
  readonly #lines = new Map<HeldLine, Racer>();
  /** How eager each racer's line is in this round, from 1. */
  #pace = new Map<Racer, number>();
  /** Hashes of commits that had no answer in this round. */
  readonly #unanswered = new Set<string>();
  #open = 0;
  #failure: unknown = null;
  #group = "" as GroupId;

  private constructor(
    private readonly options: Required<Omit<RaceOptions, "bus">>,
    private readonly clock: FakeClock,
    private readonly settling: Settling,
    private readonly relay: RunningRelay,
    private readonly racers: Racer[],
  ) {
    this.#random = new Random(options.seed);
  }

  /** Ten members of one group, all connected. */
  static async open(options: RaceOptions): Promise<Race> {
    const { seed, kind = "group", relayStore = new MemoryRelayStore(), bus } = options;
    const settling = new Settling();
    const crypto = settling.watch(await selectProvider());
    const clock = new FakeClock();
    const relay = await startRelay({
      ...{ crypto, clock, store: relayStore, mailboxes: new MemoryMailboxStore(), name: "races", bus },
      publicAddresses: ["relay.test:7700"],
      log: (event) => race.#noteLog(event),
    });
    const document = await verifyDocument(crypto, relay.document(), { nowMs: clock.now() });
    const racers: Racer[] = [];
    const race = new Race({ seed, kind, relayStore }, clock, settling, relay, racers);
    for (const name of [...NAMES, ELEVENTH]) {
      const ground: RaceGround = {
        ...{ clock, document, relayStore },
        crypto: withSeededChance(crypto, new Random(`${seed} ${name}`)),
        open: (racer) => race.#openLine(racer),
        onCommit: (racer, outcome) => race.#noteOutcome(racer, outcome),
      };
      racers.push(await Racer.create(name, ground));
    }
    await race.#gather();
    return race;
  }

  /** What the steps so far come to: the same seed gives the same. */
  get trace(): string {
    return this.#trace.copy().digest("hex");
  }

  /**
   * Runs some rounds.
   *
   * @throws an error that names the seed, the round and the last steps
   */
  async run(rounds: number): Promise<void> {
    const { seed } = this.options;
    for (let i = 0; i < rounds; i++) {
      const round = this.tally.rounds++;
      this.#steps.length = 0;
      try {
        await this.#round(round);
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        const steps = this.#steps.slice(-SHOWN_STEPS).join(", ");
        throw new Error(`seed "${seed}", round ${round}: ${what}\n${this.#states()}\nlast steps: ${steps}`, {
          cause: error,
        });
      }
    }
  }

  async close(): Promise<void> {
    for (const racer of this.racers) racer.stop();
    await this.settling.settled();
    const stopped = this.relay.stop();
    for (const line of this.#lines.keys()) line.lose();
    await stopped;
    await this.settling.settled();
  }

  get #title(): string {
    return this.options.kind === "channel" ? "#ten" : "ten";
  }

  /** Everybody connects, the first one makes the group, and the others come in. */
  async #gather(): Promise<void> {
    const [founder, ...others] = this.racers.slice(0, NAMES.length);
    for (const racer of this.racers) racer.connect();
    await this.#rest(() => this.racers.every((racer) => racer.online));
    if (this.options.kind === "channel") {
      for (const racer of [founder, ...others]) {
        this.#pursue(plan(racer, "join", (one) => join(one, this.#title)));
        await this.#rest();
      }
    } else {
      this.#pursue(plan(founder, "create", (one) => create(one, this.#title)));
      await this.#rest();
      for (const { name } of others) {
        this.#pursue(plan(founder, "invite", (one) => this.#invite(one, name)));
        await this.#rest();
      }
    }
    this.#group = this.#conversation(founder).id;
    this.#agree();
  }

  async #round(round: number): Promise<void> {
    const random = this.#random;
    const eleventh = this.racers[NAMES.length];
    const kimIsIn = this.#members().includes(eleventh);
    const { plans, kimStays } = this.#plans(kimIsIn);
    const texts: string[] = [];
    if (random.oneIn(8)) {
      const text = `amid ${round}`;
      const speaker = random.pick(this.racers.slice(0, NAMES.length));
      plans.push(plan(speaker, "say", (racer) => Promise.resolve(this.#say(racer, text))));
      texts.push(text);
      this.tally.amid++;
    }
    const disturbances = this.#disturbances();
    this.#pace = new Map(this.racers.map((racer) => [racer, 1 + random.below(6)]));
    await this.#play(plans, disturbances);
    await this.#rest(() => {
      const { leavers } = this.options.relayStore.group(this.#group)!; // their leaves are still to be removed
      return leavers.length === 0 && this.#members().includes(eleventh) === kimStays;
    });
    this.#agree();
    this.#trust();
    const text = `after ${round}`;
    const members = this.#members();
    this.#say(random.pick(members), text);
    await this.#rest();
    this.#agree();
    for (const racer of this.racers) {
      for (const told of [...texts, text]) {
        const heard = racer.events.filter((event) => event.type === "MsgCreated" && event.text === told);
        if (racer === eleventh && (told !== text || !members.includes(eleventh))) continue;
        assert.equal(heard.length, 1, `${racer.name} heard "${told}" ${heard.length} times`);
      }
      racer.events.length = 0;
    }
    this.#log(`epoch ${this.#conversation(this.racers[0]).group.epoch}`);
  }

  /** What each member sets out to do; one change is what the round is about, the others renew their leaves unless somebody has. */
  #plans(kimIsIn: boolean): { plans: Plan[]; kimStays: boolean } {
    const random = this.#random;
    const { kind } = this.options;
    const ten = this.racers.slice(0, NAMES.length);
    const [founder, ...others] = ten;
    const eleventh = this.racers[NAMES.length];
    const { epoch } = this.#conversation(founder).group;
    const plans = new Map<Racer, Plan>();
    const set = (made: Plan) => void plans.set(made.racer, made);
    for (const racer of kimIsIn ? this.racers : ten) {
      set(plan(racer, "renew", (one) => this.#renew(one, epoch)));
    }
    for (let insisting = random.oneIn(10) ? 1 + random.below(2) : 0; insisting > 0; insisting--) {
      set(plan(random.pick(ten), "insist", (one) => this.#renew(one, Infinity)));
    }
    let kimStays = kimIsIn;
    switch (random.below(12)) {
      case 0: {
        const admins = this.#conversation(founder).group.admins;
        const other = random.pick(others);
        const isAdmin = admins.includes(other.fingerprint);
        if (!isAdmin && admins.length > MOST_OTHER_ADMINS) break;
        set(
          plan(
            founder,
            "settings",
            (one) => one.membership.setAdmin(this.#conversation(one), other.name, !isAdmin),
          ),
        );
        break;
      }
      case 1:
      case 2:
        kimStays = !kimIsIn;
        if (kimIsIn && random.oneIn(2)) {
          const gone = ["FORBIDDEN"] as const;
          set(
            plan(eleventh, "leave", (one) => one.membership.leave(this.#conversation(one)), gone),
          );
        } else if (kimIsIn) {
          const gone = ["NOT_FOUND"] as const; // a try whose answer was lost may have done it
          set(plan(founder, "remove", (one) => this.#remove(one), gone));
          plans.set(eleventh, { ...plans.get(eleventh)!, mayEndWith: ["FORBIDDEN"] });
        } else if (kind === "channel") {
          set(plan(eleventh, "join", (one) => join(one, this.#title)));
        } else {
          for (const inviter of [random.pick(ten), random.pick(ten)]) {
            set(plan(inviter, "invite", (one) => this.#invite(one, ELEVENTH)));
          }
        }
    }
    return { plans: [...plans.values()], kimStays };
  }

  /** Things that go wrong in this round. */
  #disturbances(): Step[] {
    const random = this.#random;
    const steps: Step[] = [];
    for (let left = random.oneIn(3) ? 1 + random.below(2) : 0; left > 0; left--) {
      const how = random.pick(["cut", "cut", "half cut", "half cut", "crash"] as const);
      steps.push({
        name: how,
        run: () => {
          // Somebody whose commit is on its way, if there is one: its fate is what is interesting.
          const online = this.racers.filter((racer) => racer.online);
          const waiting = online.filter((racer) => racer.conversation(this.#title)?.inFlight != null);
          const victim = random.pick(waiting.length > 0 ? waiting : online);
          if (victim === undefined) return;
          this.#log(victim.name);
          if (how === "crash") victim.crash();
          else victim.cut(how === "cut");
        },
      });
    }
    if (random.oneIn(30)) steps.push({ name: "silence", run: () => this.clock.advance(LONG_SILENCE_MS) });
    return steps;
  }

  /** Lets the plans begin and everything arrive, in an order that the seed decides. */
  async #play(plans: Plan[], disturbances: Step[]): Promise<void> {
    const random = this.#random;
    const waiting = [...plans];
    for (let steps = 0, idle = 0; waiting.length > 0 || this.#open > 0 || this.#held().length > 0; steps++) {
      if (steps > MOST_STEPS || idle > MOST_IDLE_STEPS) throw new Error("it does not come to rest");
      const held = this.#held();
      const offline = this.racers.filter((racer) => !racer.online && !racer.connecting);
      idle = held.length === 0 ? idle + 1 : 0;
      if (waiting.length > 0 && (held.length === 0 || !random.oneIn(3))) {
        for (let together = 1 + random.below(3); together > 0 && waiting.length > 0; together--) {
          const [next] = waiting.splice(random.below(waiting.length), 1);
          this.#log(`${next.racer.name} ${next.name}`);
          this.#pursue(next);
        }
      } else if (disturbances.length > 0 && random.oneIn(10)) {
        const next = disturbances.pop()!;
        this.#log(next.name);
        next.run();
      } else if (offline.length > 0 && (held.length === 0 || random.oneIn(6))) {
        this.#connect(random.pick(offline));
      } else if (held.length > 0 && !random.oneIn(25)) {
        this.#pass(held);
      } else {
        this.#tick(held.length > 0 ? random.pick(TICKS_MS) : 40 * 2 ** Math.min(idle, 8));
      }
      await this.#settle();
      if (this.#group !== "") this.#noteSpread();
    }
  }

  /** Everybody is connected, everything has arrived, and `isDone`. */
  async #rest(isDone = () => true): Promise<void> {
    for (let idle = 0;; idle++) {
      await this.#play([], []);
      const offline = this.racers.filter((racer) => !racer.online);
      if (idle > 0 && offline.length === 0 && isDone()) return;
      if (idle > MOST_IDLE_STEPS) throw new Error("it does not become what it should");
      for (const racer of offline) if (!racer.connecting) this.#connect(racer);
      this.#tick(REST_MS * 2 ** Math.min(idle, 5)); // what is stored is acknowledged, whoever is asked has the time to answer
      await this.#settle();
    }
  }

  #connect(racer: Racer): void {
    this.#log(`${racer.name} connects`);
    racer.connect();
  }

  #tick(ms: number): void {
    this.#log(`${ms} ms`);
    this.clock.advance(ms);
  }

  /** Ways on which something waits, each as often as its racer is eager. */
  #held(): Held[] {
    const held: Held[] = [];
    for (const [line, racer] of this.#lines) {
      for (const name of ["up", "down"] as const) {
        if (line[name].waiting === 0) continue;
        for (let i = this.#pace.get(racer) ?? 1; i > 0; i--) held.push({ racer, line, name });
      }
    }
    return held;
  }

  /**
   * Passes a record on, and often some of other racers' deliveries at the same time. The relay gets one at a time: what it does with two
   * could depend on which of two signatures is verified first.
   */
  #pass(held: readonly Held[]): void {
    const first = this.#random.pick(held);
    const together = [first];
    for (let more = this.#random.below(4); more > 0; more--) {
      const other = this.#random.pick(held);
      const fits = other.name === "down" && together.every(({ racer }) => racer !== other.racer);
      if (fits) together.push(other);
    }
    for (const { racer, line, name } of together) {
      this.#log(`${racer.name} ${name}`);
      line[name].pass();
    }
  }

  async #settle(): Promise<void> {
    await this.settling.settled();
    // Of racers that move at the same time any may be first.
    for (const outcome of this.#outcomes.splice(0).sort()) this.#log(outcome);
    if (this.#failure !== null) throw this.#failure;
  }

  #pursue({ racer, name, action, mayEndWith }: Plan): void {
    this.#open++;
    racer.pursue(action).catch((error) => {
      if (isAronaError(error, ...mayEndWith)) return;
      this.#failure ??= new Error(`${racer.name} could not ${name}: ${error}`, { cause: error });
    }).finally(() => this.#open--);
  }

  #openLine(racer: Racer): HeldLine {
    const line = new HeldLine();
    for (const old of this.#lines.keys()) {
      if (old.isOver) this.#lines.delete(old);
    }
    this.#lines.set(line, racer);
    void this.relay.serve(line.far);
    return line;
  }

  /** The relay may end a session for a line that broke; nothing else may go wrong there. */
  #noteLog(event: RelayLogEvent): void {
    if (event.type === "internal_error") this.#failure ??= event.error;
    if (event.type !== "mailbox_collapsed") return;
    this.#failure ??= new Error("a mailbox collapsed");
  }

  #noteOutcome(racer: Racer, { code, hash }: { code: string; hash: string }): void {
    this.#outcomes.push(`${racer.name} ${code}`);
    const { outcomes } = this.tally;
    outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
    if (code === "CLOSED" || code === "TIMEOUT") this.#unanswered.add(hash);
  }

  #noteSpread(): void {
    const epochs = this.racers.slice(0, NAMES.length).map((racer) => this.#conversation(racer).group.epoch);
    const spread = Math.max(...epochs) - Math.min(...epochs);
    if (spread > 0) this.tally.apart++;
    this.tally.farthest = Math.max(this.tally.farthest, spread);
  }

  /** Who is in the group as the relay has it. */
  #members(): Racer[] {
    const stored = this.options.relayStore.group(this.#group);
    const devices = new Set<string>(stored?.members.map(({ device }) => device));
    return this.racers.filter((racer) =>
      devices.has(racer.device) && racer.conversation(this.#title) !== undefined
    );
  }

  /** At rest every member has the same state, and nothing is left over. */
  #agree(): void {
    const stored = this.options.relayStore.group(this.#group)!;
    const newest = this.options.relayStore.commitHash(this.#group, stored.epoch - 1);
    const members = this.#members();
    assert.ok(members.length >= NAMES.length, "a member is gone");
    const { authenticator } = this.#conversation(members[0]).group;
    for (const racer of members) {
      const { group, participation } = this.#conversation(racer);
      assert.equal(participation, "member", `${racer.name}'s participation`);
      assert.equal(group.epoch, stored.epoch, `${racer.name}'s epoch`);
      assert.equal(toHex(group.authenticator), toHex(authenticator), `${racer.name}'s epoch authenticator`);
    }
    for (const racer of members) {
      const { group, pending, inFlight, refused, base } = this.#conversation(racer);
      const whose = `${racer.name}'s`;
      if (newest !== null && base !== "") assert.equal(base, toHex(newest), `${whose} newest commit`);
      assert.deepEqual(
        { pending, inFlight, refused },
        { pending: null, inFlight: null, refused: null },
        whose,
      );
      assert.deepEqual(
        group.members.map(({ device }) => device as string).sort(),
        stored.members.map(({ device }) => device as string).sort(),
        `${whose} members`,
      );
    }
  }

  /** Nobody was shown anything that did not happen. */
  #trust(): void {
    for (const racer of this.racers) {
      assert.deepEqual(oddEvents(racer), [], `${racer.name} was told something odd`);
    }
    for (const hash of this.#unanswered) {
      const { epoch } = this.#conversation(this.racers[0]).group;
      for (let back = 1; back <= 16 && back <= epoch; back++) {
        const accepted = this.options.relayStore.commitHash(this.#group, epoch - back);
        if (accepted !== null && toHex(accepted) === hash) this.tally.lostAnswers++;
      }
    }
    this.#unanswered.clear();
    this.tally.accepted = this.#conversation(this.racers[0]).group.epoch;
  }

  #states(): string {
    return this.racers.map((racer) => {
      const conversation = racer.conversation(this.#title);
      if (conversation === undefined) return `${racer.name}: outside`;
      const { group, participation, pending, inFlight } = conversation;
      const line = racer.online ? "online" : racer.connecting ? "connecting" : "offline";
      return `${racer.name}: ${line}, ${participation}, epoch ${group.epoch}, ` +
        `${toHex(group.authenticator).slice(0, 8)}, pending ${pending?.hash.slice(0, 8)}, in flight ${
          inFlight?.slice(0, 8)
        } ${oddEvents(racer).join(" ")}`;
    }).join("\n");
  }

  #conversation(racer: Racer): Conversation {
    const conversation = racer.conversation(this.#title);
    assert.ok(conversation, `${racer.name} has no conversation`);
    return conversation;
  }

  #say(racer: Racer, text: string): void {
    racer.say(this.#conversation(racer), text);
  }

  /** A new leaf, unless the group has moved on from `epoch` already. */
  #renew(racer: Racer, epoch: number): Promise<void> {
    return racer.membership.change(
      this.#conversation(racer),
      (group) => Promise.resolve(group.epoch > epoch ? null : { change: { kind: "update" } }),
    );
  }

  #invite(racer: Racer, name: string): Promise<void> {
    return racer.membership.invite(this.#conversation(racer), name as AccountName);
  }

  #remove(racer: Racer): Promise<void> {
    return racer.membership.remove(this.#conversation(racer), ELEVENTH, { ban: false });
  }

  #log(step: string): void {
    this.#steps.push(step);
    this.#trace.update(`${step}\n`);
  }
}

/** What nobody should be told in a race. */
function oddEvents(racer: Racer): string[] {
  const odd = ["Gap", "Fault", "MsgFailed", "IdentityChanged"];
  return racer.events.filter(({ type }) => odd.includes(type)).map((event) => JSON.stringify(event));
}

function plan(
  racer: Racer,
  name: string,
  action: (racer: Racer) => Promise<void>,
  mayEndWith: readonly ErrorCode[] = [],
): Plan {
  return { racer, name, action, mayEndWith };
}

async function create(racer: Racer, name: string): Promise<void> {
  await racer.membership.createGroup(name, MANDATORY_SUITE);
}

async function join(racer: Racer, channel: string): Promise<void> {
  await racer.membership.joinChannel(channel as ChannelName, MANDATORY_SUITE);
}

/** Pauses are drawn from one or two bytes: those come from the seed, keys and everything else from real chance. */
function withSeededChance(crypto: CryptoProvider, random: Random): CryptoProvider {
  return {
    ...crypto,
    randomBytes: (length) => length <= 2 ? random.bytes(length) : crypto.randomBytes(length),
  };
}
