/** What keeps mailboxes beyond the process: the memory adapter tells it of every change, and it writes them down. */

import type { DeviceId } from "../proto/mod.ts";
import type { SharedDelivery } from "./delivery.ts";

/** A mailbox as a journal sees it. */
export interface JournaledMailbox {
  /** Counts the store's mailboxes from 1 on. */
  readonly number: number;
  readonly device: DeviceId;
  readonly id: string;
  /** Number of the first delivery that is not acknowledged. */
  readonly next: number;
  readonly gap: boolean;
  /** {@link SharedDelivery.row} of the newest delivery that it has had: rows only grow along a queue. */
  readonly lastRow: number;
  /** What is not acknowledged and more than ephemeral, in order. */
  kept(): Iterable<SharedDelivery>;
}

/** Nothing here throws; what fails is made good later. */
export interface MailboxJournal {
  /** Runs `action`; what is told meanwhile is written as one. Batches nest. */
  batch<T>(action: () => T): T;
  /** See `MailboxStore.announce`. */
  announce(): void;
  /** There is a mailbox; it is written with whatever comes next. */
  created(mailbox: JournaledMailbox): void;
  /** Its `next` or its `gap` is another. */
  changed(mailbox: JournaledMailbox): void;
  /** A mailbox has taken a delivery at its end: gives it a row where it has none. */
  appended(mailbox: JournaledMailbox, delivery: SharedDelivery): void;
  /** A delivery has left the queue otherwise than by an acknowledgement. */
  dropped(mailbox: JournaledMailbox, delivery: SharedDelivery): void;
  /** No mailbox has the delivery any more. */
  released(delivery: SharedDelivery): void;
  /** Writes now what could have waited: a device is about to be told where its mailbox stands. */
  flush(): void;
  /** @param mailboxes all there are */
  tidy(mailboxes: Iterable<JournaledMailbox>): void;
  close(): void;
}
