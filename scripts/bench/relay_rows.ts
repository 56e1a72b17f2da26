/** Benchmark rows of the relay: CPU for each delivered envelope, latency, memory for each connection, CPU for each login. */

import {
  type CryptoProvider,
  type DiscoveryDocument,
  encodeCertificate,
  fetchDocument,
  fingerprintOf,
  type GroupId,
  parseLink,
  systemClock,
  toHex,
  verifyDocument,
} from "../../proto/mod.ts";
import { connectTcp } from "../../proto/mod.ts";
import { openSqliteRelayStore } from "../../server/mod.ts";
import { makeRawIdentity, RawDevice, type RawIdentity } from "./raw_device.ts";
import { RelayProcess } from "./relay_process.ts";
import { median, type Row } from "./rows.ts";

/** Messages that one account may send at once (the relay's burst), less some. */
const BURST = 80;
const MESSAGE_EPOCH = 1;

/** What `--mailbox` is given. */
export type MailboxKind = "memory" | "disk";

/** A relay whose store holds `identities`, and channels of the first n of them. */
class Stage {
  private constructor(
    readonly relay: RelayProcess,
    readonly identities: readonly RawIdentity[],
    readonly groups: ReadonlyMap<number, GroupId>,
    private readonly crypto: CryptoProvider,
    private readonly document: DiscoveryDocument,
    private readonly folder: string,
  ) {}

  static async open(
    crypto: CryptoProvider,
    options: { devices: number; groupSizes: readonly number[]; mailbox?: MailboxKind },
  ): Promise<Stage> {
    const folder = await Deno.makeTempDir({ prefix: "arona-bench-" });
    const identities: RawIdentity[] = [];
    for (let i = 0; i < options.devices; i++) identities.push(await makeRawIdentity(crypto, `user${i}`));
    const store = openSqliteRelayStore(`${folder}/relay.db`);
    for (const identity of identities) {
      const { account, device } = identity;
      store.register({
        account: { account, fingerprint: fingerprintOf(crypto, identity.identityKey) },
        device: {
          device,
          account,
          certificate: encodeCertificate(identity.certificate),
          deviceKey: identity.publicKey,
        },
        nowMs: Date.now(),
      });
    }
    const groups = new Map<number, GroupId>();
    for (const size of options.groupSizes) {
      const group = toHex(crypto.randomBytes(16)) as GroupId;
      const [creator, ...others] = identities.slice(0, size).map(({ account, device }) => ({
        account,
        device,
      }));
      const head = { group, kind: "channel" as const, suite: 0x0052, name: `#c${size}` };
      store.createGroup({ ...head, creator: creator.account, peer: null }, {
        member: creator,
        groupInfo: new Uint8Array(1),
        atMs: Date.now(),
      });
      const commit = new Uint8Array(1);
      const hash = crypto.digest("SHA-256", commit);
      store.commit({ group, epoch: 0, hash, commit, add: others, remove: [], atMs: Date.now() });
      groups.set(size, group);
    }
    store.close();
    const relay = await RelayProcess.start(folder, { more: ["--mailbox", options.mailbox ?? "memory"] });
    const { hostname, port, fingerprint } = parseLink(relay.link);
    const transport = await connectTcp({ hostname, port });
    const bytes = await fetchDocument({ transport, clock: systemClock });
    const document = await verifyDocument(crypto, bytes, { nowMs: Date.now(), fingerprint });
    return new Stage(relay, identities, groups, crypto, document, folder);
  }

  login(identity: RawIdentity): Promise<RawDevice> {
    const { hostname, port } = parseLink(this.relay.link);
    return RawDevice.login(this.crypto, identity, { hostname, port, document: this.document });
  }

  async loginAll(identities: readonly RawIdentity[]): Promise<RawDevice[]> {
    const devices: RawDevice[] = [];
    for (const identity of identities) devices.push(await this.login(identity));
    return devices;
  }

