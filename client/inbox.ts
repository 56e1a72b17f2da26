/**
 * What arrives: deliveries → MLS → content → store → events. One transaction keeps the new MLS state and what was read with it;
 * only then is the delivery acknowledged.
 */

import {
  AronaError,
  type Control,
  type Delivery,
  DeliveryKind,
  type DeviceId,
  type GroupId,
  isAronaError,
  parseDeviceId,
  parseGroupId,
  sleep,
  toHex,
} from "../proto/mod.ts";
import type { ClientContext } from "./context.ts";
import { Conversation } from "./conversation.ts";
import {
  advanceState,
  appendMessage,
  changeMessage,
  isStored,
  parseStored,
  placeOf,
  remember,
  type StoredMessage,
} from "./history.ts";
import {
  type Content,
  decodeContent,
  type Group,
  type Member,
  type MessagePlace,
  suiteName,
} from "./groups/mod.ts";
import { consumeKeyPackage, storedKeyPackages } from "./key_packages.ts";
import { MAX_REACTIONS_PER_MESSAGE, MAX_READ_AT_ONCE, REFUSED_WAIT_MS } from "./limits.ts";
import type { Membership } from "./membership.ts";
import { confirmByLookup, confirmedMembers, listedAlike } from "./naming.ts";
import { lastSequence, noteMembers, noteRead, noteSequence, readUpTo } from "./positions.ts";
import type { StoreWriter } from "./store/mod.ts";

/** Said where this device and the relay's log went different ways. */
const OTHER_HISTORY = "this device followed another history of the group than the others";

/** Faults of an invitation itself. */
const UNUSABLE_INVITATION = [
  "BAD_MLS",
  "BAD_ENCODING",
  "BAD_CERTIFICATE",
  "POLICY",
  "TOO_LARGE",
  "UNSUPPORTED",
  "FORBIDDEN",
  "NOT_FOUND",
] as const;

/** Handles deliveries and events, one at a time, in the relay's order. */
export class Inbox {
  constructor(
    private readonly context: ClientContext,
    private readonly membership: () => Membership,
  ) {}

  /**
   * @returns false for a message that this device could not open and has not kept
   * @throws only where the store fails; a bad delivery is reported as an event and passed over
   */
  async deliver(delivery: Delivery): Promise<boolean> {
    const id = parseGroupId(toHex(delivery.group));
    if (delivery.kind === DeliveryKind.WELCOME) {
      await this.#welcome(id, delivery.payload);
      return true;
    }
    const conversation = this.context.conversations.get(id);
    // A device that is on its way in again cannot read what comes meanwhile: the mark in its conversation stands for it.
    if (conversation?.participation !== "member") return false;
    if (delivery.kind === DeliveryKind.APPLICATION) return await this.#application(conversation, delivery);
    await this.#change(conversation, delivery);
    return true;
  }

