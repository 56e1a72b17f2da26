/**
 * What leaves: content → MLS → outbox row → relay. The new MLS state and the outbox row are one transaction, and only then the
 * envelope is sent, so that neither a crash nor a lost connection loses or repeats a message.
 *
 * Each conversation sends one message after the other: the next is sealed when the one before it is accepted. That keeps the sender's
 * order through a change of epoch or a pause that the relay asks for. An accepted message stays until every device has it: the relay
 * keeps it in memory only, so after a restart of the relay it is sent again, and also once a device is back that could not open it, or has
 * room for it that had none. Receivers know it by its id, and by the number that it is sealed with they know that none is missing.
 */

import {
  AronaError,
  type ErrorCode,
  fromHex,
  type GroupId,
  MessageFlag,
  type Receipt,
  sleep,
  toHex,
} from "../proto/mod.ts";
import { type ClientContext, randomId } from "./context.ts";
import type { Conversation } from "./conversation.ts";
import { type Content, decodeContent, encodeContent } from "./groups/mod.ts";
import { advanceState, type MessageState } from "./history.ts";
import { applyContent } from "./inbox.ts";
import {
  MAX_OUTBOX_MESSAGES,
  MAX_SENT_AGAIN,
  MAX_UNDELIVERED_MESSAGES,
  OUTBOX_LIFETIME_MS,
} from "./limits.ts";
import { decodeOutboxRow, encodeOutboxRow, type OutboxRow, type SealedMessage } from "./outbox_row.ts";
import type { RelayLink } from "./session/link.ts";
import type { StoreWriter } from "./store/mod.ts";

/** Pauses after an answer that another try may change: the first, and the longest. */
const RETRY_FIRST_MS = 250;
const RETRY_LONGEST_MS = 60_000;
/** Stands for the boot id where a message was accepted, but has to be sent once more. */
const ACCEPTED_BEFORE = "before";
/** Between two looks for what has expired, at least. */
const EXPIRY_PAUSE_MS = 1_000;
/** How long a commit that is on its way may take before it is asked for. */
const STALE_WAIT_MS = 5_000;
/** Relay answers that another try cannot change. */
const FINAL_CODES: readonly ErrorCode[] = [
  "NOT_FOUND",
  "TOO_LARGE",
  "UNSUPPORTED",
  "BAD_REQUEST",
  "BAD_FRAME",
];

/** A message on its way. */
export interface Sending {
  /** The message id. */
  readonly id: string;
  /** Settles when the relay has queued it, or it has failed for good. */
  readonly accepted: Promise<void>;
}

/** What an outbox needs of its client. */
export interface OutboxOptions {
  /** A message was accepted. */
  onSent(conversation: Conversation): void;
  synchronize(conversation: Conversation): Promise<void>;
  /** The connection, once the login is done; null while there is none. */
  session(): OutboxSession | null;
}

/** What messages go out by. One that was picked for a session goes out by that one or not at all: on the next, others may come first. */
export interface OutboxSession {
  readonly link: RelayLink;
  /** The relay's boot id; what it accepted before its last start it may have forgotten. */
  readonly boot: string;
}

/** Sends the messages of all conversations. */
export class Outbox {
  /** In the order they were written; the store holds the same rows. */
  readonly #rows: OutboxRow[];
  readonly #pumping = new Set<string>();
  /** Conversations that something new was said of while they were pumped. */
  readonly #pumpAgain = new Set<string>();
  /** Rows that were reported as delivered already and wait for further devices. */
  readonly #delivered = new Set<string>();
  /** How often a row went out once more for a device that could not open it or had no room. */
  readonly #sentAgain = new Map<string, number>();
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  readonly #stopped = new AbortController();
  /** Rows whose answer the relay owes: they are neither given up nor forgotten meanwhile. */
  readonly #inFlight = new Set<string>();
  #cancelExpiry = () => {};
  /** Ends the pauses between tries. */
  #hurry = new AbortController();
  #nextRow: number;
  #retryMs = RETRY_FIRST_MS;

