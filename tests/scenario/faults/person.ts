/** Somebody with a profile folder and one client process after the other on it. */

import { ClientProcess, Died, Refused } from "./client_process.ts";
import type { ChildOptions, Command, Death, Fault, Line, ShownEntry } from "./lines.ts";
import type { Ledger } from "./ledger.ts";
import { Signal } from "./signal.ts";

/** Refusals that another try may change: the connection was lost, or somebody else was first. */
const PASSING = ["CLOSED", "TIMEOUT", "UNREACHABLE", "CONFLICT", "RATE_LIMITED"];

/** `ARONA_FAULTS_TRACE=1` prints what every client says. */
const TRACE = Deno.env.get("ARONA_FAULTS_TRACE") === "1";

/** A person of a fault scenario. */
export class Person {
  #life: ClientProcess | null = null;
  #opening: Promise<void> | null = null;
  /** How often its client was started. */
  lives = 0;
  #online = false;
  /** How often a connection that stood has ended. */
  losses = 0;
  #failure: Fault | null = null;
  readonly #recent: string[] = [];
  readonly #entered = new Set<string>();
  readonly #signal = new Signal();
  /** Reasons of the Fault and Status events. */
  readonly reasons: string[] = [];

  constructor(
    readonly name: string,
    private readonly options: Omit<ChildOptions, "username" | "death">,
    private readonly book: { ledger: Ledger; onLine: () => void },
  ) {}

  get folder(): string {
    return this.options.folder;
  }

  get alive(): boolean {
    return this.#life?.alive ?? false;
  }

  /** Whether the client has reported that its connection stands. */
  get online(): boolean {
    return this.alive && this.#online;
  }

  /**
   * Starts the client where it does not run and lets it connect; does not wait for the connection.
   *
   * @throws {Refused} where the profile does not open
   */
  async start(death?: Death): Promise<void> {
    await this.open(death);
    void this.#life!.tell({ do: "connect" }).catch(() => {}); // the status tells
  }

  /** Starts the client where it does not run, without connecting. @throws {Refused} where the profile does not open */
  async open(death?: Death): Promise<void> {
    this.#opening ??= this.#open(death).finally(() => this.#opening = null);
    await this.#opening;
  }

