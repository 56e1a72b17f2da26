/** A relay for the fuzzer: a peer who may send anything, and a witness who must not notice. */

import assert from "node:assert/strict";
import {
  AronaError,
  connectSecure,
  createAuth,
  decodeAccepted,
  decodeControl,
  encodeControl,
  type Frame,
  FrameType,
  ObjectAssembler,
  type SecureConnection,
  utf8,
} from "../../proto/mod.ts";
import type { Occupant } from "../../client/groups/credential.ts";
import { makeLeaveStatement } from "../../client/groups/statements.ts";
import { makeDevice, type RawClient, type TestDevice } from "../server/raw_client.ts";
import { SUITE, TestRelay } from "../server/test_relay.ts";
import { bodyOf } from "./checks.ts";
import {
  asFrame,
  CHANNEL,
  COMMIT_FIELDS,
  commitOf,
  GROUP,
  NONE,
  PEER,
  REQUEST_TYPES,
  SHORT_BLOB,
  WITNESS,
} from "./relay_requests.ts";
import { seededProvider } from "./seeded_crypto.ts";

/** The relay begins anew after so many cases: most of what a request can do, it can do once. */
const CASES_PER_RELAY = 50;
/** Enough for every rate to recover from one case. */
const BETWEEN_CASES_MS = 2_000;
/** Id of the request that ends a case. No change comes upon it. */
export const END_ID = 0x5eed_0e4d;

/** Who is on the relay. */
export interface People {
  readonly peer: TestDevice;
  readonly witness: TestDevice;
  /** Of the peer, for {@link GROUP}. */
  readonly statement: Uint8Array;
}

/** The same people in every run. */
export async function makePeople(): Promise<People> {
  const crypto = seededProvider("relay people");
  const nowMs = Date.UTC(2026, 0, 1);
  const make = (account: string, device: string) =>
    makeDevice(crypto, account, { device: device as TestDevice["device"], nowMs });
  const peer = await make("peer", PEER);
  const statement = await makeLeaveStatement(crypto, {
    suite: SUITE,
    group: GROUP as Parameters<typeof makeLeaveStatement>[1]["group"],
    occupant: {
      device: peer.device,
      account: peer.account,
      encryptionKey: SHORT_BLOB,
    } as unknown as Occupant,
    privateKey: peer.keys.privateKey,
  });
  return { peer, witness: await make("witness", WITNESS), statement };
}

/** A relay with a witness on it, who has a channel, and a group with the peer. */
export class RelayWorld {
  #cases = 0;
  peer: Peer | null = null;

  private constructor(
    readonly relay: TestRelay,
    private readonly witness: RawClient,
    private readonly people: People,
  ) {}

