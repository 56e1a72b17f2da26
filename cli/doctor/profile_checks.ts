/** What `arona doctor` looks at for a profile: its folder, its keys, and its relay. */

import { join } from "node:path";
import { type Clock, type CryptoProvider, fromHex, isAronaError } from "../../proto/mod.ts";
import { hasOpenKey } from "../backup/backup.ts";
import type { CommandContext } from "../command.ts";
import { span } from "../control/status_text.ts";
import { CommandFailure, describeFailure } from "../failure.ts";
import { openProfile } from "../open_client.ts";
import { exists } from "../paths.ts";
import { checkAccess, checkDatabase, checkRoom } from "./files.ts";
import { type Finding, Findings } from "./finding.ts";
import { probeAddress } from "./probe.ts";
import { judgeClock } from "./relay_checks.ts";

/** A further device's certificate is renewed by hand: in time. */
const CERTIFICATE_NOTICE_MS = 30 * 86_400_000;
const RESTORE = "Put a backup back with `arona restore`, or make a new profile.";

/** What the checks work with. */
export interface ProfileCheckOptions {
  readonly name: string;
  readonly folder: string;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** Whether to unlock it and look at its relay. */
  readonly unlock: boolean;
}

/** All of them. */
export async function checkProfile(
  context: CommandContext,
  options: ProfileCheckOptions,
): Promise<Finding[]> {
  const { name, folder, unlock } = options;
  const found = new Findings(`profile ${name}`);
  if (!await exists(join(folder, "profile.db"))) {
    found.problem("data", `there is no profile in ${folder}`, "`arona connect LINK` makes one.");
    return found.all;
  }
  await checkAccess(found, folder, ["profile.db", "profile.key"]);
  checkRoom(found, folder);
  if (!await exists(join(folder, "profile.key"))) {
    found.problem("key", "its key file profile.key is missing", RESTORE);
    return found.all;
  }
  if (await hasOpenKey(join(folder, "profile.key"))) {
    found.warning(
      "key",
      "no passphrase guards it",
      "Whoever copies the folder has everything: keep it and its backups to yourself.",
    );
  } else found.ok("key", "guarded by a passphrase");
  await checkDatabase(found, join(folder, "profile.db"), { todo: RESTORE });
  if (unlock) await checkUnlocked(found, context, options);
  else found.ok("relay", "not looked at: name the profile with --profile to have it unlocked");
  return found.all;
}

async function checkUnlocked(
  found: Findings,
  context: CommandContext,
  options: ProfileCheckOptions,
): Promise<void> {
  const { clock, crypto, name } = options;
  let relay: { fingerprint: string; endpoints: readonly string[] };
  try {
    const settings = context.settings.with("profile", name);
    await using opened = await openProfile({ ...context, settings }, { connect: "no", make: false });
    const { client } = opened;
    found.ok("unlocked", `account ${client.account}`);
    checkCertificate(found, client, clock.now());
    relay = client.relay;
  } catch (error) {
    context.signal.throwIfAborted();
    return explain(found, error);
  }
  await checkItsRelay(found, relay, { crypto, clock, signal: context.signal });
}

/** The device's certificate: made anew by itself where the identity is, by hand elsewhere. */
export function checkCertificate(
  found: Findings,
  { isPrimary, certificateEndsMs }: { readonly isPrimary: boolean; readonly certificateEndsMs: number },
  nowMs: number,
): void {
  const leftMs = certificateEndsMs - nowMs;
  const todo = "Run `arona device add` on the device where you began, then `arona device link CODE` here.";
  if (leftMs <= 0) {
    found.problem("certificate", "it has run out", isPrimary ? "Check this machine's clock." : todo);
  } else if (!isPrimary && leftMs < CERTIFICATE_NOTICE_MS) {
    found.warning("certificate", `it runs out in ${span(leftMs / 1_000)}`, todo);
  } else found.ok("certificate", `good for ${span(leftMs / 1_000)}${isPrimary ? ", renewed by itself" : ""}`);
}

async function checkItsRelay(
  found: Findings,
  relay: { readonly fingerprint: string; readonly endpoints: readonly string[] },
  options: { crypto: CryptoProvider; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { clock } = options;
  const failures: string[] = [];
  for (const endpoint of relay.endpoints) {
    try {
      const { document, skewMs } = await probeAddress(endpoint, {
        ...options,
        fingerprint: fromHex(relay.fingerprint),
      });
      found.ok("relay", `${endpoint} answers, and is the one`);
      found.ok(
        "document",
        `number ${document.sequence}, good for ${span((document.expiresAtMs - clock.now()) / 1_000)}`,
      );
      return judgeClock(found, skewMs, "the relay");
    } catch (error) {
      options.signal.throwIfAborted();
      failures.push(`${endpoint}: ${describeFailure(error).line}`);
    }
  }
  found.problem(
    "relay",
    failures.length === 0 ? "no address of it is known" : failures.join("; "),
    "Check the network; if the relay has moved, ask whoever runs it for the new link and give it once: --relay LINK.",
  );
}

function explain(found: Findings, error: unknown): void {
  const { line } = describeFailure(error);
  if (isAronaError(error, "PROFILE_IN_USE")) {
    return found.ok("unlocked", `${error.message}; close it to have certificate and relay looked at`);
  }
  if (error instanceof CommandFailure) {
    return found.warning(
      "unlocked",
      line,
      "Set ARONA_PASSPHRASE or ARONA_PASSPHRASE_FILE, or run this at a terminal.",
    );
  }
  found.problem("unlocked", line, isAronaError(error, "WRONG_PASSPHRASE") ? "Try again." : RESTORE);
}
