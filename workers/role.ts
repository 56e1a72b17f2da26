/** The inside of a wall: what a role's module does with what the supervisor hands over. */

import { AronaError } from "../proto/base/mod.ts";
import { toPlainError } from "./plain_error.ts";
import { type Methods, type Remote, Rpc, type RpcPort, type Transferred } from "./rpc.ts";
import type { Role } from "./permissions.ts";

/** What a role and its supervisor say to each other; each role's module exports its own. */
export interface Contract {
  readonly role: Role;
  /** What the supervisor hands over at the start: plain data, and what can be transferred. */
  readonly init: unknown;
  /** What the supervisor may call. */
  // deno-lint-ignore no-explicit-any
  readonly methods: Readonly<Record<string, (...args: any[]) => unknown>>;
  /** What the worker reports by itself. */
  readonly event: unknown;
  /** What the worker may call. */
  // deno-lint-ignore no-explicit-any
  readonly host: Readonly<Record<string, (...args: any[]) => unknown>>;
}

/** What a role's module works with. */
export interface RoleSide<C extends Contract> {
  readonly host: Remote<C["host"]>;
  /** @returns whether there was room; where there was none, the event is lost */
  emit(event: C["event"] | Transferred<C["event"]>): boolean;
  /** Resolves when there is room for an event. */
  room(): Promise<void>;
}

/**
 * Makes the current worker run a role. Call it once, while the module is loaded.
 *
 * Modules of roles import everything statically: what is imported later would need the right to read.
 *
 * @param start begins the role's work and returns the methods that the supervisor may call; what it throws comes out of `spawnWorker`
 */
export function runRole<C extends Contract>(
  start: (init: C["init"], side: RoleSide<C>) => C["methods"] | Promise<C["methods"]>,
): void {
  const methods: Record<string, Methods[string]> = {};
  let begun = false;
  methods.start = async (init: C["init"]) => {
    if (begun) throw new AronaError("INTERNAL", "Cannot start: the role runs already");
    begun = true;
    Object.assign(methods, await start(init, side));
  };
  const rpc = new Rpc<C["host"] & HostMethods, never, C["event"]>(self as unknown as RpcPort, { methods });
  const side: RoleSide<C> = {
    host: rpc.remote as unknown as Remote<C["host"]>,
    emit: (event) => rpc.emit(event),
    room: () => rpc.room(),
  };
  const host = rpc.remote as unknown as Remote<HostMethods>;
  const report = (event: Event, error: unknown) => {
    event.preventDefault(); // reported by the supervisor, as its own faults are
    host.fault(toPlainError(error)).catch(() => {});
  };
  self.addEventListener("error", (event) => report(event, event.error));
  self.addEventListener("unhandledrejection", (event) => report(event, event.reason));
}

/** What every supervisor offers. */
export type HostMethods = {
  fault(error: unknown): void;
};
