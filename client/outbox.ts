/**
 * What leaves: content → MLS → outbox row → relay. The new MLS state and the outbox row are one transaction, and only then the
 * envelope is sent, so that neither a crash nor a lost connection loses or repeats a message.
 *
 * Each conversation sends one message after the other: the next is sealed when the one before it is accepted. That keeps the sender's
 * order through a change of epoch or a pause that the relay asks for.
 */

import {
  AronaError,
  ByteReader,
  ByteWriter,
  type ErrorCode,
  fromHex,
  type GroupId,
  MessageFlag,
  parseGroupId,
  type Receipt,
  sleep,
  toHex,
} from "../proto/mod.ts";
import { type ClientContext, randomId } from "./context.ts";
import type { Conversation } from "./conversation.ts";
import { encodeContent } from "./groups/mod.ts";
import type { Content } from "./groups/mod.ts";
import { applyContent } from "./inbox.ts";
import { MAX_OUTBOX_MESSAGES, OUTBOX_LIFETIME_MS, REQUEST_TIMEOUT_MS } from "./limits.ts";

const ROW_VERSION = 1;
const PAUSE_AFTER_QUOTA_MS = 500;
/** Accepted envelopes whose receipt is still awaited. */
const MAX_AWAITED_RECEIPTS = 1_024;
/** Relay answers that another try cannot change. */
const FINAL_CODES: readonly ErrorCode[] = [
  "FORBIDDEN",
  "NOT_FOUND",
  "TOO_LARGE",
  "UNSUPPORTED",
  "BAD_REQUEST",
];

/** A message that waits. */
export interface OutboxRow {
  readonly id: string;
  readonly group: GroupId;
  readonly messageId: string;
  readonly createdAtMs: number;
  /** Encoded content, not sealed yet. */
  readonly content: Uint8Array;
  /** The sealed envelope of `epoch`, where it was sealed already. */
  readonly sealed: { epoch: number; envelope: Uint8Array; ciphertext: Uint8Array } | null;
}

/** A message on its way. */
export interface Sending {
  /** The message id. */
  readonly id: string;
  /** Settles when the relay has queued it, or it has failed for good. */
  readonly accepted: Promise<void>;
}

/** Sends the messages of all conversations. */
export class Outbox {
  readonly #pumping = new Set<GroupId>();
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  /** Envelope id → what it was. */
  readonly #unreceipted = new Map<string, { conversation: Conversation; messageId: string }>();
  #nextRow = 0;
  #stopped = new AbortController();

  constructor(private readonly context: ClientContext, private readonly onSent: (c: Conversation) => void) {
    for (const { id } of context.store.all("outbox")) this.#nextRow = Math.max(this.#nextRow, Number(id) + 1);
  }

