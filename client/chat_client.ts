/**
 * What a program does with a client, wherever that runs: in the same thread, or behind a wall in a worker of its own.
 *
 * What is asked for is awaited. What can be read at once (who this is, the conversations, the state of the connection) is as of the
 * event that was heard last.
 */

import { AronaError, type DeviceId, type Fingerprint, type GroupId } from "../proto/base/mod.ts";
import type { DeviceInfo, DeviceOffer } from "./devices.ts";
import type { ClientEvent, ClientEventType, ConversationRef, EventOf } from "./events.ts";
import type { GroupKind, SuiteId } from "./groups/mod.ts";
import type { HistoryEntry, StoredMessage } from "./history.ts";
import type { Contact, PublicIdentity } from "./identity/mod.ts";
import type { Sending } from "./outbox.ts";
import type { ConnectionState } from "./session/connector.ts";

/** A value, or the promise of one: `await` takes both. */
export type Awaitable<T> = T | Promise<T>;

/** Whether a device still takes part, and if not, why. `stuck`: it has lost the group's state and is on its way in again. */
export type Participation = "member" | "left" | "removed" | "stuck";

/** A conversation as a program sees it. What it says goes with the events; two of them are the same where their ids are. */
export interface ConversationInfo {
  readonly id: GroupId;
  /** What people call it: `#name`, `@account`, or the group's name. */
  readonly title: string;
  readonly kind: GroupKind;
  /** As events name it. */
  readonly ref: ConversationRef;
  readonly participation: Participation;
  /** Whether this device takes part, or will again in a moment. */
  readonly isOpen: boolean;
  readonly suite: SuiteId;
  readonly epoch: number;
  /** How many accounts are in it, the own one among them. */
  readonly people: number;
  /** Whether this person is an admin of it. */
  readonly isAdmin: boolean;
}

/** Names a conversation: itself, or an event from it. */
export type Where = Pick<ConversationInfo, "id"> | Pick<ConversationRef, "groupId">;

/** A member of a conversation as shown to people. */
export interface MemberInfo {
  readonly account: string;
  readonly fingerprint: string;
  readonly device: string;
  readonly admin: boolean;
  readonly verified: boolean;
  readonly identityChanged: boolean;
  /** As the relay says; null while offline. */
  readonly online: boolean | null;
}

/** A person's client on one device. Everything that is awaited may reject with an {@link AronaError}. */
export interface ChatClient {
  readonly account: string;
  /** SHA-256 of the identity key, hexadecimal. */
  readonly fingerprint: Fingerprint;
  readonly deviceId: DeviceId;
  /** Whether this device made the identity; only that one adds and removes devices. */
  readonly isPrimary: boolean;
  /** When this device's certificate runs out, Unix milliseconds; a further device cannot renew it by itself. */
  readonly certificateEndsMs: number;
  /** The relay's fingerprint (hexadecimal) and where it is. */
  readonly relay: { readonly fingerprint: string; readonly endpoints: readonly string[] };
  readonly online: boolean;
  /** How this client stands with its relay, since when, why, and when it will try again. */
  readonly status: ConnectionState;

  /** Calls `listener` for each event of one type. @returns a function that ends it */
  on<T extends ClientEventType>(type: T, listener: (event: EventOf<T>) => void): () => void;
  /** Calls `listener` for every event. @returns a function that ends it */
  onAny(listener: (event: ClientEvent) => void): () => void;

  /**
   * Connects, and stays connected until {@link close}.
   *
   * @param options.patient keep trying where the first try finds no relay. @default false
   * @throws {AronaError} `UNREACHABLE`, `WRONG_RELAY`, `AUTH_FAILED` …
   */
  connect(options?: { patient?: boolean }): Promise<void>;
  /** Resolves when everything has been handled that waited at the relay when this connection began; at once while offline. */
  caughtUp(): Promise<void>;
  /** Ends in good order: what is stored is acknowledged, nothing is lost by it. */
  close(): Promise<void>;

  /** The conversations of this device, those it has left too. */
  conversations(): ConversationInfo[];
  /**
   * The conversation that people call `target`: `#channel`, `@account`, or a group's name or id.
   *
   * @throws {AronaError} `NOT_FOUND`; `CONFLICT` where two groups have the name
   */
  find(target: string): ConversationInfo;
  /** Finds the conversation, joins the channel or opens the direct message. */
  resolve(target: string, suite?: SuiteId): Promise<ConversationInfo>;
  /** Joins a channel, opening it where nobody has. @throws {AronaError} `BAD_NAME`, `FORBIDDEN` */
  join(channel: string, suite?: SuiteId): Promise<ConversationInfo>;
  /** Opens the direct message with an account. @throws {AronaError} `NOT_FOUND`, `IDENTITY_CHANGED` */
  openDirect(account: string, suite?: SuiteId): Promise<ConversationInfo>;
  /** Makes a private group. @param name 1 to 64 characters */
  createGroup(name: string, suite?: SuiteId): Promise<ConversationInfo>;
  /** Adds an account to a group. @throws {AronaError} `NOT_FOUND`, `POLICY`, `IDENTITY_CHANGED` */
  invite(where: Where, account: string): Promise<void>;
  /** Removes an account; needs to be an admin. @throws {AronaError} `POLICY`, `NOT_FOUND` */
  remove(where: Where, account: string): Promise<void>;
  /** Removes an account and keeps it out; needs to be an admin. */
  ban(where: Where, account: string): Promise<void>;
  /** Makes an account an admin, or takes that away; needs to be an admin. */
  setAdmin(where: Where, account: string, admin: boolean): Promise<void>;
  /** Leaves a group or channel. */
  leave(where: Where): Promise<void>;
  /** Renews this device's keys in a group (post-compromise security). */
  renewKeys(where: Where): Promise<void>;

