/**
 * Ties the names in a group to the relay's accounts. A leaf's certificate says a name, but anybody can certify any name for himself; the
 * relay gives each name to one identity. What both say alike is pinned on first use; what differs is never shown under the bare name.
 */

import { AronaError } from "../proto/mod.ts";
import type { ClientContext } from "./context.ts";
import type { Member } from "./groups/mod.ts";
import type { RelayMember } from "./session/relay_api.ts";

/**
 * Compares a group that this device is about to enter with the relay's list of its members.
 *
 * @returns the members whose names the relay confirms, to be pinned
 * @throws {AronaError} `BAD_CERTIFICATE` where a member shows another identity than the relay has for the name
 */
export function confirmedMembers(members: readonly Member[], listed: readonly RelayMember[]): Member[] {
  const { alike, different } = compare(members, listed);
  if (different.length === 0) return alike;
  throw new AronaError(
    "BAD_CERTIFICATE",
    `Cannot enter the group: somebody in it shows an identity that is not ${different[0].account}'s`,
    { hint: "Do not trust who invited you. Ask whoever runs the relay." },
  );
}

/** Those of a channel's members whom the relay lists with the same identity; whoever differs is shown as somebody else. */
export function listedAlike(members: readonly Member[], listed: readonly RelayMember[]): Member[] {
  return compare(members, listed).alike;
}

/** Those of `members` whose identity the relay has under the same name. Asks about names that are not pinned yet only. */
export async function confirmByLookup(context: ClientContext, members: readonly Member[]): Promise<Member[]> {
  const confirmed: Member[] = [];
  for (const member of members) {
    if (context.contacts.get(member.account)?.fingerprint === member.fingerprint) continue; // pinned already
    if (await context.contacts.isConfirmed(member, context.relay())) confirmed.push(member);
  }
  return confirmed;
}

/** Members that are not listed are in neither part: they have left already, or came a moment ago. */
function compare(
  members: readonly Member[],
  listed: readonly RelayMember[],
): { alike: Member[]; different: Member[] } {
  const byDevice = new Map(listed.map((entry) => [entry.device, entry]));
  const alike: Member[] = [];
  const different: Member[] = [];
  for (const member of members) {
    const entry = byDevice.get(member.device);
    if (entry === undefined) continue;
    const same = entry.account === member.account && entry.fingerprint === member.fingerprint;
    (same ? alike : different).push(member);
  }
  return { alike, different };
}
