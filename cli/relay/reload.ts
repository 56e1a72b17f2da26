/** Reading the configuration again while the relay runs: what can be in force at once, and what needs a restart. */

import type { RelayLimits } from "../../server/mod.ts";
import type { Settings } from "../config.ts";
import type { ReloadReport } from "../control/protocol.ts";
import type { OptionName } from "../options.ts";
import { checkAddress } from "./addresses.ts";
import { limitsOf } from "./limits.ts";

/** Settings that a running relay takes over. */
export const LIVE_SETTINGS: readonly OptionName[] = [
  "name",
  "public-address",
  "invite-only",
  "registration",
  "messages-per-second",
  "message-burst",
  "max-per-ip",
  "log-level",
];
/** Settings of the command itself, not of the relay. */
const NOT_MEANT: readonly OptionName[] = ["json", "config"];

/** What a running relay can be told. */
export interface Reloadable {
  setName(name: string): Promise<void>;
  /** None means what the machine says. */
  setPublicAddresses(addresses: readonly string[]): Promise<void>;
  setLimits(limits: Partial<RelayLimits>): Promise<RelayLimits>;
  limits(): Promise<RelayLimits>;
  setLogLevel(level: string): void;
}

/**
 * Makes a relay as the settings have it now. Limits that were changed while it ran are the settings' again.
 *
 * @param options.served the options of `arona serve`
 * @throws what refuses a value; nothing has changed then
 */
export async function applySettings(
  relay: Reloadable,
  options: { before: Settings; after: Settings; served: readonly OptionName[] },
): Promise<ReloadReport> {
  const { before, after, served } = options;
  const changed = served.filter((name) => !NOT_MEANT.includes(name) && !same(before, after, name));
  const addresses = after.list("public-address").map((it) => checkAddress(it, "public-address"));
  const wanted = limitsOf(after);
  // The name comes first: it is the one that the relay itself may refuse.
  if (changed.includes("name")) await relay.setName(after.text("name")!);
  if (changed.includes("public-address")) await relay.setPublicAddresses(addresses);
  const running = await relay.limits();
  const [is, shall] = [running, wanted].map((limits) =>
    JSON.stringify(Object.entries(limits).filter(([name]) => name in wanted).sort())
  );
  if (is !== shall) await relay.setLimits(wanted);
  if (changed.includes("log-level")) relay.setLogLevel(after.text("log-level")!);
  const applied = changed.filter((name) => LIVE_SETTINGS.includes(name));
  return {
    applied: is !== shall && !applied.some((name) => LIMIT_SETTINGS.includes(name))
      ? [...applied, "limits"]
      : applied,
    restart: changed.filter((name) => !LIVE_SETTINGS.includes(name)),
  };
}

const LIMIT_SETTINGS: readonly OptionName[] = [
  "invite-only",
  "registration",
  "messages-per-second",
  "message-burst",
  "max-per-ip",
];

function same(before: Settings, after: Settings, name: OptionName): boolean {
  return JSON.stringify(before.get(name).value) === JSON.stringify(after.get(name).value);
}