  /** A commit, or what stands for some. */
  async #change(conversation: Conversation, delivery: Delivery): Promise<void> {
    switch (delivery.kind) {
      case DeliveryKind.COMMIT:
        if (delivery.epoch < conversation.group.epoch) return; // came by a sync before
        if (delivery.epoch > conversation.group.epoch) {
          if (conversation.refused !== null) return;
          await this.#follow(conversation, delivery.epoch);
        }
        return await this.applyCommit(conversation, delivery.epoch, delivery.payload);
      case DeliveryKind.GAP:
        // No further than what the marker stands for: what waits behind it may be of the very next epoch.
        await this.#follow(conversation, delivery.epoch);
        return this.#gap(conversation, "some messages were not kept while this device was away");
    }
  }

  /** Handles an EVENT frame. */
  event(event: Control): Promise<void> {
    const { fields, blobs } = event;
    if (fields.type === "left" && blobs.length === 1) {
      const conversation = this.context.conversations.get(parseGroupId(fields.group));
      const device = parseDeviceId(fields.device);
      if (conversation) this.membership().removeLeaver(conversation, device, blobs[0]);
    } else if (fields.type === "return" && blobs.length === 2) {
      const conversation = this.context.conversations.get(parseGroupId(fields.group));
      const device = parseDeviceId(fields.device);
      const [keyPackage, statement] = blobs;
      if (conversation) this.membership().replaceLeaf(conversation, { device, keyPackage, statement });
    } else if (fields.type === "keys_low") {
      this.membership().replenishKeyPackages(fields);
    } else if (fields.type === "dropped") {
      const conversation = this.context.conversations.get(parseGroupId(fields.group));
      if (conversation?.participation === "stuck") {
        // Nobody had its state any more: a direct message goes on by a new one's Welcome, a group by an invitation.
        return conversation.group.kind === "dm" ? Promise.resolve() : this.removed(conversation);
      }
      if (conversation) this.context.background(() => this.synchronize(conversation));
    } else if (fields.type === "lost") {
      const group = parseGroupId(fields.group);
      this.context.background(() => this.membership().makeAnew(group));
    } else if (fields.type === "reopened") {
      const conversation = this.context.conversations.get(parseGroupId(fields.group));
      if (conversation === undefined) return Promise.resolve();
      conversation.refused = null;
      if (typeof fields.epoch === "number" && fields.epoch < conversation.group.epoch) {
        this.context.background(() => this.synchronize(conversation));
      }
    }
    return Promise.resolve();
  }

  /**
   * Fetches and applies the commits that this device has missed, once everything is handled that waits in the mailbox: that is of the
   * epochs in between. Not to be awaited by what is handled in the relay's order.
   */
  synchronize(conversation: Conversation): Promise<void> {
    return this.#synchronize(conversation, { epoch: Infinity, waits: true });
  }

  /** The same at once, for a mailbox that nothing waits in. */
  synchronizeNow(conversation: Conversation): Promise<void> {
    return this.#synchronize(conversation, { epoch: Infinity, waits: false });
  }

  /** The same as a part of handling a delivery, no further than to its epoch: what waits behind it may be of the very next one. */
  #follow(conversation: Conversation, epoch: number): Promise<void> {
    return this.#synchronize(conversation, { epoch, waits: false });
  }

  async #synchronize(
    conversation: Conversation,
    { epoch: wanted, waits }: { epoch: number; waits: boolean },
  ): Promise<void> {
    let epoch = wanted;
    while (conversation.participation === "member" && conversation.group.epoch < epoch) {
      const before = conversation.group.epoch;
      const pending = conversation.pending?.hash ?? null;
      const relay = this.context.relay();
      let answer;
      try {
        answer = await relay.sync(conversation.id, before);
        if (waits) await relay.link.handled(answer.queued);
      } catch (error) {
        if (!isAronaError(error, "FORBIDDEN", "NOT_FOUND")) throw error;
        if (waits) await relay.link.caughtUp;
        return await this.removed(conversation);
      }
      if (waits) epoch = Math.min(epoch, Math.max(answer.epoch, before + 1)); // what is newer still comes by itself
      if (conversation.group.epoch !== before) continue; // it went on meanwhile
      if (answer.epoch < before) {
        return await this.#comeBack(conversation, "a change of the group was taken back");
      }
      if (this.#isElsewhere(conversation, answer)) return await this.#comeBack(conversation, OTHER_HISTORY);
      if (answer.epoch === before) return await this.#dropPending(conversation, pending);
      if (answer.gone || answer.from > before) {
        return await this.#comeBack(conversation, "this device was away for too long");
      }
      for (const [i, commit] of answer.commits.slice(before - answer.from).entries()) {
        if (conversation.group.epoch >= epoch) return;
        await this.applyCommit(conversation, before + i, commit);
        if (conversation.participation !== "member" || conversation.refused !== null) return;
      }
      if (conversation.group.epoch === before) return;
    }
  }

  /**
   * Finds out whether the own pending commit won; applies it, or forgets it, once everything is handled that came before. Leaves whatever
   * came after it to the deliveries.
   *
   * @param options.waits false for a mailbox that nothing waits in. @default true
   */
  async settlePending(
    conversation: Conversation,
    options: { waits: boolean } = { waits: true },
  ): Promise<void> {
    const { pending } = conversation;
    if (pending === null) return;
    const { epoch } = conversation.group;
    const relay = this.context.relay();
    let answer;
    try {
      answer = await relay.sync(conversation.id, epoch);
      if (options.waits) await relay.link.handled(answer.queued);
    } catch (error) {
      if (!isAronaError(error, "FORBIDDEN", "NOT_FOUND")) throw error;
      return await this.#dropPending(conversation, pending.hash); // what waits in the mailbox says the rest
    }
    // It went on meanwhile: the answer is about an epoch that is over.
    if (conversation.group.epoch !== epoch) return await this.settlePending(conversation, options);
    if (this.#isElsewhere(conversation, answer)) return await this.#comeBack(conversation, OTHER_HISTORY);
    const [commit] = answer.from <= epoch ? answer.commits.slice(epoch - answer.from) : [];
    const won = commit !== undefined &&
      toHex(this.context.crypto.digest("SHA-256", commit)) === pending.hash;
    if (won) await this.membership().confirm(conversation, pending.hash);
    else await this.#dropPending(conversation, pending.hash);
  }

  /**
   * This device's files are an older copy of themselves: what they say of groups is over, and messages are missing.
   *
   * @returns reports it; call it once the transaction of `writer` stands
   */
  restored(writer: StoreWriter): () => void {
    const reports: (() => void)[] = [];
    for (const conversation of this.context.conversations.values()) {
      if (!conversation.isOpen) continue;
      conversation.participation = "stuck";
      conversation.pending = null;
      conversation.save(this.context.engine, writer);
      reports.push(this.#writeGap(conversation, writer, "this profile was put back from an older copy"));
    }
    return () => reports.forEach((report) => report());
  }

  /** Whether this device came to its epoch by another commit than the relay has in its log. */
  #isElsewhere({ base }: Conversation, answer: { base: string | null }): boolean {
    return base !== "" && answer.base !== null && answer.base !== base;
  }

  /** The state of the group here is of no use any more: says so where the messages are missing, and enters again. */
  async #comeBack(conversation: Conversation, reason: string): Promise<void> {
    this.#gap(conversation, reason);
    await this.membership().rejoin(conversation);
  }

  /** Applies a commit that moves the group on from `epoch`: the own pending one or somebody else's. */
  async applyCommit(conversation: Conversation, epoch: number, commit: Uint8Array): Promise<void> {
    const hash = toHex(this.context.crypto.digest("SHA-256", commit));
    if (conversation.pending?.hash === hash) return await this.membership().confirm(conversation, hash);
    const refusal = await conversation.mutex.run(async () => {
      const before = conversation.group;
      if (before.epoch !== epoch || conversation.refused?.hash === hash) return null;
      let result;
      try {
        result = await this.context.engine.process(before, commit);
      } catch (error) {
        if (!(error instanceof AronaError)) throw error;
        conversation.refused = { epoch, hash };
        return error;
      }
      const { next, summary } = result;
      // Who comes from outside was compared with the account by the relay; who was added, only by the member that did it.
      const named = summary.external ? summary.added : await confirmByLookup(this.context, summary.added);
      if (summary.selfRemoved) conversation.participation = "removed";
      this.context.store.write((writer) => {
        conversation.saveGroup(this.context.engine, writer, next);
        conversation.save(this.context.engine, writer, { pending: null, base: hash });
        noteMembers(writer, conversation.id, summary);
        for (const member of named) this.context.contacts.pin(member, writer);
      });
      conversation.pending = null;
      conversation.advance(next, hash);
      this.#reportChange(conversation, summary);
      const isBack = summary.added.some(({ device }) => summary.removed.some((old) => old.device === device));
      if (isBack) this.context.cameBack(conversation.id);
      return null;
    });
    if (refusal !== null) await this.#refuse(conversation, { epoch, hash, error: refusal });
  }

  /**
   * A commit that does not verify: everything stays as it was, and the relay takes it back for an admin, or for most of who is there. Where
   * it keeps one that is in order and only this device cannot follow, the device comes in anew; what breaks the rules stays refused.
   */
  async #refuse(
    conversation: Conversation,
    commit: { epoch: number; hash: string; error: AronaError },
  ): Promise<void> {
    const { epoch, hash, error } = commit;
    const isOver = () => conversation.refused?.hash !== hash || conversation.participation !== "member";
    const { context } = this;
    const answer = await context.relay().sync(conversation.id, epoch).catch((failure) => {
      if (!isAronaError(failure, "FORBIDDEN", "NOT_FOUND")) throw failure;
      return null; // what waits in the mailbox says the rest
    });
    if (isOver()) return;
    if (answer !== null && this.#isElsewhere(conversation, answer)) {
      return await this.#comeBack(conversation, OTHER_HISTORY);
    }
    this.#gap(conversation, `a change of the group was refused: ${error.message}`);
    context.background(async () => {
      const now = await context.relay().refuse(conversation.id, { epoch, hash }).catch((failure) => {
        if (!isAronaError(failure, "CONFLICT", "NOT_FOUND", "FORBIDDEN")) throw failure;
        return null; // others have gone on from it
      });
      if (isOver()) return;
      if (now === epoch) return void (conversation.refused = null);
      if (error.code !== "FORKED") return;
      // The word of somebody else may still have it taken back.
      if (now !== null) await sleep(context.clock, REFUSED_WAIT_MS, context.stopped);
      if (isOver()) return;
      await this.#comeBack(conversation, "a change of the group could not be followed by this device");
    });
  }

  #reportChange(
    conversation: Conversation,
    summary: {
      committer: Member;
      added: readonly Member[];
      removed: readonly Member[];
      settingsChanged: boolean;
      selfRemoved: boolean;
    },
  ): void {
    const { context } = this;
    const by = context.contacts.nameOf(summary.committer);
    const ref = conversation.ref;
    for (const member of summary.added) {
      context.emit({
        type: "MemberJoined",
        ...ref,
        account: context.contacts.nameOf(member),
        fingerprint: member.fingerprint,
        by,
      });
    }
    if (summary.selfRemoved) return context.emit({ type: "GroupLeft", ...ref, reason: "removed" });
    for (const member of summary.removed) {
      if (summary.added.some((added) => added.device === member.device)) continue; // came back with a new leaf
      context.emit({
        type: "MemberLeft",
        ...ref,
        account: context.contacts.nameOf(member),
        fingerprint: member.fingerprint,
        by,
      });
    }
    if (summary.settingsChanged) context.emit({ type: "GroupChanged", ...ref, by });
  }

  async #welcome(id: GroupId, welcome: Uint8Array): Promise<void> {
    const { context } = this;
    const keyPackages = storedKeyPackages(context.store);
    let group: Group;
    let used: number;
    let named: Member[];
    let inviter: Member;
    try {
      const joined = await context.engine.joinFromWelcome(context.device, {
        welcome,
        keyPackages,
        expect: { group: id },
      });
      group = joined.group;
      inviter = joined.inviter;
      used = joined.usedKeyPackage;
      const known = context.conversations.get(id);
      if (known?.participation === "member" && known.group.epoch >= group.epoch) return; // a repeat
      await this.#assertAsListed(group, inviter);
      const listed = await context.relay().members(id);
      named = group.kind === "channel"
        ? listedAlike(group.members, listed)
        : confirmedMembers(group.members, listed);
      // A leaf that the relay does not route to (a device that was taken back) does not count; a person without any listed one does.
      const people = new Set(named.map((member) => member.fingerprint));
      if (group.kind === "dm" && group.members.some((member) => !people.has(member.fingerprint))) {
        throw new AronaError(
          "BAD_CERTIFICATE",
          "Cannot accept invitation: the relay does not know who it is from",
        );
      }
    } catch (error) {
      // Whatever else fails (the connection, a rate) says nothing about the invitation: it comes again.
      if (!isAronaError(error, ...UNUSABLE_INVITATION)) throw error;
      // A repeat of one that is used up already says nothing new.
      if (context.conversations.get(id)?.participation === "member") return;
      return this.#decline(id, error.message);
    }
    const peer = group.kind === "dm"
      ? group.members.find((member) => member.fingerprint !== context.fingerprint)?.account ?? null
      : null;
    const conversation = new Conversation(group, peer);
    conversation.renewedAtMs = context.clock.now();
    // One direct message with a person: the older one was left or forgotten by the other side.
    const replaced = [...context.conversations.values()].filter((other) =>
      group.kind === "dm" && other.peer === peer && other.isOpen && other.id !== id
    );
    for (const other of replaced) other.participation = "left";
    let afterwards = () => {};
    context.store.write((writer) => {
      afterwards = context.entered(writer, id);
      conversation.saveGroup(context.engine, writer, group);
      conversation.save(context.engine, writer);
      consumeKeyPackage(writer, keyPackages[used]);
      for (const other of replaced) other.save(context.engine, writer);
      for (const member of named) context.contacts.pin(member, writer);
    });
    context.conversations.set(id, conversation);
    afterwards();
    for (const other of replaced) context.goesOn(other, conversation);
    const by = context.contacts.nameOf(inviter);
    context.emit({ type: "GroupCreated", ...conversation.ref, by, suite: suiteName(group.suite) });
    this.membership().noteJoined(conversation);
  }

  /**
   * An invitation may only lead where the relay has this device: the same kind and name. Into a channel only a device of the same person
   * lets in, which has gone there by itself: everybody else goes by the GroupInfo that the relay gives everybody.
   */
  async #assertAsListed(group: Group, inviter: Member): Promise<void> {
    const { account, fingerprint } = this.context;
    const isOwn = inviter.fingerprint === fingerprint && inviter.account === account;
    const listed = (await this.context.relay().groups()).find((entry) => entry.group === group.id);
    const fits = listed !== undefined && listed.kind === group.kind && (group.kind !== "channel" || isOwn) &&
      (group.kind === "dm" || listed.name === group.name);
    if (!fits) {
      throw new AronaError("POLICY", "Cannot accept invitation: it leads somewhere else than the relay says");
    }
  }

  #decline(id: GroupId, why: string): void {
    const { context } = this;
    context.emit({
      type: "Gap",
      group: "?",
      groupId: id,
      kind: "group",
      reason: `an invitation was declined: ${why}`,
    });
    context.background(() => context.relay().part(id));
  }

  /** @returns whether it is kept */
  async #application(conversation: Conversation, delivery: Delivery): Promise<boolean> {
    if (delivery.epoch > conversation.group.epoch && conversation.refused === null) {
      await this.#follow(conversation, delivery.epoch);
    }
    if (delivery.epoch <= conversation.group.epoch) return await this.#message(conversation, delivery);
    // Sent in a state of the group that does not verify, or that the relay has no commits for.
    if (conversation.refused === null && conversation.participation === "member") {
      this.#gap(conversation, "a message came for a state of the group that this device does not have");
    }
    return false;
  }

  async #message(conversation: Conversation, delivery: Delivery): Promise<boolean> {
    const { context } = this;
    const result = await conversation.mutex.run(async () => {
      const group = conversation.group;
      const ciphertextId = `ciphertext/${toHex(context.crypto.digest("SHA-256", delivery.payload))}`;
      let opened;
      let content: Content;
      try {
        opened = await context.engine.decrypt(group, delivery.payload);
        content = decodeContent(opened.plaintext);
      } catch (error) {
        if (!(error instanceof AronaError)) throw error;
        // The same ciphertext again, under whatever envelope id: MLS has used its key up. Anything else is worth a mark.
        if (isStored(context.store, conversation.id, ciphertextId)) return "kept";
        if (error.code === "FORKED") return "forked";
        this.#gap(conversation, `a message could not be verified: ${error.message}`);
        return "lost";
      }
      const { next, sender, place } = opened;
      const id = content.id;
      const repeated = isStored(context.store, conversation.id, id);
      const missing = this.#missingBefore(conversation, sender.device, place);
      let reportGap = () => {};
      let report = () => {};
      context.store.write((writer) => {
        conversation.saveGroup(context.engine, writer, next);
        remember(writer, conversation.id, ciphertextId);
        if (missing !== null) {
          noteSequence(writer, conversation.id, { device: sender.device, sequence: place.sequence });
          if (missing > 0) {
            reportGap = this.#writeGap(conversation, writer, missingText(context, missing, sender));
          }
        }
        if (!repeated) report = applyContent(context, conversation, { writer, content, sender });
      });
      conversation.advance(next);
      reportGap();
      report();
      return "kept";
    });
    if (result === "forked") await this.#resolveFork(conversation);
    return result === "kept";
  }

  /** How many messages of a device are missing before this one; null for one that does not count, or comes late. */
  #missingBefore(
    conversation: Conversation,
    device: DeviceId,
    { sequence, earlier }: MessagePlace,
  ): number | null {
    if (sequence === 0) return null;
    const last = lastSequence(this.context.store, conversation.id, device);
    if (last === null) return earlier; // the first from there since this device came in
    return sequence > last ? sequence - last - 1 : null;
  }

  /** Two members are at one epoch in different states. The relay's log says who has followed what everybody follows. */
  async #resolveFork(conversation: Conversation): Promise<void> {
    const { epoch } = conversation.group;
    const answer = await this.context.relay().sync(conversation.id, epoch);
    if (conversation.participation !== "member") return;
    if (conversation.group.epoch !== epoch) return await this.#resolveFork(conversation); // it went on meanwhile
    if (this.#isElsewhere(conversation, answer)) return await this.#comeBack(conversation, OTHER_HISTORY);
    this.#gap(conversation, "a message came from somebody whose state of the group is another one");
  }

  /** The relay does not have this device in the group any more. */
  async removed(conversation: Conversation): Promise<void> {
    const wasMember = await conversation.mutex.run(() => {
      if (!conversation.isOpen) return false;
      conversation.participation = "removed";
      conversation.pending = null;
      this.context.store.write((writer) => conversation.save(this.context.engine, writer));
      return true;
    });
    if (!wasMember) return;
    this.context.emit({ type: "GroupLeft", ...conversation.ref, reason: "removed" });
  }

  /** The relay is at this device's epoch: an own commit that it never got is forgotten. */
  async #dropPending(conversation: Conversation, hash: string | null): Promise<void> {
    await conversation.mutex.run(() => {
      // One that was made meanwhile, or that the relay has not answered yet, is not the one that was asked about.
      if (hash === null || conversation.pending?.hash !== hash || conversation.inFlight === hash) return;
      this.context.store.write((writer) => conversation.save(this.context.engine, writer, { pending: null }));
      conversation.pending = null;
    });
  }

  #gap(conversation: Conversation, reason: string): void {
    const report = this.context.store.write((writer) => this.#writeGap(conversation, writer, reason));
    report();
  }

  /** Marks that something is missing, unless the last thing in the conversation is such a mark already. @returns reports it */
  #writeGap(conversation: Conversation, writer: StoreWriter, reason: string): () => void {
    const [last] = writer.readLog(conversation.id, { limit: 1 });
    if (last !== undefined && parseStored(last.row).gap !== undefined) return () => {};
    appendMessage(writer, conversation.id, {
      id: `gap-${toHex(this.context.crypto.randomBytes(8))}`,
      from: "",
      fingerprint: "",
      sentAtMs: this.context.clock.now(),
      text: "",
      gap: reason,
    });
    return () => this.context.emit({ type: "Gap", ...conversation.ref, reason });
  }
}

