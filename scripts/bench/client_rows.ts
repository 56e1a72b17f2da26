/** Benchmark rows of a whole client against a relay process: from outside into a channel of 200, until the first message is accepted. */

import { openClient } from "../../client/mod.ts";
import { createGroupEngine, type Group, MANDATORY_SUITE } from "../../client/groups/mod.ts";
import { createLocalIdentity, localDevice } from "../../client/identity/mod.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import {
  connectTcp,
  type CryptoProvider,
  encodeCertificate,
  fingerprintOf,
  type GroupId,
  parseAccountName,
  systemClock,
  toHex,
} from "../../proto/mod.ts";
import { openSqliteRelayStore, type RelayStore } from "../../server/mod.ts";
import { RelayProcess } from "./relay_process.ts";
import { median, type Row } from "./rows.ts";

const CHANNEL = "#bench";
const JOINS = 5;

/** Joins that grow the channel from `members` on, and messages sent in it. */
export async function clientRows(crypto: CryptoProvider, members = 200): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const store = openSqliteRelayStore(`${folder}/relay.db`);
  await fillChannel(crypto, store, members);
  store.close();
  const relay = await RelayProcess.start(folder);
  const joins: number[] = [];
  const sends: number[] = [];
  try {
    for (let i = 0; i < JOINS; i++) {
      const client = await openClient({
        store: createMemoryStore(),
        crypto,
        dial: connectTcp,
        link: relay.link,
        username: `joiner${i}`,
      });
      await client.connect();
      const begun = performance.now();
      const channel = await client.join(CHANNEL);
      await client.send(channel, "hello").accepted;
      joins.push(performance.now() - begun);
      for (let message = 0; message < 10; message++) {
        const sent = performance.now();
        await client.send(channel, "how fast is this?").accepted;
        sends.push(performance.now() - sent);
      }
      await client.close();
    }
  } finally {
    await relay.stop();
    await Deno.remove(folder, { recursive: true });
  }
  return [
    {
      row: `join a channel of ${members} from outside, until the first message is accepted`,
      value: median(joins),
      unit: "ms",
      budget: 1_000,
    },
    { row: `send in a channel of ${members}, until accepted`, value: median(sends), unit: "ms" },
  ];
}

/** A channel that `members` devices have joined one after the other, as the relay would have it. */
async function fillChannel(crypto: CryptoProvider, store: RelayStore, members: number): Promise<void> {
  const engine = createGroupEngine({ crypto, clock: systemClock, trust: { check: () => "trusted" } });
  const id = toHex(crypto.randomBytes(16)) as GroupId;
  let group: Group | null = null;
  for (let i = 0; i < members; i++) {
    const identity = await createLocalIdentity(crypto, {
      account: parseAccountName(`member${i}`),
      clock: systemClock,
    });
    const device = localDevice(identity);
    const { account } = identity;
    const member = { account, device: identity.device };
    const key = identity.keys[MANDATORY_SUITE];
    store.register({
      account: { account, fingerprint: fingerprintOf(crypto, identity.identityKey) },
      device: { ...member, certificate: encodeCertificate(key.certificate), deviceKey: key.publicKey },
      nowMs: Date.now(),
    });
    if (group === null) {
      group = await engine.create(device, {
        group: id,
        suite: MANDATORY_SUITE,
        kind: "channel",
        name: CHANNEL,
      });
      const head = { group: id, kind: "channel" as const, suite: MANDATORY_SUITE, name: CHANNEL };
      store.createGroup({ ...head, creator: account, peer: null }, {
        member,
        groupInfo: await engine.groupInfo(group),
        atMs: Date.now(),
      });
      continue;
    }
    // Each joiner's own state goes on as the group's: nobody else has to follow here.
    const { next, commit } = await engine.joinFromGroupInfo(device, {
      groupInfo: await engine.groupInfo(group),
      expect: { group: id, name: CHANNEL },
    });
    store.commit({
      group: id,
      epoch: group.epoch,
      hash: crypto.digest("SHA-256", commit),
      commit,
      add: [member],
      remove: [],
      groupInfo: await engine.groupInfo(next),
      atMs: Date.now(),
    });
    group = next;
  }
}
