/**
 * A TCP proxy on loopback that breaks what passes through it.
 *
 *     client ⇄ [ up: client → relay, down: relay → client ] ⇄ relay
 *
 * What happens to a connection is decided when it is accepted (a {@link Plan}) or while it stands ({@link Proxy.disturb}).
 */

import net from "node:net";

/** A direction. */
export type Lane = "up" | "down";

/** What is done to a connection. */
export type Disturbance =
  /** An RST or a FIN to both sides. */
  | { readonly kind: "reset" }
  | { readonly kind: "finish" }
  /** Both sides can send, and nothing of it arrives; neither is told. */
  | { readonly kind: "half-open" }
  /** One direction is no longer read: the sender's buffers fill. */
  | { readonly kind: "stall"; readonly lane: Lane }
  /** Each piece of one direction comes later. */
  | { readonly kind: "delay"; readonly lane: Lane; readonly delayMs: number }
  /** One direction comes in pieces of so many bytes. */
  | { readonly kind: "split"; readonly lane: Lane; readonly bytes: number };

/** A disturbance that begins when so many bytes have passed in one direction; the byte at the border is the last to pass. */
export interface Planned {
  readonly lane: Lane;
  readonly afterBytes: number;
  readonly disturbance: Disturbance;
}

/** What to do to the `index`-th connection; null: nothing. */
export type Plan = (index: number) => Planned | null;

/** A proxy that listens until it is disposed of. */
export class Proxy implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #connections = new Set<Connection>();
  readonly #ended: Promise<void>;
  #accepted = 0;
  plan: Plan = () => null;

  private constructor(private readonly relayPort: number) {
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const connection = new Connection(client, this.relayPort, this.plan(this.#accepted++));
      this.#connections.add(connection);
      void connection.ended.then(() => this.#connections.delete(connection));
    });
    this.#ended = new Promise((resolve) => this.#server.on("close", resolve));
  }

  static async open(relayPort: number): Promise<Proxy> {
    const proxy = new Proxy(relayPort);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Does something to every connection that stands. */
  disturb(disturbance: Disturbance): void {
    for (const connection of [...this.#connections]) connection.disturb(disturbance);
  }

  /** Lets pass again what was held back; what a half-open connection has swallowed is gone. */
  relieve(): void {
    for (const connection of this.#connections) connection.relieve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    const ended = [...this.#connections].map((connection) => connection.ended);
    this.disturb({ kind: "reset" });
    await Promise.all([...ended, this.#ended]);
  }
}

/** One connection of a client, and the one to the relay that belongs to it. */
class Connection {
  readonly #relay: net.Socket;
  readonly #lanes: Readonly<Record<Lane, Pump>>;
  readonly ended: Promise<void>;

  constructor(private readonly client: net.Socket, relayPort: number, planned: Planned | null) {
    this.#relay = net.connect({ host: "127.0.0.1", port: relayPort, allowHalfOpen: true, noDelay: true });
    this.#lanes = { up: new Pump(client, this.#relay), down: new Pump(this.#relay, client) };
    if (planned !== null) {
      this.#lanes[planned.lane].trip(planned.afterBytes, () => this.disturb(planned.disturbance));
    }
    const closed = [client, this.#relay].map((socket) =>
      new Promise<void>((resolve) => {
        socket.on("error", () => this.#end("reset")); // the other side shall see it alike
        socket.on("close", () => resolve());
      })
    );
    this.ended = Promise.all(closed).then(() => {
      for (const lane of Object.values(this.#lanes)) lane.stop();
    });
  }

  disturb(disturbance: Disturbance): void {
    switch (disturbance.kind) {
      case "reset":
      case "finish":
        return this.#end(disturbance.kind);
      case "half-open":
        for (const lane of Object.values(this.#lanes)) lane.swallow();
        return;
      case "stall":
        return this.#lanes[disturbance.lane].hold();
      case "delay":
        this.#lanes[disturbance.lane].delayMs = disturbance.delayMs;
        return;
      case "split":
        this.#lanes[disturbance.lane].pieceBytes = disturbance.bytes;
        return;
    }
  }

  relieve(): void {
    for (const lane of Object.values(this.#lanes)) lane.relieve();
  }

  #end(how: "reset" | "finish"): void {
    for (const socket of [this.client, this.#relay]) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }
}

/** Carries one direction. */
class Pump {
  delayMs = 0;
  pieceBytes = Infinity;
  #swallowing = false;
  #held = false;
  #passed = 0;
  #trip: { atBytes: number; action: () => void } | null = null;
  /** What is delayed. */
  #queue: { dueMs: number; action: () => void }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly from: net.Socket, private readonly to: net.Socket) {
    from.on("data", (chunk) => this.#take(chunk));
    from.on("end", () => this.#after(() => this.#swallowing || this.to.end()));
    to.on("drain", () => this.#held || from.resume());
  }

  /** Calls `action` once `atBytes` have passed. */
  trip(atBytes: number, action: () => void): void {
    this.#trip = { atBytes, action };
  }

  swallow(): void {
    this.#swallowing = true;
  }

  hold(): void {
    this.#held = true;
    this.from.pause();
  }

  relieve(): void {
    this.delayMs = 0;
    this.pieceBytes = Infinity;
    this.#held = false;
    this.from.resume();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
  }

  #take(chunk: Uint8Array): void {
    const trip = this.#trip;
    if (trip === null || this.#passed + chunk.length < trip.atBytes) return this.#pass(chunk);
    const border = Math.max(0, trip.atBytes - this.#passed);
    this.#trip = null;
    this.#pass(chunk.subarray(0, border));
    trip.action();
    this.#pass(chunk.subarray(border));
  }

  #pass(chunk: Uint8Array): void {
    this.#passed += chunk.length;
    if (this.#swallowing || chunk.length === 0) return;
    this.#after(() => {
      if (this.to.destroyed || this.to.writableEnded) return;
      let room = true;
      for (let at = 0; at < chunk.length; at += this.pieceBytes) {
        room = this.to.write(chunk.subarray(at, Math.min(chunk.length, at + this.pieceBytes)));
      }
      if (!room) this.from.pause();
    });
  }

  /** In order, whatever the delay was and is. */
  #after(action: () => void): void {
    if (this.delayMs === 0 && this.#queue.length === 0) return action();
    this.#queue.push({ dueMs: performance.now() + this.delayMs, action });
    if (this.#queue.length === 1) this.#waitForFirst();
  }

  #waitForFirst(): void {
    const [first] = this.#queue;
    this.#timer = setTimeout(() => {
      this.#queue.shift();
      first.action();
      if (this.#queue.length > 0) this.#waitForFirst();
    }, Math.max(0, first.dueMs - performance.now()));
  }
}
