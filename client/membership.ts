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
  fromUtf8,
  type GroupId,
  isAronaError,
  parseChannelName,
  parseGroupId,
  sleep,
  toHex,
  utf8,
} from "../proto/mod.ts";
import { type ClientContext, randomId } from "./context.ts";
import { Conversation, type PendingCommit } from "./conversation.ts";
import {
  type Group,
  type GroupChange,
  type GroupKind,
  type Member,
  type PreparedCommit,
  SUITE_IDS,
  type SuiteId,
  suiteName,
} from "./groups/mod.ts";
import { makeKeyPackages, returnKeyPackage } from "./key_packages.ts";
import {
  CONFLICT_PAUSE_MS,
  FOLLOW_WAIT_MS,
  GROUP_INFO_BASE_BYTES,
  GROUP_INFO_BYTES_PER_MEMBER,
  KEY_PACKAGES_LOW,
  KEY_PACKAGES_WANTED,
  LAST_RESORT_RENEWAL_MS,
  MAX_COMMIT_ATTEMPTS,
  MAX_EXPIRED_KEY_PACKAGES,
  SELF_UPDATE_AFTER_MS,
  SELF_UPDATE_MESSAGES,
  WELCOME_WAIT_MS,
} from "./limits.ts";
import { listedAlike } from "./naming.ts";
import { noteMembers } from "./positions.ts";

/** A change to commit, decided on the newest state of the group; null when nothing is left to do. */
type Decide = (
  group: Group,
) => Promise<{ change: GroupChange; admins?: string[]; banned?: string[] } | null>;

/** Groups as their members change them. */
export class Membership {
  readonly #joined = new Map<GroupId, Set<() => void>>();
  readonly #joins = new Map<ChannelName, Promise<Conversation>>();
  readonly #returns = new Map<GroupId, Promise<boolean>>();
  /** Devices that another leaf is being made for, by group and device. */
  readonly #replacing = new Set<string>();

  constructor(
    private readonly context: ClientContext,
    private readonly recover: {
      /** Finds out what became of a pending commit of unknown fate. */
      settlePending(conversation: Conversation): Promise<void>;
      /** Fetches missed commits. */
      synchronize(conversation: Conversation): Promise<void>;
      /** This device is no member any more. */
      removed(conversation: Conversation): Promise<void>;
    },
  ) {}

