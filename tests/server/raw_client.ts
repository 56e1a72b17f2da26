/** A small client on the bare wire: it logs in, asks, sends, and hands out whatever the relay says. Nothing is encrypted end to end. */

import {
  type Accepted,
  type AccountName,
  AronaError,
  type Clock,
  connectSecure,
  type Control,
  type ControlFields,
  createAuth,
  type CryptoProvider,
  decodeAccepted,
  decodeControl,
  decodeDelivery,
  decodeReceipt,
  type Delivery,
  type DeviceCertificate,
  type DeviceId,
  type DiscoveryDocument,
  encodeControl,
  encodeDelivered,
  encodeSubmission,
  type ErrorCode,
  type Frame,
  FrameType,
  fromHex,
  type GroupId,
  issueCertificate,
  type KeyPair,
  ObjectAssembler,
  parseAccountName,
  type Receipt,
  type SecureConnection,
  SignatureAlgorithm,
  solvePow,
  toHex,
  type Transport,
} from "../../proto/mod.ts";

/** A person with one device. */
export interface TestDevice {
  readonly account: AccountName;
  readonly device: DeviceId;
  readonly identity: KeyPair;
  readonly keys: KeyPair;
  readonly certificate: DeviceCertificate;
}

/** Makes a device; with `identity` it is one more of the same person. */
export async function makeDevice(
  crypto: CryptoProvider,
  account: string,
  options: { identity?: KeyPair; device?: DeviceId; nowMs?: number } = {},
): Promise<TestDevice> {
  const nowMs = options.nowMs ?? Date.now();
  const identity = options.identity ?? await crypto.signatureKeyPair("ML-DSA-65");
  const keys = await crypto.signatureKeyPair("ML-DSA-44");
  const device = options.device ?? toHex(crypto.randomBytes(16)) as DeviceId;
  const name = parseAccountName(account);
  const certificate = await issueCertificate(crypto, {
    identity,
    deviceKey: keys.publicKey,
    algorithm: SignatureAlgorithm.ML_DSA_44,
    account: name,
    device,
    notBeforeMs: nowMs - 86_400_000,
    notAfterMs: nowMs + 400 * 86_400_000,
  });
  return { account: name, device, identity, keys, certificate };
}

/** What AUTH_OK said. */
export interface Login {
  readonly registered: boolean;
  readonly mailbox: string;
  readonly next: number;
  readonly backlog: number;
  readonly gap: boolean;
  readonly keyPackages: Readonly<Record<string, number>>;
}

/** A delivery with its number. */
export type NumberedDelivery = Delivery & { readonly number: number };

/** Options of {@link RawClient.connect}. */
export interface RawClientOptions {
  readonly transport: Transport;
  readonly document: Pick<DiscoveryDocument, "fingerprint" | "relayKey">;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly device: TestDevice;
  readonly invite?: string;
  /** @default true */
  readonly register?: boolean;
  /** Acknowledge each delivery as it comes. @default true */
  readonly acknowledge?: boolean;
  /** Changes the AUTH frame before it is sent. */
  readonly tamper?: (
    auth: { fields: Record<string, unknown>; blobs: Uint8Array[] },
    connection: SecureConnection,
  ) => void;
}

/** One logged-in connection. */
export class RawClient {
  readonly deliveries = new Arrivals<NumberedDelivery>();
  readonly events = new Arrivals<Control>();
  readonly receipts = new Arrivals<Receipt>();
  /** Why the connection ended: the code of the relay's BYE, or of the error. */
  readonly ended: Promise<string>;
  readonly #objects = new ObjectAssembler();
  readonly #waiting = new Map<
    number,
    { resolve(value: Control | Accepted): void; reject(error: Error): void }
  >();
  #nextRequest = 2;
  #nextObject = 1;
  #nextDelivery: number;

  private constructor(
    readonly connection: SecureConnection,
    readonly device: TestDevice,
    readonly login: Login,
    private readonly options: RawClientOptions,
    pending: readonly Frame[],
  ) {
    this.#nextDelivery = login.next;
    this.ended = this.#receiveAll(pending);
  }

  /** @throws {AronaError} the relay's code where it refuses AUTH, or the connection's */
  static async connect(options: RawClientOptions): Promise<RawClient> {
    const { crypto, device } = options;
    const connection = await connectSecure(options);
    const { blobs } = await createAuth(crypto, {
      connection,
      account: device.account,
      certificate: device.certificate,
      devicePublicKey: device.keys.publicKey,
      devicePrivateKey: device.keys.privateKey,
    });
    const auth: { fields: Record<string, unknown>; blobs: Uint8Array[] } = {
      fields: { id: 1, account: device.account },
      blobs,
    };
    if (options.register !== false) {
      const pow = await solvePow(crypto, {
        exporter: connection.exporter,
        account: device.account,
        identityKey: device.identity.publicKey,
        bits: connection.greeting.powBits,
      });
      auth.fields.register = { pow, invite: options.invite };
    }
    options.tamper?.(auth, connection);
    connection.queue(...encodeControl(FrameType.AUTH, auth.fields, { blobs: auth.blobs }));
    const [first, ...pending] = await connection.receive() ?? [];
    if (first?.type !== FrameType.AUTH_OK) {
      connection.abort();
      if (first === undefined) {
        throw new AronaError("CLOSED", "Cannot log in: the relay closed the connection");
      }
      throw errorOf(decodeControl(first.body, new ObjectAssembler()).fields);
    }
    const { fields } = decodeControl(first.body, new ObjectAssembler());
    connection.authenticated();
    return new RawClient(connection, device, fields as unknown as Login, options, pending);
  }

