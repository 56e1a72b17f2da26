/**
 * Calls and events over a port: the one way that workers and their supervisor talk.
 *
 * Each side offers methods by name and sends events. Only methods that the other side offers as its own functions can be called, with
 * plain data, so neither side reaches anything else of the other. Nothing here grows without a bound: calls under way are counted, and
 * so are events that the other side has not taken yet.
 */

import { AronaError } from "../proto/base/mod.ts";
import { fromPlainError, type PlainError, toPlainError } from "./plain_error.ts";

/** Calls of one side that may be under way at once. */
export const MAX_CALLS = 1_024;
/** Events that may be on their way before the receiver has said that it took them. */
export const MAX_EVENTS = 1_024;
/** How many events the receiver takes before it says so. */
const EVENTS_PER_RECEIPT = 256;

/** Methods that a side offers. Arguments and results have to be cloneable; one argument may be an `AbortSignal`. */
// deno-lint-ignore no-explicit-any
export type Methods = Readonly<Record<string, (...args: any[]) => unknown>>;

/** The other side's methods as they are called from here. */
export type Remote<M> = {
  readonly [K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never]: M[K] extends
    (...args: infer A) => infer R ? (...args: Sent<A>) => Promise<Arrived<Awaited<R>>> : never;
};

type Sent<A extends unknown[]> = { [I in keyof A]: A[I] | Transferred<A[I]> };
type Arrived<R> = R extends Transferred<infer T> ? T : R;

/** What a worker, its inside and a MessagePort have in common. */
export interface RpcPort {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/** Options of {@link Rpc}. */
export interface RpcOptions<EventIn> {
  /** What the other side may call. @default nothing */
  readonly methods?: Methods;
  /** Takes the other side's events, in order. What it throws goes to {@link onFault}. @default ignores them */
  readonly onEvent?: (event: EventIn) => void;
  /** Takes errors that belong to no call. @default throws them into the void of the runtime's own reporting */
  readonly onFault?: (error: unknown) => void;
}

type Message =
  | {
    readonly kind: "call";
    id: number;
    method: string;
    args: unknown[];
    signalAt?: number;
    aborted?: boolean;
  }
  | { readonly kind: "abort"; id: number }
  | { readonly kind: "answer"; id: number; value: unknown }
  | { readonly kind: "failure"; id: number; error: PlainError }
  | { readonly kind: "event"; event: unknown }
  | { readonly kind: "taken"; count: number };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/** Values that leave this side for the other instead of being copied: return this from a method, or give it to `emit`. */
export class Transferred<T> {
  constructor(readonly value: T, readonly transfer: Transferable[]) {}
}

/** An argument that leaves this side for the other. It has the type of what arrives there. */
export function moved<T extends Transferable>(value: T): T {
  return new Transferred(value, [value]) as unknown as T;
}

/** One side of a conversation; make one on each side of the port. */
export class Rpc<M, EventIn = never, EventOut = never> {
  /** The other side's methods. */
  readonly remote: Remote<M>;
  readonly #port: RpcPort;
  readonly #options: RpcOptions<EventIn>;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<number, AbortController>();
  #lastId = 0;
  #unconfirmed = 0;
  #received = 0;
  #room: PromiseWithResolvers<void> | null = null;
  #closed: Error | null = null;

