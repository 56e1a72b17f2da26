/**
 * The encrypted connection over any Transport: handshake, records, batching, authenticated close (PROTOCOL.md sections 4 to 6).
 *
 * Out: queue() → sealer's queue → (microtask, or when the write before is done) → one record → transport. Whatever is queued while a write is
 * under way leaves together afterwards. In: transport → deframer → opener → receive(). Nothing is read unless receive() is called.
 */

import type { Clock } from "./clock.ts";
import type { RelayGreeting, SecureConnection } from "./connection.ts";
import { decodeControl, encodeControl, ObjectAssembler } from "./control.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { Deframer } from "./deframer.ts";
import { type DiscoveryDocument, PROTOCOL_VERSION } from "./document.ts";
import { AronaError } from "./errors.ts";
import { type Frame, FrameType, type OutFrame } from "./frame.ts";
import {
  answerHandshake,
  finishHandshake,
  HandshakeKind,
  type HandshakeRefusal,
  type RelayHandshakeKeys,
  type ReplayGuard,
  type SessionSecrets,
  startHandshake,
} from "./handshake.ts";
import {
  HANDSHAKE_TIMEOUT_MS,
  M1_BYTES,
  M2_BYTES,
  MAX_CONNECTION_AGE_MS,
  MAX_DOCUMENT_BYTES,
  MAX_RECORD_BYTES,
} from "./limits.ts";
import { Direction, RecordOpener, RecordSealer } from "./record.ts";
import type { Transport } from "./transport.ts";

/** A close that a stalled peer does not let through becomes a cut after this time. */
const CLOSE_TIMEOUT_MS = 2_000;
const PING_BYTES = 8;
/** A peer that does not read gets no more PONGs than this lets wait. */
const MAX_QUEUED_FOR_PONG_BYTES = 65_536;

/** Options of {@link connectSecure}. */
export interface ConnectSecureOptions {
  readonly transport: Transport;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** Verified, and from the relay that is meant. */
  readonly document: Pick<DiscoveryDocument, "fingerprint" | "relayKey">;
  readonly signal?: AbortSignal;
  /** @default HANDSHAKE_TIMEOUT_MS */
  readonly timeoutMs?: number;
}

/**
 * The client's side of the handshake. The transport is closed where it fails.
 *
 * @throws {AronaError} `BAD_HANDSHAKE`, `BAD_DOCUMENT` (its relay key has expired), `TIMEOUT`, `UNKNOWN_VERSION`, `CLOSED`; the signal's reason
 */
export async function connectSecure(options: ConnectSecureOptions): Promise<SecureConnection> {
  const { crypto, clock, document } = options;
  const stream = new BodyStream(options.transport, M2_BYTES);
  const guard = guardStream(stream, options);
  try {
    if (clock.now() > document.relayKey.notAfterMs) {
      throw new AronaError("BAD_DOCUMENT", "Cannot connect securely: the relay's key has expired", {
        hint: "Get the relay's current discovery document, and check this computer's clock.",
      });
    }
    const handshake = await startHandshake(crypto, document);
    await stream.send(handshake.m1);
    const m2 = await stream.receive();
    if (m2 === null) {
      throw new AronaError(
        "BAD_HANDSHAKE",
        "Cannot connect securely: the relay closed the connection without an answer",
        {
          hint:
            "Its key may have changed, then its current discovery document helps; or it has too many connections.",
        },
      );
    }
    const { secrets, greeting } = await finishHandshake(crypto, handshake, m2);
    guard.check();
    return new Connection({
      stream,
      crypto,
      clock,
      secrets,
      greeting,
      fingerprint: document.fingerprint,
      side: "client",
    });
  } catch (error) {
    options.transport.close();
    guard.check();
    throw error;
  } finally {
    guard.release();
  }
}

/** Options of {@link acceptSecure}. */
export interface AcceptSecureOptions {
  readonly transport: Transport;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly relay: RelayHandshakeKeys;
  readonly greeting: () => RelayGreeting;
  /** The current discovery document's bytes. */
  readonly document: () => Uint8Array;
  readonly replay: ReplayGuard;
  /** From accept until `authenticated()` is called on the connection. @default HANDSHAKE_TIMEOUT_MS */
  readonly timeoutMs?: number;
  /** Hears what became of a connection that gave null; for counters, not for the peer. */
  readonly onRefused?: (reason: HandshakeRefusal | "document" | "timeout" | "cut-off") => void;
}

/**
 * The relay's side: serves the document, or makes the handshake. Never throws for what the peer does.
 *
 * @returns null where there is no connection: the document was served, or the peer got no answer. The transport is closed then.
 */
export async function acceptSecure(options: AcceptSecureOptions): Promise<SecureConnection | null> {
  const { transport, crypto, clock, relay } = options;
  const stream = new BodyStream(transport, M1_BYTES);
  const deadline = new Deadline(clock, options.timeoutMs ?? HANDSHAKE_TIMEOUT_MS, () => transport.close());
  const refuse = (reason: HandshakeRefusal | "document" | "cut-off"): null => {
    deadline.cancel();
    transport.close();
    options.onRefused?.(deadline.expired ? "timeout" : reason);
    return null;
  };
  try {
    const first = await stream.receive();
    if (first === null) return refuse("cut-off");
    if (first[0] === HandshakeKind.DOCUMENT_REQUEST) {
      if (first.length !== 2 || first[1] !== PROTOCOL_VERSION) return refuse("version");
      await stream.send(prefixed(HandshakeKind.DOCUMENT, options.document()));
      return refuse("document");
    }
    const greeting = options.greeting();
    const answer = await answerHandshake(crypto, first, { relay, replay: options.replay, greeting });
    if (answer.kind === "refused") return refuse(answer.reason);
    await stream.send(answer.m2);
    if (deadline.expired) return refuse("cut-off");
    return new Connection({
      stream,
      crypto,
      clock,
      secrets: answer.secrets,
      greeting,
      fingerprint: relay.fingerprint,
      side: "relay",
      deadline,
    });
  } catch (error) {
    if (error instanceof AronaError && error.code === "TOO_LARGE") return refuse("length");
    if (error instanceof AronaError) return refuse("cut-off");
    deadline.cancel();
    transport.close();
    throw error; // ours, not the peer's
  }
}

