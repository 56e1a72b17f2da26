/** `--tunnel`: what the supervisor does with a tunnel's news. */

import { formatEndpoint } from "../../proto/mod.ts";
import {
  formatTunnelSpec,
  parseTunnelSpec,
  type TunnelEvent,
  type TunnelStatus,
} from "../../server/tunnel/mod.ts";
import type { CommandContext } from "../command.ts";
import type { TunnelStatus as ShownStatus } from "../control/protocol.ts";
import { describeFailure } from "../failure.ts";
import type { RelayLogWriter } from "../relay_log.ts";
import { announceAddress } from "./announce.ts";
import { localEndpoint, type Reach } from "./reach.ts";
import type { RelayRole } from "./relay_role.ts";
import { findTunnel, type FoundTunnel, startTunnelRole } from "./tunnel_role.ts";

/** What a tunnel is wired with. */
export interface TunnelWiring {
  readonly relay: RelayRole;
  readonly reach: Reach;
  readonly log: Pick<RelayLogWriter, "say">;
  /** Whether a link that lasts longer is shown as a code already. */
  readonly better: boolean;
}

/** A tunnel that runs. */
export interface Tunnel extends AsyncDisposable {
  /** For the operator. */
  status(): ShownStatus;
  /** From now on what happens is published and printed, and what has happened already. */
  begin(): void;
}

/** The tunnel that the settings want, or null. @throws {AronaError | CommandFailure} `USAGE`; where its program is not here */
export function readTunnel({ settings, io }: CommandContext): FoundTunnel | null {
  const text = settings.text("tunnel");
  return text === undefined ? null : findTunnel(io, parseTunnelSpec(text));
}

/** Starts the tunnel's program. @throws {AronaError} */
export async function startTunnel(
  context: CommandContext,
  found: FoundTunnel,
  wiring: TunnelWiring,
): Promise<Tunnel> {
  const { relay, log } = wiring;
  const begun = Promise.withResolvers<void>();
  const where = formatTunnelSpec(found.spec);
  let work = begun.promise;
  const role = await startTunnelRole(context.io, {
    ...found,
    local: localEndpoint(relay.state.address),
    fingerprint: relay.state.fingerprint,
    // One after the other, so that what is printed last is what counts.
    onEvent: (event) => work = work.then(() => takeNews(context, { event, where }, wiring)),
    onFault: (error) =>
      log.say("error", "tunnel_failed", `internal error in tunnel: ${describeFailure(error).line}`),
  });
  return {
    status: () => shownStatus(role.status),
    begin() {
      context.output.note(
        `Opening tunnel ${where}; the link for others follows when the relay is reached through it.`,
      );
      begun.resolve();
    },
    [Symbol.asyncDispose]: () => role[Symbol.asyncDispose](),
  };
}

async function takeNews(
  context: CommandContext,
  { event, where }: { event: TunnelEvent; where: string },
  { relay, reach, log, better }: TunnelWiring,
): Promise<void> {
  if (event.type === "lost") {
    const { text, hint } = event.failure;
    log.say(
      "warning",
      "tunnel_lost",
      `${hint === undefined ? text : `${text}. ${hint}`} (it is tried again)`,
    );
    return;
  }
  const address = formatEndpoint(event.endpoint);
  log.say("info", "tunnel_up", `reached through tunnel ${where} at ${address}`);
  if (!event.changed) return;
  try {
    await reach.setTunnel(event.endpoint);
    announceAddress(context, { address, link: relay.state.link }, { better });
  } catch (error) { // the relay is ending
    log.say("error", "tunnel_unpublished", `${address} is not published: ${describeFailure(error).line}`);
  }
}

/** As the operator is told. */
export function shownStatus(status: TunnelStatus): ShownStatus {
  const { state, endpoint, failure } = status;
  const reason = state === "stopped"
    ? "it has ended by itself; a restart of the relay opens it again"
    : failure?.text ?? (state === "opening" ? "it is being opened" : undefined);
  return {
    up: state === "up",
    ...endpoint && { address: formatEndpoint(endpoint) },
    ...state !== "up" && reason !== undefined && { reason },
  };
}