  /** Opens the direct message with `account`, or finds it. */
  async openDirect(account: AccountName, suite: SuiteId): Promise<Conversation> {
    const { context } = this;
    const open = [...context.conversations.values()].find((conversation) =>
      conversation.group.kind === "dm" && conversation.peer === account &&
      conversation.participation === "member"
    );
    const isTwo = open?.group.members.some((member) => member.fingerprint !== context.fingerprint);
    if (open !== undefined && isTwo) return open;
    if (account === context.account) {
      throw new AronaError("BAD_REQUEST", "Cannot open a direct message with yourself");
    }
    if (open !== undefined && !open.group.self.admin) {
      // The other side has opened it and is gone: it takes a new one.
      await this.#forgetDirect(open);
      return await this.openDirect(account, suite);
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
  joinChannel(channel: ChannelName, suite: SuiteId): Promise<Conversation> {
    const running = this.#joins.get(channel);
    if (running !== undefined) return running; // two at once would each throw the other's leaf out
    const joining = this.#join(channel, suite).finally(() => this.#joins.delete(channel));
    this.#joins.set(channel, joining);
    return joining;
  }

  async #join(channel: ChannelName, suite: SuiteId): Promise<Conversation> {
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
      const most = GROUP_INFO_BASE_BYTES + found.members * GROUP_INFO_BYTES_PER_MEMBER;
      if (found.groupInfo.length > most) {
        throw new AronaError(
          "TOO_LARGE",
          `Cannot join ${channel}: its state is far too large for its members`,
        );
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

  /**
   * Removes all devices of a person; `ban` keeps them out.
   *
   * @param name an account name, or the name with a piece of the fingerprint that {@link Contacts.nameOf} gives
   */
  async remove(conversation: Conversation, name: string, options: { ban: boolean }): Promise<void> {
    await this.change(conversation, (group) => {
      const members = this.#called(group, name);
      const absent = options.ban && members.length === 0 ? this.context.contacts.get(name) : undefined;
      if (members.length === 0 && absent === undefined) {
        throw new AronaError("NOT_FOUND", `Cannot remove ${name}: not a member of ${conversation.title}`);
      }
      const devices = members.map((member) => member.device);
      const gone = new Set([...members, ...(absent ? [absent] : [])].map((person) => person.fingerprint));
      const wasAdmin = group.admins.some((fingerprint) => gone.has(fingerprint));
      if (!options.ban && !wasAdmin) return Promise.resolve({ change: { kind: "remove", devices } });
      const admins = group.admins.filter((fingerprint) => !gone.has(fingerprint));
      const banned = options.ban ? [...new Set([...group.banned, ...gone])] : undefined;
      return Promise.resolve({
        change: { kind: "settings", admins: wasAdmin ? admins : undefined, banned, alsoRemove: devices },
        admins: wasAdmin ? accountsOf(group, admins) : undefined,
        banned: options.ban
          ? [...new Set([...members, ...(absent ? [absent] : [])].map((person) => person.account))]
          : undefined,
      });
    });
  }

  /** Makes an account an admin, or takes that away. */
  async setAdmin(conversation: Conversation, name: string, admin: boolean): Promise<void> {
    await this.change(conversation, (group) => {
      const [member] = this.#called(group, name);
      if (member === undefined) throw new AronaError("NOT_FOUND", `Cannot change ${name}: not a member`);
      const admins = group.admins.filter((fingerprint) => fingerprint !== member.fingerprint);
      if (admin) admins.push(member.fingerprint);
      return Promise.resolve({ change: { kind: "settings", admins }, admins: accountsOf(group, admins) });
    });
  }

  /** Leaves with all own devices: those removed from here, this one by the relay at once and by a remaining member's commit. */
  async leave(conversation: Conversation): Promise<void> {
    const { context } = this;
    conversation.assertOpen();
    const { group } = conversation;
    // Without its state a device can sign no statement about its leaf; it ends its membership at the relay all the same.
    if (conversation.participation === "stuck") return await this.#part(conversation);
    const onlyAdmin = group.self.admin && group.kind !== "dm" &&
      !group.members.some((member) => member.admin && member.fingerprint !== context.fingerprint);
    // Somebody whom this profile knows under the very name, before anybody else.
    const others = group.members.filter((member) => member.fingerprint !== context.fingerprint);
    const heir = others.find((member) => context.contacts.nameOf(member) === member.account) ?? others[0];
    if (onlyAdmin && heir) await this.setAdmin(conversation, context.contacts.nameOf(heir), true);
    await this.change(conversation, ({ members, self }) => {
      const others = members.filter((one) =>
        one.fingerprint === self.fingerprint && one.device !== self.device
      );
      const devices = others.map(({ device }) => device);
      return Promise.resolve(devices.length === 0 ? null : { change: { kind: "remove", devices } });
    });
    const statement = await context.engine.leaveStatement(context.device, conversation.group);
    await this.#part(conversation, statement);
  }

  async #part(conversation: Conversation, statement?: Uint8Array): Promise<void> {
    const { context } = this;
    await context.relay().part(conversation.id, statement).catch((error) => {
      if (!isAronaError(error, "FORBIDDEN", "NOT_FOUND")) throw error; // it knows already
    });
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
      try {
        await this.change(conversation, (group) => {
          const present = group.members.some((member) => member.device === device);
          return Promise.resolve(
            present ? { change: { kind: "remove", devices: [device], statements: [statement] } } : null,
          );
        });
      } catch (error) {
        // A statement that does not hold is the leaver's own business; the relay asks somebody else.
        if (!isAronaError(error, "POLICY", "BAD_MLS")) throw error;
      }
    });
  }

