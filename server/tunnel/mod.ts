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
export type { AgentProcess, RunningTunnel, TunnelEvent, TunnelOptions, TunnelStatus } from "./options.ts";
export { type ProbeOptions, probeRelay } from "./probe.ts";
export { agentSpawner } from "./process.ts";
export {
  DEFAULT_BORE_HOST,
  formatTunnelSpec,
  parseTunnelSpec,
  publicHostOf,
  type TunnelSpec,
} from "./spec.ts";
export { startTunnel } from "./supervise.ts";
