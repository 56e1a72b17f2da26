/**
 * Making, joining, changing and leaving groups. Every change is an MLS commit that the relay orders: the pending state is stored, the
 * commit is sent, and it is applied when the relay confirms it, in stream order. A commit that lost is made anew from the winner's
 * epoch.
 */

import {
  type AccountName,
  AronaError,
  type ChannelName,
  type ControlFields,
  type DeviceId,
  type GroupId,
  isAronaError,
  parseGroupId,
  sleep,
  toHex,
} from "../proto/mod.ts";
import { type ClientContext, randomId } from "./context.ts";
import { Conversation } from "./conversation.ts";
import {
  type Group,
  type GroupChange,
  type GroupKind,
  MANDATORY_SUITE,
  SUITE_IDS,
  type SuiteId,
  suiteName,
} from "./groups/mod.ts";
import { makeKeyPackages, storedKeyPackages } from "./key_packages.ts";
import {
  CONFLICT_PAUSE_MS,
  KEY_PACKAGES_LOW,
  KEY_PACKAGES_WANTED,
  MAX_COMMIT_ATTEMPTS,
  REQUEST_TIMEOUT_MS,
  SELF_UPDATE_AFTER_MS,
  SELF_UPDATE_MESSAGES,
  WELCOME_WAIT_MS,
} from "./limits.ts";

/** A change to commit, decided on the newest state of the group; null when nothing is left to do. */
type Decide = (
  group: Group,
) => Promise<{ change: GroupChange; admins?: string[]; banned?: string[] } | null>;

/** Groups as their members change them. */
export class Membership {
  readonly #joined = new Map<GroupId, Set<() => void>>();

  constructor(private readonly context: ClientContext) {}

  /** Opens the direct message with `account`, or finds it. */
  async openDirect(account: AccountName, suite: SuiteId): Promise<Conversation> {
    const { context } = this;
    const open = [...context.conversations.values()].find((conversation) =>
      conversation.group.kind === "dm" && conversation.peer === account &&
      conversation.participation === "member"
    );
    if (open !== undefined && open.group.members.length > 1) return open;
    if (account === context.account) {
      throw new AronaError("BAD_REQUEST", "Cannot open a direct message with yourself");
    }
    if (open === undefined) {
      const existing = await this.#create({ kind: "dm", suite, name: "", peer: account });
      if (existing.kind === "exists") return await this.#awaitWelcome(existing.group, { account, suite });
      await this.#addAccount(existing.conversation, account);
      return existing.conversation;
    }
    await this.#addAccount(open, account); // a crash came between creating and adding
    return open;
  }

  /** Makes a private group with this account as its admin. */
  async createGroup(name: string, suite: SuiteId): Promise<Conversation> {
    const created = await this.#create({ kind: "group", suite, name });
    if (created.kind === "exists") throw new AronaError("CONFLICT", "Cannot create group: try again");
    return created.conversation;
  }

  /** Joins a channel, and opens it where nobody has yet. */
  async joinChannel(channel: ChannelName, suite: SuiteId): Promise<Conversation> {
    const { context } = this;
    for (let attempt = 0; attempt < MAX_COMMIT_ATTEMPTS; attempt++) {
      const known = [...context.conversations.values()].find((conversation) =>
        conversation.group.kind === "channel" && conversation.group.name === channel
      );
      if (known?.participation === "member") return known;
      const found = await context.relay().lookupChannel(channel);
      if (!found.exists) {
        const created = await this.#create({ kind: "channel", suite, name: channel });
        if (created.kind === "created") return created.conversation;
        continue;
      }
      const joined = await this.#joinExternally(found.group, { groupInfo: found.groupInfo, name: channel });
      if (joined) return joined;
      await this.#pause(attempt);
    }
    throw new AronaError("CONFLICT", `Cannot join ${channel}: too many others join at this moment`, {
      hint: "Try again.",
    });
  }

