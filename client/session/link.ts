/**
 * One authenticated connection to the relay: requests with their answers, deliveries and events in the order they came.
 *
 * bytes → SecureConnection → frames → { answers | inbox }. Everything that has to happen in stream order — deliveries, events and
 * the answers of `ordered` requests — goes through one inbox that handles an item only when the one before it is done.
 */

import {
  AronaError,
  type Clock,
  type Control,
  type ControlFields,
  decodeAccepted,
  decodeControl,
  decodeDelivery,
  decodeReceipt,
  type Delivery,
  encodeControl,
  encodeDelivered,
  encodeSubmission,
  type Frame,
  FrameType,
  isErrorCode,
  ObjectAssembler,
  type OutFrame,
  type Receipt,
  type SecureConnection,
} from "../../proto/mod.ts";
import type { Accepted, Submission } from "../../proto/mod.ts";
import {
  ACK_AFTER_MS,
  ACK_EVERY,
  AUTH_TIMEOUT_MS,
  DELIVERY_WAIT_MS,
  MAX_REQUESTS_IN_FLIGHT,
  REQUEST_TIMEOUT_MS,
} from "../limits.ts";
import { type KeepAlive, startKeepAlive, stepKeepAlive } from "./keep_alive.ts";
import { momentOf } from "./moment.ts";
import type { Disturbance } from "./surroundings.ts";

/** What a link hands on. Each call is awaited before the next one is made. */
export interface LinkHandlers {
  /** A delivery; once this resolves it will be acknowledged: as stored, or where it resolves false as one that could not be opened. */
  onDelivery(delivery: Delivery): Promise<boolean>;
  onEvent(event: Control): Promise<void>;
  onReceipt(receipt: Receipt): Promise<void>;
  /** The connection has ended; called once, after everything that had arrived was handled. */
  onClosed(reason: AronaError): void;
}

/** What the relay said in AUTH_OK. */
export interface LoginResult {
  readonly registered: boolean;
  /** Number of the first delivery. */
  readonly next: number;
  /** Deliveries that waited in the mailbox. */
  readonly backlog: number;
  readonly gap: boolean;
  /** The device has shown an older ticket than it was given: its files are an older copy. */
  readonly stale: boolean;
  /** To be on this device's disk before anything is sent, and shown at the next login; null where the relay gives none. */
  readonly ticket: string | null;
  /** Unused KeyPackages on the relay, by suite. */
  readonly keyPackages: Readonly<Record<string, number>>;
}

/** A request's options. */
export interface RequestOptions {
  blobs?: readonly Uint8Array[];
  /** Runs in stream order when the answer is OK, before any later delivery is handled. */
  onAnswer?: (answer: Control) => Promise<void>;
}

interface Waiting {
  resolve(value: Control | Accepted): void;
  reject(error: Error): void;
  onAnswer?: (answer: Control) => Promise<void>;
  cancelTimeout: () => void;
}

type InboxItem =
  | { kind: "delivery"; number: number; delivery: Delivery }
  | { kind: "event"; event: Control }
  | { kind: "receipt"; receipt: Receipt }
  | { kind: "answer"; waiting: Waiting; answer: Control }
  | { kind: "end"; reason: AronaError };

const PING_BODY = new Uint8Array(8);
const MAX_TICKET_CHARACTERS = 64;

/** One authenticated connection. */
export class RelayLink {
  readonly #objects = new ObjectAssembler();
  readonly #waiting = new Map<number, Waiting>();
  readonly #inbox: InboxItem[] = [];
  #wakeInbox: () => void = () => {};
  #nextRequest = 1;
  #nextObject = 1;
  #nextDelivery = 0;
  #stored = 0;
  readonly #storedWaiters = new Set<() => void>();
  #acknowledged = 0;
  /** Numbers of those that could not be opened, not acknowledged yet. */
  #lost: number[] = [];
  #cancelAck: (() => void) | null = null;
  #keepAlive: KeepAlive;
  #cancelKeepAlive: () => void = () => {};
  #closed = false;
  readonly #caughtUp = Promise.withResolvers<void>();

  private constructor(
    readonly connection: SecureConnection,
    readonly login: LoginResult,
    private readonly clock: Clock,
    private readonly handlers: LinkHandlers,
    pendingFrames: readonly Frame[],
  ) {
    this.#nextDelivery = this.#stored = this.#acknowledged = login.next;
    this.#keepAlive = startKeepAlive(momentOf(clock));
    if (login.backlog === 0) this.#caughtUp.resolve();
    this.#scheduleKeepAlive();
    void this.#receiveLoop(pendingFrames);
    void this.#inboxLoop();
  }