  constructor(private readonly context: ClientContext, private readonly options: OutboxOptions) {
    this.#rows = context.store.all("outbox").map(({ id, row }) => decodeOutboxRow(id, row));
    this.#nextRow = Number(this.#rows.at(-1)?.id ?? -1) + 1;
  }

  /** Puts content into the outbox and the own history, and begins to send. */
  send(conversation: Conversation, content: Content): Sending {
    const { context } = this;
    conversation.assertOpen();
    context.contacts.assertNoneChanged(conversation.group.members);
    if (this.#rows.filter((row) => row.acceptedBoot === null).length >= MAX_OUTBOX_MESSAGES) {
      throw new AronaError("QUOTA", `Cannot send: ${MAX_OUTBOX_MESSAGES} messages wait already`, {
        hint: "Is the relay reachable?",
      });
    }
    const row: OutboxRow = {
      id: String(this.#nextRow++).padStart(12, "0"),
      group: conversation.id,
      messageId: content.id,
      createdAtMs: context.clock.now(),
      content: encodeContent(content),
      sealed: null,
      acceptedBoot: null,
      reached: 0,
      lost: false,
    };
    let report = () => {};
    context.store.write((writer) => {
      writer.put("outbox", row.id, encodeOutboxRow(row));
      report = applyContent(context, conversation, { writer, content, sender: conversation.group.self });
    });
    this.#rows.push(row);
    report();
    const waiting = Promise.withResolvers<void>();
    waiting.promise.catch(() => {}); // whoever is not interested is told by MsgFailed
    this.#waiting.set(content.id, waiting);
    if (this.#rows.length === 1) this.#expire();
    this.#pump(conversation);
    return { id: content.id, accepted: waiting.promise };
  }

  /** Seals and sends something short-lived to who is connected now; a failure is nobody's concern. It uses keys up like any other. */
  async sendEphemeral(conversation: Conversation, content: Content): Promise<void> {
    const session = this.options.session();
    if (session === null || conversation.participation !== "member") return;
    await this.#quietly(async () => {
      const sealed = await this.#seal(conversation, { content: encodeContent(content), sequence: 0 });
      await session.link.submit({
        flags: MessageFlag.EPHEMERAL,
        group: fromHex(conversation.id),
        ...sealed,
      });
      conversation.ownMessages++;
      this.options.onSent(conversation);
    });
  }

  /** Somebody has an envelope. It is delivered once every person has it on a device, and forgotten here once all devices have it. */
  receipt(receipt: Receipt): Promise<void> {
    const envelope = toHex(receipt.envelope);
    const row = this.#rows.find((row) => row.sealed !== null && toHex(row.sealed.envelope) === envelope);
    const conversation = row && this.context.conversations.get(row.group);
    if (row === undefined || conversation === undefined) return Promise.resolve();
    // The answer to it was lost with the connection that it went out by, and would have come before.
    if (row.acceptedBoot === null) {
      const boot = this.options.session()?.boot ?? ACCEPTED_BEFORE;
      this.#accept(conversation, row, { boot, alone: false });
    }
    const { devices, ofDevices, people, ofPeople } = receipt;
    const everywhere = devices >= ofDevices;
    const arrived = (everywhere || (ofPeople > 0 && people >= ofPeople)) && !this.#delivered.has(row.id);
    const isLost = receipt.lost > 0;
    // Whoever could not open it may have come in anew since it was sealed.
    const isWanted = receipt.room > 0 || (isLost && row.sealed!.epoch < conversation.group.epoch);
    const again = isWanted && !everywhere && this.#maySendAgain(row);
    const next = {
      reached: Math.max(row.reached, ofPeople > 0 ? people : devices),
      lost: isLost && !again,
      acceptedBoot: again ? ACCEPTED_BEFORE : row.acceptedBoot,
    };
    this.context.store.write((writer) => {
      if (arrived) advanceState(writer, row.group, { id: row.messageId, state: "delivered" });
      if (everywhere) writer.delete("outbox", row.id);
      else if (next.reached > row.reached || next.lost !== row.lost || again) {
        writer.put("outbox", row.id, encodeOutboxRow({ ...row, ...next }));
      }
    });
    Object.assign(row, next);
    if (arrived) {
      this.#delivered.add(row.id);
      this.#reportSent(conversation, row, "delivered");
    }
    if (everywhere) this.#drop(row);
    else if (again) this.#pump(conversation);
    return Promise.resolve();
  }

