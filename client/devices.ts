/**
 * The devices of this person: letting a further one in, taking one back, and seeing to it that every conversation of this device has all
 * of them. Each device is a leaf of its own; whichever is connected adds those that are missing.
 */

import {
  AronaError,
  type Control,
  decodeCertificate,
  type DeviceCode,
  type DeviceId,
  encodeStatement,
  equalBytes,
  formatDeviceCode,
  fromUtf8,
  isAronaError,
  LINK_SECRET_BYTES,
  parseDeviceId,
  rendezvousOf,
  revokeContent,
  sleep,
  utf8,
  verifyCertificate,
} from "../proto/mod.ts";
import type { ClientContext } from "./context.ts";
import type { Conversation } from "./conversation.ts";
import type { Group, GroupChange, SuiteId } from "./groups/mod.ts";
import { answerFor, type LocalIdentity, openRequest, sealAnswer } from "./identity/mod.ts";
import { COMPLETION_PAUSE_MS, DEVICE_TURN_MS, MAX_COMPLETION_ATTEMPTS } from "./limits.ts";

/** A device of this person as the relay knows it. */
export interface DeviceInfo {
  readonly device: DeviceId;
  /** What people call it, where this profile knows that. */
  readonly label: string | null;
  /** Whether it is this device. */
  readonly self: boolean;
  /** Whether it made the identity. */
  readonly primary: boolean;
  readonly online: boolean;
  /** When its certificate runs out, Unix milliseconds. */
  readonly certificateEndsMs: number;
}

/** A code that waits for a further device. */
export interface DeviceOffer {
  readonly code: string;
  /** Resolves with the device that was let in. Rejects where the offer was cancelled. */
  readonly linked: Promise<{ readonly device: DeviceId; readonly label: string }>;
  cancel(): void;
}

/** What {@link Devices} needs of its client. */
export interface DevicesOptions {
  readonly identity: LocalIdentity;
  /** Commits what `decide` says on the newest state, until it wins or nothing is left to do. */
  change(
    conversation: Conversation,
    decide: (group: Group) => Promise<{ change: GroupChange } | null>,
  ): Promise<void>;
}

interface OpenOffer {
  readonly place: DeviceCode;
  readonly label: string;
  readonly linked: PromiseWithResolvers<{ device: DeviceId; label: string }>;
  readonly onRefused: (reason: string) => void;
}

/** What ends an attempt for now: the next login, event or change brings another. */
const UNTIL_NEXT_TIME = [
  "CLOSED",
  "TIMEOUT",
  "CONFLICT",
  "FORBIDDEN",
  "NOT_FOUND",
  "POLICY",
  "BAD_MLS",
  "BAD_CERTIFICATE",
] as const;
const DEVICE_BYTES = 16;

/** The account's set of devices. */
export class Devices {
  /** The others of this person that the relay lists, as far as their certificates hold; null before it was asked. */
  #others: ReadonlySet<DeviceId> | null = null;
  #online: ReadonlySet<DeviceId> = new Set();
  /** Statements by which devices were taken back from here. */
  readonly #revoked = new Map<DeviceId, Uint8Array>();
  readonly #stopped = new AbortController();
  readonly #waiters = new Set<() => void>();
  #refreshing: Promise<void> | null = null;
  #again = false;
  #offer: OpenOffer | null = null;

  constructor(private readonly context: ClientContext, private readonly options: DevicesOptions) {
    for (const { id, row } of context.store.all("profile")) {
      const match = /^revoked ([0-9a-f]{32})$/.exec(id);
      if (match) this.#revoked.set(parseDeviceId(match[1]), row);
    }
  }

