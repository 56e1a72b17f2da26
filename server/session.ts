/**
 * One connection from AUTH to its end.
 *
 *     frames → AUTH → { MSG → routing | control → schema → requests | ACK → mailbox } → answers
 *                                                       mailbox → feed → frames
 *
 * Frames are handled in order, each request gets exactly one answer, and whatever goes wrong ends this session only.
 */

import {
  AronaError,
  type ControlFields,
  decodeControl,
  decodeDelivered,
  type Delivered,
  DeliveryKind,
  encodeControl,
  encodeReceipt,
  ERROR_CODES,
  type ErrorCode,
  type Frame,
  FrameType,
  ObjectAssembler,
  type Receipt,
  type SecureConnection,
} from "../proto/mod.ts";
import { authenticate, type AuthenticatedDevice } from "./authentication.ts";
import type { Listener } from "./bus.ts";
import { tally } from "./counters.ts";
import type { SharedDelivery } from "./delivery.ts";
import { announceDevices } from "./devices.ts";
import { Feed } from "./feed.ts";
import {
  MAX_REFUSALS_IN_ROW,
  MAX_UNASKED_QUEUED_BYTES,
  PING_AFTER_MS,
  SILENCE_TIMEOUT_MS,
} from "./limits.ts";
import { handleLink } from "./linking.ts";
import type { SessionEnd } from "./log.ts";
import type { OnDone, PushResult } from "./mailbox.ts";
import { type Outcome, type ReceiptCounter, RecentReceipts } from "./receipts.ts";
import { welcomeDelivery } from "./recipients.ts";
import { type Handled, handleRequest } from "./requests.ts";
import { parseSubmission, routeMessage } from "./routing.ts";
import { parseAuth, parseRequest, parseRequestId } from "./schema.ts";
import type { Caller, Services } from "./services.ts";

/** Codes that a peer may be told (errors.ts). */
const WIRE_CODES: readonly ErrorCode[] = [
  "BAD_FRAME",
  "BAD_REQUEST",
  "TOO_LARGE",
  "AUTH_FAILED",
  "FORBIDDEN",
  "NOT_FOUND",
  "CONFLICT",
  "STALE_EPOCH",
  "QUOTA",
  "RATE_LIMITED",
  "UNSUPPORTED",
  "INTERNAL",
  "SHUTTING_DOWN",
];
/** Frame types that ask something: known or not, they are answered. */
const FIRST_REQUEST_TYPE = 0x20;
const LAST_REQUEST_TYPE = 0x2f;
const PING_BODY = new Uint8Array(8);

/** How a session ended. */
export interface SessionResult {
  readonly reason: SessionEnd;
  readonly code?: ErrorCode;
}

/**
 * Runs AUTH.
 *
 * @returns null where the connection is over; the session is not running yet otherwise
 */
export async function openSession(
  services: Services,
  connection: SecureConnection,
): Promise<{ session: Session; pending: readonly Frame[] } | SessionResult> {
  let id = 0;
  try {
    const [first, ...pending] = await connection.receive() ?? [];
    if (first === undefined) return { reason: "bye" };
    if (first.type === FrameType.LINK) {
      const control = decodeControl(first.body, new ObjectAssembler());
      id = parseRequestId(control.fields);
      return { reason: await handleLink(services, connection, control) ? "linked" : "cut" };
    }
    if (first.type !== FrameType.AUTH) {
      await connection.close({ code: "AUTH_FAILED" });
      return { reason: "protocol" };
    }
    const control = decodeControl(first.body, new ObjectAssembler());
    id = parseRequestId(control.fields);
    const request = parseAuth(control);
    const device = await authenticate(services, connection, request);
    if (connection.closed) return { reason: "cut" };
    const { account } = device.device;
    const kept = services.store.device(device.device.device) !== null;
    const identity = services.store.account(account);
    if (!kept || identity === null || services.store.isBanned(identity)) { // taken back or banned this very moment
      throw new AronaError("AUTH_FAILED", "Cannot log in: the device was taken back or its account banned");
    }
    const { ticket } = request;
    return { session: new Session(services, connection, { device, ticket, authId: id }), pending };
  } catch (error) {
    if (!(error instanceof AronaError)) throw error;
    if (connection.closed) return endOf(error);
    // One answer for all: a name that does not fit, a wrong key, a missing invite. Who has an invite is told what has become of it.
    const { invite } = error.details ?? {};
    if (id > 0) connection.queue(...encodeControl(FrameType.ERROR, { id, code: "AUTH_FAILED", invite }));
    await connection.close({ code: "AUTH_FAILED" });
    return { reason: "auth_failed" };
  }
}