  #maySendAgain(row: OutboxRow): boolean {
    const times = this.#sentAgain.get(row.id) ?? 0;
    if (times >= MAX_SENT_AGAIN) return false;
    this.#sentAgain.set(row.id, times + 1);
    return true;
  }

  /** What nobody has of the conversation `from` goes out in another one. */
  move(from: GroupId, to: Conversation): void {
    const { context } = this;
    const rows = this.#rows.filter((row) => row.group === from && row.reached === 0);
    const change = { group: to.id, sealed: null, acceptedBoot: null, lost: false };
    const reports: (() => void)[] = [];
    context.store.write((writer) => {
      for (const row of rows) {
        writer.put("outbox", row.id, encodeOutboxRow({ ...row, ...change }));
        const content = decodeContent(row.content);
        reports.push(applyContent(context, to, { writer, content, sender: to.group.self }));
      }
    });
    for (const row of rows) Object.assign(row, change);
    for (const report of reports) report();
    this.#pump(to);
  }

  /** A device has come into a conversation anew: what some device could not open goes out once more. */
  sendAgain(group: GroupId): void {
    const rows = this.#rows.filter((row) =>
      row.group === group && row.lost && row.acceptedBoot !== null && this.#maySendAgain(row)
    );
    const conversation = this.context.conversations.get(group);
    if (rows.length === 0 || conversation === undefined) return;
    const change = { lost: false, acceptedBoot: ACCEPTED_BEFORE };
    this.context.store.write((writer) => {
      for (const row of rows) writer.put("outbox", row.id, encodeOutboxRow({ ...row, ...change }));
    });
    for (const row of rows) Object.assign(row, change);
    this.#pump(conversation);
  }

  /**
   * This device comes into a conversation anew, by the transaction of `writer`: what was sealed for its former leaf is of no use, and
   * what was accepted so is sent once more, since perhaps nobody could open it.
   *
   * @returns does the same in memory; call it once the transaction stands
   */
  unseal(writer: StoreWriter, group: GroupId): () => void {
    const rows = this.#rows.filter((row) => row.group === group && row.sealed !== null);
    const changeOf = (row: OutboxRow) => ({
      sealed: null,
      acceptedBoot: row.acceptedBoot === null ? null : ACCEPTED_BEFORE,
    });
    for (const row of rows) writer.put("outbox", row.id, encodeOutboxRow({ ...row, ...changeOf(row) }));
    return () => rows.forEach((row) => Object.assign(row, changeOf(row)));
  }

  /** Goes on with everything that waits; call it when a connection stands. */
  resume(): void {
    this.#retryMs = RETRY_FIRST_MS;
    this.#hurry.abort(new AronaError("CLOSED", "Cannot wait: the relay is there again"));
    this.#hurry = new AbortController();
    this.#expire();
    for (const conversation of this.context.conversations.values()) this.#pump(conversation);
  }

  stop(): void {
    this.#cancelExpiry();
    this.#stopped.abort(new AronaError("CLOSED", "Cannot send: the client was closed"));
    for (const waiting of this.#waiting.values()) waiting.reject(this.#stopped.signal.reason);
    this.#waiting.clear();
  }

  #pump(conversation: Conversation): void {
    if (this.#pumping.has(conversation.id)) return void this.#pumpAgain.add(conversation.id);
    if (this.options.session() === null) return;
    this.#pumping.add(conversation.id);
    this.context.background(async () => {
      try {
        while (!this.#stopped.signal.aborted) {
          const session = this.options.session();
          if (session === null) return;
          // A conversation that was entered anew is another object under the same id.
          const current = this.context.conversations.get(conversation.id);
          if (current === undefined) return;
          const row = this.#rows.find((row) =>
            row.group === conversation.id && row.acceptedBoot !== session.boot
          );
          if (row === undefined || !await this.#trySend(current, row, session)) return;
        }
      } finally {
        this.#pumping.delete(conversation.id);
        if (this.#pumpAgain.delete(conversation.id)) this.#pump(conversation);
      }
    });
  }

  /** @returns whether to go on with what waits */
  async #trySend(conversation: Conversation, row: OutboxRow, session: OutboxSession): Promise<boolean> {
    const { context } = this;
    if (conversation.participation === "stuck") return false; // until it is back
    if (conversation.participation !== "member") {
      if (row.reached > 0) this.#forget(row, null); // it has arrived with somebody, and goes to nobody else any more
      else this.#fail(conversation, row, new AronaError("FORBIDDEN", "Cannot send: no longer a member"));
      return true;
    }
    let epoch = conversation.group.epoch;
    try {
      context.contacts.assertNoneChanged(conversation.group.members);
      const sealed = row.sealed?.epoch === epoch ? row.sealed : await this.#seal(conversation, {
        content: row.content,
        sequence: row.sealed?.sequence ?? null,
        persist: (writer, sealed) => writer.put("outbox", row.id, encodeOutboxRow({ ...row, sealed })),
      });
      Object.assign(row, { sealed });
      epoch = sealed.epoch;
      this.#inFlight.add(row.id);
      const { queued, full } = await session.link.submit({
        flags: MessageFlag.RECEIPT,
        group: fromHex(conversation.id),
        ...sealed,
      }).finally(() => this.#inFlight.delete(row.id));
      // A receipt for an earlier copy may have been quicker.
      if (this.#rows.includes(row)) {
        this.#accept(conversation, row, { boot: session.boot, alone: queued + full === 0 });
      }
      return true;
    } catch (error) {
      if (!(error instanceof AronaError)) throw error;
      if (!this.#rows.includes(row)) return true; // everybody has it, or it has expired
      return await this.#afterRefusal(conversation, row, { error, epoch, session });
    }
  }

  #accept(conversation: Conversation, row: OutboxRow, options: { boot: string; alone: boolean }): void {
    const { context } = this;
    const first = row.acceptedBoot === null;
    // Sealed no more: while it was under way this device has come in anew.
    const accepted = { ...row, acceptedBoot: row.sealed === null ? ACCEPTED_BEFORE : options.boot };
    const undelivered = this.#rows.filter((row) => row.acceptedBoot !== null);
    const givenUp = undelivered.length >= MAX_UNDELIVERED_MESSAGES ? undelivered[0] : undefined;
    const present = context.conversations.get(conversation.id) === conversation;
    const sent = Math.max(conversation.sent, row.sealed?.sequence ?? 0);
    if (first) conversation.ownMessages++;
    context.store.write((writer) => {
      if (options.alone) writer.delete("outbox", row.id);
      else writer.put("outbox", row.id, encodeOutboxRow(accepted));
      if (givenUp) writer.delete("outbox", givenUp.id);
      if (present) conversation.save(context.engine, writer, { sent });
      advanceState(writer, conversation.id, { id: row.messageId, state: "accepted" });
    });
    if (present) conversation.sent = sent;
    if (options.alone) this.#drop(row);
    else Object.assign(row, accepted);
    if (givenUp) this.#drop(givenUp);
    this.#retryMs = RETRY_FIRST_MS;
    this.#waiting.get(row.messageId)?.resolve();
    this.#waiting.delete(row.messageId);
    if (!first) return;
    this.#reportSent(conversation, row, "accepted");
    if (options.alone) this.#reportSent(conversation, row, "delivered");
    this.options.onSent(conversation);
  }

  async #afterRefusal(
    conversation: Conversation,
    row: OutboxRow,
    refusal: { error: AronaError; epoch: number; session: OutboxSession },
  ): Promise<boolean> {
    const { clock } = this.context;
    const { error, session } = refusal;
    switch (error.code) {
      case "IDENTITY_CHANGED": // verify() goes on once the person has decided
        return false;
      case "STALE_EPOCH": {
        // The commits that moved the group on are on their way in the stream, behind what waited in the mailbox.
        await session.link.caughtUp;
        const current = Number(error.details?.epoch);
        const followed = await conversation.epochAbove(Math.max(refusal.epoch, (current || 0) - 1), {
          clock,
          timeoutMs: STALE_WAIT_MS,
        });
        if (!followed) await this.#quietly(() => this.options.synchronize(conversation));
        return true;
      }
      case "FORBIDDEN": // the relay knows more of the membership than this device
        await this.#quietly(() => this.options.synchronize(conversation));
        if (conversation.participation === "member") this.#fail(conversation, row, error);
        return true;
    }
    if (FINAL_CODES.includes(error.code)) {
      this.#fail(conversation, row, error);
      return true;
    }
    if (error.code === "CLOSED") return false; // resume() goes on
    const asked = error.details?.retryAfterMs;
    const pause = AbortSignal.any([this.#stopped.signal, this.#hurry.signal]);
    await sleep(clock, typeof asked === "number" ? asked : this.#retryMs, pause).catch(() => {});
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    return true;
  }

  /** A relay that does not answer now is asked again with the next try. */
  async #quietly(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof AronaError)) throw error;
    }
  }

  #fail(conversation: Conversation, row: OutboxRow, error: AronaError): void {
    this.#forget(row, "failed");
    this.#waiting.get(row.messageId)?.reject(error);
    this.#waiting.delete(row.messageId);
    const { code, message: reason } = error;
    this.context.emit({ type: "MsgFailed", ...conversation.ref, id: row.messageId, code, reason });
  }

  #reportSent(conversation: Conversation, row: OutboxRow, state: "accepted" | "delivered"): void {
    this.context.emit({ type: "MsgSent", ...conversation.ref, id: row.messageId, state });
  }

  #forget(row: OutboxRow, state: MessageState | null): void {
    this.context.store.write((writer) => {
      writer.delete("outbox", row.id);
      if (state !== null) advanceState(writer, row.group, { id: row.messageId, state });
    });
    this.#drop(row);
  }

  /** Gives up what is too old, and looks again when the next message will be. */
  #expire(): void {
    const { clock, conversations } = this.context;
    this.#cancelExpiry();
    const isOver = (row: OutboxRow) =>
      clock.now() - row.createdAtMs >= OUTBOX_LIFETIME_MS && !this.#inFlight.has(row.id);
    for (const row of this.#rows.filter(isOver)) {
      const conversation = conversations.get(row.group);
      if (row.reached > 0 || conversation === undefined) {
        this.#forget(row, null); // somebody has it, and whoever has not will see a gap
        continue;
      }
      const reason = row.acceptedBoot === null
        ? "Cannot send: it could not be delivered for 7 days"
        : "Cannot say that it arrived: no device has confirmed it for 7 days";
      this.#fail(conversation, row, new AronaError("TIMEOUT", reason));
    }
    const oldest = this.#rows[0];
    if (oldest === undefined || this.#stopped.signal.aborted) return;
    const leftMs = Math.max(OUTBOX_LIFETIME_MS - (clock.now() - oldest.createdAtMs), EXPIRY_PAUSE_MS);
    this.#cancelExpiry = clock.schedule(Math.min(leftMs, OUTBOX_LIFETIME_MS), () => this.#expire());
  }

  #drop(row: OutboxRow): void {
    this.#delivered.delete(row.id);
    this.#sentAgain.delete(row.id);
    const place = this.#rows.indexOf(row);
    if (place >= 0) this.#rows.splice(place, 1);
  }

  #seal(
    conversation: Conversation,
    { content, sequence: given, persist }: {
      content: Uint8Array;
      /** 0 for what does not count; null: the next one. */
      sequence: number | null;
      persist?: (writer: StoreWriter, sealed: SealedMessage) => void;
    },
  ): Promise<SealedMessage> {
    const { context } = this;
    return conversation.mutex.run(async () => {
      const sequence = given ?? conversation.sent + 1;
      const earlier = Math.max(0, sequence - 1 - conversation.sentBefore);
      const place = { sequence, earlier };
      const { next, ciphertext } = await context.engine.encrypt(conversation.group, content, place);
      const sealed = { epoch: next.epoch, sequence, envelope: randomId(context.crypto), ciphertext };
      context.store.write((writer) => {
        conversation.saveGroup(context.engine, writer, next);
        persist?.(writer, sealed);
      });
      conversation.advance(next);
      return sealed;
    });
  }
}
