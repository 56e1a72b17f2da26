/** What `arona doctor` looks at for a relay: its folder, and the relay itself where it runs. */

import { join } from "node:path";
import {
  type Clock,
  type CryptoProvider,
  formatEndpoint,
  fromBase64Url,
  GITHUB_HEADERS,
} from "../../proto/mod.ts";
import { VERSION } from "../commands/version.ts";
import { ControlClient } from "../control/client.ts";
import { controlPath } from "../control/control_file.ts";
import { isPublished, type RelayStatus } from "../control/protocol.ts";
import { span } from "../control/status_text.ts";
import { describeFailure } from "../failure.ts";
import { exists } from "../paths.ts";
import { checkAccess, checkDatabase, checkRoom } from "./files.ts";
import { type Finding, Findings } from "./finding.ts";
import { localEndpoint } from "../relay/reach.ts";
import { probeAddress } from "./probe.ts";

/** Clocks may differ by this much before anybody notices. */
const MAX_SKEW_MS = 60_000;
/** The document is renewed when it has 4 days left: with less than this, that does not happen. */
const DOCUMENT_NOTICE_MS = 2 * 86_400_000;
const DATE_TIMEOUT_MS = 5_000;

/** What the checks work with. */
export interface RelayCheckOptions {
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** All of them, for the relay in `folder`. */
export async function checkRelay(folder: string, options: RelayCheckOptions): Promise<Finding[]> {
  const found = new Findings("relay");
  if (!await exists(join(folder, "relay.db"))) {
    found.problem(
      "data",
      `there is no relay in ${folder}`,
      "Start one with `arona serve`, or name its folder with --data.",
    );
    return found.all;
  }
  await checkAccess(found, folder, ["relay.db", "relay.db-wal", "mailbox.db", "control.json"]);
  checkRoom(found, folder);
  await checkDatabase(found, join(folder, "relay.db"), {
    todo: "Stop the relay and put a backup back: `arona restore`.",
  });
  const status = await findStatus(found, folder, options);
  if (status !== null) await checkRunning(found, status, options);
  return found.all;
}

async function findStatus(
  found: Findings,
  folder: string,
  { signal, clock }: RelayCheckOptions,
): Promise<RelayStatus | null> {
  if (!await exists(controlPath(folder))) {
    found.warning("running", "no relay runs here", "Start it with `arona serve`.");
    return null;
  }
  try {
    const status = await (await ControlClient.find(folder, { signal, clock })).status();
    found.ok(
      "running",
      `process ${status.pid}, for ${span((status.nowMs - status.stats.startedAtMs) / 1_000)}`,
    );
    return status;
  } catch (error) {
    signal.throwIfAborted();
    found.problem(
      "running",
      (error as Error).message,
      (error as { hint?: string }).hint ?? "Start it with `arona serve`.",
    );
    return null;
  }
}

/** What a running relay says of itself, and what answers at its addresses. */
export async function checkRunning(
  found: Findings,
  status: RelayStatus,
  options: RelayCheckOptions,
): Promise<void> {
  const runtime = `deno ${Deno.version.deno}`;
  if (status.version === VERSION && status.runtime === runtime) {
    found.ok("version", `${VERSION} (${runtime})`);
  } else {
    found.warning(
      "version",
      `the relay runs ${status.version} (${status.runtime}), this is ${VERSION} (${runtime})`,
      "Restart the relay to have it run the newer one.",
    );
  }
  checkRoles(found, status);
  await checkAddresses(found, status, options);
  const { api, source } = status.publisher ?? {};
  if (api !== undefined && source?.startsWith("gist:")) {
    await checkGist(found, { api, id: source.slice("gist:".length) }, options);
  }
}

/** Publisher and tunnel. */
export function checkRoles(found: Findings, { publisher, tunnel, stats, nowMs }: RelayStatus): void {
  const leftMs = stats.document.expiresAtMs - nowMs;
  const text = `number ${stats.document.sequence}, good for ${span(leftMs / 1_000)}`;
  if (leftMs <= 0) {
    found.problem("document", "it has expired", "Check this machine's clock, then restart the relay.");
  } else if (leftMs < DOCUMENT_NOTICE_MS) {
    found.warning(
      "document",
      `${text}, and was not renewed`,
      "Look into the relay's log; a restart renews it.",
    );
  } else found.ok("document", text);
  if (publisher !== null) {
    if (isPublished(publisher)) {
      found.ok("publisher", `published at ${publisher.source ?? "its source"}`);
    } else if (publisher.state === "idle" || publisher.state === "publishing") {
      found.warning("publisher", "not published yet", "Look again in a moment.");
    } else {
      found.problem(
        "publisher",
        `not published${publisher.reason === undefined ? "" : `: ${publisher.reason}`}`,
        "Check the token and its right to gists, and the network.",
      );
    }
  }
  if (tunnel !== null) {
    if (tunnel.up) found.ok("tunnel", `up at ${tunnel.address ?? "its address"}`);
    else {
      found.problem(
        "tunnel",
        `down${tunnel.reason === undefined ? "" : `: ${tunnel.reason}`}`,
        "Look into the relay's log. It tries again by itself, unless it has ended: then restart the relay.",
      );
    }
  }
}

async function checkAddresses(
  found: Findings,
  status: RelayStatus,
  options: RelayCheckOptions,
): Promise<void> {
  const fingerprint = fromBase64Url(status.fingerprint);
  const local = formatEndpoint(localEndpoint(status.address));
  let endpoints: readonly string[];
  try {
    const { document } = await probeAddress(local, { ...options, fingerprint });
    endpoints = document.endpoints;
    found.ok("listening", `${status.address} answers`);
  } catch (error) {
    options.signal.throwIfAborted();
    return found.problem("listening", `${local}: ${describeFailure(error).line}`, "Restart the relay.");
  }
  for (const endpoint of endpoints) {
    if (endpoint === local) continue;
    try {
      await probeAddress(endpoint, { ...options, fingerprint });
      found.ok("reachable", `${endpoint} answers from here`);
    } catch (error) {
      options.signal.throwIfAborted();
      found.warning(
        "reachable",
        `${endpoint}: ${describeFailure(error).line}`,
        "Forward the port in your router and allow it in the firewall. Some routers do not let one look from inside: then ask a friend.",
      );
    }
  }
}

/** What people find at GitHub, and GitHub's clock. */
async function checkGist(
  found: Findings,
  { api, id }: { readonly api: string; readonly id: string },
  { clock, signal }: RelayCheckOptions,
): Promise<void> {
  const late = new AbortController();
  const cancel = clock.schedule(DATE_TIMEOUT_MS, () => late.abort());
  const host = new URL(api).hostname;
  try {
    const response = await fetch(`${api}/gists/${id}`, {
      headers: GITHUB_HEADERS,
      redirect: "manual",
      signal: AbortSignal.any([late.signal, signal]),
    });
    await response.body?.cancel();
    if (response.status === 404) {
      found.problem(
        "gist",
        "nobody can see it",
        "Look whether it is still there. With the next new document the relay makes another one; with --gist-id it does not: name another.",
      );
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) judgeClock(found, date - clock.now(), host);
  } catch {
    signal.throwIfAborted();
    found.warning("clock", `${host} does not answer`, "Check the network.");
  } finally {
    cancel();
  }
}

/** Says whether two clocks agree. @param skewMs by how much the other one is ahead */
export function judgeClock(found: Findings, skewMs: number, other: string): void {
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return found.ok("clock", `agrees with ${other}`);
  found.problem(
    "clock",
    `this machine's clock is ${span(Math.abs(skewMs) / 1_000)} ${
      skewMs > 0 ? "behind" : "ahead of"
    } that of ${other}`,
    "Set it, best by network time.",
  );
}
