/** Somebody on the relay who keeps to no rules: an account of its own, raw requests, and an MLS device that may say any name. */

import {
  createGroupEngine,
  type GroupEngine,
  type LocalDevice,
  MANDATORY_SUITE,
} from "../../client/groups/mod.ts";
import { createLocalIdentity, localDevice, type LocalIdentity } from "../../client/identity/mod.ts";
import { RelayApi } from "../../client/session/relay_api.ts";
import { RelayLink } from "../../client/session/link.ts";
import {
  connectSecure,
  connectTcp,
  createAuth,
  fetchDocument,
  parseAccountName,
  parseLink,
  solvePow,
  systemClock,
  verifyDocument,
} from "../../proto/mod.ts";
import type { World } from "./world.ts";

/** A rogue. */
export class Rogue {
  private constructor(
    readonly api: RelayApi,
    readonly engine: GroupEngine,
    /** With the account's own name. */
    readonly device: LocalDevice,
  ) {}

  /** Registers `name` in a world. */
  static async register(world: World, name: string): Promise<Rogue> {
    const account = parseAccountName(name);
    return await Rogue.login(
      world,
      await createLocalIdentity(world.crypto, { account, clock: systemClock }),
    );
  }

  /** Logs a device in, whose account is made where it is new. */
  static async login(world: World, identity: LocalIdentity): Promise<Rogue> {
    const { crypto } = world;
    const { account } = identity;
    const address = parseLink(world.relay.link);
    const bytes = await fetchDocument({ transport: await connectTcp(address), clock: systemClock });
    const document = await verifyDocument(crypto, bytes, {
      nowMs: Date.now(),
      fingerprint: address.fingerprint,
    });
    const connection = await connectSecure({
      transport: await connectTcp(address),
      crypto,
      clock: systemClock,
      document,
    });
    const key = identity.keys[MANDATORY_SUITE];
    const { blobs } = await createAuth(crypto, {
      connection,
      account,
      certificate: key.certificate,
      devicePublicKey: key.publicKey,
      devicePrivateKey: key.privateKey,
    });
    const { exporter } = connection;
    const bits = connection.greeting.powBits;
    const pow = await solvePow(crypto, { exporter, account, identityKey: identity.identityKey, bits });
    const link = await RelayLink.login(connection, {
      auth: { fields: { account, register: { pow } }, blobs },
      clock: systemClock,
      handlers: {
        onDelivery: () => Promise.resolve(true),
        onEvent: () => Promise.resolve(),
        onReceipt: () => Promise.resolve(),
        onClosed: () => {},
      },
    });
    const engine = createGroupEngine({ crypto, clock: systemClock, trust: { check: () => "trusted" } });
    return new Rogue(new RelayApi(link), engine, localDevice(identity));
  }

  /** An MLS device whose certificate says `name`, which anybody can make. */
  async deviceSaying(
    world: World,
    name: string,
    options: { device?: LocalDevice["device"] } = {},
  ): Promise<LocalDevice> {
    const made = await createLocalIdentity(world.crypto, {
      account: parseAccountName(name),
      clock: systemClock,
    });
    return { ...localDevice(made), ...options };
  }

  close(): Promise<void> {
    return this.api.link.close();
  }
}