  /** Commits another leaf for a device that has lost its state and has signed that it wants one. */
  replaceLeaf(
    conversation: Conversation,
    request: { device: DeviceId; keyPackage: Uint8Array; statement: Uint8Array },
  ): void {
    const key = `${conversation.id} ${request.device}`;
    if (this.#replacing.has(key)) return; // it asks once more, and needs one only
    this.#replacing.add(key);
    this.context.background(async () => {
      try {
        await this.change(conversation, (group) => {
          const present = group.members.some((member) => member.device === request.device);
          return Promise.resolve(present ? { change: { kind: "replace", ...request } } : null);
        });
      } catch (error) {
        // A statement or a KeyPackage that does not hold is the other device's own business; the relay asks somebody else.
        if (!isAronaError(error, "POLICY", "BAD_MLS", "BAD_CERTIFICATE", "TOO_LARGE")) throw error;
      } finally {
        this.#replacing.delete(key);
      }
    });
  }

  /** Enters a conversation again whose state here is of no use any more: its missed commits are gone, or it went another way. */
  async rejoin(conversation: Conversation): Promise<void> {
    const { context } = this;
    const stuck = await conversation.mutex.run(() => {
      const isCurrent = context.conversations.get(conversation.id) === conversation;
      if (conversation.participation !== "member" || !isCurrent) return false;
      conversation.participation = "stuck";
      conversation.pending = null;
      context.store.write((writer) => conversation.save(context.engine, writer));
      return true;
    });
    if (stuck) this.rescue(conversation);
  }

  /** Tries to bring a stuck conversation back: a channel from outside; in a group a member is asked for another leaf. */
  rescue(conversation: Conversation): void {
    const { name, kind, suite } = conversation.group;
    if (conversation.participation !== "stuck") return;
    this.context.background(async () => {
      if (kind === "channel") await this.joinChannel(name as ChannelName, suite);
      else if (!await this.#askToReturn(conversation.id)) await this.recover.removed(conversation);
    });
  }

  /** Enters the groups that the relay has this device in, and that its files know nothing of. */
  async enterUnknown(): Promise<void> {
    const { context } = this;
    for (const { group, kind, name, suite } of await context.relay().groups()) {
      if (context.conversations.get(group)?.isOpen) continue;
      const known = SUITE_IDS.find((id) => id === suite);
      if (known === undefined) continue;
      try {
        if (kind === "channel") await this.joinChannel(parseChannelName(name), known);
        else await this.#askToReturn(group);
      } catch (error) {
        // The others are entered all the same, unless it is the connection that has ended.
        if (!isAronaError(error) || isAronaError(error, "CLOSED", "TIMEOUT")) throw error;
      }
    }
  }

  /**
   * Makes a group anew whose members have all lost its state, under its name and with those whom this device knows in it. Nobody else is
   * let in, whatever the relay says, and only where that is this device's to do.
   */
  async makeAnew(id: GroupId): Promise<void> {
    const { context } = this;
    const lost = context.conversations.get(id);
    if (lost?.participation !== "stuck") return;
    const { kind, name, suite, members, self } = lost.group;
    if (kind === "channel" || (kind === "group" && !self.admin) || (kind === "dm" && lost.peer === null)) {
      return this.#tellLost(id);
    }
    await context.relay().resetGroup(id);
    const conversation = kind === "dm"
      ? await this.openDirect(lost.peer as AccountName, suite)
      : await this.createGroup(name, suite);
    const others = members.filter((member) => kind === "group" && member.fingerprint !== context.fingerprint);
    for (const account of new Set(others.map((member) => member.account))) {
      try {
        await this.#addAccount(conversation, account);
      } catch (error) {
        // Who cannot be added now is asked for by whoever wants him.
        if (!isAronaError(error) || error.code === "CLOSED" || error.code === "TIMEOUT") throw error;
        context.emit({ type: "Fault", code: error.code, reason: error.message });
      }
    }
    await lost.mutex.run(() => {
      context.goesOn(lost, conversation);
      lost.participation = "left";
      context.store.write((writer) => lost.save(context.engine, writer));
    });
    context.emit({ type: "GroupLeft", ...lost.ref, reason: "left" });
  }

  /** Nobody can bring this device back, and it cannot help itself: the person is to know. */
  #tellLost(id: GroupId): void {
    const title = this.context.conversations.get(id)?.title ?? "a group";
    this.context.emit({
      type: "Fault",
      code: "CONFLICT",
      reason: `Cannot come back into ${title}: nobody in it has its keys any more. ` +
        "It comes back when one of its admins connects; without any, leave it and make a new one.",
    });
  }

  /** @returns false where the relay does not have this device in the group, or nobody else is left in it */
  #askToReturn(id: GroupId): Promise<boolean> {
    const running = this.#returns.get(id);
    if (running !== undefined) return running;
    const asking = this.#ask(id).finally(() => this.#returns.delete(id));
    this.#returns.set(id, asking);
    return asking;
  }

