/** One conversation: its MLS group, what is pending, and how both are kept in the store. */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type Clock,
  type DeviceId,
  fromUtf8,
  type GroupId,
  isAronaError,
  parseDeviceId,
  utf8,
} from "../proto/mod.ts";
import type { ConversationInfo, Participation } from "./chat_client.ts";
import type { ConversationRef } from "./events.ts";
import type { Group, GroupEngine, GroupKind, SuiteId } from "./groups/mod.ts";
import { Mutex } from "./session/mutex.ts";
import type { Store, StoreWriter } from "./store/mod.ts";

/** Version 1 had neither the base nor the count of sent messages. */
const RECORD_VERSION = 2;
const MAX_STATE_BYTES = 64 * 1024 * 1024;

const PARTICIPATIONS: readonly Participation[] = ["member", "left", "removed", "stuck"];

/** An own commit that the relay has not confirmed yet. */
export interface PendingCommit {
  /** SHA-256 of the commit, hexadecimal. */
  readonly hash: string;
  /** The group as it is if the commit wins. */
  readonly next: Group;
  /** The device that gets another leaf by it. */
  readonly replaced?: DeviceId;
}

/** A conversation in memory. Change `group` only inside `mutex`, and save it in the same transaction as what came of it. */
export class Conversation implements ConversationInfo {
  /** Guards the MLS state: encrypting, decrypting, committing. */
  readonly mutex = new Mutex();
  /** Lets one own change of membership run at a time. */
  readonly changes = new Mutex();
  pending: PendingCommit | null = null;
  /** Hash of the own commit that the relay has been asked to accept and has not answered yet. */
  inFlight: string | null = null;
  /** The newest commit, where it did not verify: what builds on it is ignored until the relay has taken it back, or this device is back. */
  refused: { readonly epoch: number; readonly hash: string } | null = null;
  participation: Participation = "member";
  /** Own messages and time since the leaf was last renewed. */
  ownMessages = 0;
  renewedAtMs = 0;
  /** SHA-256 (hexadecimal) of the commit that led to the present epoch; empty where it is not known. */
  base = "";
  /** Own messages that the relay has accepted since this device came in: the sequence number of the last one. */
  sent = 0;
  /** As many of them as there were when the present epoch began. */
  sentBefore = 0;
  readonly #epochWaiters = new Set<() => void>();
  /** The epoch whose tree is in the store; the tree is large and changes with the epoch only. */
  #storedEpoch = -1;

  constructor(public group: Group, readonly peer: string | null) {}

  get id(): GroupId {
    return this.group.id;
  }

  /** What people call it: `#name`, `@account`, or the group's name. */
  get title(): string {
    return this.group.kind === "dm" ? `@${this.peer ?? "?"}` : this.group.name;
  }

  /** Whether this device takes part, or will again in a moment. */
  get isOpen(): boolean {
    return this.participation === "member" || this.participation === "stuck";
  }

  get ref(): ConversationRef {
    return { group: this.title, groupId: this.id, kind: this.group.kind };
  }

  get kind(): GroupKind {
    return this.group.kind;
  }

  get suite(): SuiteId {
    return this.group.suite;
  }

  get epoch(): number {
    return this.group.epoch;
  }

  /** Counted over the members of the group: with many of them it is not for every message. */
  get people(): number {
    return new Set(this.group.members.map(({ account }) => account)).size;
  }

  get isAdmin(): boolean {
    return this.group.self.admin;
  }

  /** @throws {AronaError} `FORBIDDEN` where this device no longer takes part */
  assertOpen(): void {
    if (this.isOpen) return;
    const how = this.participation === "left" ? "you have left it" : "you are no longer a member";
    throw new AronaError("FORBIDDEN", `Cannot use ${this.title}: ${how}`, {
      hint: "Join it again or ask a member to invite you.",
    });
  }

  /** @throws {AronaError} `FORBIDDEN`, and `CONFLICT` where this device has yet to come in again */
  assertMember(): void {
    this.assertOpen();
    if (this.participation === "member") return;
    throw new AronaError("CONFLICT", `Cannot change ${this.title}: this device is coming into it again`, {
      hint: "Try again when it is back.",
    });
  }