  async close(): Promise<void> {
    await this.relay.stop();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** CPU for each delivered envelope, and the latency of single messages, in one channel of `members`. */
export async function deliveryRows(
  crypto: CryptoProvider,
  members: number,
  { rounds, mailbox = "memory" }: { rounds: number; mailbox?: MailboxKind },
): Promise<Row[]> {
  const stage = await Stage.open(crypto, { devices: members, groupSizes: [members], mailbox });
  const what = `channel of ${members}${mailbox === "disk" ? ", --mailbox disk" : ""}`;
  const devices = await stage.loginAll(stage.identities);
  const group = stage.groups.get(members)!;
  const rows: Row[] = [];
  try {
    for (const bytes of [2_800, 350]) {
      await burst(devices, { group, bytes, messages: Math.ceil(2_000 / members) }); // warm-up
      const measured: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const messages = Math.min(members * BURST / rounds / 2, Math.ceil(40_000 / members));
        const before = await stage.relay.cpu();
        const deliveries = await burst(devices, { group, bytes, messages: Math.floor(messages) });
        measured.push((await stage.relay.cpu() - before) / deliveries);
      }
      rows.push({
        row: `relay CPU for each delivered envelope, ${bytes} B, ${what}`,
        value: median(measured),
        unit: "µs",
        budget: mailbox === "disk" ? undefined : bytes === 2_800 ? 8 : 4,
      });
    }
    const latencies = await latency(devices, { group, messages: 50 });
    rows.push({
      row: `idle delivery latency p50, ${what}, relay only`,
      value: median(latencies),
      unit: "ms",
      budget: members === 100 && mailbox === "memory" ? 0.5 : undefined,
    });
  } finally {
    for (const device of devices) device.connection.abort();
    await stage.close();
  }
  return rows;
}

/** Memory for each idle connection, and CPU for each handshake with AUTH. */
export async function connectionRows(crypto: CryptoProvider, counts: readonly number[]): Promise<Row[]> {
  const most = Math.max(...counts);
  const stage = await Stage.open(crypto, { devices: most, groupSizes: [2] });
  const rows: Row[] = [
    { row: "relay ready, from the process's start", value: stage.relay.readyMs, unit: "ms", budget: 400 },
  ];
  const connected: RawDevice[] = [];
  try {
    const warmUp = await stage.loginAll(stage.identities.slice(0, 50));
    for (const device of warmUp) device.connection.abort();
    await settle();
    const empty = await stage.relay.memory();
    let before = empty;
    let connectedBefore = 0;
    for (const count of counts) {
      const cpuBefore = await stage.relay.cpu();
      connected.push(...await stage.loginAll(stage.identities.slice(connectedBefore, count)));
      const cpu = await stage.relay.cpu() - cpuBefore;
      await settle();
      const memory = await stage.relay.memory();
      const added = count - connectedBefore;
      rows.push({
        row: `relay CPU for each handshake and AUTH, ${connectedBefore} to ${count} connections`,
        value: cpu / added / 1000,
        unit: "ms",
        budget: count === 1_000 ? 1.5 : undefined,
      }, {
        row: `relay memory for each further idle connection, ${connectedBefore} to ${count}`,
        value: (memory - before) / added / 1000,
        unit: "kB",
        budget: count === most ? 10 : undefined,
      });
      before = memory;
      connectedBefore = count;
    }
  } finally {
    for (const device of connected) device.connection.abort();
    await stage.close();
  }
  return rows;
}

/** Sends `messages` envelopes, spread over the senders. @returns how many deliveries that made */
async function burst(
  devices: readonly RawDevice[],
  options: { group: GroupId; bytes: number; messages: number },
): Promise<number> {
  const expected = options.messages * (devices.length - 1);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let delivered = 0;
  for (const device of devices) {
    device.onDelivery = () => ++delivered === expected && resolve();
    const refusedBefore = device.refused;
    device.onAnswer = () =>
      device.refused > refusedBefore && reject(new Error("Cannot measure: the relay refused a message"));
  }
  const late = setTimeout(
    () => reject(new Error(`Cannot measure: ${delivered} of ${expected} came`)),
    60_000,
  );
  // A bounded number under way, so that no mailbox fills.
  const chunk = 100;
  let sent = 0;
  while (sent < options.messages) {
    const until = Math.min(sent + chunk, options.messages);
    for (; sent < until; sent++) {
      devices[sent % devices.length].submit(options.group, { epoch: MESSAGE_EPOCH, bytes: options.bytes });
    }
    const goal = sent * (devices.length - 1) - chunk * (devices.length - 1) / 2;
    while (delivered < goal && sent < options.messages) await new Promise((wake) => setTimeout(wake, 1));
  }
  await promise.finally(() => clearTimeout(late));
  return expected;
}

/**
 * Milliseconds from submitting a message to its arrival at one member, at all places in the channel in turn. The other members do not
 * read meanwhile: their work would be measured with the relay's.
 */
async function latency(
  devices: readonly RawDevice[],
  options: { group: GroupId; messages: number },
): Promise<number[]> {
  const [sender, ...receivers] = devices;
  const latencies: number[] = [];
  for (const device of receivers) device.paused = true;
  sender.submit(options.group, { epoch: MESSAGE_EPOCH, bytes: 2_800 }); // ends the reads that are under way
  await settle();
  for (let i = 0; i < options.messages; i++) {
    const receiver = receivers[Math.floor(i * receivers.length / options.messages)];
    const before = receiver.delivered;
    receiver.resume();
    await new Promise((wake) => setTimeout(wake, 60)); // it reads what waited for it
    if (receiver.delivered === before && i > 0) throw new Error("Cannot measure: a member got nothing");
    const { promise, resolve } = Promise.withResolvers<void>();
    receiver.onDelivery = resolve;
    const begun = performance.now();
    sender.submit(options.group, { epoch: MESSAGE_EPOCH, bytes: 2_800 });
    await promise;
    latencies.push(performance.now() - begun);
    receiver.paused = true;
  }
  return latencies;
}

function settle(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 1_000));
}