  /** Puts content into the outbox and the own history, and begins to send. */
  send(conversation: Conversation, content: Content): Sending {
    const { context } = this;
    conversation.assertMember();
    context.contacts.assertNoneChanged(conversation.group.members);
    const encoded = encodeContent(content);
    const id = String(this.#nextRow++).padStart(12, "0");
    let report = () => {};
    context.store.write((writer) => {
      if (writer.all("outbox").length >= MAX_OUTBOX_MESSAGES) {
        throw new AronaError("QUOTA", `Cannot send: ${MAX_OUTBOX_MESSAGES} messages wait already`, {
          hint: "Is the relay reachable?",
        });
      }
      writer.put(
        "outbox",
        id,
        encodeOutboxRow({
          id,
          group: conversation.id,
          messageId: content.id,
          createdAtMs: context.clock.now(),
          content: encoded,
          sealed: null,
        }),
      );
      report = applyContent(context, conversation, { writer, content, sender: conversation.group.self });
    });
    report();
    const waiting = Promise.withResolvers<void>();
    waiting.promise.catch(() => {}); // whoever is not interested is told by MsgFailed
    this.#waiting.set(content.id, waiting);
    this.#pump(conversation);
    return { id: content.id, accepted: waiting.promise };
  }

  /** Seals and sends something short-lived to who is connected now; a failure is nobody's concern. */
  async sendEphemeral(conversation: Conversation, content: Content): Promise<void> {
    const { context } = this;
    if (!context.online || conversation.participation !== "member") return;
    const sealed = await this.#seal(conversation, encodeContent(content), () => {});
    await context.relay().link.submit({
      flags: MessageFlag.EPHEMERAL,
      group: fromHex(conversation.id),
      ...sealed,
    }).catch(() => {});
  }

  /** Devices have an envelope: tells it once all have. */
  receipt(receipt: Receipt): Promise<void> {
    const envelope = toHex(receipt.envelope);
    const awaited = this.#unreceipted.get(envelope);
    if (awaited !== undefined && receipt.delivered >= receipt.of) {
      this.#unreceipted.delete(envelope);
      const { conversation, messageId } = awaited;
      this.context.emit({ type: "MsgSent", ...conversation.ref, id: messageId, state: "delivered" });
    }
    return Promise.resolve();
  }

  /** Goes on with everything that waits; call it when a connection stands. */
  resume(): void {
    for (const conversation of this.context.conversations.values()) this.#pump(conversation);
  }

  /** Whether anything waits for `conversation`. */
  isEmpty(conversation?: Conversation): boolean {
    return !this.#rows().some((row) => conversation === undefined || row.group === conversation.id);
  }

  stop(): void {
    this.#stopped.abort(new AronaError("CLOSED", "Cannot send: the client was closed"));
    for (const waiting of this.#waiting.values()) waiting.reject(this.#stopped.signal.reason);
    this.#waiting.clear();
  }

  #pump(conversation: Conversation): void {
    if (this.#pumping.has(conversation.id) || !this.context.online) return;
    this.#pumping.add(conversation.id);
    this.context.background(async () => {
      try {
        while (this.context.online && !this.#stopped.signal.aborted) {
          const row = this.#rows().find((row) => row.group === conversation.id);
          if (row === undefined) return;
          if (!await this.#trySend(conversation, row)) return;
        }
      } finally {
        this.#pumping.delete(conversation.id);
      }
    });
  }

  /** @returns whether to go on with what waits */
  async #trySend(conversation: Conversation, row: OutboxRow): Promise<boolean> {
    const { context } = this;
    if (conversation.participation !== "member") {
      this.#fail(conversation, row, new AronaError("FORBIDDEN", "Cannot send: no longer a member"));
      return true;
    }
    if (context.clock.now() - row.createdAtMs > OUTBOX_LIFETIME_MS) {
      this.#fail(
        conversation,
        row,
        new AronaError("TIMEOUT", "Cannot send: it could not be delivered for 7 days"),
      );
      return true;
    }
    const sealed = row.sealed?.epoch === conversation.group.epoch
      ? row.sealed
      : await this.#seal(conversation, row.content, (writer, sealed) =>
        writer.put("outbox", row.id, encodeOutboxRow({ ...row, sealed })));
    this.#awaitReceipt(toHex(sealed.envelope), { conversation, messageId: row.messageId });
    try {
      await context.relay().link.submit({
        flags: MessageFlag.RECEIPT,
        group: fromHex(conversation.id),
        ...sealed,
      });
    } catch (error) {
      return await this.#afterRefusal(conversation, row, { error, epoch: sealed.epoch });
    }
    conversation.ownMessages++;
    context.store.write((writer) => {
      writer.delete("outbox", row.id);
      conversation.save(context.engine, writer);
    });
    this.#waiting.get(row.messageId)?.resolve();
    this.#waiting.delete(row.messageId);
    context.emit({ type: "MsgSent", ...conversation.ref, id: row.messageId, state: "accepted" });
    this.onSent(conversation);
    return true;
  }

  #awaitReceipt(envelope: string, what: { conversation: Conversation; messageId: string }): void {
    const [oldest] = this.#unreceipted.keys();
    if (this.#unreceipted.size >= MAX_AWAITED_RECEIPTS) this.#unreceipted.delete(oldest);
    this.#unreceipted.set(envelope, what);
  }

