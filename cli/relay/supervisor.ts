/**
 * The supervisor of `arona serve`: starts the roles, wires them and tells the person. It holds none of the relay's secrets.
 *
 * A further role: start its worker after the relay's, hand it what it needs, give it `relay.watch`, and end it before the relay. What
 * the main thread still needs afterwards goes into `keep`; all other rights are gone from then on.
 */

import { parseEndpoint } from "../../proto/mod.ts";
import type { LaunchedWorker } from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import { ended } from "../ending.ts";
import type { OptionName } from "../options.ts";
import { createRelayLog, type LogFormat, type LogSeverity } from "../relay_log.ts";
import { checkAddress, isWildcard, parseListen } from "./addresses.ts";
import { startLanRole } from "./lan_role.ts";
import { announce, announceMetrics } from "./announce.ts";
import { lockDataFolder } from "./data_folder.ts";
import { limitsOf } from "./limits.ts";
import { runOfMachine } from "./machine.ts";
import { parseMetrics, startConfigRole, startOperation } from "./operation.ts";
import { followOwnAddress, watchOwnAddress } from "./own_address.ts";
import { readPublishing, startPublisherRole } from "./publisher_role.ts";
import { Reach } from "./reach.ts";
import { startRelayRole } from "./relay_role.ts";
import { readTunnel, startTunnel } from "./tunnel.ts";

/**
 * Runs a relay until the command or its operator ends it; whatever waits for connected devices is given to them first.
 *
 * @param options.served the options of `arona serve`
 * @param options.launched stays the caller's
 * @throws {AronaError | CommandFailure} where it cannot start, or ends by itself
 */
export async function runRelay(
  context: CommandContext,
  { served, launched }: { served: readonly OptionName[]; launched: LaunchedWorker | null },
): Promise<void> {
  const { settings, output, io, signal } = context;
  const listen = parseListen(settings.text("listen")!);
  const publicAddresses = settings.list("public-address").map((it) => checkAddress(it, "--public-address"));
  const level = settings.text("log-level") as LogSeverity;
  const format = settings.text("log-format") as LogFormat;
  parseMetrics(settings.text("metrics")); // before anything starts
  const publishing = await readPublishing(context);
  const wantedTunnel = readTunnel(context);
  using folder = await lockDataFolder(context);
  const config = startConfigRole(context); // while the relay starts
  config.catch(() => {}); // said where it is awaited
  const logWriter = await createRelayLog(level, (line) => output.error(`${line}\n`), { format });
  try {
    await using relay = await startRelayRole({
      ...{ listen, publicAddresses },
      databasePath: folder.databasePath,
      mailboxPath: folder.mailboxPath,
      controlPath: folder.controlPath,
      mailbox: settings.text("mailbox") as "memory" | "disk",
      machine: runOfMachine(),
      name: settings.text("name")!,
      limits: limitsOf(settings),
      logConnections: level === "debug",
    }, { folder: folder.path, log: logWriter.log, signal, launched });
    const { port } = parseEndpoint(relay.state.address);
    using own = isWildcard(listen.hostname) ? await watchOwnAddress({ port, log: logWriter, signal }) : null;
    const reach = new Reach((addresses) => relay.setPublicAddresses(addresses), { given: publicAddresses });
    await reach.setOwn(own?.addresses ?? []);
    const name = settings.text("name")!;
    await using lan = settings.switch("lan")
      ? await startLanRole(relay, { name, log: logWriter, signal })
      : null;
    await using publisher = publishing === null
      ? null
      : await startPublisherRole(context, publishing, { relay, log: logWriter });
    await using tunnel = wantedTunnel === null ? null : await startTunnel(context, wantedTunnel, {
      ...{ relay, reach },
      log: logWriter,
      better: publisher !== null,
    });
    await using operation = await startOperation(context, {
      ...{ relay, folder, served },
      roles: {
        lan: () => lan?.announced ?? null,
        publisher: publisher?.status,
        tunnel: () => tunnel?.status() ?? null,
      },
      log: logWriter,
      config: await config,
      setPublicAddresses: (addresses) => reach.setGiven(addresses),
      onName: (name) => lan?.setName(name).catch(() => {}), // where it has ended, the log has said so
    });
    await io.dropRights([]);
    announce(context, relay.state, { better: publisher !== null || tunnel !== null });
    announceMetrics(context, operation.metrics);
    publisher?.begin();
    tunnel?.begin();
    if (own !== null) {
      followOwnAddress(context, own, { relay, reach, log: logWriter, better: publisher !== null });
    }
    await Promise.race([ended(signal), operation.endAsked, relay.ended]);
    await Promise.race([operation.drain(signal), relay.ended]);
  } finally {
    (await config.catch(() => null))?.terminate();
    await logWriter.close();
  }
}
