/** The tunnel behind its wall: keeps the agent's program running. It may run that program and reach this machine, nothing else. */

import { type Endpoint, systemClock } from "../proto/mod.ts";
import {
  agentSpawner,
  startTunnel,
  type TunnelEvent,
  type TunnelSpec,
  type TunnelStatus,
} from "../server/tunnel/mod.ts";
import { type Contract, runRole } from "./role.ts";

/** What the tunnel is started with. */
export interface TunnelInit {
  readonly spec: TunnelSpec;
  /** Where the relay listens, as this machine reaches it. */
  readonly local: Endpoint;
  /** The agent's program, an absolute path. */
  readonly program: string;
  /** All that the program sees of the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly windows: boolean;
}

/** What the supervisor and the tunnel say to each other. */
export interface TunnelContract extends Contract {
  readonly role: "tunnel";
  readonly init: TunnelInit;
  readonly methods: {
    status(): TunnelStatus;
    /** Ends the program. */
    stop(): Promise<void>;
  };
  readonly event: { readonly event: TunnelEvent; readonly status: TunnelStatus };
  readonly host: {
    /** Looks for the relay at a public address. @throws what is wrong there */
    probe(endpoint: Endpoint, signal: AbortSignal): Promise<void>;
  };
}

runRole<TunnelContract>(({ spec, local, program, env, windows }, side) => {
  const tunnel = startTunnel({
    ...{ spec, local, windows, fetch },
    clock: systemClock,
    random: Math.random,
    spawn: agentSpawner({ program, env }),
    probe: (endpoint, { signal }) => side.host.probe(endpoint, signal),
    // Few come, with seconds between them, so that there is always room.
    onEvent: (event) => void side.emit({ event, status: tunnel.status }),
  });
  return { status: () => tunnel.status, stop: () => tunnel.stop() };
});
