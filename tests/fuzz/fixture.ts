/** A relay and people that are the same in every run. */

import { FakeClock, type Fingerprint, type GroupId, parseAccountName } from "../../proto/mod.ts";
import { createLocalIdentity, type LocalIdentity } from "../../client/identity/mod.ts";
import {
  createGroupEngine,
  type Group,
  type GroupChange,
  type GroupEngine,
  type KeyPackagePair,
} from "../../client/groups/mod.ts";
import { createWorld, type Peer, Room } from "../client/groups_support.ts";
import { START_MS, testRelay } from "../proto/fixture.ts";
import { makeDevice } from "../server/raw_client.ts";
import { once } from "./checks.ts";
import { COMMIT_TAIL_BYTES } from "./mls_forge.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

export { START_MS };

/** The relay's identity, keys and document. */
export const fixedRelay = once(() => testRelay(seededProvider("relay")));

/** A person with a device and its ML-DSA-44 certificate. */
export const fixedDevice = once(() => makeDevice(seededProvider("device"), "alice", { nowMs: START_MS }));

/** What the store keeps of this installation. */
export const fixedIdentity: () => Promise<LocalIdentity> = once(() =>
  createLocalIdentity(seededProvider("identity"), {
    account: parseAccountName("alice"),
    clock: new FakeClock(START_MS),
  })
);

/** A member and the state of its group. */
export interface Seat {
  readonly peer: Peer;
  readonly group: Group;
}

/** A copy with a state of its own: what a step uses up is overwritten in the state that it was made from. */
export function freshSeat({ peer, group }: Seat): Seat {
  return { peer, group: peer.engine.decode(peer.engine.encode(group)) };
}

/** Three members of a group and somebody outside, each with an engine on the runtime's own provider. */
export interface FixedGroup {
  readonly id: GroupId;
  /** Anna, who is admin, bert and carl. */
  readonly members: readonly Seat[];
  readonly outsider: Peer;
  readonly keyPackages: readonly KeyPackagePair[];
  /** Let carl in with `pair`. */
  readonly welcome: { readonly bytes: Uint8Array; readonly pair: KeyPackagePair };
  /** By anna, for the group as it is. */
  readonly groupInfo: Uint8Array;
  readonly message: Uint8Array;
  /** By anna: an update, a change of the settings, a Remove, an Add. */
  readonly commits: readonly Uint8Array[];
  /** What is sealed in the first three of them, and in the message. */
  readonly commitContents: readonly Uint8Array[];
  readonly messageContent: Uint8Array;
  /** By dora. */
  readonly externalCommit: Uint8Array;
}

/** A channel, so that it can be joined from outside too. */
export const fixedGroup: () => Promise<FixedGroup> = once(makeGroup);

async function makeGroup(): Promise<FixedGroup> {
  const sealed: Uint8Array[] = [];
  const seeded = seededProvider("group");
  const world = createWorld({
    ...seeded,
    seal(...[aead, key, nonce, data, plaintext, headroom]) {
      sealed.push(plaintext.slice());
      return seeded.seal(aead, key, nonce, data, plaintext, headroom);
    },
  });
  /** After a message's content, the sender's data are sealed: leaf, generation, reuse guard. */
  const lastContent = () => sealed[sealed.findLastIndex((bytes) => bytes.length === 12) - 1];
  const [anna, bert, carl, dora] = [
    await world.peer("anna"),
    await world.peer("bert"),
    await world.peer("carl"),
    await world.peer("dora"),
  ];
  const room = await Room.open(world, anna, { kind: "channel" });
  await room.add(0, [bert]);
  const { suite, id } = room.at(0).group;
  const pair = await carl.engine.keyPackage(carl.device, suite, { lastResort: false });
  const { welcome } = await room.commit(0, { kind: "add", keyPackages: [pair.publicBytes] });
  const { group } = await carl.engine.joinFromWelcome(carl.device, {
    welcome: welcome!,
    keyPackages: [pair],
  });
  room.seats.push({ peer: carl, group });
  await room.commit(1, { kind: "update" });
  const keyPackages = [
    await dora.engine.keyPackage(dora.device, suite, { lastResort: false }),
    await dora.engine.keyPackage(dora.device, suite, { lastResort: true }),
  ];
  const { engine } = anna;
  const current = room.at(0).group;
  const changes: readonly GroupChange[] = [
    { kind: "update" },
    { kind: "settings", banned: ["ab".repeat(32) as Fingerprint] },
    { kind: "remove", devices: [carl.device.device] },
    { kind: "add", keyPackages: [keyPackages[0].publicBytes] },
  ];
  const commits: Uint8Array[] = [];
  const commitContents: Uint8Array[] = [];
  for (const change of changes) {
    commits.push((await engine.commit(current, change)).commit);
    if (change.kind !== "add") commitContents.push(lastContent().subarray(0, -COMMIT_TAIL_BYTES));
  }
  const groupInfo = await engine.groupInfo(current);
  const { ciphertext: message } = await engine.encrypt(current, Uint8Array.of(1, 2, 3));
  const messageContent = lastContent();
  const joined = await dora.engine.joinFromGroupInfo(dora.device, { groupInfo, expect: { group: id } });
  const native = (peer: Peer): Peer => ({ ...peer, engine: nativeEngine(world.clock) });
  return {
    id,
    members: room.seats.map(({ peer, group }) => {
      const runner = native(peer);
      return { peer: runner, group: runner.engine.decode(peer.engine.encode(group)) };
    }),
    outsider: native(dora),
    keyPackages,
    welcome: { bytes: welcome!, pair },
    groupInfo,
    message,
    messageContent,
    commitContents,
    commits,
    externalCommit: joined.commit,
  };
}

function nativeEngine(clock: FakeClock): GroupEngine {
  return createGroupEngine({ crypto: provider, clock, trust: { check: () => "trusted" } });
}