  constructor(port: RpcPort, options: RpcOptions<EventIn> = {}) {
    this.#port = port;
    this.#options = options;
    this.remote = new Proxy({} as Remote<M>, {
      get: (_, name) =>
        typeof name !== "string" || name === "then"
          ? undefined
          : (...args: unknown[]) => this.#call(name, args),
    });
    port.addEventListener("message", this.#onMessage);
    if (port instanceof MessagePort) port.start();
  }

  /** Sends an event. @returns whether there was room; where there was none the event is not sent */
  emit(event: EventOut | Transferred<EventOut>): boolean {
    if (this.#closed !== null || this.#unconfirmed >= MAX_EVENTS) return false;
    this.#unconfirmed++;
    if (event instanceof Transferred) this.#post({ kind: "event", event: event.value }, event.transfer);
    else this.#post({ kind: "event", event });
    return true;
  }

  /** Resolves when {@link emit} has room. @throws why the conversation ended */
  async room(): Promise<void> {
    while (this.#unconfirmed >= MAX_EVENTS) {
      if (this.#closed !== null) throw this.#closed;
      this.#room ??= Promise.withResolvers();
      await this.#room.promise;
    }
  }

  /** Ends the conversation on this side: every call under way fails with `reason`. Safe to call again. */
  close(reason: Error = new AronaError("CLOSED", "Cannot ask: the other side is closed")): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#port.removeEventListener("message", this.#onMessage);
    if (this.#port instanceof MessagePort) this.#port.close();
    for (const { reject, release } of this.#pending.values()) {
      release();
      reject(reason);
    }
    this.#pending.clear();
    for (const controller of this.#running.values()) controller.abort(reason);
    this.#running.clear();
    this.#room?.promise.catch(() => {});
    this.#room?.reject(reason);
  }

  #call(method: string, args: unknown[]): Promise<unknown> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.#pending.size >= MAX_CALLS) return Promise.reject(tooManyCalls(method));
    const id = ++this.#lastId;
    const signalAt = args.findIndex((arg) => arg instanceof AbortSignal);
    const signal = args[signalAt] as AbortSignal | undefined;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#post({ kind: "abort", id });
        this.#settle(id)?.reject(signal!.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      const release = () => signal?.removeEventListener("abort", onAbort);
      this.#pending.set(id, { resolve, reject, release });
      const transfer = args.flatMap((arg) => arg instanceof Transferred ? arg.transfer : []);
      const plain = args.map((arg, at) =>
        at === signalAt ? null : arg instanceof Transferred ? arg.value : arg
      );
      try {
        this.#post({ kind: "call", id, method, args: plain, signalAt }, transfer);
      } catch (error) {
        this.#settle(id);
        reject(error);
      }
    });
  }

  readonly #onMessage = ({ data }: MessageEvent<Message>) => {
    switch (data?.kind) {
      case "call":
        return void this.#run(data);
      case "abort":
        return this.#running.get(data.id)?.abort();
      case "answer":
        return this.#settle(data.id)?.resolve(data.value);
      case "failure":
        return this.#settle(data.id)?.reject(fromPlainError(data.error));
      case "event":
        return this.#take(data.event as EventIn);
      case "taken":
        this.#unconfirmed = Math.max(0, this.#unconfirmed - Number(data.count));
        this.#room?.resolve();
        this.#room = null;
    }
  };

  async #run({ id, method, args, signalAt = -1 }: Message & { kind: "call" }): Promise<void> {
    const controller = new AbortController();
    try {
      if (this.#running.size >= MAX_CALLS || this.#running.has(id)) throw tooManyCalls(method);
      const { methods = {} } = this.#options;
      if (!Object.hasOwn(methods, method)) {
        throw new AronaError("UNSUPPORTED", `Cannot call ${method}: there is no such method`);
      }
      this.#running.set(id, controller);
      if (!Array.isArray(args)) throw new AronaError("BAD_REQUEST", `Cannot call ${method}: no arguments`);
      if (signalAt >= 0 && signalAt < args.length) args[signalAt] = controller.signal;
      const result = await methods[method](...args);
      if (result instanceof Transferred) this.#answer(id, result.value, result.transfer);
      else this.#answer(id, result);
    } catch (error) {
      if (this.#closed === null) this.#post({ kind: "failure", id, error: toPlainError(error) });
    } finally {
      if (this.#running.get(id) === controller) this.#running.delete(id);
    }
  }

  #answer(id: number, value: unknown, transfer?: Transferable[]): void {
    if (this.#closed === null) this.#post({ kind: "answer", id, value }, transfer);
  }

  #take(event: EventIn): void {
    if (++this.#received === EVENTS_PER_RECEIPT) {
      this.#post({ kind: "taken", count: this.#received });
      this.#received = 0;
    }
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      if (this.#options.onFault === undefined) return void Promise.reject(error);
      this.#options.onFault(error);
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.release();
    return pending;
  }

  #post(message: Message, transfer: Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}

function tooManyCalls(method: string): AronaError {
  return new AronaError("QUOTA", `Cannot call ${method}: ${MAX_CALLS} calls are under way`);
}
