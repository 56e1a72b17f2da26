/**
 * The supervisor of `arona serve`: starts the roles, wires them and tells the person. It holds none of the relay's secrets.
 *
 * A further role: start its worker after the relay's, hand it what it needs, give it `relay.watch`, and end it before the relay. What
 * the main thread still needs afterwards goes into `keep`; all other rights are gone from then on.
 */

import { formatEndpoint, parseEndpoint } from "../../proto/mod.ts";
import type { CommandContext } from "../command.ts";
import { ended } from "../ending.ts";
import { createRelayLog } from "../relay_log.ts";
import { checkAddress, isWildcard, ownAddresses, parseListen } from "./addresses.ts";
import { announce } from "./announce.ts";
import { lockDataFolder } from "./data_folder.ts";
import { limitsOf } from "./limits.ts";
import { runOfMachine } from "./machine.ts";
import { startRelayRole } from "./relay_role.ts";

/** Runs a relay until the command shall end. @throws {AronaError | CommandFailure} where it cannot start, or ends by itself */
export async function runRelay(context: CommandContext): Promise<void> {
  const { settings, output, io, signal } = context;
  const listen = parseListen(settings.text("listen")!);
  const publicAddresses = settings.list("public-address").map((it) => checkAddress(it, "--public-address"));
  const level = settings.text("log-level") as "debug" | "info" | "warning" | "error";
  using folder = await lockDataFolder(context);
  const logWriter = await createRelayLog(level, (line) => output.error(`${line}\n`));
  try {
    await using relay = await startRelayRole({
      ...{ listen, publicAddresses },
      databasePath: folder.databasePath,
      mailboxPath: folder.mailboxPath,
      mailbox: settings.text("mailbox") as "memory" | "disk",
      machine: runOfMachine(),
      name: settings.text("name")!,
      limits: limitsOf(settings),
      logConnections: level === "debug",
    }, { folder: folder.path, log: logWriter.log, signal });
    if (isWildcard(listen.hostname) && publicAddresses.length === 0) {
      const { port } = parseEndpoint(relay.state.address);
      await relay.setPublicAddresses(ownAddresses().map((hostname) => formatEndpoint({ hostname, port })));
    }
    await io.dropRights([]);
    announce(context, relay.state);
    await Promise.race([ended(signal), relay.ended]);
  } finally {
    await logWriter.close();
  }
}
