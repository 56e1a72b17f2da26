/** The outside of a wall: starts a role's worker with exactly its rights, talks to it and notices when it ends. */

import { AronaError } from "../proto/base/mod.ts";
import { type Rights, rightsOf, type Role, type RoleParameters } from "./permissions.ts";
import { fromPlainError } from "./plain_error.ts";
import type { Contract, HostMethods } from "./role.ts";
import { type Remote, Rpc, type Transferred } from "./rpc.ts";

/** Options of {@link spawnWorker}. */
export interface SpawnOptions<C extends Contract> {
  /** What the role's rights are made from. */
  readonly parameters: RoleParameters<C["role"]>;
  /** Handed to the role once. */
  readonly init: C["init"] | Transferred<C["init"]>;
  /** What the worker may call. @default nothing */
  readonly methods?: C["host"];
  /** Takes what the worker reports. @default ignores it */
  readonly onEvent?: (event: C["event"]) => void;
  /** Takes errors inside the worker that nobody caught and that it goes on after. @default ignores them */
  readonly onFault?: (error: Error) => void;
  /** Called once where the worker ends by itself after it has started; its calls under way fail with the same error. */
  readonly onEnd?: (error: AronaError) => void;
  /** Ends the start. */
  readonly signal?: AbortSignal;
  /** Another module behind the same wall, for tests. @default {@link workerUrl} */
  readonly module?: URL;
  /** Taken where it has the same rights, else ended. @default loads the module now */
  readonly launched?: LaunchedWorker | null;
}

/** A worker that runs its role. */
export interface RunningWorker<C extends Contract> extends Disposable {
  readonly role: C["role"];
  /** The role's methods. */
  readonly remote: Remote<C["methods"]>;
  /** Ends it at once; calls under way fail. Safe to call again. */
  terminate(): void;
}

/**
 * Where a role's module is: beside this one from source. In a bundle (scripts/bundle.ts) this code is in a file at the top, and each
 * role's module where it was, in the folder `workers`.
 */
export function workerUrl(role: Role): URL {
  const path = import.meta.url.endsWith("/workers/spawn.ts")
    ? `./${role}_worker.ts`
    : `./workers/${role}_worker.js`;
  return new URL(path, import.meta.url);
}

/** A worker that loads its module, and waits to be started by {@link spawnWorker} or to be disposed. */
export class LaunchedWorker implements Disposable {
  readonly worker: Worker;
  /** Resolves where it ends by itself. */
  readonly failed: Promise<ErrorEvent>;
  #taken = false;

  /** @throws {AronaError} `INTERNAL` where the runtime refuses to start it */
  constructor(readonly role: Role, private readonly place: { readonly url: URL; readonly rights: Rights }) {
    const { url, rights } = place;
    const { promise, resolve } = Promise.withResolvers<ErrorEvent>();
    this.failed = promise;
    try {
      this.worker = new Worker(url, {
        type: "module",
        name: `arona-${role}`,
        deno: { permissions: { ...rights } },
      });
    } catch (cause) {
      throw new AronaError("INTERNAL", `Cannot start the ${role}: ${(cause as Error).message}`, { cause });
    }
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      resolve(event);
    });
  }

  /** Hands it over, where it is just what is wanted; only once. */
  take(role: Role, place: { readonly url: URL; readonly rights: Rights }): boolean {
    if (this.#taken || role !== this.role) return false;
    this.#taken = JSON.stringify(place) === JSON.stringify(this.place);
    return this.#taken;
  }

  /** Ends it where nobody has taken it. */
  [Symbol.dispose](): void {
    if (!this.#taken) this.worker.terminate();
  }
}

/**
 * Begins to load a role's module while its supervisor still gets ready; the role does nothing until {@link spawnWorker} starts it.
 *
 * @throws {AronaError} `INTERNAL`
 */
export function launchWorker<R extends Role>(role: R, parameters: RoleParameters<R>): LaunchedWorker {
  return new LaunchedWorker(role, { url: workerUrl(role), rights: rightsOf(role, parameters) });
}

/**
 * Starts a role in a worker of its own.
 *
 * @returns when the role has begun its work
 * @throws {AronaError | Error} what the role's start threw, or `INTERNAL` where the worker cannot run at all
 */
export function spawnWorker<C extends Contract>(
  role: C["role"],
  options: SpawnOptions<C>,
): Promise<RunningWorker<C>> {
  return spawnModule<C>(role, {
    ...options,
    url: options.module ?? workerUrl(role),
    rights: rightsOf(role, options.parameters),
  });
}

/** {@link spawnWorker} with any module and any rights. */
export async function spawnModule<C extends Contract>(
  role: C["role"],
  options: Omit<SpawnOptions<C>, "parameters" | "module"> & { readonly url: URL; readonly rights: Rights },
): Promise<RunningWorker<C>> {
  const { url, rights, init, methods, onEvent, onFault, onEnd, signal, launched } = options;
  signal?.throwIfAborted();
  const { worker, failed } = launched?.take(role, { url, rights })
    ? launched
    : new LaunchedWorker(role, { url, rights });
  const host: HostMethods = { fault: (error) => onFault?.(fromPlainError(error)) };
  const rpc = new Rpc<C["methods"] & { start(init: unknown): void }, C["event"]>(worker, {
    methods: { ...methods, ...host },
    onEvent,
    onFault: (error) => onFault?.(error as Error),
  });
  let running = false;
  const terminate = () => {
    running = false;
    rpc.close(new AronaError("CLOSED", `Cannot ask the ${role}: it has ended`));
    worker.terminate();
  };
  failed.then(({ message, error: cause }) => {
    const error = new AronaError("INTERNAL", `Cannot go on: the ${role} ended: ${message}`, { cause });
    const wasRunning = running;
    rpc.close(error);
    terminate();
    if (wasRunning) onEnd?.(error);
  });
  const onAbort = () => rpc.close(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await (rpc.remote as unknown as Remote<{ start(init: unknown): void }>).start(init);
  } catch (error) {
    terminate();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  running = true;
  return {
    role,
    remote: rpc.remote as unknown as Remote<C["methods"]>,
    terminate,
    [Symbol.dispose]: terminate,
  };
}
