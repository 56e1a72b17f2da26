/**
 * Where a further device meets the one that lets it in (PROTOCOL.md section 8.1): a device opens a rendezvous, another one without an
 * account asks there, and the answer goes back to it. The relay sees two sealed boxes and learns nothing but that they passed.
 */

import {
  type AccountName,
  AronaError,
  checkPow,
  type Clock,
  type Control,
  type DeviceId,
  encodeControl,
  FrameType,
  RENDEZVOUS_LIFETIME_MS,
  type RendezvousId,
  type SecureConnection,
} from "../proto/mod.ts";
import type { Recipients } from "./recipients.ts";
import { MAX_RENDEZVOUS } from "./limits.ts";
import { type LinkRequest, parseLink } from "./schema.ts";
import type { Answer, Caller, Services } from "./services.ts";

interface Rendezvous {
  readonly device: DeviceId;
  readonly account: AccountName;
  readonly cancel: () => void;
  /** Gives the answer to who asks now. */
  waiting: ((box: Uint8Array) => void) | null;
}

/** The rendezvous that are open. They live in memory: after a restart of the relay they are opened again. */
export class Linking {
  readonly #byId = new Map<RendezvousId, Rendezvous>();
  readonly #byDevice = new Map<DeviceId, RendezvousId>();

  constructor(private readonly parts: { clock: Clock; recipients: Recipients }) {}

  /** Opens a device's only rendezvous; the one before it is closed. @throws {AronaError} `CONFLICT`, `QUOTA` */
  open(caller: Pick<Caller, "device" | "account">, id: RendezvousId): void {
    const { device, account } = caller;
    const other = this.#byId.get(id);
    if (other !== undefined && other.device !== device) {
      throw new AronaError("CONFLICT", "Cannot open rendezvous: another device has it");
    }
    this.close(device);
    if (this.#byId.size >= MAX_RENDEZVOUS) {
      throw new AronaError("QUOTA", "Cannot open rendezvous: too many are open");
    }
    const cancel = this.parts.clock.schedule(RENDEZVOUS_LIFETIME_MS, () => this.close(device));
    this.#byId.set(id, { device, account, cancel, waiting: null });
    this.#byDevice.set(device, id);
  }

  /** Closes a device's rendezvous, where it has one. */
  close(device: DeviceId): void {
    const id = this.#byDevice.get(device);
    if (id === undefined) return;
    this.#byId.get(id)?.cancel();
    this.#byId.delete(id);
    this.#byDevice.delete(device);
  }

  /**
   * Asks whoever opened the rendezvous.
   *
   * @returns the answer, whenever it comes, and what gives up on it; null where nobody can answer now
   */
  ask(id: RendezvousId, box: Uint8Array): { answer: Promise<Uint8Array>; giveUp(): void } | null {
    const rendezvous = this.#byId.get(id);
    if (rendezvous === undefined || rendezvous.waiting !== null) return null;
    const { listener } = this.parts.recipients.find(rendezvous.device) ?? { listener: null };
    if (listener === null) return null;
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    rendezvous.waiting = resolve;
    listener.event({ type: "link", rendezvous: id }, [box]);
    const giveUp = () => {
      if (rendezvous.waiting === resolve) rendezvous.waiting = null;
    };
    return { answer: promise, giveUp };
  }

  /** Passes the answer on and uses the rendezvous up. @throws {AronaError} `NOT_FOUND` where nobody waits for it */
  answer(caller: Pick<Caller, "device">, id: RendezvousId, box: Uint8Array): void {
    const rendezvous = this.#byId.get(id);
    if (rendezvous?.device !== caller.device || rendezvous.waiting === null) {
      throw new AronaError("NOT_FOUND", "Cannot answer: nobody waits there");
    }
    rendezvous.waiting(box);
    this.close(caller.device);
  }

  stop(): void {
    for (const device of [...this.#byDevice.keys()]) this.close(device);
  }
}

/** Answers KEYS `link`: opens a rendezvous, or closes the one that is open. */
export function openRendezvous(services: Services, caller: Caller, id: RendezvousId | null): Answer {
  if (id === null) services.linking.close(caller.device);
  else services.linking.open(caller, id);
  return { fields: {} };
}

/** Answers KEYS `link_answer`. */
export function answerRendezvous(
  services: Services,
  caller: Caller,
  request: { rendezvous: RendezvousId; box: Uint8Array },
): Answer {
  services.linking.answer(caller, request.rendezvous, request.box);
  return { fields: {} };
}

/**
 * Handles LINK, the first and only frame of a connection that has no account: passes the request on, waits for the answer as long as the
 * connection may stay without AUTH, sends it, and closes.
 *
 * @returns whether there was an answer
 * @throws {AronaError} whatever is wrong; the peer is told the same in every case
 */
export async function handleLink(
  services: Services,
  connection: SecureConnection,
  control: Control,
): Promise<boolean> {
  const request = parseLink(control);
  if (!isWorkDone(services, connection, request)) throw refused();
  const asked = services.linking.ask(request.rendezvous, request.box);
  if (asked === null) throw refused();
  // Whatever comes from the peer now, its end or the deadline's, is the end of it.
  const ended = connection.receive().then(() => null, () => null);
  const box = await Promise.race([asked.answer, ended]);
  asked.giveUp();
  if (box === null) return false;
  connection.queue(...encodeControl(FrameType.OK, { id: request.id }, { blobs: [box] }));
  await connection.close();
  return true;
}

function isWorkDone({ crypto }: Services, connection: SecureConnection, request: LinkRequest): boolean {
  const { exporter, greeting } = connection;
  return checkPow(crypto, { exporter, rendezvous: request.rendezvous, bits: greeting.powBits }, request.pow);
}

function refused(): AronaError {
  return new AronaError("AUTH_FAILED", "Cannot add the device: nobody waits for it");
}
