/** The relay's devices in memory: one {@link Recipient} for each that is connected or in a group that is in use. */

import { type AccountName, DeliveryKind, type DeviceId, fromHex } from "../proto/mod.ts";
import { Recipient } from "./bus.ts";
import { SharedDelivery, type WelcomeHead } from "./delivery.ts";
import type { MailboxStore } from "./mailbox.ts";
import type { RelayStore } from "./store.ts";

/** Bytes that a waiting Welcome counts in a mailbox: it stays in the store until it is sent. */
const WELCOME_ENTRY_BYTES = 256;

/** Finds recipients by device. */
export class Recipients {
  readonly #byDevice = new Map<DeviceId, Recipient>();

  constructor(private readonly mailboxes: MailboxStore) {}

  /** The device's recipient, made where there is none; `registered` says that the device is new on the relay. */
  get(device: DeviceId, account: AccountName, options: { registered: boolean } = KNOWN): Recipient {
    let recipient = this.#byDevice.get(device);
    if (recipient === undefined) {
      const mailbox = this.mailboxes.mailbox(device, { gap: !options.registered });
      recipient = new Recipient(device, account, mailbox);
      this.#byDevice.set(device, recipient);
    }
    return recipient;
  }

  /** The device is gone: nothing that waits for it will be read. */
  forget(device: DeviceId): void {
    const mailbox = this.#byDevice.get(device)?.mailbox;
    this.#byDevice.delete(device);
    if (mailbox === undefined) return;
    let { next } = mailbox.open();
    while (mailbox.take() !== null) next++;
    mailbox.acknowledge(next, () => {});
    mailbox.close();
  }

  find(device: DeviceId): Recipient | undefined {
    return this.#byDevice.get(device);
  }
}

const KNOWN = { registered: false };

/** A Welcome as a delivery that fetches its bytes when it is sent. */
export function welcomeDelivery(
  store: Pick<RelayStore, "welcome">,
  { envelope, group, epoch, atMs }: WelcomeHead,
): SharedDelivery {
  return new SharedDelivery(DeliveryKind.WELCOME, group, "", WELCOME_ENTRY_BYTES, atMs, null, {
    envelope,
    epoch,
    load() {
      const payload = store.welcome(envelope);
      if (payload === null) return null;
      return {
        kind: DeliveryKind.WELCOME,
        group: fromHex(group),
        epoch,
        envelope: fromHex(envelope),
        atMs,
        payload,
      };
    },
  });
}
