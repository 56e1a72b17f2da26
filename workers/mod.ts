/**
 * Roles behind permission walls: how a supervisor starts them, and what it can say to them.
 *
 * To add a role: say its rights in `permissions.ts`, write `NAME_worker.ts` (see `relay_worker.ts`), export its contract here, and
 * start it with `spawnWorker<NameContract>("name", { parameters, init, … })`. Nothing here imports a role's module but for its types,
 * so that the supervisor does not load what it must not run.
 */

export { type Rights, rightsOf, type Role, ROLE_RIGHTS, type RoleParameters } from "./permissions.ts";
export { fromPlainError, RemoteError } from "./plain_error.ts";
export type { AddressesContract } from "./addresses_worker.ts";
export type { ConfigContract } from "./config_worker.ts";
export type { ProbeContract } from "./probe_worker.ts";
export type { LanContract, LanEvent, LanInit } from "./lan_worker.ts";
export { Links } from "./links.ts";
export type { PublisherContract, PublisherInit } from "./publisher_worker.ts";
export type { RelayContract, RelayEvent, RelayInit, RelayState } from "./relay_worker.ts";
export type { Contract, RoleSide } from "./role.ts";
export { type Methods, type Remote, Rpc, type RpcOptions, type RpcPort, Transferred } from "./rpc.ts";
export type { TunnelContract, TunnelInit } from "./tunnel_worker.ts";
export {
  LaunchedWorker,
  launchWorker,
  type RunningWorker,
  spawnModule,
  type SpawnOptions,
  spawnWorker,
  workerUrl,
} from "./spawn.ts";
export { linkSession, type Session, type SessionOptions, startSession } from "./session.ts";
export type { LinkedInfo, ProfileInit, SessionInit } from "./session_worker.ts";
export { WalledDiscovery, type WalledDiscoveryOptions } from "./walled_discovery.ts";