  /**
   * Logs in on a fresh connection, which is cut where that fails.
   *
   * @param options.auth the fields beside `id` and the blobs of AUTH
   * @throws {AronaError} `AUTH_FAILED` where the relay refuses, `TIMEOUT` where it does not answer; the signal's reason
   */
  static async login(
    connection: SecureConnection,
    options: {
      auth: { fields: ControlFields; blobs: readonly Uint8Array[] };
      clock: Clock;
      handlers: LinkHandlers;
      signal?: AbortSignal;
    },
  ): Promise<RelayLink> {
    connection.queue(
      ...encodeControl(FrameType.AUTH, { id: 1, ...options.auth.fields }, { blobs: options.auth.blobs }),
    );
    const [first, ...rest] = await authAnswer(connection, options);
    if (first === undefined) throw endedDuringLogin(connection.peerReason?.code);
    if (first.type !== FrameType.AUTH_OK) {
      connection.abort();
      throw loginRefused(first);
    }
    const { fields } = decodeControl(first.body, new ObjectAssembler());
    connection.authenticated();
    return new RelayLink(connection, parseLogin(fields), options.clock, options.handlers, rest);
  }

  /** Asks the relay for a sign of life at once; without one within {@link PROBE_TIMEOUT_MS} the link ends. */
  probe(disturbance: Disturbance): void {
    this.#stepKeepAlive(disturbance);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the deliveries that waited at login have been handled, or the link has ended. */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Whether every delivery numbered under `number` has been handled. */
  hasHandled(number: number): boolean {
    return this.#stored >= number;
  }

  /**
   * Waits until every delivery numbered under `number` has been handled. Some of them may never come (a mailbox that was full has let them
   * go): the wait is over too when all that has come is handled, and nothing more for {@link DELIVERY_WAIT_MS}.
   *
   * @throws {AronaError} `CLOSED` where the link ends before
   */
  async handled(number: number): Promise<void> {
    while (this.#stored < number) {
      if (this.#closed) throw new AronaError("CLOSED", "Cannot wait for deliveries: not connected");
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const wake = () => resolve(true);
      this.#storedWaiters.add(wake);
      const cancel = this.clock.schedule(DELIVERY_WAIT_MS, () => resolve(false));
      const moved = await promise;
      cancel();
      this.#storedWaiters.delete(wake);
      if (!moved && this.#stored === this.#nextDelivery) return;
    }
  }

  /**
   * Sends a control request and waits for its answer.
   *
   * @throws {AronaError} the relay's code, `TIMEOUT`, `CLOSED`
   */
  request(type: FrameType, fields: ControlFields, options: RequestOptions = {}): Promise<Control> {
    return this.#send<Control>(options.onAnswer, (id) =>
      encodeControl(type, { id, ...fields }, {
        blobs: options.blobs,
        nextObjectNumber: () => this.#nextObject++,
      }));
  }

  /** Submits an envelope and waits until the relay has queued it. @throws {AronaError} the relay's code */
  submit(submission: Omit<Submission, "request">): Promise<Accepted> {
    return this.#send<Accepted>(undefined, (request) => [encodeSubmission({ ...submission, request })]);
  }

  /** Closes in good order: acknowledges what is stored, says BYE. */
  async close(): Promise<void> {
    this.#acknowledge();
    await this.connection.close();
    this.#end(new AronaError("CLOSED", "Cannot go on: the connection was closed"));
  }

  #send<T extends Control | Accepted>(
    onAnswer: Waiting["onAnswer"],
    encode: (id: number) => readonly OutFrame[],
  ): Promise<T> {
    if (this.#closed) return Promise.reject(new AronaError("CLOSED", "Cannot send request: not connected"));
    if (this.#waiting.size >= MAX_REQUESTS_IN_FLIGHT) {
      return Promise.reject(
        new AronaError("QUOTA", `Cannot send request: ${this.#waiting.size} are unanswered`),
      );
    }
    const id = this.#nextRequest++;
    return new Promise<T>((resolve, reject) => {
      const cancelTimeout = this.clock.schedule(REQUEST_TIMEOUT_MS, () => {
        this.#waiting.delete(id);
        reject(
          new AronaError(
            "TIMEOUT",
            `Cannot get an answer: the relay was silent for ${REQUEST_TIMEOUT_MS} ms`,
          ),
        );
      });
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, onAnswer, cancelTimeout });
      try {
        this.connection.queue(...encode(id));
      } catch (error) {
        this.#waiting.delete(id);
        cancelTimeout();
        reject(error);
      }
    });
  }