  /**
   * Sends text. The message is in the profile when this has been awaited, and goes out whenever the relay is there.
   *
   * @throws {AronaError} `TOO_LARGE` over 16 KiB, `IDENTITY_CHANGED`, `FORBIDDEN`, `QUOTA`
   */
  send(where: Where, text: string, options?: { replyTo?: string }): Awaitable<Sending>;
  /** Replaces the text of an own message. */
  edit(where: Where, target: string, text: string): Awaitable<Sending>;
  /** Takes back an own message. */
  delete(where: Where, target: string): Awaitable<Sending>;
  /** Adds a reaction to a message, or takes it back. */
  react(where: Where, target: string, emoji: string, removed?: boolean): Awaitable<Sending>;
  /** Tells who is connected now that this person types, or no longer does. */
  typing(where: Where, typing: boolean): Promise<void>;
  /** Tells the others up to which message this person has read. */
  markRead(where: Where, target: string): Awaitable<Sending>;
  /** The same up to the newest message of somebody else. @returns null where they know already */
  markAllRead(where: Where): Awaitable<Sending | null>;
  /** The newest `limit` messages before the sequence number `before`, oldest first. */
  history(where: Where, options: { before?: number; limit: number }): Awaitable<HistoryEntry[]>;
  /** One message as it is kept; null where it is not. */
  message(where: Where, id: string): Awaitable<StoredMessage | null>;
  /** The members as MLS has them, with what the relay says of their presence. */
  members(where: Where): Promise<MemberInfo[]>;

  /** All channels of the relay. */
  channels(): Promise<{ name: string; members: number }[]>;
  /** A person this profile knows, or, while connected, one that the relay knows. */
  contact(account: string): Promise<Contact>;
  /** Asks the relay for a person anew; a changed identity is noted and waits to be accepted. */
  refreshContact(account: string): Promise<Contact>;
  /** 60 digits that both people see alike when nobody is between them. */
  safetyNumber(identity: Pick<PublicIdentity, "identityKey">): Awaitable<string>;
  /** Marks a person as verified, or accepts an identity that has changed. */
  verify(account: string, options: { accept: boolean }): Awaitable<Contact>;

  /** This person's devices. */
  devices(): Promise<DeviceInfo[]>;
  /**
   * Makes a one-time code that lets a further device in; it waits until that has come, or the offer is cancelled.
   *
   * @param options.label what this device is called
   * @throws {AronaError} `FORBIDDEN` on a device that did not make the identity
   */
  offerDevice(options: { label: string; onRefused?: (reason: string) => void }): Promise<DeviceOffer>;
  /** Resolves when a further device is in every conversation of this one. */
  deviceEverywhere(device: DeviceId): Promise<void>;
  /** Takes a device back, for good. @throws {AronaError} `FORBIDDEN`, `NOT_FOUND`, `BAD_REQUEST` for this device */
  removeDevice(device: DeviceId): Promise<void>;
}

/** The id of the conversation that is meant. An event has an id of its own too, that of the message. */
export function groupIdOf(where: Where): GroupId {
  return "groupId" in where ? where.groupId : where.id;
}

/**
 * The one open conversation that people call `target`.
 *
 * @throws {AronaError} `NOT_FOUND`; `CONFLICT` where two groups have the name
 */
export function findConversation<T extends Pick<ConversationInfo, "id" | "title" | "isOpen">>(
  conversations: readonly T[],
  target: string,
): T {
  const matches = conversations.filter(({ isOpen, title, id }) =>
    isOpen && (title === target || id === target)
  );
  if (matches.length === 1) return matches[0];
  if (matches.length > 1) {
    throw new AronaError(
      "CONFLICT",
      `Cannot tell which group ${JSON.stringify(target)} is: there are several`,
      {
        hint: `Use the id: ${matches.map((match) => match.id).join(", ")}.`,
      },
    );
  }
  throw new AronaError(
    "NOT_FOUND",
    `Cannot find ${JSON.stringify(target)}: you are in no such conversation`,
    {
      hint: "See `arona groups`.",
    },
  );
}