  /** The same relay, or another one after {@link CASES_PER_RELAY}. */
  static async renew(world: RelayWorld | null, people: People): Promise<RelayWorld> {
    if (world !== null && world.#cases++ < CASES_PER_RELAY) return world;
    await world?.stop();
    const relay = await TestRelay.start();
    const peer = await relay.connect(people.peer);
    const witness = await relay.connect(people.witness);
    const create = (group: string, fields: Record<string, unknown>, ...blobs: Uint8Array[]) => ({
      fields: { op: "create", group, suite: SUITE, ...fields },
      blobs,
    });
    const group = create(GROUP, { kind: "group", name: "both" });
    await peer.request(FrameType.GROUP, group.fields, group.blobs);
    await peer.request(
      FrameType.GROUP,
      { op: "commit", group: GROUP, ...COMMIT_FIELDS, add: [WITNESS] },
      [commitOf(GROUP, 0), SHORT_BLOB, NONE],
    );
    const channel = create(CHANNEL, { kind: "channel", name: "#general" }, SHORT_BLOB);
    await witness.request(FrameType.GROUP, channel.fields, channel.blobs);
    await peer.close();
    return new RelayWorld(relay, witness, people);
  }

  connect(): Promise<SecureConnection> {
    const { crypto, clock, document } = this.relay;
    return connectSecure({ transport: this.relay.transport(), crypto, clock, document });
  }

  /** The peer's session, logged in again where it has ended. */
  async session(): Promise<Peer> {
    if (this.peer === null || this.peer.connection.closed) {
      const connection = await this.connect();
      send(connection, await authFrames(connection, this.people.peer, utf8('{"id":1,"account":"peer"}')));
      const [first] = await connection.receive() ?? [];
      assert.equal(first?.type, FrameType.AUTH_OK);
      connection.authenticated();
      this.peer = { connection, objects: new ObjectAssembler() };
    }
    return this.peer;
  }

  /** The witness still gets answers, and nothing went wrong inside the relay. */
  async check(): Promise<void> {
    const fault = this.relay.events.find((event) => event.type === "internal_error");
    if (fault?.type === "internal_error") {
      throw new Error(`the relay failed in ${fault.where}`, { cause: fault.error });
    }
    this.relay.events.length = 0;
    this.relay.clock.advance(BETWEEN_CASES_MS);
    const { fields } = await this.witness.request(FrameType.GROUP, { op: "channels" });
    assert.ok(Array.isArray(fields.channels));
  }

  async stop(): Promise<void> {
    this.peer?.connection.abort();
    await this.relay.stop();
  }
}

/** The peer's end of its session. */
export interface Peer {
  readonly connection: SecureConnection;
  readonly objects: ObjectAssembler;
}

/**
 * Reads until the last request's answer or the end.
 *
 * @returns how often each id was answered, the first refusal where nothing was granted, and the code of the end where it ended
 */
export async function collect(
  peer: Peer,
): Promise<{ answers: Map<number, number>; refusal: string | null; code: string | null }> {
  const answers = new Map<number, number>();
  let granted = false;
  let refusal: string | null = null;
  for (;;) {
    const received = await peer.connection.receive().catch(refusedBy);
    if (received === null) {
      // Without a goodbye where the connection itself found fault: a PING of another length, say.
      return { answers, refusal, code: peer.connection.peerReason?.code ?? "TRUNCATED" };
    }
    for (const frame of received) {
      if (frame.type === FrameType.OBJECT) peer.objects.add(frame.body);
      const answer = answerIn(frame, peer.objects);
      if (answer === null) continue;
      if (answer.id === END_ID) return { answers, refusal: granted ? null : refusal, code: null };
      answers.set(answer.id, (answers.get(answer.id) ?? 0) + 1);
      granted ||= answer.refusal === null;
      refusal ??= answer.refusal;
    }
  }
}

/** Which request a frame answers, and the code where it is refused. */
function answerIn(frame: Frame, objects: ObjectAssembler): { id: number; refusal: string | null } | null {
  switch (frame.type) {
    case FrameType.OK:
    case FrameType.ERROR: {
      const { id, code } = decodeControl(frame.body, objects).fields;
      return { id: id as number, refusal: frame.type === FrameType.OK ? null : String(code) };
    }
    case FrameType.EVENT:
      decodeControl(frame.body, objects);
      return null;
    case FrameType.ACK:
      return { id: decodeAccepted(frame.body).request, refusal: null };
    default:
      return null;
  }
}

/** How often each id has to be answered. Only asked where the session went on, so every request could be read. */
export function expected(frames: readonly Frame[]): Map<number, number> {
  const counts = new Map<number, number>();
  const objects = new ObjectAssembler();
  for (const { type, body } of frames) {
    if (type === FrameType.OBJECT) objects.add(body);
    const asks = type >= REQUEST_TYPES.first && type <= REQUEST_TYPES.last;
    if (!asks && type !== FrameType.MSG) continue;
    const id = asks
      ? decodeControl(body, objects).fields.id as number
      : new DataView(body.buffer, body.byteOffset).getUint32(0);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  counts.delete(END_ID);
  return counts;
}

/** AUTH by a device with these fields. */
export async function authFrames(
  connection: SecureConnection,
  device: TestDevice,
  json: Uint8Array,
): Promise<Frame[]> {
  const fields = JSON.parse(new TextDecoder().decode(json));
  const { blobs } = await createAuth(seededProvider("auth"), {
    connection,
    account: device.account,
    certificate: device.certificate,
    devicePublicKey: device.keys.publicKey,
    devicePrivateKey: device.keys.privateKey,
  });
  return encodeControl(FrameType.AUTH, fields, { blobs }).map((frame) => asFrame(frame.type, bodyOf(frame)));
}

/** Queues frames, whatever they are. */
export function send(connection: SecureConnection, frames: readonly Frame[]): void {
  connection.queue(...frames.map(({ type, body }) => ({ type: type as FrameType, parts: [body] })));
}

/** The end of a connection that a bad frame has brought about. */
export function refusedBy(error: unknown): null {
  if (error instanceof AronaError) return null;
  throw error;
}
