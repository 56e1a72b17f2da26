/** A relay for tests: in memory by default, with clients that reach it over memory transports. */

import {
  ByteWriter,
  type Clock,
  connectTcp,
  type CryptoProvider,
  type DeviceId,
  type DiscoveryDocument,
  encodeCertificate,
  FakeClock,
  FrameType,
  fromHex,
  type GroupId,
  memoryTransportPair,
  parseEndpoint,
  selectProvider,
  toHex,
  type Transport,
  verifyDocument,
} from "../../proto/mod.ts";
import {
  MemoryMailboxStore,
  MemoryRelayStore,
  type RelayLogEvent,
  type RelayOptions,
  type RunningRelay,
  startRelay,
} from "../../server/mod.ts";
import { makeDevice, RawClient, type RawClientOptions, type TestDevice } from "./raw_client.ts";

/** ML-DSA-44 and X-Wing suite of all test groups. */
export const SUITE = 0x0052;
const EMPTY = new Uint8Array();

/** A running relay and what belongs to it. */
export class TestRelay {
  readonly #clients: RawClient[] = [];

  private constructor(
    readonly relay: RunningRelay,
    readonly crypto: CryptoProvider,
    readonly clock: FakeClock,
    readonly document: DiscoveryDocument,
    readonly events: RelayLogEvent[],
  ) {}

  /** Starts a relay; stop it with {@link stop}, or with `await using`. */
  static async start(
    options: Partial<RelayOptions> & { clock?: FakeClock } = {},
  ): Promise<TestRelay> {
    const crypto = await selectProvider();
    const clock = options.clock ?? new FakeClock();
    const events: RelayLogEvent[] = [];
    const relay = await startRelay({
      store: new MemoryRelayStore(),
      mailboxes: new MemoryMailboxStore(),
      name: "test",
      publicAddresses: ["relay.test:7700"],
      log: (event) => events.push(event),
      ...options,
      crypto,
      clock,
    });
    const document = await verifyDocument(crypto, relay.document(), { nowMs: clock.now() });
    return new TestRelay(relay, crypto, clock, document, events);
  }

  device(account: string, options: { identity?: TestDevice["identity"]; device?: DeviceId } = {}) {
    return makeDevice(this.crypto, account, { ...options, nowMs: this.clock.now() });
  }

  /** A transport to the relay. */
  transport(options: { from?: string; bufferBytes?: number } = {}): Transport {
    const { from = "127.0.0.1:50000", bufferBytes } = options;
    const [near, far] = memoryTransportPair({ addresses: [from, "127.0.0.1:7700"], bufferBytes });
    void this.relay.serve(far);
    return near;
  }

  /** Logs a device in; a name stands for a new person. */
  async connect(
    who: string | TestDevice,
    options: Partial<RawClientOptions> & { clock?: Clock } = {},
  ): Promise<RawClient> {
    const device = typeof who === "string" ? await this.device(who) : who;
    const client = await RawClient.connect({
      transport: options.transport ?? this.transport(),
      document: this.document,
      crypto: this.crypto,
      clock: this.clock,
      device,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** Logs a device in over TCP. */
  async connectTcp(who: string | TestDevice, options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    return await this.connect(who, {
      transport: await connectTcp(parseEndpoint(this.relay.address)),
      ...options,
    });
  }

  randomGroup(): GroupId {
    return toHex(this.crypto.randomBytes(16)) as GroupId;
  }

  /** A private group of these clients; its epoch is 1 where there is more than one. */
  async group(...[creator, ...others]: RawClient[]): Promise<GroupId> {
    const group = this.randomGroup();
    await creator.request(FrameType.GROUP, { op: "create", group, kind: "group", suite: SUITE });
    if (others.length > 0) {
      await commit(creator, group, { epoch: 0, add: others.map(({ device }) => device.device) });
      for (const other of others) await other.deliveries.next(); // the Welcome
    }
    return group;
  }

  /** A channel with these members, who join one after the other; its epoch is their number − 1. */
  async channel(name: string, ...[creator, ...others]: RawClient[]): Promise<GroupId> {
    const group = this.randomGroup();
    await creator.request(
      FrameType.GROUP,
      { op: "create", group, kind: "channel", name, suite: SUITE },
      [new Uint8Array(10)],
    );
    for (const [epoch, other] of others.entries()) await commit(other, group, { epoch, external: true });
    return group;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.relay.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** An MLS vector (RFC 9420 section 2.1.2). */
export function mlsVector(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  const writer = new ByteWriter();
  if (length < 0x40) writer.u8(length);
  else if (length < 0x4000) writer.u16(0x4000 | length);
  else writer.u32(0x8000_0000 + length);
  return writer.raw(bytes).finish();
}

/** A member's commit as far as the relay looks at it: the frame is right, `sealed` is anything. */
export function memberCommit(
  group: GroupId,
  epoch: number,
  sealed: Uint8Array = crypto.getRandomValues(new Uint8Array(200)),
): Uint8Array {
  return new ByteWriter().u16(1).u16(2).raw(mlsVector(fromHex(group))).u64(epoch).u8(3)
    .raw(mlsVector(EMPTY)).raw(mlsVector(new Uint8Array(28))).raw(mlsVector(sealed)).finish();
}

/** A commit from outside as far as the relay looks at it: the frame and the certificate are right. */
export function externalCommit(
  device: Pick<TestDevice, "certificate" | "keys">,
  group: GroupId,
  epoch: number,
): Uint8Array {
  return new ByteWriter().u16(1).u16(1).raw(mlsVector(fromHex(group))).u64(epoch).u8(4)
    .raw(mlsVector(EMPTY)).u8(3).raw(mlsVector(new Uint8Array(100))).u8(1)
    .raw(mlsVector(new Uint8Array(1_216))).raw(mlsVector(device.keys.publicKey)).u16(1)
    .raw(mlsVector(encodeCertificate(device.certificate)))
    .raw(crypto.getRandomValues(new Uint8Array(200))).finish();
}

/** Sends a commit that says nothing in a right frame; channels get a GroupInfo with it. */
export async function commit(
  client: RawClient,
  group: GroupId,
  options: {
    epoch: number;
    add?: readonly DeviceId[];
    remove?: readonly DeviceId[];
    external?: boolean;
    /** @default whether the commit is external */
    channel?: boolean;
    admins?: readonly string[];
    banned?: readonly string[];
    unbanned?: readonly string[];
    /** The commit. @default one that fits the rest */
    bytes?: Uint8Array;
    welcome?: Uint8Array;
  },
): Promise<number> {
  const { epoch, add = [], remove = [], external = false, admins, banned, unbanned } = options;
  const welcome = options.welcome ?? (add.length > 0 ? new Uint8Array(64).fill(7) : EMPTY);
  const groupInfo = options.channel ?? external ? new Uint8Array(32).fill(epoch) : EMPTY;
  const bytes = options.bytes ??
    (external ? externalCommit(client.device, group, epoch) : memberCommit(group, epoch));
  const answer = await client.request(
    FrameType.GROUP,
    { op: "commit", group, epoch, add, remove, external, admins, banned, unbanned },
    [bytes, welcome, groupInfo],
  );
  return answer.fields.epoch as number;
}

/** The code that `action` is refused with. */
export async function codeOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return "OK";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