  async #receiveLoop(first: readonly Frame[]): Promise<void> {
    let reason = new AronaError("CLOSED", "Cannot go on: the relay closed the connection");
    try {
      let frames: readonly Frame[] | null = first;
      while (frames !== null) {
        for (const frame of frames) this.#take(frame);
        frames = await this.connection.receive();
      }
    } catch (error) {
      reason = error instanceof AronaError
        ? error
        : new AronaError("CLOSED", "Cannot go on: the connection failed", { cause: error });
      this.connection.abort();
    }
    this.#end(reason);
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case FrameType.OBJECT:
        return this.#objects.add(frame.body);
      case FrameType.MSG:
        return this.#enqueue({
          kind: "delivery",
          number: this.#nextDelivery++,
          delivery: decodeDelivery(frame.body, this.#objects),
        });
      case FrameType.RECEIPT:
        return this.#enqueue({ kind: "receipt", receipt: decodeReceipt(frame.body) });
      case FrameType.EVENT:
        return this.#enqueue({ kind: "event", event: decodeControl(frame.body, this.#objects) });
      case FrameType.ACK: {
        const accepted = decodeAccepted(frame.body);
        return this.#settle(accepted.request)?.resolve(accepted);
      }
      case FrameType.OK: {
        const answer = decodeControl(frame.body, this.#objects);
        const waiting = this.#settle(answer.fields.id);
        if (waiting?.onAnswer) this.#enqueue({ kind: "answer", waiting, answer });
        else waiting?.resolve(answer);
        return;
      }
      case FrameType.ERROR: {
        const { fields } = decodeControl(frame.body, this.#objects);
        return this.#settle(fields.id)?.reject(relayError(fields));
      }
      default: // a type this version does not know
    }
  }

  #settle(id: unknown): Waiting | undefined {
    if (typeof id !== "number") return undefined;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.cancelTimeout();
    return waiting;
  }

  #enqueue(item: InboxItem): void {
    this.#inbox.push(item);
    this.#wakeInbox();
  }

  async #inboxLoop(): Promise<void> {
    for (;;) {
      const item = this.#inbox.shift();
      if (item === undefined) {
        await new Promise<void>((resolve) => this.#wakeInbox = resolve);
        continue;
      }
      if (item.kind === "end") return this.handlers.onClosed(item.reason);
      try {
        await this.#handle(item);
      } catch (error) {
        // A handler that fails leaves the delivery unacknowledged: the relay sends it again on the next connection.
        const reason = error instanceof AronaError
          ? error
          : new AronaError("INTERNAL", "Cannot handle what the relay sent", { cause: error });
        this.connection.abort();
        this.#end(reason);
        for (const left of this.#inbox.splice(0)) {
          if (left.kind === "answer") left.waiting.reject(connectionEnded(reason));
        }
        return this.handlers.onClosed(reason);
      }
    }
  }

  async #handle(item: Exclude<InboxItem, { kind: "end" }>): Promise<void> {
    switch (item.kind) {
      case "delivery":
        if (!await this.handlers.onDelivery(item.delivery)) this.#lost.push(item.number);
        this.#stored = item.number + 1;
        for (const wake of [...this.#storedWaiters]) wake();
        if (this.#stored >= this.login.next + this.login.backlog) this.#caughtUp.resolve();
        if (this.#stored - this.#acknowledged >= ACK_EVERY) this.#acknowledge();
        else if (!this.#closed) {
          this.#cancelAck ??= this.clock.schedule(ACK_AFTER_MS, () => this.#acknowledge());
        }
        return;
      case "event":
        return await this.handlers.onEvent(item.event);
      case "receipt":
        return await this.handlers.onReceipt(item.receipt);
      case "answer":
        try {
          await item.waiting.onAnswer!(item.answer);
          item.waiting.resolve(item.answer);
        } catch (error) {
          item.waiting.reject(error as Error);
        }
        return;
    }
  }

  #acknowledge(): void {
    this.#cancelAck?.();
    this.#cancelAck = null;
    if (this.#stored === this.#acknowledged || this.connection.closed) return;
    this.#acknowledged = this.#stored;
    this.connection.queue(encodeDelivered(this.#stored, this.#lost.splice(0)));
  }

  #stepKeepAlive(cause: "timer" | Disturbance): void {
    if (this.#closed) return;
    const heardMs = this.connection.lastHeardMs;
    const { state, ping } = stepKeepAlive(this.#keepAlive, { cause, at: momentOf(this.clock), heardMs });
    this.#keepAlive = state;
    if (ping) this.connection.queue({ type: FrameType.PING, parts: [PING_BODY] });
    this.#scheduleKeepAlive();
  }

  #scheduleKeepAlive(): void {
    const state = this.#keepAlive;
    this.#cancelKeepAlive();
    if (state.kind === "dead") {
      this.connection.abort();
      const seconds = Math.round(state.silentMs / 1_000);
      return this.#end(new AronaError("TIMEOUT", `Cannot go on: the relay was silent for ${seconds} s`));
    }
    const delayMs = state.dueMs - this.clock.monotonic();
    this.#cancelKeepAlive = this.clock.schedule(delayMs, () => this.#stepKeepAlive("timer"));
  }

  #end(reason: AronaError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#caughtUp.resolve();
    for (const wake of [...this.#storedWaiters]) wake();
    this.#cancelKeepAlive();
    this.#cancelAck?.();
    for (const waiting of this.#waiting.values()) {
      waiting.cancelTimeout();
      waiting.reject(connectionEnded(reason));
    }
    this.#waiting.clear();
    this.#enqueue({ kind: "end", reason });
  }
}

/** What comes after AUTH; nothing where the relay said BYE. A relay that says nothing at all is given up. */
async function authAnswer(
  connection: SecureConnection,
  { clock, signal }: { clock: Clock; signal?: AbortSignal },
): Promise<readonly Frame[]> {
  let late = false;
  const cut = () => connection.abort();
  const cancel = clock.schedule(AUTH_TIMEOUT_MS, () => {
    late = true;
    cut();
  });
  signal?.addEventListener("abort", cut, { once: true });
  if (signal?.aborted) cut();
  try {
    return await connection.receive() ?? [];
  } catch (error) {
    signal?.throwIfAborted();
    if (!late) throw error;
    throw new AronaError("TIMEOUT", "Cannot log in: the relay did not answer in time", { cause: error });
  } finally {
    cancel();
    signal?.removeEventListener("abort", cut);
  }
}

/** A relay that stops just then has not refused anybody. */
function endedDuringLogin(code: string | undefined): AronaError {
  return new AronaError(
    code === "AUTH_FAILED" ? code : "CLOSED",
    "Cannot log in: the relay closed the connection",
  );
}

function connectionEnded(cause: AronaError): AronaError {
  return new AronaError("CLOSED", "Cannot get an answer: the connection ended", { cause });
}

/** The error that an ERROR frame's fields stand for. */
export function relayError(fields: ControlFields): AronaError {
  const code = isErrorCode(fields.code) ? fields.code : "INTERNAL";
  return new AronaError(code, RELAY_ERROR_TEXTS[code] ?? `Cannot do that: the relay answered ${code}`, {
    details: fields,
  });
}

const RELAY_ERROR_TEXTS: Partial<Record<string, string>> = {
  FORBIDDEN: "Cannot do that: the relay says this account may not",
  NOT_FOUND: "Cannot do that: the relay does not know it",
  CONFLICT: "Cannot do that: somebody else was first",
  STALE_EPOCH: "Cannot send: the group has moved on",
  QUOTA: "Cannot send: the receiving mailboxes are full",
  RATE_LIMITED: "Cannot do that so often: the relay asks to wait",
  TOO_LARGE: "Cannot send: it is too large for the relay",
  UNSUPPORTED: "Cannot do that: this relay does not know the request",
};

function loginRefused(frame: Frame): AronaError {
  if (frame.type !== FrameType.ERROR) {
    return new AronaError("BAD_FRAME", "Cannot log in: the relay answered with something else");
  }
  const { invite } = decodeControl(frame.body, new ObjectAssembler()).fields;
  if (typeof invite === "string" && Object.hasOwn(INVITE_FAULT_TEXTS, invite)) {
    return new AronaError("AUTH_FAILED", `Cannot log in: ${INVITE_FAULT_TEXTS[invite]}`, {
      hint: "Each invite lets one new person in, once. Ask whoever runs the relay for another one.",
      details: { invite },
    });
  }
  return new AronaError("AUTH_FAILED", "Cannot log in: the relay refused this account", {
    hint:
      "The name may belong to somebody else, or the relay may want an invite (--invite). Choose another name with --username.",
  });
}

const INVITE_FAULT_TEXTS: Record<string, string> = {
  unknown: "the relay does not know this invite",
  used: "this invite has been used already",
  revoked: "this invite has been taken back",
  expired: "this invite has expired",
};

function parseLogin(fields: ControlFields): LoginResult {
  const { registered, next, backlog, gap, stale, ticket, keyPackages } = fields;
  if (!Number.isSafeInteger(next) || typeof keyPackages !== "object" || keyPackages === null) {
    throw new AronaError("BAD_FRAME", "Cannot log in: the relay's answer lacks fields");
  }
  return {
    registered: registered === true,
    next: next as number,
    backlog: Number.isSafeInteger(backlog) ? backlog as number : 0,
    gap: gap === true,
    stale: stale === true,
    ticket: typeof ticket === "string" && ticket.length <= MAX_TICKET_CHARACTERS ? ticket : null,
    keyPackages: keyPackages as Record<string, number>,
  };
}
