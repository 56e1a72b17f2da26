/**
 * The encrypted connection once its handshake is done: batching, opening, authenticated close (PROTOCOL.md sections 5 and 6).
 *
 * Out: queue() → sealer's queue → (microtask, or when the write before is done) → one record → transport. Whatever is queued while a write is
 * under way leaves together afterwards. In: transport → deframer → opener → receive(). Nothing is read unless receive() is called.
 */

import { type BodyStream, Deadline } from "./body_stream.ts";
import type { Clock } from "./clock.ts";
import type { RelayGreeting, SecureConnection } from "./connection.ts";
import { decodeControl, encodeControl, ObjectAssembler } from "./control.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { AronaError } from "./errors.ts";
import { type Frame, FrameType, type OutFrame } from "./frame.ts";
import type { SessionSecrets } from "./key_schedule.ts";
import { MAX_CONNECTION_AGE_MS, MAX_RECORD_BYTES } from "./limits.ts";
import { Direction } from "./record.ts";
import { RecordOpener } from "./record_opener.ts";
import { RecordSealer } from "./record_sealer.ts";

/** A close that a stalled peer does not let through becomes a cut after this time. */
const CLOSE_TIMEOUT_MS = 2_000;
const PING_BYTES = 8;
/** A peer that does not read gets no more PONGs than this lets wait. */
const MAX_QUEUED_FOR_PONG_BYTES = 65_536;

/** Options of {@link RecordConnection}. */
export interface RecordConnectionOptions {
  readonly stream: BodyStream;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly secrets: SessionSecrets;
  readonly greeting: RelayGreeting;
  readonly fingerprint: Uint8Array;
  readonly side: "client" | "relay";
  /** Runs until `authenticated()`. */
  readonly deadline?: Deadline;
}

/** A SecureConnection after the handshake. */
export class RecordConnection implements SecureConnection {
  readonly exporter: Uint8Array;
  readonly greeting: RelayGreeting;
  readonly relayFingerprint: Uint8Array;
  readonly #stream: BodyStream;
  readonly #clock: Clock;
  readonly #sealer: RecordSealer;
  readonly #opener: RecordOpener;
  readonly #madeMs: number;
  #readMs: number;
  #lastHeardMs: number;
  #deadline: Deadline | undefined;
  #writing = false;
  #closed = false;
  #ended = false;
  #failure: AronaError | null = null;
  #peerReason: { code?: string; message?: string } | undefined;
  #closing: Promise<void> | null = null;
  #waiters: { belowBytes: number; resolve: () => void }[] = [];

  constructor(options: RecordConnectionOptions) {
    const { crypto, secrets, side } = options;
    const up = { direction: Direction.CLIENT_TO_RELAY, secret: secrets.clientToRelay };
    const down = { direction: Direction.RELAY_TO_CLIENT, secret: secrets.relayToClient };
    this.exporter = secrets.exporter;
    this.greeting = options.greeting;
    this.relayFingerprint = options.fingerprint;
    this.#stream = options.stream;
    this.#stream.deframer.limitBytes = MAX_RECORD_BYTES;
    this.#clock = options.clock;
    this.#sealer = new RecordSealer(crypto, side === "client" ? up : down);
    this.#opener = new RecordOpener(crypto, side === "client" ? down : up);
    this.#deadline = options.deadline;
    this.#madeMs = this.#readMs = this.#lastHeardMs = options.clock.monotonic();
  }

  get remoteAddress(): string {
    return this.#stream.transport.remoteAddress;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get queuedBytes(): number {
    return this.#sealer.queuedBytes;
  }

  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  get peerReason(): { code?: string; message?: string } | undefined {
    return this.#peerReason;
  }

  async receive(): Promise<readonly Frame[] | null> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#ended) return null;
      const frames = this.#openAll();
      if (frames.length > 0) return frames;
      if (this.#failure !== null || this.#ended) continue;
      try {
        const chunk = await this.#stream.read();
        this.#readMs = this.#clock.monotonic();
        if (!chunk.done) this.#stream.deframer.push(chunk.value);
        else if (!this.#ended) this.#fail(cutOff());
        this.#endOldAge(this.#readMs);
      } catch (cause) {
        this.#fail(cutOff(cause));
      }
    }
  }

