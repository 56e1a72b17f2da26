/**
 * Benchmark rows of coming back: to a full mailbox, after a cut connection, after a relay that was killed. Whole clients against a relay
 * process with its usual limits.
 */

import { type AronaClient, openClient } from "../../client/mod.ts";
import { Contacts } from "../../client/contacts.ts";
import { Conversation } from "../../client/conversation.ts";
import {
  createGroupEngine,
  type Group,
  type KeyPackagePair,
  type LocalDevice,
  MANDATORY_SUITE,
} from "../../client/groups/mod.ts";
import { createLocalIdentity, encodeIdentity, localDevice } from "../../client/identity/mod.ts";
import { createMemoryStore, openProfileStore, type Store } from "../../client/store/mod.ts";
import {
  connectTcp,
  type CryptoProvider,
  encodeCertificate,
  fingerprintOf,
  type GroupId,
  parseAccountName,
  systemClock,
  toHex,
  type Transport,
  utf8,
} from "../../proto/mod.ts";
import { openSqliteRelayStore, type RelayStore } from "../../server/mod.ts";
import { RelayProcess } from "./relay_process.ts";
import { median, type Row } from "./rows.ts";

const CATCH_UPS = 3;
const RECONNECTS = 15;
const RESTARTS = 3;
const MISSED_MESSAGES = 1_000;
/**
 * A mailbox has 1,024 entries, a quarter of them for one sender. With a hundred messages each, these renew their leaves twice in every
 * round, so that 1,020 entries wait.
 */
const SENDERS = 10;
const GROUP = "everybody";
/** New clients make KeyPackages in the background, and nobody says when that is over. */
const SETTLE_MS = 5_000;

/** A device that was away for a thousand messages, with its store on the disk: from connect() until the last one is stored. */
export async function catchUpRows(crypto: CryptoProvider): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const relay = await RelayProcess.start(folder);
  const profile = await openProfileStore({
    folder: `${folder}/profile`,
    passphrase: () => Promise.resolve(""),
    crypto,
    create: true,
  });
  const open = (username: string, store: Store) =>
    openClient({ store, crypto, dial: connectTcp, link: relay.link, username });
  const rates: number[] = [];
  try {
    const receiver = await open("receiver", profile.store);
    await receiver.connect();
    await receiver.join("#bench");
    await settle();
    await receiver.close();
    const stores = Array.from({ length: SENDERS }, () => createMemoryStore());
    for (let round = 0; round < CATCH_UPS; round++) {
      await Promise.all(stores.map(async (store, i) => {
        const sender = await open(`sender${i}`, store);
        await sender.connect();
        const channel = await sender.join("#bench");
        for (let message = 0; message < MISSED_MESSAGES / SENDERS; message++) {
          await sender.send(channel, `message ${message} of round ${round}`).accepted;
        }
        await sender.close();
      }));
      const back = await open("receiver", profile.store);
      const all = Promise.withResolvers<void>();
      let stored = 0;
      back.on("MsgCreated", () => ++stored === MISSED_MESSAGES && all.resolve());
      back.on("Gap", ({ reason }) => all.reject(new Error(`Cannot measure: ${reason}`)));
      const begun = performance.now();
      await back.connect();
      await all.promise;
      rates.push(MISSED_MESSAGES * 1_000 / (performance.now() - begun));
      await back.close();
    }
  } finally {
    profile.close();
    await relay.stop();
    await Deno.remove(folder, { recursive: true });
  }
  return [{
    row: `catch up on ${MISSED_MESSAGES} messages from ${SENDERS} senders, SQLite store`,
    value: median(rates),
    unit: "1/s",
  }];
}

/** A cut that the client sees at once. The first pause before dialling, 125 to 250 ms, is part of it. */
export async function reconnectRows(crypto: CryptoProvider): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const relay = await RelayProcess.start(folder);
  const lines: Transport[] = [];
  const store = createMemoryStore();
  const onlines: number[] = [];
  const accepts: number[] = [];
  try {
    for (let i = 0; i <= RECONNECTS; i++) {
      // A client for each cut: a second one within a minute has a longer pause.
      const client = await openClient({
        store,
        crypto,
        dial: async (address) => {
          const line = await connectTcp(address);
          lines.push(line);
          return line;
        },
        link: relay.link,
        username: "somebody",
      });
      await client.connect();
      const channel = await client.join("#bench");
      if (i === 0) await settle();
      const online = becomesOnline(client);
      const begun = performance.now();
      lines.at(-1)!.close();
      const { accepted } = client.send(channel, "am I back?");
      await online;
      const onlineMs = performance.now() - begun;
      await accepted;
      if (i > 0) {
        onlines.push(onlineMs);
        accepts.push(performance.now() - begun);
      }
      await client.close();
    }
  } finally {
    await relay.stop();
    await Deno.remove(folder, { recursive: true });
  }
  const cut = "connection cut, with the first pause of 125 to 250 ms";
  return [
    { row: `${cut}: until online`, value: median(onlines), unit: "ms" },
    { row: `${cut}: until a message is accepted`, value: median(accepts), unit: "ms" },
  ];
}