  /** Adds all devices of an account. */
  async invite(conversation: Conversation, account: AccountName): Promise<void> {
    if (conversation.group.kind === "dm") {
      throw new AronaError("POLICY", "Cannot invite: a direct message has two people", {
        hint: "Create a group instead.",
      });
    }
    await this.#addAccount(conversation, account);
  }

  /** Removes all devices of an account; `ban` keeps it out. */
  async remove(conversation: Conversation, account: AccountName, options: { ban: boolean }): Promise<void> {
    await this.change(conversation, (group) => {
      const members = group.members.filter((member) => member.account === account);
      if (members.length === 0 && !options.ban) {
        throw new AronaError("NOT_FOUND", `Cannot remove ${account}: not a member of ${conversation.title}`);
      }
      const devices = members.map((member) => member.device);
      if (!options.ban) return Promise.resolve({ change: { kind: "remove", devices } });
      const banned = [...new Set([...group.banned, ...members.map((member) => member.fingerprint)])];
      return Promise.resolve({
        change: { kind: "settings", banned, alsoRemove: devices },
        banned: [account],
      });
    });
  }

  /** Makes an account an admin, or takes that away. */
  async setAdmin(conversation: Conversation, account: AccountName, admin: boolean): Promise<void> {
    await this.change(conversation, (group) => {
      const member = group.members.find((member) => member.account === account);
      if (member === undefined) throw new AronaError("NOT_FOUND", `Cannot change ${account}: not a member`);
      const admins = group.admins.filter((fingerprint) => fingerprint !== member.fingerprint);
      if (admin) admins.push(member.fingerprint);
      const names = group.members.filter((m) => admins.includes(m.fingerprint)).map((m) => m.account);
      return Promise.resolve({ change: { kind: "settings", admins }, admins: [...new Set(names)] });
    });
  }

  /** Leaves: the relay stops routing here at once, a remaining member commits the removal. */
  async leave(conversation: Conversation): Promise<void> {
    const { context } = this;
    conversation.assertMember();
    const { group } = conversation;
    const onlyAdmin = group.self.admin && group.kind !== "dm" &&
      !group.members.some((member) => member.admin && member.fingerprint !== context.fingerprint);
    const heir = group.members.find((member) => member.fingerprint !== context.fingerprint);
    if (onlyAdmin && heir) await this.setAdmin(conversation, heir.account, true);
    const statement = await context.engine.leaveStatement(context.device, conversation.group);
    await context.relay().part(conversation.id, statement);
    await conversation.mutex.run(() => {
      conversation.participation = "left";
      context.store.write((writer) => conversation.save(context.engine, writer, { pending: null }));
      conversation.pending = null;
    });
    context.emit({ type: "GroupLeft", ...conversation.ref, reason: "left" });
  }

  /** Commits the removal of a device that has signed that it leaves. */
  removeLeaver(conversation: Conversation, device: DeviceId, statement: Uint8Array): void {
    this.context.background(async () => {
      await this.change(conversation, (group) => {
        const present = group.members.some((member) => member.device === device);
        return Promise.resolve(
          present ? { change: { kind: "remove", devices: [device], statements: [statement] } } : null,
        );
      });
    });
  }

  /** Joins a channel again whose missed commits are gone. */
  async rejoin(conversation: Conversation): Promise<void> {
    const { context } = this;
    if (conversation.group.kind !== "channel") {
      conversation.participation = "stuck";
      context.store.write((writer) => conversation.save(context.engine, writer));
      return;
    }
    context.background(async () => {
      conversation.participation = "left";
      await this.joinChannel(conversation.group.name as ChannelName, conversation.group.suite);
    });
    await Promise.resolve();
  }