function missingText(context: ClientContext, missing: number, sender: Member): string {
  const from = context.contacts.nameOf(sender);
  return missing === 1
    ? `a message from ${from} did not come`
    : `${missing} messages from ${from} did not come`;
}

/**
 * Stores what a message means, inside the transaction that stores the MLS state.
 *
 * @returns reports it; call it once the transaction stands
 */
export function applyContent(
  context: ClientContext,
  conversation: Conversation,
  options: { writer: StoreWriter; content: Content; sender: Member },
): () => void {
  const { writer, content, sender } = options;
  const group = conversation.id;
  const authored = {
    ...conversation.ref,
    from: context.contacts.nameOf(sender),
    id: content.id,
    at: new Date(content.sentAtMs).toISOString(),
    own: sender.fingerprint === context.fingerprint,
    device: sender.device,
  };
  const by = { from: authored.from, fingerprint: sender.fingerprint, sentAtMs: content.sentAtMs };
  const state = sender.device === context.device.device ? "waiting" as const : undefined;
  const isAuthor = (message: StoredMessage) => message.fingerprint === sender.fingerprint;
  switch (content.kind) {
    case "text":
      appendMessage(writer, group, { id: content.id, ...by, text: content.text, state });
      return () => context.emit({ type: "MsgCreated", ...authored, text: content.text });
    case "reply":
      appendMessage(writer, group, {
        id: content.id,
        ...by,
        text: content.text,
        replyTo: content.target,
        state,
      });
      return () =>
        context.emit({ type: "MsgCreated", ...authored, text: content.text, replyTo: content.target });
    case "edit": {
      remember(writer, group, content.id);
      const changed = changeMessage(writer, group, {
        id: content.target,
        change: (message) =>
          isAuthor(message) && !message.deleted ? { ...message, text: content.text, edited: true } : null,
      });
      return () =>
        changed &&
        context.emit({ type: "MsgEdited", ...authored, target: content.target, text: content.text });
    }
    case "delete": {
      remember(writer, group, content.id);
      const changed = changeMessage(writer, group, {
        id: content.target,
        change: (message) =>
          isAuthor(message) ? { ...message, text: "", deleted: true, reactions: undefined } : null,
      });
      return () => changed && context.emit({ type: "MsgDeleted", ...authored, target: content.target });
    }
    case "reaction": {
      remember(writer, group, content.id);
      const changed = changeMessage(writer, group, {
        id: content.target,
        change: (message) => withReaction(message, { ...content, account: authored.from }),
      });
      return () =>
        changed && context.emit({
          type: "Reaction",
          ...authored,
          target: content.target,
          emoji: content.emoji,
          removed: content.removed,
        });
    }
    case "typing":
      return () => context.emit({ type: "Typing", ...authored, typing: content.typing });
    case "read": {
      remember(writer, group, content.id);
      const read = applyRead(context, conversation, { writer, target: content.target, sender });
      return () => {
        context.emit({ type: "Read", ...authored, target: content.target });
        for (const id of read) context.emit({ type: "MsgSent", ...conversation.ref, id, state: "read" });
      };
    }
    case "profile":
    case "unsupported":
      remember(writer, group, content.id);
      return () => {};
  }
}

