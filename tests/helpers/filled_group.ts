/** A group as its relay and its members' own stores would have it after a while, made without anybody being connected. */

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
import { createMemoryStore, type Store } from "../../client/store/mod.ts";
import {
  type CryptoProvider,
  encodeCertificate,
  fingerprintOf,
  type GroupId,
  parseAccountName,
  systemClock,
  toHex,
  utf8,
} from "../../proto/mod.ts";
import type { RelayStore } from "../../server/mod.ts";

/** A group of `count` devices: the first one has added all others at once. @returns the devices' stores */
export async function fillGroup(
  crypto: CryptoProvider,
  relayStore: RelayStore,
  { name, count }: { name: string; count: number },
): Promise<Store[]> {
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
  const made = await engine.create(device, { group: id, suite: MANDATORY_SUITE, kind: "group", name });
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
  const head = { group: id, kind: "group" as const, suite: MANDATORY_SUITE, name };
  relayStore.createGroup({ ...head, creator: device.account, peer: null }, {
    member: memberOf(device),
    atMs,
  });
  const add = others.map(({ device }) => memberOf(device));
  relayStore.commit({ group: id, epoch: 0, hash, commit, add, remove: [], atMs });
  return members.map(({ store }) => store);
}