  /**
   * Commits what `decide` asks for, again and again until it wins or there is nothing left to do.
   *
   * @throws {AronaError} `POLICY`, `FORBIDDEN`, `CONFLICT` after many tries, `CLOSED` where the connection ended
   */
  change(conversation: Conversation, decide: Decide): Promise<void> {
    return conversation.changes.run(async () => {
      const { context } = this;
      for (let attempt = 0; attempt < MAX_COMMIT_ATTEMPTS; attempt++) {
        conversation.assertMember();
        const from = conversation.group;
        const decision = await decide(from);
        if (decision === null) return;
        const made = await context.engine.commit(from, decision.change);
        const hash = toHex(context.crypto.digest("SHA-256", made.commit));
        const stored = await this.#setPending(conversation, { hash, next: made.next }, from.epoch);
        if (!stored) continue; // the epoch moved on meanwhile
        try {
          await context.relay().commit({
            group: conversation.id,
            epoch: from.epoch,
            add: made.added,
            remove: made.removed,
            external: false,
            admins: decision.admins,
            banned: decision.banned,
            commit: made.commit,
            welcome: made.welcome,
            groupInfo: from.kind === "channel" ? await context.engine.groupInfo(made.next) : undefined,
          }, () => this.confirm(conversation, hash));
          return;
        } catch (error) {
          if (isAronaError(error, "CLOSED", "TIMEOUT")) throw error; // a later sync tells whether it won
          await this.#setPending(conversation, null);
          if (!isAronaError(error, "CONFLICT")) throw error;
          await conversation.epochAbove(from.epoch, {
            schedule: context.clock.schedule.bind(context.clock),
            timeoutMs: REQUEST_TIMEOUT_MS,
          });
          await this.#pause(attempt);
        }
      }
      throw new AronaError(
        "CONFLICT",
        `Cannot change ${conversation.title}: too many others change it right now`,
      );
    });
  }

  /** Applies the own pending commit `hash`, which the relay has accepted. */
  async confirm(conversation: Conversation, hash: string): Promise<void> {
    const { context } = this;
    await conversation.mutex.run(() => {
      const { pending } = conversation;
      if (pending?.hash !== hash) return;
      const before = conversation.group;
      context.store.write((writer) => {
        conversation.saveGroup(context.engine, writer, pending.next);
        conversation.renewedAtMs = context.clock.now();
        conversation.ownMessages = 0;
        conversation.save(context.engine, writer, { pending: null });
        for (const member of pending.next.members) context.contacts.pin(member, writer);
      });
      conversation.pending = null;
      conversation.advance(pending.next);
      this.#reportOwnChange(conversation, before);
    });
  }

  /** Renews the own leaf when it is time (DESIGN section 5). */
  maintain(conversation: Conversation): void {
    const { context } = this;
    const due = conversation.ownMessages >= SELF_UPDATE_MESSAGES ||
      context.clock.now() - conversation.renewedAtMs >= SELF_UPDATE_AFTER_MS;
    if (!due || conversation.participation !== "member" || conversation.group.members.length < 2) return;
    conversation.ownMessages = 0;
    context.background(() =>
      this.change(conversation, () => Promise.resolve({ change: { kind: "update" } }))
    );
  }

  /** Makes this device one that can be added to groups: from here on there is a KeyPackage of every suite. */
  async publishLastResorts(): Promise<void> {
    const { context } = this;
    const kept = storedKeyPackages(context.store);
    for (const suite of SUITE_IDS) {
      if (kept.some((keyPackage) => keyPackage.suite === suite && keyPackage.lastResort)) continue;
      await this.#publish(suite, { count: 1, lastResort: true });
    }
  }

  /** Keeps enough KeyPackages on the relay. @param unused by suite, as far as known */
  async publishKeyPackages(unused: Readonly<Record<string, number>>): Promise<void> {
    for (const suite of SUITE_IDS) {
      const said = unused[String(suite)];
      // The relay's word decides whether to publish, never how much work that is at most.
      const left = Number.isSafeInteger(said) && said >= 0 ? said : 0;
      if (left >= KEY_PACKAGES_LOW[suite]) continue;
      await this.#publish(suite, { count: KEY_PACKAGES_WANTED[suite] - left, lastResort: false });
    }
  }

