/**
 * Benchmark rows of coming back: to a full mailbox, after a cut connection, after a relay that was killed. Whole clients against a relay
 * process with its usual limits.
 */

import { type AronaClient, type ChatClient, openClient } from "../../client/mod.ts";
import { relayFromLink } from "../../client/discovery/mod.ts";
import { createMemoryStore, openProfileStore, type Store } from "../../client/store/mod.ts";
import { connectTcp, type CryptoProvider, parseLink, systemClock, type Transport } from "../../proto/mod.ts";
import { openSqliteRelayStore } from "../../server/mod.ts";
import { Links, startSession, WalledDiscovery } from "../../workers/mod.ts";
import { fillGroup } from "../../tests/helpers/filled_group.ts";
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

/**
 * A device that was away for a thousand messages, with its store on the disk: from connect() until the last one is stored. In this
 * thread, and as commands do it, behind the walls.
 */
export async function catchUpRows(crypto: CryptoProvider): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
  const relay = await RelayProcess.start(folder);
  const profile = `${folder}/profile`;
  const open = (username: string, store: Store) =>
    openClient({ store, crypto, dial: connectTcp, link: relay.link, username });
  const places = { "in this thread": openHere, "behind walls": openWalled };
  const rates: Record<string, number[]> = {};
  try {
    const receiver = await openHere({ crypto, folder: profile, link: relay.link });
    await receiver.client.connect();
    await receiver.client.join("#bench");
    await settle();
    await receiver.close();
    const stores = Array.from({ length: SENDERS }, () => createMemoryStore());
    for (let round = 0; round < CATCH_UPS; round++) {
      for (const [place, openThere] of Object.entries(places)) {
        await Promise.all(stores.map(async (store, i) => {
          const sender = await open(`sender${i}`, store);
          await sender.connect();
          const channel = await sender.join("#bench");
          for (let message = 0; message < MISSED_MESSAGES / SENDERS; message++) {
            await sender.send(channel, `message ${message} of round ${round}`).accepted;
          }
          await sender.close();
        }));
        const { client: back, close } = await openThere({ crypto, folder: profile, link: relay.link });
        const all = Promise.withResolvers<void>();
        let stored = 0;
        back.on("MsgCreated", () => ++stored === MISSED_MESSAGES && all.resolve());
        back.on("Gap", ({ reason }) => all.reject(new Error(`Cannot measure: ${reason}`)));
        const begun = performance.now();
        await back.connect();
        await all.promise;
        (rates[place] ??= []).push(MISSED_MESSAGES * 1_000 / (performance.now() - begun));
        await close();
      }
    }
  } finally {
    await relay.stop();
    await Deno.remove(folder, { recursive: true });
  }
  return Object.keys(places).map((place) => ({
    row: `catch up on ${MISSED_MESSAGES} messages from ${SENDERS} senders, SQLite store, ${place}`,
    value: median(rates[place]),
    unit: "1/s",
  }));
}

interface Place {
  readonly crypto: CryptoProvider;
  readonly folder: string;
  readonly link: string;
}

async function openHere({ crypto, folder, link }: Place) {
  const passphrase = () => Promise.resolve("");
  const { store, close } = await openProfileStore({ folder, passphrase, crypto, create: true });
  const client: ChatClient = await openClient({
    store,
    crypto,
    dial: connectTcp,
    link,
    username: "receiver",
  });
  return {
    client,
    async close() {
      await client.close();
      close();
    },
  };
}

async function openWalled({ folder, link }: Place) {
  const links = new Links();
  const discovery = new WalledDiscovery({ clock: systemClock, links });
  const { client, close } = await startSession({
    init: { kind: "client", folder, create: false, isNewFolder: false, tries: 1, lan: false },
    ...{ clock: systemClock, links, discovery, connects: true },
    named: relayFromLink(parseLink(link)),
    passphrase: () => Promise.resolve(""),
    onFault: (error) => console.error(error.message),
    signal: new AbortController().signal,
  });
  return {
    client: client as ChatClient,
    async close() {
      await close();
      links[Symbol.dispose]();
    },
  };
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
  const stores = await fillGroup(crypto, relayStore, { name: GROUP, count });
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
