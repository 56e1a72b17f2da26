/** The relay's requests as typed functions (PROTOCOL.md section 9); answers are parsed here and nowhere else. */

import {
  AronaError,
  type Control,
  type ControlFields,
  type DeviceId,
  FrameType,
  type GroupId,
  parseDeviceId,
  parseGroupId,
  type RendezvousId,
} from "../../proto/mod.ts";
import type { GroupKind, SuiteId } from "../groups/mod.ts";
import type { RelayLink } from "./link.ts";

/** A group as the relay knows it. */
export interface RelayGroup {
  readonly group: GroupId;
  readonly kind: GroupKind;
  readonly name: string;
  readonly epoch: number;
  readonly suite: number;
  readonly members: number;
}

/** A member as the relay knows it: where it routes to, not who the person is. */
export interface RelayMember {
  readonly account: string;
  readonly device: DeviceId;
  readonly admin: boolean;
  readonly online: boolean;
  /** Of the identity that has the account name on this relay, 64 hexadecimal digits. */
  readonly fingerprint: string;
}

/** What JOIN answers. */
export type ChannelLookup =
  | { readonly exists: false }
  | {
    readonly exists: true;
    readonly group: GroupId;
    readonly epoch: number;
    readonly members: number;
    readonly groupInfo: Uint8Array;
  };

/** A commit on its way to the relay. */
export interface CommitRequest {
  readonly group: GroupId;
  /** Before the commit. */
  readonly epoch: number;
  readonly add: readonly DeviceId[];
  readonly remove: readonly DeviceId[];
  readonly external: boolean;
  /** New lists of account names, where the commit changes them. */
  readonly admins?: readonly string[];
  readonly banned?: readonly string[];
  readonly commit: Uint8Array;
  readonly welcome?: Uint8Array;
  readonly groupInfo?: Uint8Array;
}

const EMPTY = new Uint8Array();

/** Typed requests over one link. */
export class RelayApi {
  constructor(readonly link: RelayLink) {}

  /** @returns unused KeyPackages of this device on the relay */
  async publishKeyPackages(
    suite: SuiteId,
    keyPackages: readonly Uint8Array[],
    options: {
      lastResort: boolean;
      /** Whether the unused ones are forgotten. @default false */
      replace?: boolean;
    },
  ): Promise<number> {
    const { lastResort, replace } = options;
    const { fields } = await this.link.request(
      FrameType.KEYS,
      { op: "publish", suite, lastResort, replace },
      { blobs: keyPackages },
    );
    return number(fields, "unused");
  }

  /** One KeyPackage for each device of `account`, or for those of `devices` only. */
  async claimKeyPackages(
    account: string,
    suite: SuiteId,
    devices?: readonly DeviceId[],
  ): Promise<Uint8Array[]> {
    const { blobs } = await this.link.request(FrameType.KEYS, { op: "claim", account, suite, devices });
    return [...blobs];
  }

  /** Certificate and device key of each device of `account`. */
  async lookup(account: string): Promise<{ certificate: Uint8Array; deviceKey: Uint8Array }[]> {
    const { blobs } = await this.link.request(FrameType.KEYS, { op: "lookup", account });
    const devices = [];
    for (let i = 0; i + 1 < blobs.length; i += 2) {
      devices.push({ certificate: blobs[i], deviceKey: blobs[i + 1] });
    }
    return devices;
  }

  /** The same for the own account, with those that are connected. */
  async lookupOwn(
    account: string,
  ): Promise<{ devices: { certificate: Uint8Array; deviceKey: Uint8Array }[]; online: DeviceId[] }> {
    const { fields, blobs } = await this.link.request(FrameType.KEYS, { op: "lookup", account });
    const devices = [];
    for (let i = 0; i + 1 < blobs.length; i += 2) {
      devices.push({ certificate: blobs[i], deviceKey: blobs[i + 1] });
    }
    const online = Array.isArray(fields.online) ? fields.online.map(parseDeviceId) : [];
    return { devices, online };
  }

  /** Opens the rendezvous where a further device asks; null closes it. */
  async openRendezvous(rendezvous: RendezvousId | null): Promise<void> {
    await this.link.request(FrameType.KEYS, { op: "link", rendezvous: rendezvous ?? undefined });
  }

  /** Answers whoever asks there. */
  async answerRendezvous(rendezvous: RendezvousId, box: Uint8Array): Promise<void> {
    await this.link.request(FrameType.KEYS, { op: "link_answer", rendezvous }, { blobs: [box] });
  }

  /** Takes a device of the own account back. */
  async revokeDevice(statement: Uint8Array): Promise<void> {
    await this.link.request(FrameType.KEYS, { op: "revoke" }, { blobs: [statement] });
  }

  async lookupChannel(channel: string): Promise<ChannelLookup> {
    const answer = await this.link.request(FrameType.JOIN, { channel });
    if (answer.fields.exists !== true) return { exists: false };
    return {
      exists: true,
      group: parseGroupId(answer.fields.group),
      epoch: number(answer.fields, "epoch"),
      members: number(answer.fields, "members"),
      groupInfo: blob(answer, 0),
    };
  }

