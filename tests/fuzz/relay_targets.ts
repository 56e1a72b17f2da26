/** Targets of a running relay: whatever a peer sends, each request gets one answer and nobody else notices. */

import assert from "node:assert/strict";
import {
  AronaError,
  decodeControl,
  encodeDelivered,
  encodeSubmission,
  type Frame,
  FrameType,
  fromHex,
  ObjectAssembler,
  utf8,
} from "../../proto/mod.ts";
import { bodyOf } from "./checks.ts";
import { frameList, readFrames } from "./frames.ts";
import { mutate } from "./mutate.ts";
import { changeJson, type Json } from "./mutate_json.ts";
import {
  asFrame,
  changeShape,
  encode,
  GROUP,
  NONE,
  refusedShapes,
  requestShapes,
  shape,
  SHORT_BLOB,
} from "./relay_requests.ts";
import {
  authFrames,
  collect,
  END_ID,
  expected,
  makePeople,
  type People,
  refusedBy,
  RelayWorld,
  send,
} from "./relay_world.ts";
import type { FuzzTarget } from "./runner.ts";

const requests: FuzzTarget = {
  name: "relay-request",
  what: "requests with any JSON and blobs: exactly one answer each, nobody else affected",
  cost: 8,
  stateful: true,
  async open() {
    const people = await makePeople();
    const granted = requestShapes(people.peer, people.statement);
    const shapes = [...granted, ...refusedShapes()];
    return {
      corpus: granted.map((one) => frameList(encode(one, 1))),
      generate(random) {
        const frames: Frame[] = [];
        for (let id = 1, count = 1 + random.length(4); id <= count; id++) {
          frames.push(...encode(changeShape(random, random.pick(shapes), shapes), id));
        }
        return frameList(frames);
      },
      ...relaySubject(people, { endsSession: false }),
    };
  },
};

const frames: FuzzTarget = {
  name: "relay-frame",
  what: "frames of any type and body: the session goes on or is closed with a code, nobody else affected",
  cost: 8,
  stateful: true,
  async open() {
    const people = await makePeople();
    const message = (request: number, flags: number, length: number) =>
      asFrame(
        FrameType.MSG,
        bodyOf(encodeSubmission({
          ...{ request, flags, epoch: 1, group: fromHex(GROUP), envelope: new Uint8Array(16).fill(request) },
          ciphertext: new Uint8Array(length).fill(1),
        })),
      );
    const object = new Uint8Array(40);
    object.set([0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 0]);
    const corpus = [
      [message(1, 1, 200), message(2, 0, 10)],
      [message(3, 3, 0), asFrame(FrameType.ACK, bodyOf(encodeDelivered(0)))],
      [asFrame(FrameType.OBJECT, object), asFrame(FrameType.PING, new Uint8Array(8))],
      [asFrame(0x7f, SHORT_BLOB), asFrame(FrameType.RECEIPT, SHORT_BLOB), message(4, 1, 5)],
      encode(shape(FrameType.GROUP, { op: "list" }, []), 3),
    ].map(frameList);
    return {
      corpus,
      generate: (random) => mutate(random, corpus),
      ...relaySubject(people, { endsSession: true }),
    };
  },
};

const logins: FuzzTarget = {
  name: "relay-login",
  what: "any first frames: AUTH_OK, or the one answer that every failure gets",
  cost: 20,
  stateful: true,
  async open() {
    const people = await makePeople();
    let world: RelayWorld | null = null;
    // The exporter differs for every connection, so the frame is made when it is known: byte 0 says from what.
    const valid: Json = { id: 1, account: "peer" };
    const withJson = (fields: Json) => Uint8Array.of(1, ...utf8(JSON.stringify(fields)));
    const raw = frameList(encode(shape(FrameType.AUTH, { id: 1, account: "peer" }, [NONE, NONE, NONE]), 1));
    const link = frameList(
      encode(shape(FrameType.LINK, { rendezvous: "88".repeat(16), pow: "00".repeat(8) }, [SHORT_BLOB]), 1),
    );
    return {
      corpus: [withJson(valid)],
      generate: (random) =>
        random.oneIn(2)
          ? withJson(
            changeJson(random, random.oneIn(2) ? valid : { ...valid, register: { pow: "00".repeat(8) } }),
          )
          : Uint8Array.of(0, ...mutate(random, [raw, link])),
      async run(input) {
        world = await RelayWorld.renew(world, people);
        const connection = await world.connect();
        const frames = input[0] === 1
          ? await authFrames(connection, people.peer, input.subarray(1))
          : readFrames(input.subarray(1));
        send(connection, frames.length > 0 ? frames : [asFrame(FrameType.PING, new Uint8Array(8))]);
        const received = await connection.receive().catch(refusedBy);
        connection.abort();
        await world.check();
        const [first] = received ?? [];
        if (first?.type === FrameType.AUTH_OK) return;
        if (first !== undefined) {
          assert.equal(first.type, FrameType.ERROR);
          assert.equal(decodeControl(first.body, new ObjectAssembler()).fields.code, "AUTH_FAILED");
        }
        throw new AronaError("AUTH_FAILED", "Cannot log in");
      },
      close: () => world?.stop(),
    };
  },
};

/** Targets before and after AUTH. */
export const relayTargets: readonly FuzzTarget[] = [logins, requests, frames];

/** Sends an input's frames and a last request; when that is answered, all before it must have been, once. */
function relaySubject(people: People, options: { endsSession: boolean }) {
  let world: RelayWorld | null = null;
  return {
    async run(input: Uint8Array) {
      world = await RelayWorld.renew(world, people);
      const peer = await world.session();
      const sent = readFrames(input);
      send(peer.connection, [...sent, ...encode(shape(FrameType.GROUP, { op: "channels" }, []), END_ID)]);
      const { answers, refusal, code } = await collect(peer);
      await world.check();
      if (code !== null) {
        assert.ok(
          options.endsSession || code === "BAD_REQUEST" || code === "RATE_LIMITED",
          `closed with ${code}`,
        );
        throw new AronaError("BAD_FRAME", `Cannot go on: the relay said ${code}`);
      }
      for (const [id, count] of expected(sent)) {
        assert.equal(answers.get(id) ?? 0, count, `request ${id} was answered ${answers.get(id) ?? 0} times`);
      }
      if (refusal !== null) throw new AronaError("BAD_REQUEST", `Cannot do that: the relay said ${refusal}`);
    },
    close: () => world?.stop(),
  };
}