/** The relay is killed and at once started again on the same port and data, with `count` clients in one group. */
export async function restartRows(crypto: CryptoProvider, count: number): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const relayStore = openSqliteRelayStore(`${folder}/relay.db`);
  const stores = await fillGroup(crypto, relayStore, count);
  relayStore.close();
  let relay = await RelayProcess.start(folder);
  const { link } = relay;
  const onlines: number[] = [];
  const arrivals: number[] = [];
  try {
    for (let round = 0; round < RESTARTS; round++) {
      // New clients in each round: one that was online for less than a minute has longer pauses.
      const clients: AronaClient[] = [];
      for (const store of stores) {
        const client = await openClient({ store, crypto, dial: connectTcp, link });
        await client.connect();
        clients.push(client);
      }
      await settle();
      const online = Promise.all(clients.map(becomesOnline));
      const begun = performance.now();
      await relay.kill();
      relay = await RelayProcess.start(folder, { listen: relay.address });
      await online;
      onlines.push((performance.now() - begun) / 1_000);
      const text = `back in round ${round}`;
      const [sender, ...receivers] = clients;
      const heard = receivers.map((receiver) =>
        new Promise<void>((resolve) => receiver.on("MsgCreated", (event) => event.text === text && resolve()))
      );
      await sender.send(sender.find(GROUP), text).accepted;
      await Promise.all(heard);
      arrivals.push((performance.now() - begun) / 1_000);
      await Promise.all(clients.map((client) => client.close()));
    }
  } finally {
    await relay.stop();
    await Deno.remove(folder, { recursive: true });
  }
  const restart = `relay killed and started again, ${count} clients`;
  return [
    { row: `${restart}: until all are online`, value: median(onlines), unit: "s" },
    { row: `${restart}: until a message sent then has reached all`, value: median(arrivals), unit: "s" },
  ];
}

/** A group of `count` devices, as the relay and the devices' own stores would have it: the first one has added all others at once. */
async function fillGroup(crypto: CryptoProvider, relayStore: RelayStore, count: number): Promise<Store[]> {
  const id = toHex(crypto.randomBytes(16)) as GroupId;
  const members: { store: Store; device: LocalDevice; pair: KeyPackagePair; save(group: Group): void }[] = [];
  const engine = createGroupEngine({ crypto, clock: systemClock, trust: { check: () => "trusted" } });
  let base = "";
  for (let i = 0; i < count; i++) {
    const account = parseAccountName(`member${i}`);
    const identity = await createLocalIdentity(crypto, { account, clock: systemClock });
    const { certificate, publicKey } = identity.keys[MANDATORY_SUITE];
    const fingerprint = fingerprintOf(crypto, identity.identityKey);
    relayStore.register({
      account: { account, fingerprint },
      device: {
        account,
        device: identity.device,
        certificate: encodeCertificate(certificate),
        deviceKey: publicKey,
      },
      nowMs: Date.now(),
    });
    const store = createMemoryStore();
    const device = localDevice(identity);
    const pair = await engine.keyPackage(device, MANDATORY_SUITE, { lastResort: false });
    const contacts = new Contacts({
      ...{ store, crypto, clock: systemClock, emit: () => {} },
      own: account,
      ownFingerprint: fingerprint,
    });
    members.push({
      store,
      device,
      pair,
      save(group) {
        const conversation = new Conversation(group, null);
        conversation.renewedAtMs = Date.now();
        conversation.base = base;
        store.write((writer) => {
          writer.put("profile", "identity", encodeIdentity(identity));
          writer.put("profile", "registered", utf8("yes"));
          conversation.saveGroup(engine, writer, group);
          conversation.save(engine, writer);
          for (const member of group.members) contacts.pin(member, writer);
        });
      },
    });
  }
  const [founder, ...others] = members;
  const { device } = founder;
  const made = await engine.create(device, { group: id, suite: MANDATORY_SUITE, kind: "group", name: GROUP });
  const change = { kind: "add" as const, keyPackages: others.map(({ pair }) => pair.publicBytes) };
  const { next, commit, welcome } = await engine.commit(made, change);
  const hash = crypto.digest("SHA-256", commit);
  base = toHex(hash);
  founder.save(next);
  for (const { device, pair, save } of others) {
    const { group } = await engine.joinFromWelcome(device, { welcome: welcome!, keyPackages: [pair] });
    save(group);
  }
  const atMs = Date.now();
  const memberOf = ({ account, device }: LocalDevice) => ({ account, device });
  const head = { group: id, kind: "group" as const, suite: MANDATORY_SUITE, name: GROUP };
  relayStore.createGroup({ ...head, creator: device.account, peer: null }, {
    member: memberOf(device),
    atMs,
  });
  const add = others.map(({ device }) => memberOf(device));
  relayStore.commit({ group: id, epoch: 0, hash, commit, add, remove: [], atMs });
  return members.map(({ store }) => store);
}

/** Resolves the next time that the client is online. */
function becomesOnline(client: AronaClient): Promise<void> {
  return new Promise((resolve) => {
    const end = client.on("Status", ({ status }) => {
      if (status !== "online") return;
      end();
      resolve();
    });
  });
}

function settle(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, SETTLE_MS));
}
