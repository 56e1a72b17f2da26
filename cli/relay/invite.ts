/** `arona invite`: works on the relay's database, beside a relay that runs, and asks that one for its link. */

import {
  formatSourceLink,
  fromBase64Url,
  isAronaError,
  parseInvite,
  parseSource,
  parseSourceLink,
  selectProvider,
} from "../../proto/mod.ts";
import {
  type Invite,
  MAX_INVITE_LIFETIME_MS,
  MAX_INVITES,
  openSqliteRelayStore,
  Registration,
} from "../../server/mod.ts";
import type { CommandContext } from "../command.ts";
import { ControlClient } from "../control/client.ts";
import type { RelayStatus } from "../control/protocol.ts";
import { parseDuration } from "../duration.ts";
import { CommandFailure, usageFailure } from "../failure.ts";
import { exists } from "../paths.ts";
import { printQr } from "../qr.ts";
import { dataFolder } from "./data_folder.ts";

const SHORT_ID_DIGITS = 8;
const MIN_ID_DIGITS = 6;

/** Prints new invites, each as the one thing to pass on. @throws {AronaError | CommandFailure} */
export async function makeInvites(context: CommandContext): Promise<void> {
  const { output, settings } = context;
  const count = settings.number("count") ?? 1;
  if (count > MAX_INVITES) {
    throw usageFailure(`Cannot make ${count} invites: ${MAX_INVITES} may wait to be used`, "Make fewer.");
  }
  const lifetimeMs = parseDuration(settings.text("expires")!, {
    option: "--expires",
    maxMs: MAX_INVITE_LIFETIME_MS,
  });
  using relay = await openRegistration(context);
  const status = await runningRelay(context);
  let last: { invite: Invite; shown: string } | undefined;
  for (let i = 0; i < count; i++) {
    const code = relay.registration.createInvite({ lifetimeMs });
    const invite = relay.registration.invite(code)!;
    const link = status && inviteLink(status, code);
    const expires = new Date(invite.expiresAtMs).toISOString();
    last = { invite, shown: link ?? code };
    output.data({ type: "Invite", id: invite.id, code, link, expires }, last.shown);
  }
  if (last === undefined) return;
  const until = dayOf(last.invite.expiresAtMs);
  const give = status === null ? "LINK --invite CODE" : "'LINK'";
  output.note(
    `${count === 1 ? "It lets" : "Each lets"} one new account in until ${until}: arona connect ${give}`,
  );
  if (status === null) {
    output.note("The relay does not run, so its link is not known here: give it with the code.");
  }
  if (status?.limits.registration === "open") {
    output.note("The relay lets everybody in now; it asks for invites with --invite-only.");
  }
  if (count === 1) printQr(context, last.shown);
}

/** Prints all invites that are known. @throws {AronaError | CommandFailure} */
export async function listInvites(context: CommandContext): Promise<void> {
  const { output } = context;
  using relay = await openRegistration(context);
  const invites = relay.registration.invites();
  for (const invite of invites) {
    const { id, state, usedBy, createdAtMs, expiresAtMs } = invite;
    output.data({
      type: "Invite",
      id,
      state,
      usedBy: usedBy === "" ? null : usedBy,
      created: createdAtMs === 0 ? null : new Date(createdAtMs).toISOString(),
      expires: new Date(expiresAtMs).toISOString(),
    }, `${id.slice(0, SHORT_ID_DIGITS)}  ${stateText(invite)}`);
  }
  if (invites.length === 0) output.note("There are no invites. Make one with: arona invite");
}

/** Takes one back. @throws {AronaError | CommandFailure} */
export async function revokeInvite(context: CommandContext, text: string): Promise<void> {
  using relay = await openRegistration(context);
  const invite = findInvite(relay.registration, text);
  const id = invite.id.slice(0, SHORT_ID_DIGITS);
  if (!relay.registration.revokeInvite(invite)) {
    throw new CommandFailure(`Cannot revoke invite ${id}: it is ${stateText(invite)}`, {
      hint: invite.state === "used"
        ? "Keep the account out with `arona admin ban`."
        : "It lets nobody in any more.",
    });
  }
  context.output.object({ type: "InviteRevoked", id: invite.id });
  context.output.note(`Invite ${id} lets nobody in any more.`);
}

/** The link that holds the code; where the relay publishes its address, one that stays right when it moves. */
function inviteLink({ link, fingerprint, publisher }: RelayStatus, invite: string): string {
  const published = publisher?.source;
  const source = published === undefined ? parseSourceLink(link).source : parseSource(published);
  return formatSourceLink({ source, fingerprint: fromBase64Url(fingerprint), invite });
}

/** The relay that runs on the folder, or null where none answers. */
async function runningRelay(context: CommandContext): Promise<RelayStatus | null> {
  try {
    const control = await ControlClient.find(dataFolder(context).path, { signal: context.signal });
    return await control.status();
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof CommandFailure || isAronaError(error)) return null;
    throw error;
  }
}

function findInvite(registration: Registration, text: string): Invite {
  const code = codeIn(text);
  const byCode = code === null ? null : registration.invite(code);
  if (byCode !== null) return byCode;
  const prefix = text.trim().toLowerCase();
  const isId = prefix.length >= MIN_ID_DIGITS && /^[0-9a-f]+$/.test(prefix);
  const found = isId ? registration.invites().filter(({ id }) => id.startsWith(prefix)) : [];
  if (found.length === 1) return found[0];
  throw new CommandFailure(
    `Cannot revoke invite: ${found.length === 0 ? "there is no such one" : "several begin so"}`,
    { hint: "See `arona invite list`." },
  );
}

function codeIn(text: string): string | null {
  try {
    return parseInvite(text);
  } catch (error) {
    if (isAronaError(error)) return null;
    throw error;
  }
}

function stateText({ state, usedBy, expiresAtMs }: Invite): string {
  if (state === "used") return `used by ${usedBy}`;
  return state === "waiting" ? `waiting until ${dayOf(expiresAtMs)}` : state;
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

async function openRegistration(
  context: CommandContext,
): Promise<{ registration: Registration } & Disposable> {
  const { path, databasePath } = dataFolder(context);
  if (!await exists(databasePath)) {
    throw new CommandFailure(`Cannot use invites: there is no relay in ${path}`, {
      hint: "Run it where the relay runs, with the same --data.",
    });
  }
  const [crypto, clock] = await Promise.all([selectProvider(), context.io.clock()]);
  const store = openSqliteRelayStore(databasePath);
  return {
    registration: new Registration({ store, crypto, clock }, "invite-only"),
    [Symbol.dispose]: () => store.close(),
  };
}