  async #afterRefusal(
    conversation: Conversation,
    row: OutboxRow,
    refusal: { error: unknown; epoch: number },
  ): Promise<boolean> {
    const { clock } = this.context;
    const { error } = refusal;
    if (!(error instanceof AronaError)) throw error;
    if (error.code === "STALE_EPOCH") {
      // The commit that moved the group on is on its way in the stream.
      await conversation.epochAbove(refusal.epoch, {
        schedule: clock.schedule.bind(clock),
        timeoutMs: REQUEST_TIMEOUT_MS,
      });
      return true;
    }
    if (error.code === "RATE_LIMITED" || error.code === "QUOTA") {
      const asked = error.details?.retryAfterMs;
      await sleep(clock, typeof asked === "number" ? asked : PAUSE_AFTER_QUOTA_MS, this.#stopped.signal)
        .catch(
          () => {},
        );
      return true;
    }
    if (FINAL_CODES.includes(error.code)) {
      this.#fail(conversation, row, error);
      return true;
    }
    return false; // the connection is gone; resume() goes on
  }

  #fail(conversation: Conversation, row: OutboxRow, error: AronaError): void {
    this.context.store.write((writer) => writer.delete("outbox", row.id));
    this.#waiting.get(row.messageId)?.reject(error);
    this.#waiting.delete(row.messageId);
    const { code, message: reason } = error;
    this.context.emit({ type: "MsgFailed", ...conversation.ref, id: row.messageId, code, reason });
  }

  #seal(
    conversation: Conversation,
    content: Uint8Array,
    persist: (
      writer: Parameters<typeof applyContent>[2]["writer"],
      sealed: NonNullable<OutboxRow["sealed"]>,
    ) => void,
  ): Promise<NonNullable<OutboxRow["sealed"]>> {
    const { context } = this;
    return conversation.mutex.run(async () => {
      const { next, ciphertext } = await context.engine.encrypt(conversation.group, content);
      const sealed = { epoch: next.epoch, envelope: randomId(context.crypto), ciphertext };
      context.store.write((writer) => {
        conversation.saveGroup(context.engine, writer, next);
        persist(writer, sealed);
      });
      conversation.advance(next);
      return sealed;
    });
  }

  #rows(): OutboxRow[] {
    return this.context.store.all("outbox").map(({ id, row }) => decodeOutboxRow(id, row))
      .sort((a, b) => a.id < b.id ? -1 : 1);
  }
}

/** The row in the store. */
export function encodeOutboxRow(row: OutboxRow): Uint8Array {
  const writer = new ByteWriter().u8(ROW_VERSION).raw(fromHex(row.group)).raw(fromHex(row.messageId))
    .u64(row.createdAtMs).vector32(row.content).u8(row.sealed === null ? 0 : 1);
  if (row.sealed) writer.u64(row.sealed.epoch).raw(row.sealed.envelope).vector32(row.sealed.ciphertext);
  return writer.finish();
}

/** @throws {AronaError} `CORRUPT_STORE` where the bytes are not what {@link encodeOutboxRow} made */
export function decodeOutboxRow(id: string, bytes: Uint8Array): OutboxRow {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    const head = {
      group: parseGroupId(toHex(reader.take(16))),
      messageId: toHex(reader.take(16)),
      createdAtMs: reader.u64(),
      content: reader.vector32(1 << 20),
    };
    const flag = reader.u8();
    if (version !== ROW_VERSION || flag > 1) {
      throw new AronaError("BAD_ENCODING", `Cannot read outbox: version ${version}, flag ${flag}`);
    }
    const sealed = flag === 0
      ? null
      : { epoch: reader.u64(), envelope: reader.take(16), ciphertext: reader.vector32(1 << 20) };
    reader.end();
    return { id, ...head, sealed };
  } catch (cause) {
    throw new AronaError("CORRUPT_STORE", "Cannot read outbox: a row is damaged", { cause });
  }
}
