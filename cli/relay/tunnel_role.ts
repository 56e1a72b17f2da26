/** The tunnel's workers as their supervisor sees them: the one that runs the program, and the one that looks from outside. */

import { type Endpoint, fromBase64Url } from "../../proto/mod.ts";
import {
  agentOf,
  environmentOf,
  formatTunnelSpec,
  publicHostOf,
  type TunnelEvent,
  type TunnelSpec,
  type TunnelStatus,
} from "../../server/tunnel/mod.ts";
import { type ProbeContract, spawnWorker, type TunnelContract } from "../../workers/mod.ts";
import { CommandFailure } from "../failure.ts";
import type { Io } from "../io.ts";
import { findProgram } from "./find_program.ts";

/** A tunnel whose program is here. */
export interface FoundTunnel {
  readonly spec: TunnelSpec;
  /** An absolute path. */
  readonly program: string;
}

/** What a tunnel is started with. */
export interface TunnelRoleOptions extends FoundTunnel {
  /** Where the relay listens, as this machine reaches it. */
  readonly local: Endpoint;
  /** The relay's, as in its link. */
  readonly fingerprint: string;
  readonly onEvent: (event: TunnelEvent) => void;
  /** Takes errors that nobody caught in one of the workers, and the end of one. */
  readonly onFault: (error: Error) => void;
  /** Other modules in the workers' place, for tests. */
  readonly modules?: { readonly tunnel?: URL; readonly probe?: URL };
}

/** A tunnel that runs in its workers. */
export interface TunnelRole extends AsyncDisposable {
  /** As it was reported last; `stopped` once a worker has ended by itself. */
  readonly status: TunnelStatus;
}

/** Looks for the tunnel's program. @throws {CommandFailure} where it is not here */
export function findTunnel(io: Pick<Io, "env" | "os">, spec: TunnelSpec): FoundTunnel {
  const agent = agentOf(spec);
  const program = findProgram(agent.program, { path: io.env("PATH"), os: io.os });
  if (program !== null) return { spec, program };
  throw new CommandFailure(
    `Cannot open tunnel ${formatTunnelSpec(spec)}: there is no program ${agent.program} in PATH`,
    { hint: agent.howToGet },
  );
}

/** Starts both workers. The right to start workers is used up when it returns. @throws {AronaError} */
export async function startTunnelRole(
  io: Pick<Io, "env" | "os" | "signal">,
  options: TunnelRoleOptions,
): Promise<TunnelRole> {
  const { spec, program, local, fingerprint, onEvent, onFault, modules } = options;
  const { os, signal } = io;
  const windows = os === "windows";
  const agent = agentOf(spec, { windows });
  await using started = new AsyncDisposableStack();
  let hasEnded = false;
  const onEnd = (error: Error) => {
    hasEnded = true;
    onFault(error);
  };
  const common = { onFault, onEnd, signal };
  const probe = started.use(
    await spawnWorker<ProbeContract>("probe", {
      parameters: { host: publicHostOf(spec) },
      init: { fingerprint: fromBase64Url(fingerprint) },
      module: modules?.probe,
      ...common,
    }),
  );
  let status: TunnelStatus | undefined;
  const worker = started.use(
    await spawnWorker<TunnelContract>("tunnel", {
      parameters: { binary: program },
      init: { spec, local, program, env: environmentOf(agent, io.env), windows },
      module: modules?.tunnel,
      methods: { probe: (endpoint, signal) => probe.remote.probe(endpoint, signal) },
      onEvent: (news) => {
        status = news.status;
        onEvent(news.event);
      },
      ...common,
    }),
  );
  started.defer(() => worker.remote.stop().catch(() => {})); // it has ended by itself
  status ??= await worker.remote.status();
  const workers = started.move();
  return {
    get status(): TunnelStatus {
      return hasEnded ? { ...status!, state: "stopped" } : status!;
    },
    [Symbol.asyncDispose]: () => workers.disposeAsync(),
  };
}
