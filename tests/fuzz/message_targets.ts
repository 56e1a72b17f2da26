/** Targets of the binary data frames. */

import {
  ByteWriter,
  decodeAccepted,
  decodeDelivered,
  decodeDelivery,
  decodeReceipt,
  decodeSubmission,
  type Delivery,
  DELIVERY_AS_OBJECT,
  DeliveryKind,
  encodeAccepted,
  encodeDelivered,
  encodeDelivery,
  encodeReceipt,
  encodeSubmission,
  ObjectAssembler,
} from "../../proto/mod.ts";
import { bodyOf, codecTarget } from "./checks.ts";
import { Random } from "./prng.ts";
import type { FuzzTarget } from "./runner.ts";

import { objectBody } from "./wire_targets.ts";

const random = new Random("message corpus");
const OBJECT_NUMBER = 7;

const DELIVERY: Delivery = {
  kind: DeliveryKind.APPLICATION,
  group: random.bytes(16),
  epoch: 300,
  envelope: random.bytes(16),
  atMs: Date.UTC(2026, 0, 1),
  payload: random.bytes(200),
};

/** One for each layout. */
export const messageTargets: readonly FuzzTarget[] = [
  codecTarget({
    name: "submission",
    what: "MSG from a client",
    corpus: () =>
      [0, 100].map((length) => {
        const { group, epoch, envelope } = DELIVERY;
        return bodyOf(
          encodeSubmission({
            request: 5,
            flags: 3,
            group,
            epoch,
            envelope,
            ciphertext: random.bytes(length),
          }),
        );
      }),
    decode: decodeSubmission,
    encode: (submission) => bodyOf(encodeSubmission(submission)),
  }),
  codecTarget({
    name: "delivery",
    what: "MSG to a client, its payload inline",
    corpus: () => [
      encodeDelivery(DELIVERY),
      encodeDelivery({ ...DELIVERY, kind: DeliveryKind.GAP, payload: new Uint8Array() }),
    ],
    decode: decodeDelivery,
    encode: encodeDelivery,
  }),
  codecTarget({
    name: "delivery-object",
    what: "MSG to a client, its payload inline or as an object",
    corpus: () => {
      const asObject = encodeDelivery({ ...DELIVERY, payload: new ByteWriter().u32(OBJECT_NUMBER).finish() });
      asObject[0] |= DELIVERY_AS_OBJECT;
      return [asObject, encodeDelivery(DELIVERY)];
    },
    decode(bytes) {
      const assembler = new ObjectAssembler();
      assembler.add(objectBody({ number: OBJECT_NUMBER, total: 3, offset: 0 }, Uint8Array.of(1, 2, 3)));
      return { delivery: decodeDelivery(bytes, assembler), asObject: (bytes[0] & DELIVERY_AS_OBJECT) !== 0 };
    },
    encode: ({ delivery }) => encodeDelivery(delivery),
    isOneWay: ({ asObject }) => asObject,
  }),
  codecTarget({
    name: "accepted",
    what: "ACK from the relay",
    corpus: () => [bodyOf(encodeAccepted({ request: 1, queued: 499, full: 2 }))],
    decode: decodeAccepted,
    encode: (accepted) => bodyOf(encodeAccepted(accepted)),
  }),
  codecTarget({
    name: "delivered",
    what: "ACK from a client",
    corpus: () => [
      bodyOf(encodeDelivered(70_000, [3, 69_999])),
      bodyOf(encodeDelivered(Number.MAX_SAFE_INTEGER)),
    ],
    decode: decodeDelivered,
    encode: ({ upTo, lost }) => bodyOf(encodeDelivered(upTo, lost)),
  }),
  codecTarget({
    name: "receipt",
    what: "RECEIPT from the relay",
    corpus: () => [
      bodyOf(
        encodeReceipt({
          envelope: DELIVERY.envelope,
          ...{ devices: 3, ofDevices: 6, people: 1, ofPeople: 2, lost: 2, room: 1 },
        }),
      ),
    ],
    decode: decodeReceipt,
    encode: (receipt) => bodyOf(encodeReceipt(receipt)),
  }),
];