  /** The relay says that few are left of one suite. */
  replenishKeyPackages(event: ControlFields): void {
    const { suite, unused } = event;
    if (!SUITE_IDS.some((known) => known === suite) || typeof unused !== "number") return;
    const known = Object.fromEntries(
      SUITE_IDS.map((id) => [id, id === suite ? unused : KEY_PACKAGES_WANTED[id]]),
    );
    this.context.background(() => this.publishKeyPackages(known));
  }

  /** A Welcome has been used; wakes {@link openDirect} where it waits for one. */
  noteJoined(conversation: Conversation): void {
    for (const wake of this.#joined.get(conversation.id) ?? []) wake();
  }

  async #publish(suite: SuiteId, options: { count: number; lastResort: boolean }): Promise<void> {
    const made = await makeKeyPackages(this.context, { suite, ...options });
    const keyPackages = made.map((keyPackage) => keyPackage.publicBytes);
    await this.context.relay().publishKeyPackages(suite, keyPackages, { lastResort: options.lastResort });
  }

  async #create(
    options: { kind: GroupKind; suite: SuiteId; name: string; peer?: AccountName },
  ): Promise<{ kind: "created"; conversation: Conversation } | { kind: "exists"; group: GroupId }> {
    const { context } = this;
    const id = toHex(randomId(context.crypto)) as GroupId;
    const { kind, suite, name, peer } = options;
    const group = await context.engine.create(context.device, { group: id, suite, kind, name });
    const conversation = new Conversation(group, peer ?? null);
    conversation.renewedAtMs = context.clock.now();
    try {
      await context.relay().createGroup({
        group: id,
        kind,
        suite,
        name: name === "" ? undefined : name,
        peer,
        groupInfo: kind === "channel" ? await context.engine.groupInfo(group) : undefined,
      }, () => this.#adopt(conversation));
    } catch (error) {
      if (isAronaError(error, "NOT_FOUND") && peer) throw unknownAccount(peer);
      if (!isAronaError(error, "CONFLICT")) throw error;
      const existing = error.details?.group;
      if (existing === undefined) throw error;
      return { kind: "exists", group: parseGroupId(existing) };
    }
    return { kind: "created", conversation };
  }

  /** @returns null where another commit was first */
  async #joinExternally(
    id: GroupId,
    options: { groupInfo: Uint8Array; name: ChannelName },
  ): Promise<Conversation | null> {
    const { context } = this;
    const { next, commit } = await context.engine.joinFromGroupInfo(context.device, {
      groupInfo: options.groupInfo,
      expect: { group: id, name: options.name },
    });
    const conversation = new Conversation(next, null);
    conversation.renewedAtMs = context.clock.now();
    try {
      await context.relay().commit({
        group: id,
        epoch: next.epoch - 1,
        add: [],
        remove: [],
        external: true,
        commit,
        groupInfo: await context.engine.groupInfo(next),
      }, () => this.#adopt(conversation));
    } catch (error) {
      if (isAronaError(error, "CONFLICT", "STALE_EPOCH", "NOT_FOUND")) return null;
      if (isAronaError(error, "FORBIDDEN")) {
        throw new AronaError("FORBIDDEN", `Cannot join ${options.name}: this account is banned there`, {
          cause: error,
        });
      }
      throw error;
    }
    return conversation;
  }

  #adopt(conversation: Conversation): Promise<void> {
    const { context } = this;
    context.store.write((writer) => {
      conversation.saveGroup(context.engine, writer, conversation.group);
      conversation.save(context.engine, writer);
      for (const member of conversation.group.members) context.contacts.pin(member, writer);
    });
    context.conversations.set(conversation.id, conversation);
    context.emit({
      type: "GroupCreated",
      ...conversation.ref,
      by: conversation.group.members.find((member) => member.admin)?.account ?? "?",
      suite: suiteName(conversation.group.suite),
    });
    return Promise.resolve();
  }

  async #addAccount(conversation: Conversation, account: AccountName): Promise<void> {
    const { context } = this;
    let claimed: Uint8Array[] | null = null; // once, however often the commit has to be made anew
    await this.change(conversation, async (group) => {
      if (group.members.some((member) => member.account === account)) return null;
      try {
        claimed ??= await context.relay().claimKeyPackages(account, group.suite);
      } catch (error) {
        if (isAronaError(error, "NOT_FOUND")) throw unknownAccount(account);
        throw error;
      }
      const keyPackages = claimed;
      for (const keyPackage of keyPackages) {
        const owner = await context.engine.inspectKeyPackage(keyPackage, { suite: group.suite });
        if (owner.account !== account) {
          throw new AronaError(
            "BAD_CERTIFICATE",
            `Cannot add ${account}: the relay gave another account's keys`,
          );
        }
        await context.contacts.assertUnchanged(owner, context.relay());
      }
      if (keyPackages.length === 0) {
        throw new AronaError("NOT_FOUND", `Cannot add ${account}: no device of theirs can be added yet`, {
          hint: "They have to connect once with this version of Arona.",
        });
      }
      return { change: { kind: "add", keyPackages } };
    });
  }

  /** The other side has opened the direct message: its Welcome comes, or it never finished. */
  async #awaitWelcome(
    id: GroupId,
    options: { account: AccountName; suite: SuiteId },
  ): Promise<Conversation> {
    const { context } = this;
    const arrived = Promise.withResolvers<void>();
    const waiters = this.#joined.get(id) ?? new Set();
    waiters.add(arrived.resolve);
    this.#joined.set(id, waiters);
    const cancel = context.clock.schedule(WELCOME_WAIT_MS, arrived.resolve);
    const there = () => {
      const conversation = context.conversations.get(id);
      return conversation?.participation === "member" ? conversation : undefined;
    };
    if (there() === undefined) await arrived.promise;
    cancel();
    waiters.delete(arrived.resolve);
    if (waiters.size === 0) this.#joined.delete(id);
    const conversation = there();
    if (conversation !== undefined) return conversation;
    await context.relay().resetDirect(id); // its creator never finished it, or this device lost it
    return await this.openDirect(options.account, options.suite);
  }

  /** @returns false where the group is no longer at `epoch` */
  #setPending(
    conversation: Conversation,
    pending: { hash: string; next: Group } | null,
    epoch?: number,
  ): Promise<boolean> {
    const { context } = this;
    return conversation.mutex.run(() => {
      if (epoch !== undefined && conversation.group.epoch !== epoch) return false;
      context.store.write((writer) => conversation.save(context.engine, writer, { pending }));
      conversation.pending = pending;
      return true;
    });
  }

  #reportOwnChange(conversation: Conversation, before: Group): void {
    const { context } = this;
    const was = new Set(before.members.map((member) => member.device));
    const is = new Set(conversation.group.members.map((member) => member.device));
    const ref = conversation.ref;
    for (const member of conversation.group.members) {
      if (was.has(member.device)) continue;
      const { account, fingerprint } = member;
      context.emit({ type: "MemberJoined", ...ref, account, fingerprint, by: context.account });
    }
    for (const { account, fingerprint, device } of before.members) {
      if (!is.has(device)) {
        context.emit({ type: "MemberLeft", ...ref, account, fingerprint, by: context.account });
      }
    }
  }

  /** A short pause, longer from attempt to attempt, so that many losers do not meet again. */
  async #pause(attempt: number): Promise<void> {
    const { clock, crypto } = this.context;
    const random = crypto.randomBytes(1)[0] / 255;
    await sleep(clock, CONFLICT_PAUSE_MS * Math.min(attempt + 1, 16) * random);
  }
}

/** The suite of a new group where nobody chose one. */
export const DEFAULT_SUITE: SuiteId = MANDATORY_SUITE;

function unknownAccount(account: string): AronaError {
  return new AronaError("NOT_FOUND", `Cannot find @${account}: nobody on this relay has that name`, {
    hint: "Check the spelling. They have to have connected once.",
  });
}