  queue(...frames: readonly OutFrame[]): void {
    if (this.#closed || this.#closing !== null) return;
    this.#enqueue(frames);
    this.#endOldAge(this.#clock.monotonic());
  }

  drained(belowBytes: number): Promise<void> {
    if (this.#closed || this.queuedBytes <= belowBytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ belowBytes, resolve }));
  }

  authenticated(): void {
    this.#opener.authenticated();
    this.#sealer.mayFragment = true;
    this.#deadline?.cancel();
    this.#deadline = undefined;
  }

  close(reason: { code: string; message?: string } = { code: "CLOSED" }): Promise<void> {
    if (this.#closed) return this.#closing ?? Promise.resolve();
    this.#closing ??= this.#sayBye(reason);
    return this.#closing;
  }

  abort(): void {
    this.#fail(new AronaError("CLOSED", "Cannot use the connection: it is closed"));
  }

  /** Opens every record that is there. What a bad one followed is still handed out; the failure comes next. */
  #openAll(): Frame[] {
    const frames: Frame[] = [];
    try {
      for (let body = this.#stream.deframer.next(); body !== null; body = this.#stream.deframer.next()) {
        for (const frame of this.#opener.open(body)) this.#handle(frame, frames);
        this.#lastHeardMs = this.#readMs; // a piece of a large frame is a sign of life too
        if (this.#ended) break;
      }
    } catch (cause) {
      const known = cause instanceof AronaError;
      this.#fail(
        known ? cause : new AronaError("BAD_FRAME", "Cannot receive: a frame is malformed", { cause }),
      );
    }
    return frames;
  }

  #handle(frame: Frame, frames: Frame[]): void {
    if (frame.type === FrameType.BYE) {
      this.#peerReason = byeReason(frame.body);
      this.#ended = true;
      this.#shut();
      return;
    }
    if (frame.type === FrameType.AUTH_OK && this.#opener.isAuthenticated) this.authenticated();
    if (frame.type === FrameType.PING || frame.type === FrameType.PONG) {
      if (frame.body.length !== PING_BYTES) {
        throw new AronaError("BAD_FRAME", "Cannot receive: PING without 8 bytes");
      }
      if (
        frame.type === FrameType.PING && this.#opener.isAuthenticated &&
        this.queuedBytes < MAX_QUEUED_FOR_PONG_BYTES
      ) {
        this.queue({ type: FrameType.PONG, parts: [frame.body] });
      }
    }
    frames.push(frame);
  }

  /** Looked at when something is sent or received: a timer for each connection would cost more memory than its keys. */
  #endOldAge(nowMs: number): void {
    if (this.#closed || nowMs - this.#madeMs < MAX_CONNECTION_AGE_MS) return;
    void this.close({ code: "CLOSED", message: "the connection is a day old; connect again" });
  }

  #enqueue(frames: readonly OutFrame[]): void {
    for (const frame of frames) this.#sealer.enqueue(frame);
    if (this.#writing) return;
    this.#writing = true;
    queueMicrotask(() => this.#flush());
  }

  async #flush(): Promise<void> {
    try {
      while (!this.#closed) {
        const record = this.#sealer.seal(this.#clock.monotonic());
        if (record === null) break;
        await this.#stream.transport.send(record);
        this.#wakeDrained();
      }
    } catch (cause) {
      this.#fail(cutOff(cause));
    }
    this.#writing = false;
    this.#wakeDrained();
  }

  async #sayBye(reason: { code: string; message?: string }): Promise<void> {
    const timeout = new Deadline(this.#clock, CLOSE_TIMEOUT_MS, () => this.#shut());
    this.#enqueue(encodeControl(FrameType.BYE, reason));
    await this.drained(-1);
    timeout.cancel();
    this.#ended = true;
    this.#shut();
  }

  #fail(failure: AronaError): void {
    if (!this.#closed && !this.#ended) {
      this.#failure = this.#deadline?.expired
        ? new AronaError("TIMEOUT", "Cannot go on: nobody logged in on the connection in time")
        : failure;
    }
    this.#shut();
  }

  #shut(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadline?.cancel();
    this.#stream.transport.close();
    this.#wakeDrained();
  }

  #wakeDrained(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      // -1 waits until everything has been handed over and the last write is done.
      const below = waiter.belowBytes >= 0 ? this.queuedBytes <= waiter.belowBytes : !this.#writing;
      if (this.#closed || below) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }
}

function byeReason(body: Uint8Array): { code?: string; message?: string } {
  const { code, message } = decodeControl(body, new ObjectAssembler()).fields;
  return {
    code: typeof code === "string" ? code : undefined,
    message: typeof message === "string" ? message : undefined,
  };
}

function cutOff(cause?: unknown): AronaError {
  return new AronaError("TRUNCATED", "Cannot receive: the connection was cut off", {
    cause,
    hint:
      "It ended without a goodbye: the network, the relay or somebody in between cut it. It is set up again.",
  });
}