  async #ask(id: GroupId): Promise<boolean> {
    const { context } = this;
    const listed = (await context.relay().groups()).find((entry) => entry.group === id);
    const suite = SUITE_IDS.find((known) => known === listed?.suite);
    if (listed === undefined || suite === undefined) return false;
    const { publicBytes: keyPackage } = await returnKeyPackage(context, { group: id, suite });
    const { epoch } = listed;
    const statement = await context.engine.returnStatement(context.device, {
      suite,
      group: id,
      epoch,
      keyPackage,
    });
    const { others, lost, anew } = await this.#patiently(() =>
      context.relay().askToReturn(id, { keyPackage, statement })
    );
    if (anew) await this.makeAnew(id);
    else if (lost) this.#tellLost(id);
    if (others > 0) return true;
    await context.relay().part(id); // nobody has its keys any more
    return false;
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
        await this.recover.settlePending(conversation);
        conversation.assertMember();
        const from = conversation.group;
        const decision = await decide(from);
        if (decision === null) return;
        const made = await this.#makePending(conversation, { epoch: from.epoch, change: decision.change });
        if (made === null) continue; // the epoch moved on meanwhile
        const { hash } = made;
        conversation.inFlight = hash;
        try {
          const relay = context.relay();
          const confirm = () => this.confirm(conversation, hash);
          const queued = await relay.commit({
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
          }, (queued) => relay.link.hasHandled(queued) ? confirm() : Promise.resolve());
          // What waited in the mailbox is of the epoch before. Where something of the new one comes first, it brings the commit with it.
          await relay.link.handled(queued);
          return await confirm();
        } catch (error) {
          conversation.inFlight = null;
          // Whether it won is found out with the next connection, or at once where this one stands.
          if (isAronaError(error, "TIMEOUT", "INTERNAL")) {
            context.background(() => this.recover.settlePending(conversation));
          }
          if (!isAronaError(error) || isAronaError(error, "CLOSED", "TIMEOUT", "INTERNAL")) throw error;
          await this.#forgetPending(conversation);
          if (!isAronaError(error, "CONFLICT")) throw error;
          const followed = await conversation.epochAbove(from.epoch, {
            clock: context.clock,
            timeoutMs: FOLLOW_WAIT_MS,
          });
          if (!followed) await this.recover.synchronize(conversation);
          await this.#pause(attempt);
        } finally {
          conversation.inFlight = null;
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
        conversation.save(context.engine, writer, { pending: null, base: hash });
        const change = differences(before, pending);
        noteMembers(writer, conversation.id, change);
        // Whom this device has added it got from the relay under that name.
        for (const member of change.added) context.contacts.pin(member, writer);
      });
      conversation.pending = null;
      conversation.advance(pending.next, hash);
      this.#reportOwnChange(conversation, before);
      if (pending.replaced !== undefined) context.cameBack(conversation.id);
    });
  }

  /** Renews the own leaf when it is time (DESIGN section 5). */
  maintain(conversation: Conversation): void {
    const { context } = this;
    const due = conversation.ownMessages >= SELF_UPDATE_MESSAGES ||
      context.clock.now() - conversation.renewedAtMs >= SELF_UPDATE_AFTER_MS;
    if (!due || conversation.participation !== "member" || conversation.group.members.length < 2) return;
    conversation.ownMessages = 0;
    const since = conversation.renewedAtMs;
    context.background(() =>
      this.change(conversation, () =>
        // Another change has renewed the leaf meanwhile.
        Promise.resolve(conversation.renewedAtMs === since ? { change: { kind: "update" } } : null))
    );
  }

  /** Makes this device one that can be added to groups: from here on there is a KeyPackage of every suite. */
  async publishLastResorts(options: { replaceAll: boolean }): Promise<void> {
    const { context } = this;
    for (const suite of SUITE_IDS) {
      const mark = context.store.get("profile", `last resort ${suite}`);
      const publishedAtMs = mark === null ? 0 : Number(fromUtf8(mark));
      const isDue = context.clock.now() - publishedAtMs >= LAST_RESORT_RENEWAL_MS;
      if (!isDue && !options.replaceAll) continue;
      await this.#publish(suite, { count: 1, lastResort: true, replace: options.replaceAll });
      const nowMs = utf8(String(context.clock.now()));
      context.store.write((writer) => writer.put("profile", `last resort ${suite}`, nowMs));
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

  async #publish(
    suite: SuiteId,
    options: { count: number; lastResort: boolean; replace?: boolean },
  ): Promise<void> {
    const made = await makeKeyPackages(this.context, { suite, ...options });
    const keyPackages = made.map((keyPackage) => keyPackage.publicBytes);
    await this.context.relay().publishKeyPackages(suite, keyPackages, options);
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
    conversation.base = toHex(context.crypto.digest("SHA-256", commit));
    try {
      await context.relay().commit({
        group: id,
        epoch: next.epoch - 1,
        add: [],
        remove: [],
        external: true,
        commit,
        groupInfo: await context.engine.groupInfo(next),
      }, async () => await this.#adopt(conversation, await this.#named(conversation)));
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

  #adopt(conversation: Conversation, named: readonly Member[] = []): Promise<void> {
    const { context } = this;
    let afterwards = () => {};
    context.store.write((writer) => {
      afterwards = context.entered(writer, conversation.id);
      conversation.saveGroup(context.engine, writer, conversation.group);
      conversation.save(context.engine, writer);
      for (const member of named) context.contacts.pin(member, writer);
    });
    context.conversations.set(conversation.id, conversation);
    afterwards();
    context.emit({
      type: "GroupCreated",
      ...conversation.ref,
      by: adminName(context, conversation.group),
      suite: suiteName(conversation.group.suite),
    });
    return Promise.resolve();
  }

  /** The members of a channel that this device has just joined, as far as the relay confirms their names. */
  async #named(conversation: Conversation): Promise<Member[]> {
    // The commit has won already: without the list nobody is pinned yet, and nothing else is different.
    const listed = await this.context.relay().members(conversation.id).catch(() => []);
    return listedAlike(conversation.group.members, listed);
  }

  /** Members that go by `name` here. */
  #called(group: Group, name: string): Member[] {
    const exact = group.members.filter((member) => this.context.contacts.nameOf(member) === name);
    return exact.length > 0 ? exact : group.members.filter((member) => member.account === name);
  }

  /** Takes a direct message for over that the other side no longer has. */
  async #forgetDirect(conversation: Conversation): Promise<void> {
    const { context } = this;
    await context.relay().resetGroup(conversation.id).catch((error) => {
      if (!isAronaError(error, "NOT_FOUND", "FORBIDDEN")) throw error;
    });
    conversation.participation = "left";
    context.store.write((writer) => conversation.save(context.engine, writer));
  }

  async #addAccount(conversation: Conversation, account: AccountName): Promise<void> {
    let claimed: Uint8Array[] | null = null; // once, however often the commit has to be made anew
    await this.change(conversation, async (group) => {
      if (group.members.some((member) => member.account === account)) return null;
      claimed ??= await this.#claim(account, group.suite);
      return { change: { kind: "add", keyPackages: claimed } };
    });
  }

  /**
   * A usable KeyPackage of each device of an account. The relay hands out the oldest first and cannot see which have ended: those are
   * used up here, down to the last resort, which its owner renews.
   */
  async #claim(account: AccountName, suite: SuiteId): Promise<Uint8Array[]> {
    const { context } = this;
    for (let attempt = 0;; attempt++) {
      const keyPackages = await context.relay().claimKeyPackages(account, suite).catch((error) => {
        throw isAronaError(error, "NOT_FOUND") ? unknownAccount(account) : error;
      });
      if (keyPackages.length === 0) {
        throw new AronaError("NOT_FOUND", `Cannot add ${account}: no device of theirs can be added yet`, {
          hint: "They have to connect once with this version of Arona.",
        });
      }
      try {
        for (const keyPackage of keyPackages) await this.#assertOwner(keyPackage, { account, suite });
        return keyPackages;
      } catch (error) {
        if (!isAronaError(error, "POLICY") || attempt >= MAX_EXPIRED_KEY_PACKAGES) throw error;
      }
    }
  }

  /** @throws {AronaError} `BAD_CERTIFICATE`, `IDENTITY_CHANGED`, `POLICY` for one that has ended */
  async #assertOwner(
    keyPackage: Uint8Array,
    wanted: { account: AccountName; suite: SuiteId },
  ): Promise<void> {
    const { context } = this;
    const owner = await context.engine.inspectKeyPackage(keyPackage, { suite: wanted.suite });
    if (owner.account !== wanted.account) {
      throw new AronaError(
        "BAD_CERTIFICATE",
        `Cannot add ${wanted.account}: the relay gave another account's keys`,
      );
    }
    await context.contacts.assertUnchanged(owner, context.relay());
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
    await context.relay().resetGroup(id); // its creator never finished it, or this device lost it
    return await this.openDirect(options.account, options.suite);
  }

  /**
   * Makes a commit and stores it. Nothing is sealed or opened meanwhile: a step from the same state overwrites secrets that the commit
   * is made with.
   *
   * @returns null where the group is no longer at `epoch`
   */
  #makePending(
    conversation: Conversation,
    { epoch, change }: { epoch: number; change: GroupChange },
  ): Promise<PreparedCommit & { readonly hash: string } | null> {
    const { context } = this;
    return conversation.mutex.run(async () => {
      if (conversation.group.epoch !== epoch || conversation.participation !== "member") return null;
      const made = await context.engine.commit(conversation.group, change);
      const hash = toHex(context.crypto.digest("SHA-256", made.commit));
      const replaced = change.kind === "replace" ? change.device : undefined;
      const pending = { hash, next: made.next, replaced };
      context.store.write((writer) => conversation.save(context.engine, writer, { pending }));
      conversation.pending = pending;
      return { ...made, hash };
    });
  }

  #forgetPending(conversation: Conversation): Promise<void> {
    const { context } = this;
    return conversation.mutex.run(() => {
      context.store.write((writer) => conversation.save(context.engine, writer, { pending: null }));
      conversation.pending = null;
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

  /** Asks again after the pause that the relay wants. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const pauseMs = isAronaError(error, "RATE_LIMITED") ? error.details?.retryAfterMs : undefined;
        if (typeof pauseMs !== "number") throw error;
        await sleep(this.context.clock, pauseMs, this.context.stopped);
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

/** Who comes and who goes by an own commit. A device that gets another leaf does both. */
function differences(
  before: Group,
  { next, replaced }: PendingCommit,
): { added: Member[]; removed: Member[] } {
  const without = (group: Group, other: Group) => {
    const devices = new Set(other.members.map((member) => member.device));
    return group.members.filter(({ device }) => !devices.has(device) || device === replaced);
  };
  return { added: without(next, before), removed: without(before, next) };
}

function accountsOf(group: Group, admins: readonly string[]): string[] {
  const named = group.members.filter((member) => admins.includes(member.fingerprint));
  return [...new Set(named.map((member) => member.account))];
}

function adminName(context: ClientContext, group: Group): string {
  const admin = group.members.find((member) => member.admin);
  return admin === undefined ? "?" : context.contacts.nameOf(admin);
}

function unknownAccount(account: string): AronaError {
  return new AronaError("NOT_FOUND", `Cannot find @${account}: nobody on this relay has that name`, {
    hint: "Check the spelling. They have to have connected once.",
  });
}