  async createGroup(
    request: {
      group: GroupId;
      kind: GroupKind;
      suite: SuiteId;
      name?: string;
      peer?: string;
      groupInfo?: Uint8Array;
    },
    onAnswer: (answer: Control) => Promise<void>,
  ): Promise<void> {
    const { groupInfo, ...fields } = request;
    await this.link.request(FrameType.GROUP, { op: "create", ...fields }, {
      blobs: groupInfo === undefined ? [] : [groupInfo],
      onAnswer,
    });
  }

  /**
   * @param onAnswer runs in stream order, before any delivery of the new epoch; deliveries numbered under `queued` are from before the commit
   * @returns the same `queued`
   */
  async commit(request: CommitRequest, onAnswer: (queued: number) => Promise<void>): Promise<number> {
    const { commit, welcome, groupInfo, ...fields } = request;
    const answer = await this.link.request(FrameType.GROUP, { op: "commit", ...fields }, {
      blobs: [commit, welcome ?? EMPTY, groupInfo ?? EMPTY],
      onAnswer: ({ fields }) => onAnswer(number(fields, "queued")),
    });
    return number(answer.fields, "queued");
  }

  /** Commits from `epoch` on, as many as the relay gives at once. */
  async sync(
    group: GroupId,
    epoch: number,
  ): Promise<{
    epoch: number;
    from: number;
    gone: boolean;
    /** SHA-256 (hexadecimal) of the commit that led to the epoch asked from; null where the relay no longer has it. */
    base: string | null;
    commits: readonly Uint8Array[];
    /** Deliveries numbered under this one are from before the answer. */
    queued: number;
  }> {
    const { fields, blobs } = await this.link.request(FrameType.GROUP, { op: "sync", group, epoch });
    return {
      epoch: number(fields, "epoch"),
      from: number(fields, "from"),
      gone: fields.gone === true,
      base: typeof fields.base === "string" ? fields.base : null,
      commits: blobs,
      queued: number(fields, "queued"),
    };
  }

  async groups(): Promise<RelayGroup[]> {
    const { fields } = await this.link.request(FrameType.GROUP, { op: "list" });
    return list(fields, "groups").map((entry) => ({
      group: parseGroupId(entry.group),
      kind: text(entry, "kind") as GroupKind,
      name: typeof entry.name === "string" ? entry.name : "",
      epoch: number(entry, "epoch"),
      suite: number(entry, "suite"),
      members: number(entry, "members"),
    }));
  }

  async channels(): Promise<{ name: string; members: number }[]> {
    const { fields } = await this.link.request(FrameType.GROUP, { op: "channels" });
    return list(fields, "channels").map((entry) => ({
      name: text(entry, "name"),
      members: number(entry, "members"),
    }));
  }

  async members(group: GroupId): Promise<RelayMember[]> {
    const { fields } = await this.link.request(FrameType.GROUP, { op: "members", group });
    return list(fields, "members").map((entry) => ({
      account: text(entry, "account"),
      device: parseDeviceId(entry.device),
      admin: entry.admin === true,
      online: entry.online === true,
      fingerprint: text(entry, "fingerprint"),
    }));
  }

  /** Has a direct message forgotten, or a group that nobody has the state of any more. */
  async resetGroup(group: GroupId): Promise<void> {
    await this.link.request(FrameType.GROUP, { op: "reset", group });
  }

  /** Leaves a group; without a statement it is declined, that is, never taken part in. */
  async part(group: GroupId, statement?: Uint8Array): Promise<void> {
    await this.link.request(FrameType.PART, { group }, { blobs: statement === undefined ? [] : [statement] });
  }

  /**
   * Asks the other members for a new leaf.
   *
   * @returns how many other devices there are, whether they have all lost their state too, and whether this one is to make the group anew
   */
  async askToReturn(
    group: GroupId,
    request: { keyPackage: Uint8Array; statement: Uint8Array },
  ): Promise<{ others: number; lost: boolean; anew: boolean }> {
    const { fields } = await this.link.request(FrameType.GROUP, { op: "return", group }, {
      blobs: [request.keyPackage, request.statement],
    });
    return { others: number(fields, "others"), lost: fields.lost === true, anew: fields.anew === true };
  }

  /** The newest commit does not verify, and the relay is to take it back. @returns the group's epoch: the one before it where it has */
  async refuse(group: GroupId, commit: { epoch: number; hash: string }): Promise<number> {
    const { fields } = await this.link.request(FrameType.GROUP, { op: "refuse", group, ...commit });
    return number(fields, "epoch");
  }
}

function blob(answer: Control, index: number): Uint8Array {
  const bytes = answer.blobs[index];
  if (bytes === undefined) throw malformed(`blob ${index}`);
  return bytes;
}

function number(fields: ControlFields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw malformed(name);
  return value;
}

function text(fields: ControlFields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw malformed(name);
  return value;
}

function list(fields: ControlFields, name: string): ControlFields[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== "object" || entry === null)) {
    throw malformed(name);
  }
  return value;
}

function malformed(what: string): AronaError {
  return new AronaError("BAD_FRAME", `Cannot understand the relay: its answer lacks "${what}"`);
}
