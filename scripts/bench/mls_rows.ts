/**
 * Benchmark rows of MLS against the size of the group. The group is a channel that its members have joined from outside, one after the
 * other, so that its tree is as full as a real one's.
 */

import {
  createGroupEngine,
  type DeviceKeys,
  type Group,
  type LocalDevice,
  SUITE_IDS,
  type SuiteId,
  SUITES,
} from "../../client/groups/mod.ts";
import {
  type AccountName,
  type CryptoProvider,
  type DeviceId,
  type GroupId,
  issueCertificate,
  systemClock,
  toHex,
} from "../../proto/mod.ts";
import { median, type Row } from "./rows.ts";

const SUITE: SuiteId = 0x0052;
const YEAR_MS = 365 * 86_400_000;
const MESSAGE = new Uint8Array(512);
const ROUNDS = { message: 60, change: 5 } as const;

/** Budgets of DESIGN section 13, milliseconds. */
const BUDGETS: Readonly<Record<string, number>> = {
  "encrypt 200": 2,
  "decrypt 200": 1,
  "external join 200": 1_000,
};

/** Measures every operation at every size, smallest first. */
export async function mlsRows(crypto: CryptoProvider, sizes: readonly number[]): Promise<Row[]> {
  const rows: Row[] = [];
  const newEngine = () =>
    createGroupEngine({ crypto, clock: systemClock, trust: { check: () => "trusted" } });
  const id = toHex(crypto.randomBytes(16)) as GroupId;
  const host = { engine: newEngine(), device: await makeDevice(crypto, "host") };
  let hostGroup = await host.engine.create(host.device, {
    group: id,
    suite: SUITE,
    kind: "channel",
    name: "#bench",
  });
  let guest = host;
  let guestGroup = hostGroup;
  let made = 0;

  for (const size of [...sizes].sort((a, b) => a - b)) {
    const measured = async (
      operation: string,
      rounds: number,
      action: () => Promise<number | void> | number | void,
    ) => {
      const times: number[] = [];
      let bytes: number | void = undefined;
      for (let i = 0; i < rounds; i++) {
        const start = performance.now();
        bytes = await action();
        times.push(performance.now() - start);
      }
      rows.push({
        row: `MLS ${operation}, ${size} members, ${crypto.name}${bytes ? `, ${bytes} B` : ""}`,
        value: median(times),
        unit: "ms",
        budget: BUDGETS[`${operation} ${size}`],
      });
    };

    while (hostGroup.members.length < size) {
      guest = { engine: newEngine(), device: await makeDevice(crypto, `guest-${made++}`) };
      const joined = await guest.engine.joinFromGroupInfo(guest.device, {
        groupInfo: await host.engine.groupInfo(hostGroup),
        expect: { group: id },
      });
      hostGroup = (await host.engine.process(hostGroup, joined.commit)).next;
      guestGroup = joined.next;
    }

    const newcomer = await makeDevice(crypto, `newcomer-${made++}`);
    let info = new Uint8Array();
    await measured("group info", ROUNDS.change, async () => {
      info = new Uint8Array(await host.engine.groupInfo(hostGroup));
      return info.length;
    });
    let commit = new Uint8Array();
    await measured("external join", ROUNDS.change, async () => {
      const joined = await newEngine().joinFromGroupInfo(newcomer, {
        groupInfo: info,
        expect: { group: id },
      });
      commit = new Uint8Array(joined.commit);
      return commit.length;
    });
    await measured("process external join", ROUNDS.change, async () => {
      await host.engine.process(hostGroup, commit);
    });

    const keyPackages = [(await host.engine.keyPackage(newcomer, SUITE, { lastResort: false })).publicBytes];
    await measured(
      "key package",
      ROUNDS.change,
      async () => (await host.engine.keyPackage(newcomer, SUITE, { lastResort: false })).publicBytes.length,
    );
    let added: Awaited<ReturnType<typeof host.engine.commit>> | undefined;
    await measured("add", ROUNDS.change, async () => {
      added = await host.engine.commit(hostGroup, { kind: "add", keyPackages });
      return added.commit.length + (added.welcome?.length ?? 0);
    });
    await measured("process add", ROUNDS.change, async () => {
      await guest.engine.process(guestGroup, added!.commit);
    });

    if (size > 1) {
      const updates: { commit: Uint8Array; next: Group }[] = [];
      await measured("update", ROUNDS.change, async () => {
        const update = await guest.engine.commit(guestGroup, { kind: "update" });
        updates.push(update);
        return update.commit.length;
      });
      await measured("process update", 1, async () => {
        hostGroup = (await host.engine.process(hostGroup, updates[0].commit)).next;
        guestGroup = updates[0].next;
      });
      const sealed: Uint8Array[] = [];
      await measured("encrypt", ROUNDS.message, async () => {
        const { next, ciphertext } = await guest.engine.encrypt(guestGroup, MESSAGE);
        guestGroup = next;
        sealed.push(ciphertext);
        return ciphertext.length;
      });
      await measured("decrypt", ROUNDS.message, async () => {
        hostGroup = (await host.engine.decrypt(hostGroup, sealed.shift()!)).next;
      });
    }
    await measured("encode", ROUNDS.change, () => host.engine.encode(hostGroup).length);
    await measured("encode secrets", ROUNDS.change, () => host.engine.encodeParts(hostGroup).secrets.length);
    await measured("decode", ROUNDS.change, () => void host.engine.decode(host.engine.encode(hostGroup)));
  }
  return rows;
}

async function makeDevice(crypto: CryptoProvider, name: string): Promise<LocalDevice> {
  const identity = await crypto.signatureKeyPair("ML-DSA-65");
  const account = name as AccountName;
  const device = toHex(crypto.randomBytes(16)) as DeviceId;
  const keys: Partial<Record<SuiteId, DeviceKeys>> = {};
  for (const suite of SUITE_IDS) {
    const pair = await crypto.signatureKeyPair(SUITES[suite].signature);
    const certificate = await issueCertificate(crypto, {
      identity,
      deviceKey: pair.publicKey,
      algorithm: SUITES[suite].certificate,
      account,
      device,
      notBeforeMs: systemClock.now() - 60_000,
      notAfterMs: systemClock.now() + YEAR_MS,
    });
    keys[suite] = { ...pair, certificate };
  }
  return { account, device, identityKey: identity.publicKey, keys: keys as Record<SuiteId, DeviceKeys> };
}