  /** Sends a control request. @throws {AronaError} with the relay's code and, as details, its fields */
  request(
    type: FrameType,
    fields: ControlFields,
    blobs: readonly Uint8Array[] = [],
  ): Promise<Control> {
    const id = this.#nextRequest++;
    const answer = this.#wait<Control>(id);
    const nextObjectNumber = () => this.#nextObject++;
    this.connection.queue(...encodeControl(type, { id, ...fields }, { blobs, nextObjectNumber }));
    return answer;
  }

  /** Sends an envelope. */
  send(
    group: GroupId,
    options: { epoch: number; payload?: Uint8Array; flags?: number; envelope?: Uint8Array },
  ): Promise<Accepted> {
    const request = this.#nextRequest++;
    const answer = this.#wait<Accepted>(request);
    this.connection.queue(encodeSubmission({
      request,
      flags: options.flags ?? 0,
      group: fromHex(group),
      epoch: options.epoch,
      envelope: options.envelope ?? this.options.crypto.randomBytes(16),
      ciphertext: options.payload ?? new Uint8Array(100),
    }));
    return answer;
  }

  /** Acknowledges every delivery under `upTo`; by default all that have come. */
  acknowledge(upTo = this.#nextDelivery): void {
    this.connection.queue(encodeDelivered(upTo));
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.ended;
  }

  #wait<T extends Control | Accepted>(id: number): Promise<T> {
    return new Promise<T>((resolve, reject) =>
      this.#waiting.set(id, { resolve: resolve as (value: Control | Accepted) => void, reject })
    );
  }

  async #receiveAll(pending: readonly Frame[]): Promise<string> {
    let reason = "CLOSED";
    try {
      let frames: readonly Frame[] | null = pending;
      while (frames !== null) {
        for (const frame of frames) this.#handle(frame);
        frames = await this.connection.receive();
      }
      reason = this.connection.peerReason?.code ?? reason;
    } catch (error) {
      if (!(error instanceof AronaError)) throw error;
      reason = error.code;
    }
    const closed = new AronaError("CLOSED", `Cannot wait: the connection has ended (${reason})`);
    for (const { reject } of this.#waiting.values()) reject(closed);
    for (const arrivals of [this.deliveries, this.events, this.receipts]) arrivals.end(closed);
    return reason;
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case FrameType.OBJECT:
        return this.#objects.add(frame.body);
      case FrameType.MSG:
        this.deliveries.add({ ...decodeDelivery(frame.body, this.#objects), number: this.#nextDelivery++ });
        if (this.options.acknowledge !== false) this.acknowledge();
        return;
      case FrameType.RECEIPT:
        return this.receipts.add(decodeReceipt(frame.body));
      case FrameType.EVENT:
        return this.events.add(decodeControl(frame.body, this.#objects));
      case FrameType.ACK: {
        const accepted = decodeAccepted(frame.body);
        return this.#take(accepted.request)?.resolve(accepted);
      }
      case FrameType.OK: {
        const control = decodeControl(frame.body, this.#objects);
        return this.#take(control.fields.id as number)?.resolve(control);
      }
      case FrameType.ERROR: {
        const { fields } = decodeControl(frame.body, this.#objects);
        return this.#take(fields.id as number)?.reject(errorOf(fields));
      }
    }
  }

  #take(id: number) {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) {
      throw new Error(`The relay answered request ${id} twice, or without being asked`);
    }
    this.#waiting.delete(id);
    return waiting;
  }
}

/** Things that arrive, to be awaited one by one. */
export class Arrivals<T> {
  readonly #items: T[] = [];
  #waiters: { resolve(item: T): void; reject(error: Error): void }[] = [];
  #ended: Error | null = null;

  /** Arrived and not taken. */
  get waiting(): number {
    return this.#items.length;
  }

  add(item: T): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter.resolve(item);
  }

  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  async take(count: number): Promise<T[]> {
    const items: T[] = [];
    while (items.length < count) items.push(await this.next());
    return items;
  }

  end(error: Error): void {
    this.#ended = error;
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters = [];
  }
}

function errorOf(fields: ControlFields): AronaError {
  return new AronaError(fields.code as ErrorCode, `The relay answered ${fields.code}`, { details: fields });
}