  /** A connection stands: looks who there is, once what waited has been handled. */
  start(caughtUp: Promise<void>): void {
    const offer = this.#offer;
    if (offer !== null) this.context.background(() => this.#open(offer)); // the relay may have forgotten it
    this.context.background(async () => {
      await caughtUp;
      await this.refresh();
    });
  }

  stop(): void {
    this.#stopped.abort(new AronaError("CLOSED", "Cannot go on: the client was closed"));
    this.#offer?.linked.reject(this.#stopped.signal.reason);
    this.#offer = null;
  }

  /** @returns whether the event was about devices */
  event({ fields, blobs }: Control): boolean {
    if (fields.type === "devices") this.context.background(() => this.refresh());
    else if (fields.type === "link") {
      if (blobs.length === 1) this.context.background(() => this.#answer(blobs[0].slice()));
    } else return false;
    return true;
  }

  /** All devices of the account, as the relay lists them. @throws {AronaError} */
  async list(): Promise<DeviceInfo[]> {
    const { context } = this;
    const { devices, online } = await this.#lookup();
    return devices.map(({ device, certificateEndsMs }) => {
      const label = context.store.get("profile", labelRow(device));
      return {
        device,
        label: label === null ? null : fromUtf8(label),
        self: device === context.device.device,
        primary: device === this.options.identity.primary,
        online: online.has(device),
        certificateEndsMs,
      };
    });
  }

  /** Asks the relay anew, reports what has changed, and completes every conversation. */
  refresh(): Promise<void> {
    this.#again = true;
    this.#refreshing ??= this.#refreshAll().finally(() => this.#refreshing = null);
    return this.#refreshing;
  }

  /** Adds the own devices that are missing in a conversation, as far as they are known. */
  complete(conversation: Conversation): void {
    if (!this.#isIncomplete(conversation)) return;
    this.context.background(() => this.#complete(conversation, this.context.clock.monotonic()));
  }

  /** Resolves when the relay lists a device and every conversation of this one has it. */
  async untilEverywhere(device: DeviceId): Promise<void> {
    const { signal } = this.#stopped;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      const isThere = (conversation: Conversation) =>
        !isOpen(conversation, this.context) ||
        conversation.group.members.some((one) => one.device === device);
      if (this.#others?.has(device) && [...this.context.conversations.values()].every(isThere)) resolve();
    };
    const stop = () => reject(signal.reason);
    this.#waiters.add(look);
    signal.addEventListener("abort", stop, { once: true });
    look();
    await promise.finally(() => {
      this.#waiters.delete(look);
      signal.removeEventListener("abort", stop);
    });
  }

  /**
   * Makes a code for a further device and waits for it.
   *
   * @param options.label what this device is called
   * @param options.onRefused hears of requests that were not granted
   * @throws {AronaError} `FORBIDDEN` on a device that did not make the identity, `CLOSED`
   */
  async offer(
    options: {
      relay: Omit<DeviceCode, "secret">;
      label: string;
      onRefused?: (reason: string) => void;
    },
  ): Promise<DeviceOffer> {
    this.#assertPrimary("add");
    this.#offer?.linked.reject(
      new AronaError("CONFLICT", "Cannot add a device with this code: there is a newer one"),
    );
    const secret = this.context.crypto.randomBytes(LINK_SECRET_BYTES);
    const { relay: { hostname, port, fingerprint }, label, onRefused = () => {} } = options;
    const place = { hostname, port, fingerprint, secret };
    const linked = Promise.withResolvers<{ device: DeviceId; label: string }>();
    linked.promise.catch(() => {}); // whoever waits hears of it
    const offer: OpenOffer = { place, label, linked, onRefused };
    this.#offer = offer;
    await this.#open(offer);
    return {
      code: formatDeviceCode(place),
      linked: linked.promise,
      cancel: () => {
        if (this.#offer !== offer) return;
        this.#offer = null;
        linked.reject(new AronaError("CLOSED", "Cannot add a device: the code was cancelled"));
        this.context.background(() => this.context.relay().openRendezvous(null));
      },
    };
  }

  /**
   * Takes a device back: it can no longer log in, and its leaves go from every conversation.
   *
   * @throws {AronaError} `FORBIDDEN` on a device that did not make the identity, `BAD_REQUEST` for this device, `NOT_FOUND`
   */
  async remove(device: DeviceId): Promise<void> {
    const { context } = this;
    const seed = this.#assertPrimary("remove");
    if (device === context.device.device) {
      throw new AronaError("BAD_REQUEST", "Cannot remove this device: it is the one that made the identity");
    }
    const content = revokeContent({ account: context.account, device });
    const signature = await context.crypto.sign("ML-DSA-65", seed, content);
    const statement = encodeStatement({ kind: "revoke", device, signature });
    await context.relay().revokeDevice(statement);
    context.store.write((writer) => {
      writer.put("profile", `revoked ${device}`, statement);
      writer.delete("profile", labelRow(device));
    });
    this.#revoked.set(device, statement);
    await this.refresh();
  }

  async #refreshAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      const { devices, online } = await this.#lookup();
      const { device: self } = this.context.device;
      this.#others = new Set(devices.map(({ device }) => device).filter((device) => device !== self));
      this.#online = online;
      this.#report([...this.#others]);
      const sinceMs = this.context.clock.monotonic();
      const incomplete = [...this.context.conversations.values()].filter((one) => this.#isIncomplete(one));
      const turns = new Map(incomplete.map((one) => [one, this.#turnIn(one)]));
      incomplete.sort((a, b) => turns.get(a)! - turns.get(b)!);
      for (const conversation of incomplete) {
        if (this.#isIncomplete(conversation)) await this.#complete(conversation, sinceMs);
      }
      for (const wake of [...this.#waiters]) wake();
    }
  }

  async #lookup(): Promise<
    { devices: { device: DeviceId; certificateEndsMs: number }[]; online: ReadonlySet<DeviceId> }
  > {
    const { context, options: { identity } } = this;
    const found = await context.relay().lookupOwn(context.account);
    const devices: { device: DeviceId; certificateEndsMs: number }[] = [];
    for (const { certificate: bytes, deviceKey } of found.devices) {
      const certificate = decodeCertificate(bytes);
      const { device, notAfterMs } = certificate;
      // One that has run out is still this person's; what decides is the signature.
      const nowMs = Math.min(context.clock.now(), notAfterMs);
      const isOwn = certificate.account === context.account &&
        equalBytes(certificate.identityKey, identity.identityKey) &&
        await verifyCertificate(context.crypto, certificate, { deviceKey, nowMs });
      if (isOwn && !this.#revoked.has(device)) devices.push({ device, certificateEndsMs: notAfterMs });
    }
    return { devices, online: new Set(found.online) };
  }

  /** Tells of devices that have come or gone since the last time, also while this one was away. */
  #report(others: readonly DeviceId[]): void {
    const { context } = this;
    const row = context.store.get("profile", "devices");
    const before = row === null ? others : devicesIn(row);
    const isSame = row !== null && before.length === others.length &&
      others.every((one) => before.includes(one));
    if (isSame) return;
    const bytes = utf8(others.join("")); // hexadecimal
    context.store.write((writer) => writer.put("profile", "devices", bytes));
    for (const device of others) if (!before.includes(device)) context.emit({ type: "DeviceAdded", device });
    for (const device of before) {
      if (!others.includes(device)) context.emit({ type: "DeviceRemoved", device });
    }
  }

  #isIncomplete(conversation: Conversation): boolean {
    if (!isOpen(conversation, this.context)) return false;
    return this.#missingIn(conversation.group).length > 0 || this.#goneIn(conversation.group).length > 0;
  }

  #missingIn(group: Group): DeviceId[] {
    if (this.#others === null || this.#others.size === 0) return [];
    const present = new Set(group.members.map(({ device }) => device));
    return [...this.#others].filter((device) => !present.has(device) && !this.#revoked.has(device));
  }

  /** Own leaves of devices that were taken back. */
  #goneIn(group: Group): DeviceId[] {
    if (this.#revoked.size === 0) return [];
    const { fingerprint } = this.context;
    return group.members.filter((one) => one.fingerprint === fingerprint && this.#revoked.has(one.device))
      .map(({ device }) => device);
  }

  /** @param sinceMs when it became known, on the monotonic clock */
  async #complete(conversation: Conversation, sinceMs: number): Promise<void> {
    const { clock } = this.context;
    for (let attempt = 0; attempt < MAX_COMPLETION_ATTEMPTS; attempt++) {
      try {
        await this.#removeGone(conversation);
        const turnMs = sinceMs + this.#turnIn(conversation) * DEVICE_TURN_MS - clock.monotonic();
        if (turnMs > 0 && this.#missingIn(conversation.group).length > 0) {
          await sleep(clock, turnMs, this.#stopped.signal);
        }
        return await this.#addMissing(conversation);
      } catch (error) {
        if (this.#stopped.signal.aborted || isAronaError(error, ...UNTIL_NEXT_TIME)) return;
        if (!isAronaError(error, "QUOTA", "RATE_LIMITED")) throw error;
        const asked = error.details?.retryAfterMs;
        const pauseMs = typeof asked === "number" ? asked : COMPLETION_PAUSE_MS;
        await sleep(clock, pauseMs, this.#stopped.signal).catch(() => {});
      }
    }
  }

  async #removeGone(conversation: Conversation): Promise<void> {
    if (this.#goneIn(conversation.group).length === 0) return;
    await this.options.change(conversation, (group) => {
      const devices = this.#goneIn(group);
      if (devices.length === 0) return Promise.resolve(null);
      const statements = devices.map((device) => this.#revoked.get(device)!);
      return Promise.resolve({ change: { kind: "remove", devices, statements } });
    });
  }

  /** Of several own devices that are connected the first leaf goes first; the others see what it did. @returns how many go first */
  #turnIn({ group }: Conversation): number {
    const { fingerprint } = this.context;
    const { self, members } = group;
    return members.filter((one) =>
      one.fingerprint === fingerprint && one.leaf < self.leaf && this.#online.has(one.device)
    ).length;
  }

  async #addMissing(conversation: Conversation): Promise<void> {
    const claimed = new Map<DeviceId, Uint8Array>(); // once, however often the commit has to be made anew
    const asked = new Set<DeviceId>();
    if (!this.#isIncomplete(conversation)) return;
    await this.options.change(conversation, async (group) => {
      const missing = this.#missingIn(group);
      const unasked = missing.filter((device) => !asked.has(device));
      if (unasked.length > 0) await this.#claim(unasked, { suite: group.suite, into: claimed });
      for (const device of unasked) asked.add(device);
      const keyPackages = missing.flatMap((device) => claimed.get(device) ?? []);
      return keyPackages.length === 0 ? null : { change: { kind: "add", keyPackages } };
    });
  }

  /** Takes KeyPackages of own devices; one that is not theirs, or has ended, is passed over. */
  async #claim(
    devices: readonly DeviceId[],
    options: { suite: SuiteId; into: Map<DeviceId, Uint8Array> },
  ): Promise<void> {
    const { context } = this;
    const { suite, into } = options;
    for (const keyPackage of await context.relay().claimKeyPackages(context.account, suite, devices)) {
      try {
        const owner = await context.engine.inspectKeyPackage(keyPackage, { suite });
        const isOwn = owner.fingerprint === context.fingerprint && owner.account === context.account &&
          devices.includes(owner.device);
        if (isOwn) into.set(owner.device, keyPackage);
      } catch (error) {
        if (!(error instanceof AronaError)) throw error;
      }
    }
  }

  async #open({ place }: OpenOffer): Promise<void> {
    await this.context.relay().openRendezvous(rendezvousOf(this.context.crypto, place.secret));
  }

  /** Lets in whoever has the code. */
  async #answer(requestBox: Uint8Array): Promise<void> {
    const { context, options: { identity } } = this;
    const offer = this.#offer;
    if (offer === null) return;
    const { place, label, linked, onRefused } = offer;
    const { crypto, clock } = context;
    let request;
    try {
      request = openRequest(crypto, place, requestBox);
    } catch (error) {
      if (!isAronaError(error, "BAD_ENCODING")) throw error;
      return onRefused("somebody asked without the code");
    }
    const { device } = request;
    if (device === identity.device) return onRefused("this very device asked");
    if (this.#revoked.has(device)) {
      return onRefused("a device asked that was removed before; it needs a new profile");
    }
    const answer = await answerFor(crypto, { identity, request, label, clock });
    const rendezvous = rendezvousOf(crypto, place.secret);
    try {
      await context.relay().answerRendezvous(rendezvous, sealAnswer(crypto, place, { requestBox, answer }));
    } catch (error) {
      if (!isAronaError(error, "NOT_FOUND")) throw error;
      return onRefused("a device asked and did not wait for the answer");
    }
    context.store.write((writer) => writer.put("profile", labelRow(device), utf8(request.label)));
    if (this.#offer === offer) this.#offer = null;
    linked.resolve({ device, label: request.label });
  }

  /** @returns the identity's seed */
  #assertPrimary(what: "add" | "remove"): Uint8Array {
    const { identitySeed, primary } = this.options.identity;
    if (identitySeed !== null) return identitySeed;
    const label = this.context.store.get("profile", labelRow(primary));
    const name = label === null ? primary.slice(0, 8) : `${primary.slice(0, 8)} (${fromUtf8(label)})`;
    throw new AronaError(
      "FORBIDDEN",
      `Cannot ${what} a device from here: only the device that made the identity can`,
      {
        hint: `That is ${name}.`,
      },
    );
  }
}

/** Whether own devices belong in here: this one takes part, and a direct message has somebody else in it. */
function isOpen(conversation: Conversation, context: ClientContext): boolean {
  if (
    conversation.participation !== "member" || context.conversations.get(conversation.id) !== conversation
  ) return false;
  const { kind, members } = conversation.group;
  return kind !== "dm" || members.some((member) => member.fingerprint !== context.fingerprint);
}

function labelRow(device: DeviceId): string {
  return `device label ${device}`;
}

function devicesIn(row: Uint8Array): DeviceId[] {
  const hex = fromUtf8(row);
  return (hex.match(new RegExp(`.{${2 * DEVICE_BYTES}}`, "g")) ?? []).map(parseDeviceId);
}
