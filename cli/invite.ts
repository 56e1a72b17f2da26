/** The invite that a command goes in with. */

import { parseInvite, parseSourceLink } from "../proto/base/mod.ts";
import type { Settings } from "./config.ts";

/** The code that `--invite` names, or the one in the relay's link. @throws {AronaError} `USAGE` */
export function inviteOf(settings: Settings): string | undefined {
  const given = settings.text("invite");
  if (given !== undefined) return parseInvite(given);
  const link = settings.text("relay");
  return link === undefined ? undefined : parseSourceLink(link).invite;
}
