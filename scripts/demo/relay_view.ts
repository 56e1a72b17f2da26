/** A mailbox store that keeps a copy of every envelope the relay has in its hands, to show and to search. */

import { decodeDelivery, DeliveryKind, toHex } from "../../proto/mod.ts";
import {
  type Mailbox,
  type MailboxStore,
  MemoryMailboxStore,
  type SharedDelivery,
} from "../../server/mod.ts";

/** An envelope as the relay has it. */
export interface SeenEnvelope {
  readonly id: string;
  readonly group: string;
  readonly epoch: number;
  readonly bytes: Uint8Array;
  readonly payload: Uint8Array;
}

/** Memory mailboxes that also write down what is pushed into them. */
export function recordingMailboxes(into: SeenEnvelope[]): MailboxStore {
  const inner = new MemoryMailboxStore();
  return {
    mailbox(device, options) {
      return recording(inner.mailbox(device, options), into);
    },
    expire: (beforeMs) => inner.expire(beforeMs),
    batch: (action) => inner.batch(action),
    announce: () => inner.announce(),
    tidy: () => inner.tidy(),
    close: () => inner.close(),
    get bytes() {
      return inner.bytes;
    },
    get size() {
      return inner.size;
    },
  };
}

function recording(inner: Mailbox, into: SeenEnvelope[]): Mailbox {
  return {
    push(delivery) {
      note(delivery, into);
      return inner.push(delivery);
    },
    open: () => inner.open(),
    take: () => inner.take(),
    roomFor: (delivery) => inner.roomFor(delivery),
    acknowledge: (upTo, onDone, lost) => inner.acknowledge(upTo, onDone, lost),
    settle: () => inner.settle(),
    close: () => inner.close(),
    holds: (envelope) => inner.holds(envelope),
    get end() {
      return inner.end;
    },
    get unacknowledged() {
      return inner.unacknowledged;
    },
    get waiting() {
      return inner.waiting;
    },
  };
}

function note(delivery: SharedDelivery, into: SeenEnvelope[]): void {
  const bytes = delivery.frame?.parts[0];
  if (bytes === undefined) return;
  const { kind, group, epoch, envelope, payload } = decodeDelivery(bytes);
  if (kind !== DeliveryKind.APPLICATION) return;
  into.push({ id: toHex(envelope), group: toHex(group), epoch, bytes, payload });
}