  async #open(death?: Death): Promise<void> {
    if (this.alive) return;
    this.#failure = null;
    this.#online = false;
    this.lives++;
    let opened = false;
    const life = new ClientProcess({ ...this.options, username: this.name, death }, (line) => {
      if (line.kind === "opened") opened = true;
      this.#hear(line);
    });
    this.#life = life;
    void life.ended.then(() => this.#notify());
    await this.until("its profile to open", () => opened || !life.alive);
    if (this.#failure !== null) throw new Refused(this.#failure, "open");
    // A client that was to die while it opened has done what it should.
    if (!opened && !life.killed && death === undefined) {
      throw new Died(`${this.name} ended: ${life.complaints}`);
    }
  }

  /** Starts it where it has ended, then waits until it is online. */
  async backOnline(): Promise<void> {
    if (!this.alive) await this.start();
    await this.until("to be online", () => this.online || !this.alive);
    if (!this.online) await this.backOnline();
  }

  /** kill −9. */
  async kill(): Promise<void> {
    await this.#life?.kill();
  }

  /** Stops in good order. */
  async stop(): Promise<void> {
    await this.#life?.tell({ do: "close" }).catch(() => {});
    await this.#life?.ended;
  }

  signal(signal: Deno.Signal): void {
    this.#life?.signal(signal);
  }

  /** Resolves when this life of the client is over. */
  async ended(): Promise<void> {
    await this.#life?.ended;
  }

  /** @throws {Refused} {@link Died} */
  async tell(command: Command): Promise<unknown> {
    if (this.#life === null) throw new Died("not started");
    return await this.#life.tell(command);
  }

  /** Carries `command` out however often the client dies or loses its connection meanwhile. @throws {Refused} */
  async insist(command: Command): Promise<unknown> {
    for (;;) {
      await this.backOnline();
      try {
        return await this.tell(command);
      } catch (error) {
        if (error instanceof Died) continue;
        if (!(error instanceof Refused && PASSING.includes(error.fault.code))) throw error;
      }
    }
  }

  /** Says something; whether it is accepted is the ledger's to know. @throws {Refused} {@link Died} */
  async say(conversation: string, text: string): Promise<void> {
    this.book.ledger.say({ conversation, from: this.name, text });
    try {
      await this.tell({ do: "send", to: conversation, text });
    } catch (error) {
      if (error instanceof Refused) this.book.ledger.refused(text);
      throw error;
    }
  }

  /** Says something where the client may die of it: what it may have kept is not said a second time. */
  async sayOnce(conversation: string, text: string): Promise<void> {
    if (!this.alive) await this.start();
    await this.say(conversation, text).catch((error) => {
      if (!(error instanceof Died)) throw error;
    });
  }

  /** Waits until this client knows what became of `text`, or its life number `life` is over. */
  async settles(text: string, life: number): Promise<void> {
    const settled = () => this.book.ledger.isSettled(text);
    await this.until(`acceptance of ${text}`, () => !this.alive || this.lives > life || settled());
  }

  /** Says something that is kept, with another ending where the client dies of the first. @returns what */
  async sayKept(conversation: string, beginning: string): Promise<string> {
    for (let attempt = 0;; attempt++) {
      const text = attempt === 0 ? beginning : `${beginning} once more ${attempt}`;
      await this.sayOnce(conversation, text);
      await this.readHistory(conversation);
      if (this.book.ledger.hasSeen(this.name, conversation, text)) return text;
    }
  }

  /** Reads a history into the ledger, where the client has entered the conversation already. */
  async readIfThere(conversation: string): Promise<void> {
    await this.readHistory(conversation).catch((error) => {
      if (!(error instanceof Refused && error.fault.code === "NOT_FOUND")) throw error;
    });
  }

  /** Reads a history into the ledger. */
  async readHistory(conversation: string): Promise<void> {
    const entries = await this.insist({ do: "history", to: conversation }) as ShownEntry[];
    this.book.ledger.read(this.name, conversation, entries);
  }

  /** Waits for a line of this client that makes `condition` true. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await this.#signal.until(condition, () => `${this.name} waited in vain for ${what}.\n${this.describe()}`);
  }

  /** The conversations that this client takes part in; a client that has ended is started. */
  async conversations(): Promise<{ id: string; title: string }[]> {
    const all = await this.insist({ do: "conversations" }) as {
      id: string;
      title: string;
      participation: string;
    }[];
    return all.filter(({ participation }) => participation === "member");
  }

  /** Waits until this client takes part in a conversation that it was invited to. */
  async enters(conversation: string): Promise<void> {
    for (;;) {
      if ((await this.conversations()).some(({ id }) => id === conversation)) return;
      await this.until("an invitation", () => this.#entered.has(conversation) || !this.alive);
    }
  }

  /** What it said last, for a failure. */
  describe(): string {
    const state = this.alive ? this.#online ? "online" : "offline" : "ended";
    const stderr = this.#life?.complaints ?? "";
    return [`${this.name} is ${state}; its last lines:`, ...this.#recent, stderr].join("\n  ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGCONT");
    await this.kill();
  }

  #hear(line: Line): void {
    const { ledger } = this.book;
    if (TRACE) console.error(Math.round(performance.now()), this.name, JSON.stringify(line));
    this.#recent.push(JSON.stringify(line).slice(0, 300));
    if (this.#recent.length > 12) this.#recent.shift();
    if (line.kind === "failed") this.#failure = line.fault;
    if (line.kind === "accepted") ledger.accepted({ text: line.text, id: line.message });
    if (line.kind === "event") {
      const { event } = line;
      if (event.type === "Status") {
        if (this.#online && event.status !== "online") this.losses++;
        this.#online = event.status === "online";
      }
      if (event.type === "GroupCreated") this.#entered.add(event.groupId);
      if (event.type === "MsgCreated") ledger.shown(this.name, { ...event, conversation: event.groupId });
      if (event.type === "MsgSent") ledger.acceptedId(event.id);
      if (event.type === "MsgFailed") ledger.failed(event.id);
      if ((event.type === "Fault" || event.type === "Status") && event.reason) {
        this.reasons.push(event.reason);
      }
    }
    this.#notify();
  }

  #notify(): void {
    this.#signal.notify();
    this.book.onLine();
  }
}
