/** Whether somebody is who they were: the safety number, and the new one beside it where their identity has changed. */

import type { ChatClient, Contact } from "../client/mod.ts";
import { type AronaError, isAronaError } from "../proto/base/mod.ts";
import { untilEnd } from "./ending.ts";
import { CommandFailure, usageFailure } from "./failure.ts";

/** Digits of a fingerprint that are enough to name an identity. */
const MIN_PREFIX_DIGITS = 8;
/** Digits that a hint gives. */
const SHOWN_PREFIX_DIGITS = 16;

/** What there is to compare. */
export interface Verification {
  readonly account: string;
  readonly safetyNumber: string;
  readonly fingerprint: Contact["fingerprint"];
  readonly verified: boolean;
  /** The identity that waits to be accepted. */
  readonly pending?: { readonly safetyNumber: string; readonly fingerprint: string };
}

/**
 * The person as this profile knows them; asks the relay first, so that a change is seen.
 *
 * @param options.note is told where the relay's answer is missing
 * @throws {AronaError | CommandFailure} `NOT_FOUND` for somebody whom neither knows
 */
export async function lookUpPerson(
  client: ChatClient,
  account: string,
  options: { signal: AbortSignal; note: (text: string) => void },
): Promise<Contact> {
  const { signal, note } = options;
  if (account === client.account) {
    throw usageFailure(`Cannot verify ${account}: that is you`, "`arona id` shows your own fingerprint.");
  }
  let failure: AronaError;
  try {
    return await untilEnd(client.refreshContact(account), signal);
  } catch (error) {
    if (!isAronaError(error) || error.code === "BAD_NAME") throw error;
    failure = error;
  }
  const unknown = failure.code === "NOT_FOUND";
  const reason = unknown
    ? `Cannot find @${account}: nobody on this relay has that name`
    : client.online
    ? failure.message
    : `Cannot find @${account}: this profile has not met them, and the relay is away`;
  try {
    const known = await untilEnd(client.contact(account), signal);
    if (client.online) note(`${reason}. What follows is what this profile knows.`);
    return known;
  } catch (error) {
    if (!isAronaError(error)) throw error;
    const hint = unknown ? "Names are those that `arona members` shows." : failure.hint;
    throw new CommandFailure(reason, {
      cause: failure,
      hint: client.online ? hint : "Try again when the relay is back.",
    });
  }
}

/** What to show of a person. */
export async function verificationOf(client: ChatClient, contact: Contact): Promise<Verification> {
  const { account, fingerprint, verified, pending } = contact;
  const now = { account, fingerprint, verified, safetyNumber: await client.safetyNumber(contact) };
  if (pending === undefined) return now;
  const safetyNumber = await client.safetyNumber(pending);
  return { ...now, pending: { safetyNumber, fingerprint: pending.fingerprint } };
}

/**
 * Accepts the identity that waits.
 *
 * @param prefix how its fingerprint has to begin; null for whichever waits
 * @throws {AronaError | CommandFailure} where none waits, or another one
 */
export async function acceptPending(
  client: ChatClient,
  contact: Contact,
  prefix: string | null,
): Promise<Contact> {
  const { account, pending } = contact;
  if (prefix !== null && pending !== undefined && !pending.fingerprint.startsWith(prefix)) {
    throw new CommandFailure(
      `Cannot accept the identity of ${account}: the one that waits is ${
        shortFingerprint(pending.fingerprint)
      }, ` +
        `and does not begin with ${prefix}`,
      { hint: `Compare again: \`arona verify ${account}\`.` },
    );
  }
  return await client.verify(account, { accept: true });
}

/** The beginning of a fingerprint as people write it. @throws {CommandFailure} usage */
export function parseFingerprintPrefix(text: string): string {
  const prefix = text.replaceAll(/\s/g, "").toLowerCase();
  if (new RegExp(`^[0-9a-f]{${MIN_PREFIX_DIGITS},64}$`).test(prefix)) return prefix;
  throw usageFailure(
    `Cannot accept ${JSON.stringify(text.slice(0, 80))}: it is not the beginning of a fingerprint`,
    `Give ${MIN_PREFIX_DIGITS} to 64 of its digits, as \`arona verify USER\` shows them.`,
  );
}

/** Lines for a person, without the hints that depend on where they are. */
export function verificationLines(own: string, person: Verification): string[] {
  const { account, safetyNumber, fingerprint, verified, pending } = person;
  if (pending === undefined) {
    return [
      `Safety number of ${own} and ${account}:`,
      "",
      numberLines(safetyNumber),
      "",
      verified ? "Verified: you have compared it." : "Not verified yet.",
    ];
  }
  return [
    `The identity of ${account} HAS CHANGED. Nothing is sent to them until you accept the new one.`,
    "",
    `The safety number that you ${verified ? "had verified" : "had"} (identity ${
      shortFingerprint(fingerprint)
    }):`,
    "",
    numberLines(safetyNumber),
    "",
    `The new one (identity ${shortFingerprint(pending.fingerprint)}):`,
    "",
    numberLines(pending.safetyNumber),
  ];
}

/** The beginning of a fingerprint, enough for `--accept`. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, SHOWN_PREFIX_DIGITS);
}

/** Three lines of four groups. */
function numberLines(safetyNumber: string): string {
  const lines = safetyNumber.match(/(?:\d{5} ?){1,4}/g) ?? [safetyNumber];
  return lines.map((line) => `    ${line.trim()}`).join("\n");
}
