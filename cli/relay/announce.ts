/** What `arona serve` says first: where the relay is, and the link that lets others in. */

import type { RelayState } from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import { printQr } from "../qr.ts";
import { limitsOf } from "./limits.ts";

/**
 * Prints the address, the fingerprint and the link; on a terminal as a QR code too.
 *
 * @param options.better whether a link that lasts longer follows, which then has the code
 */
export function announce(
  context: CommandContext,
  { address, fingerprint, link }: RelayState,
  { better }: { better: boolean },
): void {
  const { output } = context;
  output.object({ type: "Listening", address, fingerprint, link });
  output.line(`address      ${address}`);
  output.line(`fingerprint  ${fingerprint}`);
  output.line(`link         ${link}`);
  const join = limitsOf(context.settings).registration === "invite-only"
    ? "Let somebody in with: arona invite."
    : "Others join with: arona connect LINK.";
  output.note(`${join} Ctrl-C ends the relay.`);
  if (!better) printQr(context, link);
}

/** Says where the metrics are, if anywhere. */
export function announceMetrics({ output }: CommandContext, address: string | null): void {
  if (address === null) return;
  output.object({ type: "Metrics", address });
  output.line(`metrics      http://${address}/metrics`);
}

/** Says where others reach the relay from now on, and the link that leads there. */
export function announceAddress(
  context: CommandContext,
  { address, link }: { address: string; link: string },
  { better }: { better: boolean },
): void {
  const { output } = context;
  output.object({ type: "Address", address, link });
  output.line(`reached at   ${address}`);
  output.line(`link         ${link}`);
  if (!better) printQr(context, link);
}