/** A device that has proved itself, and what it said with its AUTH. */
interface AuthenticatedLogin {
  readonly device: AuthenticatedDevice;
  /** The login ticket that it has shown; null where it keeps none. */
  readonly ticket: string | null;
  readonly authId: number;
}

/** An authenticated connection; as a {@link Listener} it is what others of the relay see of it. */
export class Session implements Listener {
  readonly caller: Caller;
  /** Whether this connection made the account. */
  readonly registered: boolean;
  readonly #feed: Feed;
  readonly #objects = new ObjectAssembler();
  readonly #onDone: OnDone = (delivery, receipt, outcome) => this.#done(delivery, receipt, outcome);
  readonly #receipts = new RecentReceipts();
  #refusalsInRow = 0;
  /** The ticket given with this login, until the device shows by another frame that it has it. */
  #unconfirmed: string | null = null;
  #result: SessionResult | null = null;

  constructor(
    private readonly services: Services,
    private readonly connection: SecureConnection,
    auth: AuthenticatedLogin,
  ) {
    const { device, account } = auth.device.device;
    const recipient = services.recipients.get(device, account, { registered: auth.device.newDevice });
    this.caller = { device, account, recipient };
    this.registered = auth.device.registered;
    this.#feed = new Feed(connection, recipient.mailbox, {
      clock: services.clock,
      onStall: () => this.#cut("stalled"),
      onError: (error) => this.#feedFailed(error),
    });
    this.#attach(auth);
  }

  /** Handles frames until the connection ends. */
  async run(pending: readonly Frame[]): Promise<SessionResult> {
    try {
      let frames: readonly Frame[] | null = pending;
      while (frames !== null && this.#result === null) {
        for (const frame of frames) {
          const wait = this.#handle(frame);
          if (wait !== undefined) await wait;
          if (this.#result !== null) break;
          await this.#feed.throttle();
        }
        frames = this.#result === null ? await this.connection.receive() : null;
      }
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#detach();
    }
    await this.connection.close(); // or waits for the goodbye that is on its way
    return this.#result ?? { reason: "bye" };
  }

  wake(): void {
    try {
      this.#feed.pump();
    } catch (error) {
      this.#feedFailed(error);
    }
  }

  overflowed(result: PushResult): void {
    this.#feed.overflowed(result);
  }

  event(fields: ControlFields, blobs: readonly Uint8Array[] = []): void {
    if (this.connection.queuedBytes > MAX_UNASKED_QUEUED_BYTES) return;
    this.#queueControl(FrameType.EVENT, fields, blobs);
  }

  receipt(receipt: Receipt): boolean {
    if (this.connection.closed || this.connection.queuedBytes > MAX_UNASKED_QUEUED_BYTES) return false;
    this.connection.queue(encodeReceipt(receipt));
    this.#receipts.add(receipt, this.services.clock.monotonic());
    return true;
  }

  /** Called now and then: asks a silent peer for a sign, and gives up one that is gone or stalls. */
  check(nowMs: number): void {
    const silentMs = nowMs - this.connection.lastHeardMs;
    if (silentMs >= SILENCE_TIMEOUT_MS) return this.#cut("silent");
    if (silentMs >= PING_AFTER_MS) this.connection.queue({ type: FrameType.PING, parts: [PING_BODY] });
    this.#feed.check(nowMs);
  }

  /** A newer connection of the same device has come. */
  replaced(): void {
    this.#detach();
    this.#say("replaced", "CONFLICT");
  }

  revoked(): void {
    this.#detach();
    this.#say("revoked", "AUTH_FAILED");
  }

  /** The relay keeps its account out from now on. */
  banned(): void {
    this.#detach();
    this.#say("banned", "AUTH_FAILED");
  }

  /** The operator ends it; the device may come back. */
  kicked(): void {
    this.#detach();
    this.#say("kicked");
  }

  /** Deliveries for the device that it has not acknowledged. */
  get pending(): number {
    const { waiting, unacknowledged } = this.caller.recipient.mailbox;
    return waiting + unacknowledged;
  }

  /** The relay stops. */
  async shutDown(): Promise<void> {
    this.#detach();
    this.#queueControl(FrameType.EVENT, { type: "shutdown", afterMs: 0 }, []);
    this.#result ??= { reason: "stopping" };
    await this.connection.close({ code: "SHUTTING_DOWN" });
  }

  #attach({ device, ticket: shown, authId }: AuthenticatedLogin): void {
    const { store, groups, leaves, returns, logins } = this.services;
    const { recipient } = this.caller;
    if (recipient.listener instanceof Session) recipient.listener.replaced();
    for (const welcome of store.welcomes(this.caller.device)) {
      if (!recipient.mailbox.holds(welcome.envelope)) recipient.mailbox.push(welcomeDelivery(store, welcome));
    }
    const { id: mailbox, next, backlog, gap } = recipient.mailbox.open();
    const { stale, ticket } = shown === null
      ? { stale: false, ticket: undefined }
      : logins.begin(this.caller.device, shown);
    this.#unconfirmed = ticket ?? null;
    const keyPackages = Object.fromEntries(store.keyPackageCounts(this.caller.device));
    this.#queueControl(FrameType.AUTH_OK, {
      id: authId,
      device: this.caller.device,
      registered: device.registered,
      mailbox,
      next,
      backlog,
      gap,
      stale,
      ticket,
      keyPackages,
    }, []);
    this.connection.authenticated();
    recipient.listener = this;
    for (const receipt of recipient.waitingReceipts?.take() ?? []) recipient.receipt(receipt);
    this.#feed.pump();
    if (device.newDevice && !device.registered) {
      announceDevices(this.services, this.caller.account, this.caller.device);
    }
    for (const group of store.groupsOfDevice(this.caller.device)) {
      const state = groups.find(group);
      if (state !== null && state.leavers.size > 0) leaves.memberConnected(state);
      if (state !== null && state.returners.size > 0) returns.memberConnected(state);
    }
  }

  #detach(): void {
    this.#feed.stop();
    const { recipient } = this.caller;
    if (recipient.listener !== this) return;
    recipient.listener = null;
    recipient.mailbox.close();
    for (const receipt of this.#receipts.uncertain(this.services.clock.monotonic())) {
      recipient.keepReceipt(receipt);
    }
  }

  /** @returns a promise where there is something to wait for */
  #handle(frame: Frame): Promise<void> | void {
    switch (frame.type) {
      case FrameType.MSG:
        this.#confirmTicket();
        return this.#message(frame.body);
      case FrameType.ACK:
        this.#confirmTicket();
        return this.#acknowledge(decodeDelivered(frame.body));
      case FrameType.OBJECT:
        return this.#objects.add(frame.body);
      case FrameType.AUTH:
        throw new AronaError("BAD_FRAME", "Cannot log in: the connection is logged in");
      default:
        // PING is answered by the connection; types that ask nothing are skipped.
        if (frame.type >= FIRST_REQUEST_TYPE && frame.type <= LAST_REQUEST_TYPE) {
          this.#confirmTicket();
          return this.#request(frame);
        }
    }
  }

  #confirmTicket(): void {
    if (this.#unconfirmed === null) return;
    this.services.logins.confirm(this.caller.device, this.#unconfirmed);
    this.#unconfirmed = null;
  }

  #message(body: Uint8Array): void {
    const { request, submission, error } = parseSubmission(body);
    try {
      if (error !== null) throw error;
      this.connection.queue(routeMessage(this.services, this.caller, submission));
      this.#refusalsInRow = 0;
    } catch (refusal) {
      this.#refuse(request, refusal, this.services.counters.refusedMessages);
    }
  }

  #request(frame: Frame): Promise<void> | void {
    const control = decodeControl(frame.body, this.#objects);
    const id = parseRequestId(control.fields);
    try {
      const retryAfterMs = this.services.rates.requests.take(this.caller.account);
      if (retryAfterMs > 0) {
        throw new AronaError("RATE_LIMITED", "Cannot accept request: too many at once", {
          details: { retryAfterMs },
        });
      }
      const handled = handleRequest(this.services, this.caller, parseRequest(frame.type, control));
      if (!(handled instanceof Promise)) return this.#answer(id, handled);
      return handled.then((finish) => {
        // A device that has come back on a newer connection has asked for the fate of what it left here: nothing more may come of it.
        if (this.#result === null) this.#answer(id, finish());
      }).catch((error) => this.#refuse(id, error));
    } catch (error) {
      this.#refuse(id, error);
    }
  }

  #answer(id: number, { answer, afterwards }: Handled): void {
    this.#queueControl(FrameType.OK, { id, ...answer.fields }, answer.blobs ?? []);
    this.#refusalsInRow = 0;
    try {
      afterwards?.();
    } catch (error) {
      // The request has had its answer; devices that miss the delivery find out by the next one.
      this.services.log({ type: "internal_error", where: "deliver", error });
    }
  }

  #refuse(id: number, error: unknown, counts = this.services.counters.refusedRequests): void {
    const known = error instanceof AronaError && WIRE_CODES.includes(error.code);
    if (!known) this.services.log({ type: "internal_error", where: "request", error });
    const code = known ? error.code : "INTERNAL";
    tally(counts, code);
    this.#queueControl(FrameType.ERROR, { ...(known ? error.details : {}), id, code }, []);
    if (code !== "RATE_LIMITED" && code !== "QUOTA") return;
    this.services.counters.refused++;
    // Only a rate is the peer's own doing; a mailbox may be full of what others sent.
    if (code === "RATE_LIMITED" && ++this.#refusalsInRow >= MAX_REFUSALS_IN_ROW) {
      this.#say("flood", "RATE_LIMITED");
    }
  }

  #acknowledge({ upTo, lost }: Delivered): void {
    this.caller.recipient.mailbox.acknowledge(upTo, this.#onDone, lost);
    this.#feed.acknowledged();
    this.#feed.pump(); // a marker may have had to wait for a place
  }

  #done(delivery: SharedDelivery, receipt: ReceiptCounter | null, outcome: Outcome): void {
    if (outcome === "stored") this.services.counters.delivered++;
    const { envelope } = delivery.options;
    if (delivery.kind === DeliveryKind.WELCOME && envelope !== undefined) {
      this.services.store.forgetWelcome(this.caller.device, envelope);
    }
    const news = receipt?.count(this.caller.account, outcome) ?? null;
    if (news !== null) this.services.recipients.find(receipt!.sender.device)?.receipt(news);
  }

  #queueControl(type: FrameType, fields: ControlFields, blobs: readonly Uint8Array[]): void {
    this.connection.queue(
      ...encodeControl(type, fields, { blobs, nextObjectNumber: this.#feed.nextObjectNumber }),
    );
  }

  /** Whoever published the delivery has nothing to do with it. */
  #feedFailed(error: unknown): void {
    this.services.log({ type: "internal_error", where: "feed", error });
    this.#cut("internal");
  }

  #cut(reason: SessionEnd): void {
    this.#result ??= { reason };
    this.#detach();
    this.connection.abort();
  }

  #say(reason: SessionEnd, code?: ErrorCode): void {
    this.#result ??= code === undefined ? { reason } : { reason, code };
    void this.connection.close(code === undefined ? undefined : { code });
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#result !== null) return;
    if (!(error instanceof AronaError)) {
      this.services.log({ type: "internal_error", where: "session", error });
      this.#result = { reason: "internal" };
      return await this.connection.close({ code: "INTERNAL" });
    }
    if (this.connection.closed) {
      this.#result = endOf(error);
      return;
    }
    this.#result = { reason: "protocol", code: error.code };
    await this.connection.close({ code: WIRE_CODES.includes(error.code) ? error.code : "BAD_FRAME" });
  }
}

function endOf({ code }: AronaError): SessionResult {
  if (code === "TIMEOUT") return { reason: "auth_timeout", code };
  const reason = ERROR_CODES[code] === "peer" && code !== "TRUNCATED" ? "protocol" : "cut";
  return { reason, code };
}
