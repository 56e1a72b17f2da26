/** A member of a conversation as a line for people. */

import type { MemberInfo } from "../client/mod.ts";
import { nameText } from "./event_text.ts";

/** `alice  admin, online, verified`. */
export function memberText(member: MemberInfo): string {
  const facts = [
    ...(member.admin ? ["admin"] : []),
    ...(member.online === null ? [] : [member.online ? "online" : "away"]),
    ...(member.verified ? ["verified"] : []),
    ...(member.identityChanged ? ["IDENTITY CHANGED"] : []),
  ];
  return `${nameText(member.account)}  ${facts.join(", ")}`.trimEnd();
}
