/** What a command's TARGET stands for: `#channel`, `@account`, or the name or id of a group. */

import { type ChatClient, type ConversationInfo, type SuiteId, SUITES } from "../client/api/mod.ts";
import { isAronaError } from "../proto/base/mod.ts";
import type { Settings } from "./config.ts";
import { untilEnd } from "./ending.ts";
import { CommandFailure } from "./failure.ts";

/** What stands behind names that are not unique, or more of it. */
const SHORT_ID = /^[0-9a-f]{8,32}$/;

/** The suite that `--suite` names. */
export function suiteOf(settings: Settings): SuiteId {
  const wanted = settings.text("suite") === "aes256" ? "AES-256-GCM" : "ChaCha20-Poly1305";
  const found = Object.entries(SUITES).find(([, suite]) => suite.aead === wanted)!;
  return Number(found[0]) as SuiteId;
}

/**
 * The conversation that `target` names; joins the channel or opens the direct message.
 *
 * @throws {AronaError}
 */
export async function resolveTarget(
  client: ChatClient,
  target: string,
  options: { suite: SuiteId; signal: AbortSignal },
): Promise<ConversationInfo> {
  if (/^[#@]/.test(target)) return await untilEnd(client.resolve(target, options.suite), options.signal);
  return await findTarget(client, target, options.signal);
}

/**
 * The conversation that this device is in, one that it was added to while it was away among them.
 *
 * @throws {AronaError} `NOT_FOUND`
 */
export async function findTarget(
  client: ChatClient,
  target: string,
  signal: AbortSignal,
): Promise<ConversationInfo> {
  await untilEnd(client.caughtUp(), signal);
  try {
    return client.find(target);
  } catch (error) {
    if (!isAronaError(error, "NOT_FOUND") || /^[#@]/.test(target)) throw error;
    const meant = client.conversations().filter((one) => one.isOpen && matches(one, target));
    if (meant.length === 1) return meant[0];
    throw new CommandFailure(error.message, {
      cause: error,
      hint:
        "`arona groups` shows where you are. A channel begins with # and a person with @; quote them: '#general'.",
    });
  }
}

/** Whether people mean this conversation by `target`: its name, its id, or the beginning of that as it is shown. */
export function matches(conversation: Pick<ConversationInfo, "title" | "id">, target: string): boolean {
  return conversation.title === target || (SHORT_ID.test(target) && conversation.id.startsWith(target));
}

/** An account name, with or without the @ before it. */
export function accountOf(argument: string | undefined): string {
  return (argument ?? "").replace(/^@/, "");
}

/** The client's fields that say where it is, for JSON. */
export function conversationObject(conversation: ConversationInfo): Record<string, unknown> {
  const { title, id, kind, people, suite, isAdmin, participation, epoch } = conversation;
  return {
    type: "Conversation",
    group: title,
    kind,
    members: people,
    suite: SUITES[suite].name,
    admin: isAdmin,
    participation,
    epoch,
    groupId: id,
  };
}