/**
 * Asks for the discovery document on a fresh transport, which is closed afterwards. What comes is still to be verified.
 *
 * @throws {AronaError} `BAD_DOCUMENT`, `TIMEOUT`, `CLOSED`; the signal's reason
 */
export async function fetchDocument(
  options: { transport: Transport; clock: Clock; signal?: AbortSignal; timeoutMs?: number },
): Promise<Uint8Array> {
  const stream = new BodyStream(options.transport, 1 + MAX_DOCUMENT_BYTES);
  const guard = guardStream(stream, options);
  try {
    await stream.send(Uint8Array.of(HandshakeKind.DOCUMENT_REQUEST, PROTOCOL_VERSION));
    const answer = await stream.receive();
    if (answer === null || answer[0] !== HandshakeKind.DOCUMENT) {
      throw new AronaError(
        "BAD_DOCUMENT",
        "Cannot get discovery document: what answered is not an Arona relay",
        {
          hint: "Check the address and the port.",
        },
      );
    }
    return answer.slice(1);
  } catch (error) {
    guard.check();
    throw error;
  } finally {
    guard.release();
    options.transport.close();
  }
}

/** Bodies with a length in front, over a transport. */
class BodyStream {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly deframer: Deframer;

  constructor(readonly transport: Transport, limitBytes: number) {
    this.#iterator = transport[Symbol.asyncIterator]();
    this.deframer = new Deframer(limitBytes);
  }

  send(body: Uint8Array): Promise<void> {
    return this.transport.send(lengthPrefixed(body));
  }

  /** The next body, or null at the end of the stream. */
  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      const body = this.deframer.next();
      if (body !== null) return body;
      if (!await this.more()) return null;
    }
  }

  /** Reads the next chunk into the deframer. @returns false at the end of the stream */
  async more(): Promise<boolean> {
    const result = await this.#iterator.next();
    if (result.done) return false;
    this.deframer.push(result.value);
    return true;
  }
}

/** Calls `action` once when time is up, unless it is cancelled before. */
class Deadline {
  expired = false;
  readonly cancel: () => void;

  constructor(clock: Clock, delayMs: number, action: () => void) {
    this.cancel = clock.schedule(delayMs, () => {
      this.expired = true;
      action();
    });
  }
}

/** Closes the stream at the deadline or the signal; `check()` then throws what happened. */
function guardStream(
  stream: BodyStream,
  options: { clock: Clock; signal?: AbortSignal; timeoutMs?: number },
): { check(): void; release(): void } {
  const { clock, signal } = options;
  const close = () => stream.transport.close();
  const deadline = new Deadline(clock, options.timeoutMs ?? HANDSHAKE_TIMEOUT_MS, close);
  signal?.addEventListener("abort", close, { once: true });
  if (signal?.aborted) close();
  return {
    check() {
      signal?.throwIfAborted();
      if (deadline.expired) {
        throw new AronaError("TIMEOUT", "Cannot connect securely: the relay did not answer in time", {
          hint: "Check the address and the port; something else may be listening there.",
        });
      }
    },
    release() {
      deadline.cancel();
      signal?.removeEventListener("abort", close);
    },
  };
}

interface ConnectionOptions {
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

class Connection implements SecureConnection {
  readonly exporter: Uint8Array;
  readonly greeting: RelayGreeting;
  readonly relayFingerprint: Uint8Array;
  readonly #stream: BodyStream;
  readonly #clock: Clock;
  readonly #sealer: RecordSealer;
  readonly #opener: RecordOpener;
  readonly #cancelAge: () => void;
  #deadline: Deadline | undefined;
  #writing = false;
  #closed = false;
  #ended = false;
  #failure: AronaError | null = null;
  #peerReason: { code?: string; message?: string } | undefined;
  #closing: Promise<void> | null = null;
  #waiters: { belowBytes: number; resolve: () => void }[] = [];

  constructor(options: ConnectionOptions) {
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
    this.#cancelAge = options.clock.schedule(MAX_CONNECTION_AGE_MS, () => {
      void this.close({ code: "CLOSED", message: "the connection is a day old; connect again" });
    });
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
      let more: boolean;
      try {
        more = await this.#stream.more();
      } catch (cause) {
        this.#fail(cutOff(cause));
        continue;
      }
      if (!more && !this.#ended) this.#fail(cutOff());
    }
  }

  queue(...frames: readonly OutFrame[]): void {
    if (this.#closed || this.#closing !== null) return;
    this.#enqueue(frames);
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
    this.#cancelAge();
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

function prefixed(kind: number, bytes: Uint8Array): Uint8Array {
  const body = new Uint8Array(1 + bytes.length);
  body[0] = kind;
  body.set(bytes, 1);
  return body;
}

function lengthPrefixed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}
