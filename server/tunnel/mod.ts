/** Tunnels: an agent (ssh, bore, ngrok) that gives the relay an address which others reach, kept running. */

export {
  COMMON_ENVIRONMENT,
  needsPerson,
  type TunnelAgent,
  type TunnelFailure,
  type TunnelFailureReason,
} from "./agent.ts";
export { agentOf, type AgentOptions, environmentOf } from "./agents.ts";
export * from "./limits.ts";
export { type ProbeOptions, probeRelay } from "./probe.ts";
export { agentSpawner } from "./process.ts";
export { DEFAULT_BORE_HOST, formatTunnelSpec, parseTunnelSpec, type TunnelSpec } from "./spec.ts";
export {
  type AgentProcess,
  type RunningTunnel,
  startTunnel,
  type TunnelEvent,
  type TunnelOptions,
  type TunnelStatus,
} from "./supervise.ts";
