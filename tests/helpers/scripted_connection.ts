/** A SecureConnection without a peer: the test says what comes, and sees what was queued. */

import {
  AronaError,
  type Clock,
  type Frame,
  FrameType,
  type OutFrame,
  type SecureConnection,
} from "../../proto/mod.ts";

/** Both ends in one. */
export class ScriptedConnection implements SecureConnection {
  readonly exporter = new Uint8Array(32);
  readonly greeting = {
    version: 2,
    boot: "0".repeat(16),
    name: "",
    powBits: 0,
    inviteOnly: false,
    timeMs: 0,
  };
  readonly relayFingerprint = new Uint8Array(32);
  readonly remoteAddress = "script";
  readonly queuedBytes = 0;
  readonly sent: OutFrame[] = [];
  /** Called for each PING. */
  onPing = () => {};
  closed = false;
  lastHeardMs: number;
  peerReason: { code?: string } | undefined;
  #waiting: (Frame | null)[] = [];
  #wake = () => {};

  constructor(private readonly clock: Clock) {
    this.lastHeardMs = clock.monotonic();
  }

  get pings(): number {
    return this.sent.filter(({ type }) => type === FrameType.PING).length;
  }

  /** A frame comes from the relay. */
  hear(frame: OutFrame = { type: FrameType.PONG, parts: [new Uint8Array(8)] }): void {
    this.lastHeardMs = this.clock.monotonic();
    const { type, parts } = frame;
    this.#give({ type, body: new Uint8Array(parts.flatMap((part) => [...part])) });
  }

  /** The relay says BYE. */
  bye(code: string): void {
    this.peerReason = { code };
    this.#give(null);
  }

  async receive(): Promise<readonly Frame[] | null> {
    while (this.#waiting.length === 0) {
      if (this.closed) throw new AronaError("CLOSED", "Cannot use the connection: it is closed");
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const frame = this.#waiting.shift()!;
    return frame === null ? null : [frame];
  }

  queue(...frames: readonly OutFrame[]): void {
    if (this.closed) return;
    this.sent.push(...frames);
    for (const { type } of frames) if (type === FrameType.PING) this.onPing();
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  authenticated(): void {}

  close(): Promise<void> {
    this.closed = true;
    this.#give(null);
    return Promise.resolve();
  }

  abort(): void {
    this.closed = true;
    this.#wake();
  }

  #give(frame: Frame | null): void {
    this.#waiting.push(frame);
    this.#wake();
  }
}