  /**
   * Sets the state that follows and wakes whoever waits for a new epoch.
   *
   * @param base hash of the commit that led to another epoch
   */
  advance(group: Group, base = this.base): void {
    const moved = group.epoch !== this.group.epoch;
    this.group = group;
    this.base = base;
    if (moved) this.sentBefore = this.sent;
    this.#storedEpoch = group.epoch;
    if (moved) this.refused = null;
    if (!moved) return;
    for (const wake of [...this.#epochWaiters]) wake();
  }

  /** Resolves true when the epoch is over `epoch`, false after `timeoutMs`. */
  async epochAbove(
    epoch: number,
    options: { clock: Pick<Clock, "schedule">; timeoutMs: number },
  ): Promise<boolean> {
    if (this.group.epoch > epoch) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = () => this.group.epoch > epoch && resolve(true);
    this.#epochWaiters.add(wake);
    const cancel = options.clock.schedule(options.timeoutMs, () => resolve(false));
    try {
      return await promise;
    } finally {
      cancel();
      this.#epochWaiters.delete(wake);
    }
  }

  /** Writes what is known of the conversation beside its MLS state. */
  save(
    engine: GroupEngine,
    writer: StoreWriter,
    options: {
      pending?: PendingCommit | null;
      /** The commit that leads to another epoch, if that is stored with it. */
      base?: string;
      sent?: number;
    } = {},
  ): void {
    const pending = options.pending === undefined ? this.pending : options.pending;
    const { base, sent = this.sent } = options;
    const sentBefore = base === undefined ? this.sentBefore : sent;
    const record = new ByteWriter().u8(RECORD_VERSION).u8(PARTICIPATIONS.indexOf(this.participation))
      .u32(this.ownMessages).u64(Math.floor(this.renewedAtMs)).vector16(utf8(this.peer ?? ""))
      .vector16(utf8(pending?.hash ?? "")).vector32(pending ? engine.encode(pending.next) : new Uint8Array())
      .vector16(utf8(base ?? this.base)).u64(sent).u64(sentBefore).vector16(utf8(pending?.replaced ?? ""));
    writer.put("groups", `${this.id}/record`, record.finish());
  }

  /** Writes the MLS state `group`, the one to {@link advance} to once the transaction stands. */
  saveGroup(engine: GroupEngine, writer: StoreWriter, group: Group): void {
    const { tree, secrets } = engine.encodeParts(group);
    if (group.epoch !== this.#storedEpoch) writer.put("groups", `${this.id}/tree`, tree);
    writer.put("groups", `${this.id}/secrets`, secrets);
  }
}

/** Every conversation in the store. @throws {AronaError} `CORRUPT_STORE` */
export function loadConversations(store: Store, engine: GroupEngine): Conversation[] {
  const conversations: Conversation[] = [];
  for (const { id, row } of store.all("groups")) {
    if (!id.endsWith("/record")) continue;
    const tree = store.get("groups", id.replace("/record", "/tree"));
    const secrets = store.get("groups", id.replace("/record", "/secrets"));
    if (tree === null || secrets === null) {
      throw new AronaError("CORRUPT_STORE", "Cannot read conversation: its state is missing");
    }
    conversations.push(decodeConversation(engine, engine.decodeParts({ tree, secrets }), row));
  }
  return conversations;
}

function decodeConversation(engine: GroupEngine, group: Group, record: Uint8Array): Conversation {
  try {
    const reader = new ByteReader(record);
    const version = reader.u8();
    if (version < 1 || version > RECORD_VERSION) refuse("version");
    const participation = PARTICIPATIONS[reader.u8()] ?? refuse("participation");
    const ownMessages = reader.u32();
    const renewedAtMs = reader.u64();
    const peer = fromUtf8(reader.vector16(64));
    const hash = fromUtf8(reader.vector16(64));
    const next = reader.vector32(MAX_STATE_BYTES);
    const base = version === 1 ? "" : fromUtf8(reader.vector16(64));
    const sent = version === 1 ? 0 : reader.u64();
    const sentBefore = version === 1 ? 0 : reader.u64();
    const replaced = version === 1 ? "" : fromUtf8(reader.vector16(32));
    reader.end();
    if ((hash === "") !== (next.length === 0)) refuse("pending commit");
    const conversation = new Conversation(group, peer === "" ? null : peer);
    conversation.participation = participation;
    conversation.ownMessages = ownMessages;
    conversation.renewedAtMs = renewedAtMs;
    conversation.base = base;
    conversation.sent = sent;
    conversation.sentBefore = sentBefore;
    conversation.pending = hash === "" ? null : {
      hash,
      next: engine.decode(next),
      replaced: replaced === "" ? undefined : parseDeviceId(replaced),
    };
    return conversation;
  } catch (cause) {
    if (isAronaError(cause, "CORRUPT_STORE")) throw cause;
    throw new AronaError("CORRUPT_STORE", "Cannot read conversation: its record does not decode", { cause });
  }
}

function refuse(field: string): never {
  throw new AronaError("CORRUPT_STORE", `Cannot read conversation: its ${field} does not fit`);
}