/** A person has read up to `target`. @returns own messages that everybody else has read by now */
function applyRead(
  context: ClientContext,
  conversation: Conversation,
  { writer, target, sender }: { writer: StoreWriter; target: string; sender: Member },
): string[] {
  const { id: group } = conversation;
  const { fingerprint } = sender;
  const place = placeOf(writer, group, target);
  if (place === null || place <= readUpTo(writer, group, fingerprint)) return [];
  if (fingerprint === context.fingerprint) {
    noteRead(writer, group, { fingerprint, place });
    return [];
  }
  const others = new Set(conversation.group.members.map((member) => member.fingerprint));
  others.delete(context.fingerprint);
  const byAll = () => Math.min(...[...others].map((other) => readUpTo(writer, group, other)));
  const before = byAll();
  noteRead(writer, group, { fingerprint, place });
  const after = byAll();
  if (after <= before) return [];
  const limit = Math.min(after - before, MAX_READ_AT_ONCE);
  return writer.readLog(group, { before: after + 1, limit }).map(({ row }) => parseStored(row).id)
    .filter((id) => advanceState(writer, group, { id, state: "read" }));
}

function withReaction(
  message: StoredMessage,
  reaction: { emoji: string; removed: boolean; account: string },
): StoredMessage | null {
  if (message.deleted) return null;
  const reactions = message.reactions ?? {};
  // An emoji is whatever text the sender likes, "constructor" too.
  const known = Object.hasOwn(reactions, reaction.emoji) ? reactions[reaction.emoji] : [];
  const others = known.filter((account) => account !== reaction.account);
  const accounts = reaction.removed ? others : [...others, reaction.account];
  const { [reaction.emoji]: _, ...rest } = reactions;
  if (accounts.length === 0) return { ...message, reactions: rest };
  if (Object.keys(rest).length >= MAX_REACTIONS_PER_MESSAGE) return null;
  return { ...message, reactions: { ...rest, [reaction.emoji]: accounts } };
}
