/** The typed events of the client API. As JSON they are the lines that `arona tail --json` prints. */

import type { DeviceId, ErrorCode, GroupId } from "../proto/base/mod.ts";
import type { GroupKind } from "./groups/mod.ts";
import type { ConnectionState } from "./session/connector.ts";

/** Where something happened. */
export interface ConversationRef {
  /** What people call it: `#name`, `@account` of the other side, or the group's name. */
  readonly group: string;
  readonly groupId: GroupId;
  readonly kind: GroupKind;
}

/** Who did something and when. */
interface Authored extends ConversationRef {
  /** Account name. */
  readonly from: string;
  /** The message id, 32 hexadecimal digits. */
  readonly id: string;
  /** ISO 8601, the sender's clock. */
  readonly at: string;
  /** Whether this person wrote it, on whichever device. */
  readonly own: boolean;
  /** The device that it was written on. */
  readonly device: DeviceId;
}

/** Who came or went, and who made it so. */
interface MemberChange extends ConversationRef {
  readonly account: string;
  readonly fingerprint: string;
  readonly by: string;
}

/** Everything that the client reports. */
export type ClientEvent =
  | {
    /** The connection: `connecting` (dialling and logging in), then `online`, or `offline` with a reason. */
    readonly type: "Status";
    readonly status: "online" | "connecting" | "offline";
    readonly reason?: string;
    /** With `offline`: the next try begins in so long; sooner after a wake or a change of network. */
    readonly retryInMs?: number;
    /** Set where another try cannot help: the client has given up. */
    readonly final?: true;
  }
  /** The relay was found again at another address, by one of its sources, and answers there. */
  | { readonly type: "RelayMoved"; readonly address: string; readonly source: string }
  /** While the relay was looked for: what stands at one of its sources is not used. */
  | {
    readonly type: "SourceRefused";
    readonly source: string;
    readonly code: ErrorCode;
    readonly reason: string;
  }
  | (Authored & { readonly type: "MsgCreated"; readonly text: string; readonly replyTo?: string })
  | (Authored & { readonly type: "MsgEdited"; readonly target: string; readonly text: string })
  | (Authored & { readonly type: "MsgDeleted"; readonly target: string })
  | (Authored & {
    readonly type: "Reaction";
    readonly target: string;
    readonly emoji: string;
    readonly removed: boolean;
  })
  | (Authored & { readonly type: "Typing"; readonly typing: boolean })
  | (Authored & { readonly type: "Read"; readonly target: string })
  | (ConversationRef & { readonly type: "GroupCreated"; readonly by: string; readonly suite: string })
  | (MemberChange & { readonly type: "MemberJoined" })
  | (MemberChange & { readonly type: "MemberLeft" })
  | (ConversationRef & { readonly type: "GroupChanged"; readonly by: string })
  | (ConversationRef & { readonly type: "GroupLeft"; readonly reason: "left" | "removed" })
  | (ConversationRef & { readonly type: "Gap"; readonly reason: string })
  | (ConversationRef & {
    readonly type: "MsgSent";
    readonly id: string;
    /** `accepted`: in the relay's memory; `delivered`: on the others' devices; `read`: by everybody else. */
    readonly state: "accepted" | "delivered" | "read";
  })
  | (ConversationRef & {
    readonly type: "MsgFailed";
    readonly id: string;
    readonly code: ErrorCode;
    readonly reason: string;
  })
  /** A device of this person, certified by its identity, is new on the relay. */
  | { readonly type: "DeviceAdded"; readonly device: DeviceId }
  /** It is this person's no longer. */
  | { readonly type: "DeviceRemoved"; readonly device: DeviceId }
  | { readonly type: "Fault"; readonly code: ErrorCode; readonly reason: string }
  | {
    readonly type: "IdentityChanged";
    readonly account: string;
    readonly pinned: string;
    readonly seen: string;
  };

/** The name of an event. */
export type ClientEventType = ClientEvent["type"];
/** The event of one name. */
export type EventOf<T extends ClientEventType> = Extract<ClientEvent, { type: T }>;

/** The event that tells of a new connection state. */
export function statusEvent(state: ConnectionState): EventOf<"Status"> {
  const { status } = state;
  if (state.status !== "offline") return { type: "Status", status };
  const { reason, final, retryAtMs, sinceMs } = state;
  const retryInMs = retryAtMs === undefined ? undefined : retryAtMs - sinceMs;
  return { type: "Status", status, reason: reason?.message, retryInMs, final };
}

/** Hands events to whoever listens; a listener that throws does not disturb the others. */
export class EventHub {
  readonly #listeners = new Set<(event: ClientEvent) => void>();

  /** @returns a function that ends it */
  listen(listener: (event: ClientEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: ClientEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        if (event.type !== "Fault") {
          this.emit({ type: "Fault", code: "INTERNAL", reason: `a listener threw: ${error}` });
        }
      }
    }
  }
}
