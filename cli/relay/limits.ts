/** The relay's limits as the settings have them. */

import type { RegistrationPolicy, RelayLimits } from "../../server/mod.ts";
import type { Settings } from "../config.ts";

/** The limits that the settings say. */
export function limitsOf(settings: Settings): Partial<RelayLimits> {
  return {
    maxPerIp: settings.number("max-per-ip"),
    messagesPerSecond: settings.number("messages-per-second"),
    messageBurst: settings.number("message-burst"),
    registration: settings.text("registration") as RegistrationPolicy | undefined ??
      (settings.switch("invite-only") ? "invite-only" : "open"),
  };
}
