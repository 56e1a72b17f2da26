/**
 * The MailboxStore port: for each device one ordered, bounded queue of deliveries that it has not acknowledged.
 *
 *     [ acknowledged | sent, not acknowledged | waiting ]
 *                    ^ first                  ^ cursor
 *
 * Deliveries are numbered by their place in the queue, from a number that never goes back while the mailbox keeps its id. Adapters:
 * memory_mailbox.ts, and sqlite_mailbox.ts, which keeps the same queues in a file too; tests/suites/mailbox_suite.ts says what every
 * adapter does.
 */

import type { DeviceId } from "../proto/mod.ts";
import type { SharedDelivery } from "./delivery.ts";
import type { Outcome, ReceiptCounter } from "./receipts.ts";

/** What became of a delivery. */
export const PushResult = {
  QUEUED: 0,
  /** A commit did not fit: the group's waiting deliveries gave way to one GAP marker. */
  COLLAPSED: 1,
  /** Refused: the mailbox is full. */
  MAILBOX_FULL: 2,
  /** Refused: the sender's share of the mailbox is used up. */
  SENDER_SHARE: 3,
  /** Refused: all mailboxes together are full. */
  RELAY_FULL: 4,
  /** Not even a marker fits: the mailbox remembers a gap, and the device has to be disconnected. */
  OVERFLOW: 5,
} as const;
export type PushResult = typeof PushResult[keyof typeof PushResult];

/** A mailbox as a new connection finds it. */
export interface MailboxState {
  /** 16 lower-case hexadecimal digits, random when the mailbox was made. Under another id the numbering has begun anew. */
  readonly id: string;
  /** Number of the first delivery that is not acknowledged, or of the next one to come. */
  readonly next: number;
  readonly backlog: number;
  /** Whether deliveries may have been lost since the device's last acknowledgement. */
  readonly gap: boolean;
}

/** The queue of one device. Nothing here waits or throws but {@link acknowledge}. */
export interface Mailbox {
  /**
   * Takes a delivery in or says why not. Commits, Welcomes and markers are never refused as full. A message that is refused leaves one
   * marker for its group at the end, until the device has that. A message that the mailbox still has from before a restart, sent again
   * by its sender, is queued already: it keeps its place, and the newer receipt counts.
   */
  push(delivery: SharedDelivery): PushResult;
  /** What {@link push} would say of this message. */
  roomFor(delivery: SharedDelivery): PushResult;
  /** Begins a connection: everything not acknowledged is waiting again. */
  open(): MailboxState;
  /** The next waiting delivery, which counts as sent from now on. */
  take(): SharedDelivery | null;
  /**
   * The device has dealt with every delivery numbered under `upTo`.
   *
   * @param onDone called for each delivery that leaves the queue, with the count of its receipts where its sender wants any; and for a
   * marker once more for each message that it stands for and whose sender wants receipts, which there is room for now
   * @param lost numbers of those that it could not open
   * @throws {AronaError} `BAD_FRAME` where `upTo` is beyond what was sent
   */
  acknowledge(upTo: number, onDone: OnDone, lost?: readonly number[]): void;
  /** The device knows of the gap: it acknowledged something or asked for its groups. */
  settle(): void;
  /** Ends a connection: what was only for a connected device goes. */
  close(): void;
  /** Whether a Welcome with this envelope id is queued. */
  holds(envelope: string): boolean;
  /** Number that the next delivery to come will have. */
  readonly end: number;
  /** Deliveries sent and not acknowledged. */
  readonly unacknowledged: number;
  /** Deliveries not sent yet. */
  readonly waiting: number;
}

/** Hears of a delivery that its device has dealt with. */
export type OnDone = (delivery: SharedDelivery, receipt: ReceiptCounter | null, outcome: Outcome) => void;

/** All mailboxes of a relay. */
export interface MailboxStore {
  /**
   * The mailbox of a device, made where there is none.
   *
   * @param options.gap whether a new mailbox starts with a gap: true for every device that existed before this start
   */
  mailbox(device: DeviceId, options: { gap: boolean }): Mailbox;
  /** Drops undelivered envelopes from before `beforeMs` out of mailboxes that nobody reads now, with a marker for each group. */
  expire(beforeMs: number): void;
  /** Runs `action`. What it changes in mailboxes is kept as one: once this returns, all of it or, where keeping fails, none. */
  batch<T>(action: () => T): T;
  /**
   * Something is about to be written elsewhere that mailboxes hear of in the next {@link batch}. Should the relay end in between, then
   * every mailbox has a gap.
   */
  announce(): void;
  /** Called now and then: wipes what has been delivered where it may still lie, and tries again what has failed. */
  tidy(): void;
  /** Ends the store once no relay uses it. Safe to call again. */
  close(): void;
  /** Bytes held, a shared delivery counted once. */
  readonly bytes: number;
  readonly size: number;
}
